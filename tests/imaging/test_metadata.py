"""What a file says besides its pixels is kept, updated or told to be lost; it never costs the pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from made_pictures import values
from untaught.imaging import png_chunks, reading, writing
from untaught.imaging.metadata import Metadata
from untaught.imaging.picture import Picture

PIXELS = values(np.uint8, None, (12, 10))
RGB = values(np.uint8, 3, (12, 10))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="10">'
    b"<exif:PixelYDimension>12</exif:PixelYDimension><xmp:Thumbnails>OLD</xmp:Thumbnails>"
    b"a sea\xc3\xa9</rdf:Description>"
    b"</x:xmpmeta>"
)
OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0" Name="ä"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="10" SizeY="12" '
    'SizeC="1" SizeZ="1" SizeT="1" PhysicalSizeX="0.065" PhysicalSizeXUnit="µm" PhysicalSizeY="0.13" '
    'PhysicalSizeYUnit="µm"><Channel ID="Channel:0:0" Name="DAPI" SamplesPerPixel="1"/>'
    '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
)


def text_tag(code, text):
    return (code, 2, None, text.encode() if isinstance(text, str) else text, True)


def camera(*, thumbnail=b"", extra=0, orientation=1):
    """An EXIF block as a camera writes it, by hand where Pillow cannot."""
    tags = Image.Exif()
    tags[0x010F] = "a camera"
    tags[0x0112] = orientation
    below = tags.get_ifd(0x8769)
    below[0xA002], below[0xA003], below[0x829A] = 10, 12, TiffImagePlugin.IFDRational(1, 250)
    if extra:
        below[0x927C] = b"m" * extra
    tags.get_ifd(0x8825)[1] = "N"
    block = bytearray(tags.tobytes())
    if thumbnail:
        data = block[6:]
        order = "<" if data[:2] == b"II" else ">"
        (first,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, first)
        struct.pack_into(order + "I", data, first + 2 + 12 * count, len(data))
        entries = [(0x0201, 4, 1, len(data) + 30), (0x0202, 4, 1, len(thumbnail))]
        data += struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *one) for one in entries) + bytes(4)
        block = block[:6] + data + thumbnail
    return bytes(block)


AWKWARD = [
    *((code, "José Müller, Straße") for code in (270, 271, 272, 305, 315, 33432)),
    (33432, "© Archiv 1998"),
    (306, "12 Aug 1998"),
    (306, ":  :     :  :"),
    (306, "hier, à midi"),
    (315, b"Jos\xe9 in Latin-1"),
    (270, "two\nlines\tand 漢字"),
    (270, OME),
    (305, "Scanner® Suite"),
    (270, '{"shape": [1, 2, 3]}'),
    (270, "ImageJ=1.0\nimages=1\nunit=µ"),
]


@pytest.mark.parametrize(("code", "text"), AWKWARD)
@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".webp"])
def test_awkward_texts_of_a_tiff_never_cost_the_pixels(tmp_path, code, text, suffix):
    tifffile.imwrite(tmp_path / "in.tif", PIXELS, metadata=None, software=False, extratags=[text_tag(code, text)])
    picture = reading.read(tmp_path / "in.tif")
    out = tmp_path / f"out{suffix}"
    notes = writing.check_writable(out, picture)
    if suffix == ".tif" or picture.metadata.microscopy is None:
        assert notes == ()
    writing.write(out, picture)
    if suffix in (".tif", ".png"):
        np.testing.assert_array_equal(reading.read(out).pixels, PIXELS)
    if suffix == ".tif" and not str(text).startswith(("{", "ImageJ", "<?xml")) and isinstance(text, str):
        with tifffile.TiffFile(out) as file:
            assert file.pages.first.tags[code].value == text


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(exif=camera(extra=70_000)),
        Metadata(exif=b"Exif\0\0no block"),
        Metadata(xmp=b"x" * 70_000),
        Metadata(iptc=b"\x1c\x02" * 40_000),
        Metadata(comment="c" * 70_000),
        Metadata(icc_profile=b"not a profile"),
        Metadata(icc_profile=SRGB),
        Metadata(resolution=(1e30, 1e-30)),
        Metadata(texts={270: "\ud800 alone"}, comment="\ud800"),
        Metadata(texts={270: "a\0b"}),
        Metadata(tags={33550: (12, 3, "no numbers")}),
        Metadata(tags={33550: (12, 3, (1.0, 1.0, 0.0))}, size=(6, 5)),
        Metadata(chunks=((b"gAMA", b"\0\0\0"), (b"tEXt", b"no separator"))),
    ],
)
@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".webp"])
def test_no_metadata_costs_the_pixels(tmp_path, metadata, suffix):
    picture = Picture(PIXELS, None, metadata)
    out = tmp_path / f"out{suffix}"
    notes = writing.check_writable(out, picture)
    writing.write(out, picture)
    back = reading.read(out)
    assert back.size == (12, 10)
    if suffix != ".jpg":
        np.testing.assert_array_equal(back.pixels if back.pixels.ndim == 2 else back.pixels[..., 0], PIXELS)
    assert all(note.endswith("will be lost") for note in notes)


def test_what_is_lost_is_told_and_the_rest_is_kept(tmp_path):
    metadata = Metadata(exif=camera(extra=70_000), comment="a boat", texts={315: "José"})
    picture = Picture(PIXELS, None, metadata)
    assert writing.check_writable(tmp_path / "a.png", picture) == ()
    (note,) = writing.check_writable(tmp_path / "a.jpg", picture)
    assert note == "MakerNote of the EXIF block cannot be written to JPEG and will be lost"
    writing.write(tmp_path / "a.jpg", picture)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[0x010F] == "a camera"
        assert image.getexif().get_ifd(0x8769)[0x829A] == 1 / 250
        assert image.info["comment"] == b"a boat"
    (note,) = writing.check_writable(tmp_path / "a.webp", Picture(PIXELS, None, Metadata(iptc=b"i", comment="c")))
    assert note == "the IPTC block and the comment is not kept in WebP and will be lost"


def test_an_encoder_that_fails_on_the_whole_picture_alone_still_writes_the_pixels(tmp_path, monkeypatch):
    plain = writing._ENCODERS["PNG"]

    def picky(picture):
        if picture.size != (2, 2) and picture.metadata.comment:
            raise ValueError("only large pictures fail")
        return plain(picture)

    monkeypatch.setattr(writing, "_ENCODERS", {"PNG": picky})
    writing.write(tmp_path / "a.png", Picture(PIXELS, None, Metadata(comment="c")))
    np.testing.assert_array_equal(reading.read(tmp_path / "a.png").pixels, PIXELS)


THUMBNAIL = b"\xff\xd8" + b"what was removed" * 20 + b"\xff\xd9"


@pytest.mark.parametrize("source", ["jpg", "png", "webp"])
@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_thumbnail_goes_and_the_size_is_that_of_the_picture(tmp_path, source, target, orientation):
    block = camera(thumbnail=THUMBNAIL, orientation=orientation)
    Image.fromarray(RGB).save(tmp_path / f"in.{source}", exif=block)
    assert THUMBNAIL in (tmp_path / f"in.{source}").read_bytes()
    picture = reading.read(tmp_path / f"in.{source}")
    larger = picture.with_pixels(np.kron(picture.pixels, np.ones((2, 2, 1), np.uint8)))
    out = tmp_path / f"out.{target}"
    assert writing.check_writable(out, larger) == ()
    writing.write(out, larger)
    assert b"what was removed" not in out.read_bytes()
    with Image.open(out) as image:
        tags = image.getexif()
        below = tags.get_ifd(0x8769)
        assert (below[0xA002], below[0xA003]) == image.size == ((20, 24) if orientation == 1 else (24, 20))
        assert tags.get(0x0112, 1) == 1
        assert tags[0x010F] == "a camera"
        assert tags.get_ifd(0x8825)[1] == "N"
        assert not tags.get_ifd(0x014A)
        assert below[0x829A] == 1 / 250


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tif"])
def test_exif_goes_into_a_tiff_and_back(tmp_path, big, target):
    writing.write(tmp_path / "a.tif", Picture(RGB, None, Metadata(exif=camera(), texts={315: "José"})))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages.first.tags
        assert tags[34665].value["ExposureTime"] == (1, 250)
        assert tags[34853].value["GPSLatitudeRef"] == "N"
        assert tags["Make"].value == "a camera"
    if big:
        with Image.open(tmp_path / "a.tif") as image:
            image.save(tmp_path / "a.tif", big_tiff=True, compression="raw", exif=image.getexif())
    writing.write(tmp_path / f"b.{target}", reading.read(tmp_path / "a.tif"))
    with Image.open(tmp_path / f"b.{target}") as image:
        assert image.getexif().get_ifd(0x8769)[0x829A] == 1 / 250
        assert image.getexif().get_ifd(0x8825)[1] == "N"
        assert image.getexif()[0x010F] == "a camera"


def iptc():
    return struct.pack(">BBBH", 0x1C, 2, 80, 5) + "Joséx"[:4].encode()


@pytest.mark.parametrize("source", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tif"])
def test_xmp_is_kept_and_updated(tmp_path, source, target):
    path = tmp_path / f"in.{source}"
    if source == "tif":
        tifffile.imwrite(path, RGB, extratags=[(700, 1, len(XMP), XMP, True)], metadata=None)
    elif source == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        Image.fromarray(RGB).save(path, pnginfo=info)
    else:
        Image.fromarray(RGB).save(path, xmp=XMP)
    picture = reading.read(path)
    out = tmp_path / f"out.{target}"
    writing.write(out, picture.with_pixels(np.kron(picture.pixels, np.ones((2, 2, 1), np.uint8))))
    height, width = (2 * side for side in picture.size)
    if target == "tif":
        with tifffile.TiffFile(out) as file:
            packet = file.pages.first.tags[700].value
    else:
        with Image.open(out) as image:
            packet = image.info["xmp"]
    packet = packet.encode() if isinstance(packet, str) else packet
    assert b'tiff:Orientation="1"' in packet
    assert b'exif:PixelXDimension="%d"' % width in packet
    assert b"<exif:PixelYDimension>%d</" % height in packet
    assert "a seaé".encode() in packet
    assert b"OLD" not in packet


def test_iptc_and_comment_of_a_jpeg_are_kept(tmp_path):
    picture = Picture(RGB, None, Metadata(iptc=iptc(), comment="Köln 1912"))
    writing.write(tmp_path / "a.jpg", picture)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["comment"].decode() == "Köln 1912"
        assert image.info["photoshop"][0x0404] == iptc()
    writing.write(tmp_path / "b.tif", reading.read(tmp_path / "a.jpg"))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages.first.tags[270].value == "Köln 1912"
    back = reading.read(tmp_path / "b.tif").metadata
    assert back.iptc == iptc()
    writing.write(tmp_path / "c.png", reading.read(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "c.png") as image:
        assert image.info["Comment"] == "Köln 1912"


@pytest.mark.parametrize("wide", [False, True])
def test_colour_and_text_chunks_of_a_png_are_kept(tmp_path, wide):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100_000))
    info.add(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    info.add_text("Author", "José")
    info.add_text("Comment", "漢字", zip=True)
    info.add_text("Anything", "else")
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG", pnginfo=info)
    content = buffer.getvalue()
    if wide:
        import imagecodecs

        other = bytes(imagecodecs.png_encode(RGB.astype(np.uint16) * 257))
        content = other[:33] + content[33 : content.index(b"IDAT") - 4] + other[33:]
    (tmp_path / "in.png").write_bytes(content)
    picture = reading.read(tmp_path / "in.png")
    assert writing.check_writable(tmp_path / "out.png", picture) == ()
    writing.write(tmp_path / "out.png", picture)
    with Image.open(tmp_path / "out.png") as image:
        image.load()
        assert image.info["gamma"] == 1.0
        assert image.info["chromaticity"][0] == 0.3127
        assert image.info["Author"] == "José"
        assert image.info["Comment"] == "漢字"
        assert image.info["Anything"] == "else"
    notes = writing.check_writable(tmp_path / "out.tif", picture)
    assert any("tEXt" in note for note in notes)
    writing.write(tmp_path / "out.tif", picture)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.pages.first.tags[315].value == "José"


def chunked(name, *chunks, **options):
    """A PNG with chunks before its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG", **options)
    name.write_bytes(png_chunks.with_chunks(buffer.getvalue(), [png_chunks.chunk(*one) for one in chunks]))
    return reading.read(name)


