"""What the samples of a file mean: converted right, or refused in a sentence; never relabelled."""

import io
import struct
import time

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from made_pictures import RNG, values
from untaught.errors import InputError, PictureError
from untaught.imaging import reading, writing

GRAY = values(np.uint8, None, (12, 10))
RGB = values(np.uint8, 3, (12, 10))


def plain(path, pixels, photometric, bits=None, **tags):
    """A TIFF of one strip without compression, made by hand, so that it says exactly this."""
    rows = np.asarray(pixels)
    height, width = rows.shape[:2]
    samples = rows.shape[2] if rows.ndim == 3 else 1
    size = 8 * rows.itemsize
    data = rows.tobytes()
    if bits is not None:
        spread = ((rows.reshape(height, -1, 1) >> np.arange(bits)[::-1]) & 1).astype(np.uint8).reshape(height, -1)
        data = np.packbits(spread, axis=1).tobytes()
    entries = {
        256: (4, (width,)),
        257: (4, (height,)),
        258: (3, (bits or size,) * samples),
        259: (3, (1,)),
        262: (3, (photometric,)),
        273: (4, (8,)),
        277: (3, (samples,)),
        278: (4, (height,)),
        279: (4, (len(data),)),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    data += bytes(len(data) % 2)
    first = 8 + len(data)
    after = first + 2 + 12 * len(entries) + 4
    directory, beyond = struct.pack("<H", len(entries)), b""
    for code, (kind, numbers) in sorted(entries.items()):
        packed = struct.pack(f"<{len(numbers)}{ {3: 'H', 4: 'I', 5: 'I'}[kind] }", *numbers)
        count = len(numbers) // 2 if kind == 5 else len(numbers)
        if len(packed) > 4:
            packed, beyond = struct.pack("<I", after + len(beyond)), beyond + packed
        directory += struct.pack("<HHI", code, kind, count) + packed.ljust(4, b"\0")
    path.write_bytes(b"II*\0" + struct.pack("<I", first) + data + directory + bytes(4) + beyond)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_any_number_of_bits_is_widened_to_the_whole_range(tmp_path, bits, white_is_zero):
    top = 2**bits - 1
    stored = RNG.integers(0, top + 1, (6, 8)).astype(np.uint8 if bits <= 8 else np.uint16)
    stored[0, :2] = 0, top
    written = None if bits in (8, 16) else bits
    picture = reading.read(plain(tmp_path / "a.tif", stored, 0 if white_is_zero else 1, written))
    whole = 255 if bits <= 8 else 65535
    wanted = np.round((top - stored if white_is_zero else stored) / top * whole)
    assert picture.pixels.dtype == (np.uint8 if bits <= 8 else np.uint16)
    np.testing.assert_array_equal(picture.pixels, wanted)
    assert bool(picture.notes) == (bits not in (1, 8, 16))
    writing.write(tmp_path / "b.tif", picture)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), wanted)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("extra", ["unassalpha", "unspecified"])
def test_white_is_zero_does_not_turn_alpha_or_other_data_round(tmp_path, kind, extra):
    stored = (RNG.random((6, 8, 2)) * 100).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", extrasamples=[extra], planarconfig="contig")
    picture = reading.read(tmp_path / "a.tif")
    white = -1 if kind is np.int16 else np.iinfo(kind).max
    if extra == "unassalpha":
        np.testing.assert_array_equal(picture.pixels, white - stored[..., 0])
        np.testing.assert_array_equal(picture.alpha, stored[..., 1])
    else:
        np.testing.assert_array_equal(picture.pixels[..., 0], white - stored[..., 0])
        np.testing.assert_array_equal(picture.pixels[..., 1], stored[..., 1])


def test_white_is_zero_in_floats(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 0.25]], np.float32), photometric="miniswhite")
    assert reading.read(tmp_path / "a.tif").pixels.tolist() == [[1, 0.75]]
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 300]], np.float32), photometric="miniswhite")
    with pytest.raises(PictureError, match="white is 0, with floats beyond 0 to 1"):
        reading.read(tmp_path / "a.tif")


