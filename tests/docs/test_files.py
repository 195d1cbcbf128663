"""The tables of docs/reference/files.md, cell by cell, against tifffile and Pillow."""

import io
import re
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from made_pictures import RNG, values
from untaught.errors import PictureError
from untaught.imaging import reading, writing
from untaught.imaging.metadata import Metadata
from untaught.imaging.picture import Picture

PAGE = (Path(__file__).parent.parent.parent / "docs/reference/files.md").read_text(encoding="utf-8")


def table(name):
    """The rows of a checked table: their first cell, and the others."""
    (found,) = re.findall(rf"<!-- checked: {name} -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]
    return {first: rest for first, *rest in lines[2:]}


GRAY, RGB = values(np.uint8, None, (12, 10)), values(np.uint8, 3, (12, 10))


def save(path, pixels, photometric=None, **options):
    tifffile.imwrite(path, pixels, photometric=photometric, **{"metadata": None, **options})


def relabelled(path, pixels, photometric, bits=None, *, as_rgb=False):
    """A TIFF whose tags are changed after it was written."""
    if bits is not None:
        spread = (pixels.reshape(len(pixels), -1, 1) >> np.arange(bits)[::-1]) & 1
        packed = np.packbits(spread.astype(np.uint8).reshape(len(pixels), -1), axis=1)
        save(path, packed, "minisblack")
    else:
        save(path, pixels, "rgb" if as_rgb else None)
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        if bits is not None:
            tags[256].overwrite(pixels.shape[1])
            tags[258].overwrite(bits)
        if photometric is not None:
            tags[262].overwrite(photometric)


def raw(path):
    with tifffile.TiffWriter(path) as file:
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        file.write(GRAY.astype(np.uint16), photometric="cfa", metadata=None,
                   extratags=[(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)])  # fmt: skip


FOUR = RNG.integers(0, 16, (12, 10)).astype(np.uint8)
ALPHA = {"extrasamples": ["unassalpha"], "planarconfig": "contig"}
SAMPLES = {
    "8 bits": lambda path: save(path, GRAY),
    "16 bits": lambda path: save(path, GRAY.astype(np.uint16) * 100),
    "32-bit whole numbers": lambda path: save(path, GRAY.astype(np.uint32) * 70_000),
    "signed whole numbers": lambda path: save(path, GRAY.astype(np.int16) - 100),
    "floats": lambda path: save(path, GRAY.astype(np.float32) / 300),
    "half floats": lambda path: save(path, GRAY.astype(np.float16) / 300),
    "1 bit": lambda path: save(path, GRAY > 100),
    "2, 4, 10, 12 or 14 bits": lambda path: relabelled(path, FOUR, None, 4),
    "white is 0": lambda path: save(path, GRAY, "miniswhite"),
    "white is 0, floats beyond 0 to 1": lambda path: save(path, GRAY.astype(np.float32), "miniswhite"),
    "palette": lambda path: save(path, GRAY, "palette", colormap=values(np.uint16, 256, (3,))),
    "RGB": lambda path: save(path, RGB, "rgb"),
    "CMYK": lambda path: save(path, values(np.uint8, 4, (12, 10)), "separated"),
    "CMYK with alpha": lambda path: save(path, values(np.uint8, 5, (12, 10)), "separated", **ALPHA),
    "other inks": lambda path: relabelled(path, RGB, 5, as_rgb=True),
    "CIELab, ICCLab": lambda path: save(path, RGB, "icclab"),
    "ITULab": lambda path: relabelled(path, RGB, 10, as_rgb=True),
    "YCbCr, not subsampled": lambda path: save(path, RGB, "ycbcr", subsampling=(1, 1)),
    "YCbCr, subsampled, without JPEG": lambda path: relabelled(path, RGB, 6, as_rgb=True),
    "alpha": lambda path: save(path, values(np.uint8, 4, (12, 10)), "rgb", **ALPHA),
    "colours times alpha": lambda path: save(path, values(np.uint8, 4, (12, 10)), "rgb", extrasamples=["assocalpha"]),
    "more channels": lambda path: save(path, values(np.uint8, 7, (12, 10)), "minisblack", planarconfig="contig"),
    "complex numbers": lambda path: save(path, GRAY.astype(np.complex64)),
    "transparency mask alone": lambda path: relabelled(path, GRAY, 4),
    "RAW behind a preview": raw,
    "linear RAW": lambda path: relabelled(path, RGB, 34892, as_rgb=True),
}


def outcome(path, out, stored=None, **options):
    """What becomes of a file, by what another reader sees before and after."""
    try:
        picture = reading.read(path, **options)
    except PictureError:
        return "refused"
    writing.write(out, picture)
    if stored is None:
        with tifffile.TiffFile(path) as before, tifffile.TiffFile(out) as after:
            if len(before.pages) != len(after.pages):
                return "converted"
            old, new = before.pages.first, after.pages.first
            meaning = [(page.photometric, page.bitspersample, page.extrasamples) for page in (old, new)]
            same = meaning[0] == meaning[1] and np.array_equal(before.asarray(), after.asarray())
        return "kept" if same else "converted"
    return "kept" if np.array_equal(stored, picture.with_alpha()) else "converted"


@pytest.mark.parametrize("name", SAMPLES)
def test_samples(tmp_path, name):
    SAMPLES[name](tmp_path / "a.tif")
    assert table("samples")[name] == [outcome(tmp_path / "a.tif", tmp_path / "b.tif")]


def several(path, *entries):
    with tifffile.TiffWriter(path) as file:
        for pixels, options in entries:
            file.write(pixels, metadata=None, **options)


def cut(path):
    save(path, values(np.uint8, 6, (12, 10)).transpose(2, 0, 1), "minisblack")
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        at = file.pages[5].tags[273].valueoffset
    changed = bytearray(content)
    struct.pack_into("<I", changed, at, len(content) - 100)
    path.write_bytes(changed)


def circle(path):
    several(path, (GRAY, {}), (GRAY, {}))
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        second = file.pages[1].offset
    (count,) = struct.unpack_from("<H", content, second)
    struct.pack_into("<I", content, second + 2 + 12 * count, second)
    path.write_bytes(content)


def fewer(path):
    tifffile.imwrite(path, np.stack([GRAY] * 3), imagej=True, metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes().replace(b"images=3", b"images=9"))


TWO = [(RGB, {"photometric": "rgb"}), (GRAY, {})]
PAGES = {
    "one page": (lambda path: save(path, GRAY), {}),
    "a picture and previews or masks": (
        lambda path: several(path, TWO[0], (RGB[::2, ::2], {"photometric": "rgb", "subfiletype": 1})),
        {},
    ),
    "several pictures": (lambda path: several(path, *TWO), {}),
    "several pictures, with `--page`": (lambda path: several(path, *TWO), {"page": 2}),
    "several slices, with `--volume`": (lambda path: save(path, np.stack([GRAY] * 3), "minisblack"), {"volume": True}),
    "channels as pages, by ImageJ or OME": (
        lambda path: tifffile.imwrite(path, np.stack([GRAY] * 6), imagej=True, metadata={"axes": "CYX"}),
        {},
    ),
    "fewer pages than ImageJ or OME promise": (fewer, {"volume": True}),
    "pages in a circle": (circle, {"volume": True}),
    "a file that ends before its last pixel": (cut, {"volume": True}),
}


@pytest.mark.parametrize("name", PAGES)
def test_pages(tmp_path, name):
    make, options = PAGES[name]
    make(tmp_path / "a.tif")
    stored = GRAY if "page" in options else None
    assert table("pages")[name] == [outcome(tmp_path / "a.tif", tmp_path / "b.tif", stored, **options)]


def jpeg(path, kind):
    Image.fromarray(RGB).save(path, "JPEG")
    content = bytearray(path.read_bytes())
    if kind == "cut":
        content = content[:-60]
    else:
        content[content.index(b"\xff\xc0") + 1] = 0xC3
    path.write_bytes(content)


def film(path):
    frames = [Image.fromarray(values(np.uint8, 3)) for _ in range(2)]
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:])