PRIMARIES = (b"cHRM", struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600))


@pytest.mark.parametrize("suffix", ["tif", "jpg", "webp"])
def test_gamma_and_chromaticities_become_a_profile(tmp_path, suffix):
    picture = chunked(tmp_path / "in.png", (b"gAMA", struct.pack(">I", 100_000)), PRIMARIES)
    out = tmp_path / f"out.{suffix}"
    assert writing.check_writable(out, picture) == ()
    writing.write(out, picture, quality=95)
    with Image.open(out) as image:
        found = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    turn = ImageCms.buildTransform(found, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    half, green = (
        ImageCms.applyTransform(Image.new("RGB", (1, 1), colour), turn).getpixel((0, 0))
        for colour in ((128, 128, 128), (90, 128, 90))
    )
    np.testing.assert_allclose(half, 188, atol=3)
    # Wide primaries: the same numbers are a more saturated green than those of sRGB.
    assert green[0] < 150
    assert green[1] > 188


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))],
        [(b"gAMA", struct.pack(">I", 0))],
        [(b"cHRM", struct.pack(">8I", *range(8)))],
        [(b"gAMA", struct.pack(">I", 50_000)), (b"cHRM", bytes(32))],
    ],
)
def test_chunks_without_a_gamma_of_their_own_become_no_profile(tmp_path, chunks):
    picture = chunked(tmp_path / "in.png", *chunks)
    writing.write(tmp_path / "out.tif", picture)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert 34675 not in file.pages.first.tags