def lab_of_colours():
    """Lab values, a and b from 128 on, and the sRGB that LittleCMS makes of them."""
    colours = Image.fromarray(RNG.integers(60, 200, (6, 8, 3), dtype=np.uint8))
    exact = ImageCms.Flags.NOOPTIMIZE
    profiles = [ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")]
    lab = ImageCms.applyTransform(colours, ImageCms.buildTransform(*profiles, "RGB", "LAB", flags=exact))
    back = ImageCms.applyTransform(lab, ImageCms.buildTransform(*profiles[::-1], "LAB", "RGB", flags=exact))
    stored = np.frombuffer(lab.tobytes(), np.uint8).reshape(6, 8, 3).copy()
    stored[..., 1:] ^= 128  # Pillow's are signed
    return stored, np.asarray(back).astype(int)


@pytest.mark.parametrize("photometric", [8, 9])
@pytest.mark.parametrize("wide", [False, True])
def test_lab_becomes_srgb_as_littlecms_makes_it(tmp_path, photometric, wide):
    lab, wanted = lab_of_colours()
    stored = lab.astype(np.int64)
    if photometric == 8:
        stored[..., 1:] -= 128
    if wide:
        stored[..., 0] = np.round(stored[..., 0] / 255 * (65535 if photometric == 8 else 65280))
        stored[..., 1:] *= 256
    stored = stored.astype(np.uint16 if wide else np.uint8)
    picture = reading.read(plain(tmp_path / "a.tif", stored, photometric))
    assert picture.pixels.dtype == stored.dtype
    shown = picture.pixels / (257 if wide else 1)
    assert np.abs(shown - wanted).max() < 2
    assert "Lab is converted to sRGB" in picture.notes[0]
    writing.write(tmp_path / "b.tif", picture)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.RGB
        assert b"sRGB" in file.pages.first.tags[34675].value.replace(b"\0", b"")


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_ycbcr_without_jpeg_becomes_rgb_as_pillow_makes_it(tmp_path, compression):
    stored = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="ycbcr", compression=compression, subsampling=(1, 1))
    picture = reading.read(tmp_path / "a.tif")
    assert (
        np.abs(picture.pixels.astype(int) - Image.frombytes("YCbCr", (10, 12), stored.tobytes()).convert("RGB")).max()
        <= 2
    )


def test_ycbcr_by_jpeg_is_rgb_already(tmp_path):
    smooth = np.asarray(Image.new("RGB", (16, 16), (200, 90, 30)).convert("YCbCr"))
    tifffile.imwrite(tmp_path / "a.tif", smooth, photometric="ycbcr", compression="jpeg")
    smooth = np.full((16, 16, 3), (200, 90, 30), np.uint8)
    assert np.abs(reading.read(tmp_path / "a.tif").pixels.astype(int) - smooth).max() <= 4


@pytest.mark.parametrize(
    ("photometric", "channels", "tags", "message"),
    [
        (4, 1, {}, "MASK samples"),
        (5, 3, {}, "3 inks of its own"),
        (5, 4, {"t332": (3, (2,))}, "4 inks of its own"),
        (6, 3, {"t530": (3, (2, 2))}, "subsampled"),
        (10, 3, {}, "ITULAB samples"),
        (34892, 3, {}, "RAW file"),
        (51177, 1, {}, "DEPTH_MAP samples"),
    ],
)
def test_meanings_that_are_not_supported_are_refused_in_a_sentence(tmp_path, photometric, channels, tags, message):
    stored = values(np.uint8, None if channels == 1 else channels, (12, 10))
    with pytest.raises(PictureError, match=message):
        reading.read(plain(tmp_path / "a.tif", stored, photometric, **tags))


def test_complex_numbers_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.complex64))
    with pytest.raises(PictureError, match="a picture has real numbers"):
        reading.read(tmp_path / "a.tif")


@pytest.mark.parametrize("alpha", [False, True])
def test_cmyk_with_and_without_alpha_stays_cmyk(tmp_path, alpha):
    stored = values(np.uint8, 4 + alpha, (12, 10))
    extra = ["unassalpha"] if alpha else None
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="separated", extrasamples=extra, planarconfig="contig")
    picture = reading.read(tmp_path / "a.tif")
    assert picture.metadata.cmyk
    assert (picture.alpha is not None) == alpha
    writing.write(tmp_path / "b.tif", picture)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.SEPARATED
        np.testing.assert_array_equal(file.asarray(), stored)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_premultiplied_alpha_is_divided_out(tmp_path, kind):
    top = 1 if kind is np.float32 else np.iinfo(kind).max
    alpha = np.array([[0, 0.2, 0.5, 1]])
    colours = np.broadcast_to(np.array([0.8, 0.4, 0.1]), (1, 4, 3))
    whole = np.concatenate((colours * alpha[..., None], alpha[..., None]), -1) * top
    stored = (whole if kind is np.float32 else whole.round()).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    picture = reading.read(tmp_path / "a.tif")
    np.testing.assert_allclose(picture.pixels[0, 1:] / top, colours[0, 1:], atol=0.012)
    np.testing.assert_array_equal(picture.alpha, stored[..., 3])
    writing.write(tmp_path / "b.tif", picture)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert int(file.pages.first.extrasamples[0]) == 2