SMOOTH = np.full((16, 16, 3), 90, np.uint8)
OTHERS = {
    "PNG of 8 bits": (lambda path: Image.fromarray(RGB).save(path, "PNG"), RGB),
    "PNG of 16 bits": (
        lambda path: path.write_bytes(imagecodecs.png_encode(RGB.astype(np.uint16) * 99)),
        RGB.astype(np.uint16) * 99,
    ),
    "PNG of 1, 2 or 4 bits": (lambda path: Image.fromarray(GRAY > 100).save(path, "PNG"), GRAY > 100),
    "PNG with a palette": (lambda path: Image.fromarray(RGB).quantize(8).save(path, "PNG"), GRAY),
    "PNG with a transparent colour": (lambda path: Image.fromarray(GRAY).save(path, "PNG", transparency=5), GRAY),
    "animated PNG or WebP": (film, GRAY),
    "JPEG of 8 bits": (lambda path: Image.fromarray(SMOOTH).save(path, "JPEG"), SMOOTH),
    "JPEG of CMYK": (
        lambda path: Image.new("CMYK", (16, 16), (9, 9, 9, 9)).save(path, "JPEG", quality=100),
        np.full((16, 16, 4), 9, np.uint8),
    ),
    "JPEG of 12 bits": (
        lambda path: path.write_bytes(imagecodecs.jpeg8_encode(RGB.astype(np.uint16) * 16, bitspersample=12)),
        RGB,
    ),
    "lossless JPEG": (lambda path: jpeg(path, "lossless"), RGB),
    "cut-off JPEG": (lambda path: jpeg(path, "cut"), RGB),
}


@pytest.mark.parametrize("name", OTHERS)
def test_png_jpeg_and_webp(tmp_path, name):
    make, stored = OTHERS[name]
    make(tmp_path / "a")
    assert table("others")[name] == [outcome(tmp_path / "a", tmp_path / "b.tif", stored)]