@pytest.mark.parametrize(
    "chunk",
    [
        (b"gAMA", b"\0\0"),
        (b"cHRM", b"\0"),
        (b"pHYs", b"\1"),
        (b"iCCP", b"x\0\5abc"),
        (b"sRGB", b""),
        (b"zTXt", b"k\0\7z"),
    ],
)
def test_a_damaged_chunk_never_costs_the_pixels(tmp_path, chunk):
    picture = chunked(tmp_path / "in.png", chunk)
    np.testing.assert_array_equal(picture.pixels, RGB)
    writing.write(tmp_path / "out.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), RGB)


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xee\0\x08Adobe\0",
        b"\xff\xe1\0\x0aExif\0\0II",
        b"\xff\xe2\0\x12ICC_PROFILE\0\1\5xx",
        b"\xff\xed\0\x1cPhotoshop 3.0\0008BIM\4\4\0\0\xff\xff\xff\xff",
        b"\xff\xfe\0\x05\xff\xfe\0",
    ],
)
def test_a_damaged_segment_never_costs_the_pixels(tmp_path, segment):
    Image.fromarray(RGB).save(tmp_path / "whole.jpg", quality=95)
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "in.jpg").write_bytes(content[:2] + segment + content[2:])
    picture = reading.read(tmp_path / "in.jpg")
    np.testing.assert_array_equal(picture.pixels, np.asarray(Image.open(tmp_path / "whole.jpg")))
    writing.write(tmp_path / "out.jpg", picture)
    assert reading.read(tmp_path / "out.jpg").size == picture.size