@pytest.mark.parametrize("bits", [4, 8])
def test_a_palette_is_looked_up_by_the_stored_numbers(tmp_path, bits):
    colours = RNG.integers(0, 65536, (3, 2**bits)).astype(np.uint16)
    stored = RNG.integers(0, 2**bits, (6, 8)).astype(np.uint8)
    path = plain(tmp_path / "a.tif", stored, 3, 4 if bits == 4 else None, t320=(3, tuple(colours.ravel().tolist())))
    np.testing.assert_array_equal(reading.read(path).pixels, np.moveaxis(colours[:, stored], 0, -1))


# Pages --------------------------------------------------------------------------------------------------------------


def pages(path, *entries):
    with tifffile.TiffWriter(path) as file:
        for pixels, options in entries:
            file.write(pixels, metadata=None, **options)
    return path


@pytest.mark.parametrize("preview_first", [False, True])
@pytest.mark.parametrize("kind", [1, 4, 5])
def test_previews_and_masks_are_left_out(tmp_path, preview_first, kind):
    preview = (RGB[::2, ::2], {"photometric": "rgb", "subfiletype": kind})
    mask = (GRAY > 100, {"photometric": "mask", "subfiletype": kind})
    entries = [(RGB, {"photometric": "rgb"}), preview if kind == 1 else mask]
    path = pages(tmp_path / "a.tif", *(entries[::-1] if preview_first else entries))
    picture = reading.read(path)
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert f"page {1 + preview_first} is restored" in picture.notes[0]


def test_one_page_of_several_is_chosen(tmp_path):
    path = pages(tmp_path / "a.tif", (RGB, {"photometric": "rgb"}), (GRAY, {}), (GRAY[:5], {}))
    with pytest.raises(PictureError, match=r"3 pages \(1: 10 x 12, 2: 10 x 12, 3: 10 x 5\).*--page"):
        reading.read(path)
    for page, wanted in enumerate((RGB, GRAY, GRAY[:5]), 1):
        np.testing.assert_array_equal(reading.read(path, page=page).pixels, wanted)
    with pytest.raises(PictureError, match="choose one from 1 to 3"):
        reading.read(path, page=4)
    with pytest.raises(InputError, match="choose one of the two"):
        reading.read(path, page=1, volume=True)
    Image.fromarray(GRAY).save(tmp_path / "b.png")
    with pytest.raises(PictureError, match="one page"):
        reading.read(tmp_path / "b.png", page=2)
    np.testing.assert_array_equal(reading.read(tmp_path / "b.png", page=1).pixels, GRAY)


@pytest.mark.parametrize("raw", ["cfa", 34892])
def test_a_raw_file_is_not_taken_for_its_preview(tmp_path, raw):
    with tifffile.TiffWriter(tmp_path / "a.dng") as file:
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        pixels = GRAY.astype(np.uint16) if raw == "cfa" else RGB.astype(np.uint16)
        tags = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)] if raw == "cfa" else []
        file.write(pixels, photometric=raw, extratags=tags, metadata=None)
    with pytest.raises(PictureError, match="RAW file whose first page is a preview: develop it"):
        reading.read(tmp_path / "a.dng")


def test_a_picture_in_a_sub_file_is_not_taken_for_its_preview(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        file.write(RGB, photometric="rgb", metadata=None)
    with pytest.raises(PictureError, match="begins with a preview"):
        reading.read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "start", [b"IIRO\x08\0\0\0", b"IIU\0\x08\0\0\0", b"FUJIFILMCCD-RAW 0201", b"FOVb\0\0", b"II*\0\x10\0\0\0CR\2\0"]
)
def test_raw_files_of_other_makers_are_no_damaged_pictures(tmp_path, start):
    path = tmp_path / "a.raw"
    if b"CR" in start:
        tifffile.imwrite(path, RGB, photometric="rgb")
        content = bytearray(path.read_bytes())
        content[8:8] = b"CR\2\0" + bytes(4)  # moves all, so the offsets are written anew
        plain(path, RGB, 2)
        content = bytearray(path.read_bytes())
        content[8:10] = b"CR"
        start = bytes(content)
    path.write_bytes(start)
    with pytest.raises(PictureError, match="RAW file"):
        reading.read(path)


STACK = values(np.uint16, 6, (12, 10)).transpose(2, 0, 1)