def block():
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x9003] = "1998:08:12 10:00:00"
    tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes()


def microscope(path, **options):
    tifffile.imwrite(path, GRAY, resolution=(15.0, 15.0), **options)
    return reading.read(path).metadata


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
OME = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "Channel": {"Name": ["DAPI"]}}
METADATA = {
    "colour profile": lambda _: Metadata(icc_profile=GRAY_PROFILE),
    "EXIF, with GPS": lambda _: Metadata(exif=block()),
    "XMP": lambda _: Metadata(xmp=b"<x:xmpmeta>sea</x:xmpmeta>"),
    "IPTC": lambda _: Metadata(iptc=b"\x1c\x02\x50\0\4Jose"),
    "resolution": lambda _: Metadata(resolution=(300.0, 300.0)),
    "description, artist, copyright, date": lambda _: Metadata(texts={270: "d", 315: "José", 33432: "©", 306: "1998"}),
    "comment": lambda _: Metadata(comment="plate 42"),
    "gamma and chromaticities of a PNG": lambda _: Metadata(chunks=((b"gAMA", struct.pack(">I", 100_000)),)),
    "other texts of a PNG": lambda _: Metadata(chunks=((b"tEXt", b"Anything\0else"),)),
    "place and projection of GeoTIFF, no-data value": lambda _: Metadata(
        tags={33550: (12, 3, (30.0, 20.0, 0.0)), 42113: (2, 6, "-9999")}
    ),
    "scale, unit and channels of ImageJ": lambda path: microscope(path, imagej=True, metadata={"unit": "nm"}),
    "scale, unit and channels of OME": lambda path: microscope(path, ome=True, metadata=OME),
}


def is_linear(profile):
    """Whether half of the light is 188 of 255 in sRGB, as littleCMS sees it."""
    if not profile or profile == GRAY_PROFILE:
        return False
    transform = ImageCms.buildTransform(io.BytesIO(profile), ImageCms.createProfile("sRGB"), "L", "RGB")
    return abs(ImageCms.applyTransform(Image.new("L", (1, 1), 128), transform).getpixel((0, 0))[1] - 188) < 3


def seen(path):
    """What Pillow and tifffile see of the parts above, by their names."""
    found = set()
    with Image.open(path) as image:
        image.load()
        info, tags = image.info, image.getexif()
        below, place = tags.get_ifd(0x8769), tags.get_ifd(0x8825)
        texts = {number: tags.get(number) for number in (270, 315, 33432, 306)}
        chunk = {name: info.get(name) for name in ("gamma", "Anything", "Comment", "comment")}
        if info.get("icc_profile") == GRAY_PROFILE:
            found.add("colour profile")
        if below.get(0x9003) == "1998:08:12 10:00:00" and place.get(1) == "N":
            found.add("EXIF, with GPS")
        if b"sea" in (info.get("xmp") or tags.get(700) or b""):
            found.add("XMP")
        if "photoshop" in info and b"Jose" in info["photoshop"].get(0x0404, b""):
            found.add("IPTC")
        if round(float(info.get("dpi", (0, 0))[0])) == 300:
            found.add("resolution")
        if texts[270] == "d" and texts[315] and texts[33432] and texts[306] == "1998":
            found.add("description, artist, copyright, date")
        if "plate 42" in (chunk["Comment"], texts[270]) or chunk["comment"] == b"plate 42":
            found.add("comment")
        if chunk["gamma"] == 1 or is_linear(info.get("icc_profile")):
            found.add("gamma and chromaticities of a PNG")
        if chunk["Anything"] == "else":
            found.add("other texts of a PNG")
    if path.suffix != ".tif":
        return found
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        if 33723 in tags and b"Jose" in bytes(tags[33723].value):
            found.add("IPTC")
        if 33550 in tags and tags[42113].value == "-9999":
            found.add("place and projection of GeoTIFF, no-data value")
        if file.is_imagej and file.imagej_metadata["unit"] == "nm" and tags[282].value[0] / tags[282].value[1] == 15:
            found.add("scale, unit and channels of ImageJ")
        if file.is_ome and all(part in file.ome_metadata for part in ('PhysicalSizeX="0.5"', "µm", 'Name="DAPI"')):
            found.add("scale, unit and channels of OME")
    return found


@pytest.mark.parametrize("name", METADATA)
def test_metadata(tmp_path, name):
    metadata = METADATA[name](tmp_path / "in.tif")
    for suffix, cell in zip((".tif", ".png", ".jpg", ".webp"), table("metadata")[name], strict=True):
        picture, out = Picture(GRAY, None, metadata), tmp_path / f"out{suffix}"
        notes = writing.check_writable(out, picture)
        writing.write(out, picture)
        assert ("kept" if name in seen(out) else "lost") == cell, suffix
        assert bool(notes) == (cell == "lost"), (suffix, notes)


def test_every_row_is_tested():
    for name, rows in (("samples", SAMPLES), ("pages", PAGES), ("others", OTHERS), ("metadata", METADATA)):
        assert list(table(name)) == list(rows)