def test_a_chunk_with_a_wrong_checksum_never_costs_the_pixels(tmp_path):
    chunked(tmp_path / "in.png", (b"gAMA", struct.pack(">I", 45455)))
    content = bytearray((tmp_path / "in.png").read_bytes())
    content[content.index(b"gAMA") + 8] ^= 1
    (tmp_path / "in.png").write_bytes(content)
    picture = reading.read(tmp_path / "in.png")
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert "damaged" in picture.notes[0]


@pytest.mark.parametrize("profile", ["gray", "rgb", "cmyk"])
@pytest.mark.parametrize("channels", [None, 3])
def test_a_profile_for_other_channels_is_left_out(tmp_path, profile, channels):
    space = {"gray": b"GRAY", "rgb": b"RGB ", "cmyk": b"CMYK"}[profile]
    picture = Picture(values(np.uint8, channels), None, Metadata(icc_profile=SRGB[:16] + space + SRGB[20:]))
    notes = writing.check_writable(tmp_path / "a.png", picture)
    writing.write(tmp_path / "a.png", picture)
    fits = (profile == "rgb" and channels == 3) or (profile == "gray" and channels is None)
    assert (reading.read(tmp_path / "a.png").metadata.icc_profile is not None) == fits
    assert bool(notes) != fits


def test_chunks_of_a_damaged_png_do_no_harm(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    odd = struct.pack(">I", 3) + b"tEXt" + b"abc" + struct.pack(">I", zlib.crc32(b"tEXtabc"))
    (tmp_path / "a.png").write_bytes(content[:33] + odd + content[33:])
    picture = reading.read(tmp_path / "a.png")
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        writing.write(tmp_path / f"b{suffix}", picture)