@pytest.mark.parametrize("kind", ["plain", "imagej", "ome", "compressed"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("volume", [False, True])
def test_a_stack_that_is_cut_off_is_no_shorter_stack(tmp_path, kind, share, volume):
    options = {
        "plain": {"metadata": None, "photometric": "minisblack"},
        "compressed": {"metadata": None, "photometric": "minisblack", "compression": "zlib"},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}, "photometric": "minisblack"},
    }[kind]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, STACK, **options)
    whole = buffer.getvalue()
    (tmp_path / "a.tif").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PictureError, match=r"damaged or cut off|is cut off"):
        reading.read(tmp_path / "a.tif", volume=volume)


def test_a_stack_whose_chain_of_pages_was_broken_is_refused(tmp_path):
    pages(tmp_path / "a.tif", *((one, {}) for one in STACK))
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        third = file.pages[2].offset
    (count,) = struct.unpack_from("<H", content, third)
    for target in (len(content) + 10, 8, third, 3):  # beyond the end, the first page, itself, nonsense
        struct.pack_into("<I", content, third + 2 + 12 * count, target)
        (tmp_path / "b.tif").write_bytes(content)
        for volume in (False, True):
            started = time.monotonic()
            with pytest.raises(PictureError, match="damaged"):
                reading.read(tmp_path / "b.tif", volume=volume)
            assert time.monotonic() - started < 5


def test_pages_of_ome_that_are_in_another_file_are_told(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    content = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "b.ome.tif").write_bytes(
        content.replace(b'SizeZ="6"', b'SizeZ="8"').replace(b'PlaneCount="6"', b'PlaneCount="8"')
    )
    with pytest.raises(PictureError, match=r"of the 8 pages that OME says|damaged"):
        reading.read(tmp_path / "b.ome.tif", volume=True)


def test_a_page_without_tags_that_points_at_itself_does_not_hang(tmp_path):
    content = bytearray(plain(tmp_path / "a.tif", GRAY, 1).read_bytes())
    struct.pack_into("<I", content, 4, 16)
    content[16:24] = struct.pack("<HIH", 0, 16, 0)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(PictureError, match="damaged"):
        reading.read(tmp_path / "a.tif")


def test_reading_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    def endless(*_, **__):
        while True:
            time.sleep(0.001)

    monkeypatch.setattr(reading, "_SECONDS", 0.1)
    monkeypatch.setattr("untaught.imaging.tiff.decode", endless)
    with pytest.raises(PictureError, match="takes more than"):
        reading.read(plain(tmp_path / "a.tif", GRAY, 1))


def test_a_header_that_asks_for_more_than_memory_is_refused(tmp_path):
    path = plain(tmp_path / "a.tif", GRAY, 1)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        places = {code: file.pages.first.tags[code].offset + 8 for code in (256, 257, 277)}
    for code, value in ((256, 9000), (257, 9000), (277, 3000)):
        struct.pack_into("<I" if code != 277 else "<H", content, places[code], value)
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"damaged|more than fit"):
        reading.read(path)


@pytest.mark.parametrize("volume", [False, True])
@pytest.mark.parametrize("side", [256, 257])
def test_a_header_without_pixels_is_refused(tmp_path, volume, side):
    path = plain(tmp_path / "a.tif", GRAY, 1)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags[side].overwrite(0)
    with pytest.raises(PictureError, match=r"no pixels|damaged"):
        reading.read(path, volume=volume)


# JPEG ---------------------------------------------------------------------------------------------------------------


def test_a_jpeg_of_12_bits_is_not_supported_and_not_damaged(tmp_path):
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode((RGB.astype(np.uint16) * 16), bitspersample=12))
    with pytest.raises(PictureError, match="JPEG of 12 bits, which is not supported: 8 bits") as caught:
        reading.read(tmp_path / "a.jpg")
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(("kind", "name"), [(0xC3, "lossless"), (0xC5, "hierarchical")])
def test_rare_jpegs_are_named(tmp_path, kind, name):
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    content[content.index(b"\xff\xc0") + 1] = kind
    (tmp_path / "a.jpg").write_bytes(content[:-20])
    with pytest.raises(PictureError, match=f"is a {name} JPEG|damaged"):
        reading.read(tmp_path / "a.jpg")


def test_a_jpeg_that_is_cut_off_says_how_much_of_it_is_there(tmp_path):
    smooth = RNG.integers(0, 255, (128, 64), dtype=np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=90)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: int(len(content) * 0.6)])
    with pytest.raises(PictureError, match=r"damaged or cut off: .* beyond its upper (\d+) of 128 rows") as caught:
        reading.read(tmp_path / "a.jpg")
    rows = int(str(caught.value).split("upper ")[1].split()[0])
    assert 64 <= rows <= 88
