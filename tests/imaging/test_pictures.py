import contextlib
import io
import itertools
import os
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from untaught.errors import InputError, PictureError
from untaught.imaging import pictures
from untaught.imaging.pictures import Metadata, Picture

RNG = np.random.default_rng(0)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def values(kind, channels: int | None, size=(9, 7)) -> np.ndarray:
    shape = size if channels is None else (*size, channels)
    if np.dtype(kind).kind == "f":
        return RNG.normal(size=shape).astype(kind)
    limits = np.iinfo(kind)
    return RNG.integers(limits.min, limits.max, shape, kind, endpoint=True)


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x010F] = "a camera"
    tags[0x0112] = orientation
    return tags.tobytes()


CASES = [
    *itertools.product([".png", ".tif"], [np.uint8, np.uint16], [None, 3], [False, True]),
    (".webp", np.uint8, 3, False),
    (".webp", np.uint8, 3, True),
    *itertools.product([".tif"], [np.uint8, np.uint16, np.float32, np.float64], [None, 1, 2, 3, 4, 7], [False]),
    *itertools.product([".tif"], [np.int16, np.uint32], [None, 5], [False, True]),
]


@pytest.mark.parametrize(("suffix", "kind", "channels", "alpha"), CASES)
def test_round_trip_to_the_bit(tmp_path, suffix, kind, channels, alpha):
    pixels = values(kind, channels)
    picture = Picture(pixels, values(kind, None) if alpha else None)
    path = tmp_path / f"picture{suffix}"
    pictures.check_writable(path, picture)
    pictures.write(path, picture)
    back = pictures.read(path)
    assert back.pixels.dtype == kind
    np.testing.assert_array_equal(back.pixels, pixels if channels != 1 else pixels.reshape(back.pixels.shape))
    if alpha:
        np.testing.assert_array_equal(back.alpha, picture.alpha)
    else:
        assert back.alpha is None


def test_not_finite_values_come_through(tmp_path):
    pixels = np.array([[0.5, np.nan], [np.inf, -np.inf]], np.float32)
    pictures.write(tmp_path / "picture.tif", Picture(pixels))
    np.testing.assert_array_equal(pictures.read(tmp_path / "picture.tif").pixels, pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_profile_exif_and_resolution_are_kept(tmp_path, suffix, kind):
    if kind == np.uint16 and suffix in (".jpg", ".webp"):
        pytest.skip("the format has 8 bits")
    metadata = Metadata(icc_profile=PROFILE, exif=exif(), resolution=(300.0, 300.0), texts={270: "a boat"})
    path = tmp_path / f"picture{suffix}"
    pictures.write(path, Picture(values(kind, 3), None, metadata))
    back = pictures.read(path).metadata
    assert back.icc_profile == PROFILE
    if suffix != ".webp":
        assert back.resolution == pytest.approx((300, 300), rel=0.01)
    if suffix == ".tif":
        assert back.texts == {270: "a boat"}
    else:
        with Image.open(path) as image:  # another program sees it too
            assert image.getexif()[0x010F] == "a camera"
            assert image.info["icc_profile"] == PROFILE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", "-16.png"])
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    """Against Pillow's own way of turning a picture upright."""
    from PIL import ImageOps

    path = tmp_path / f"turned{suffix}"
    pixels = np.kron(RNG.integers(0, 255, (2, 3, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    if suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(0x0112, 3, 1, orientation, True)], metadata=None)
    elif suffix == "-16.png":
        metadata = Metadata(exif=exif(orientation))
        pictures.write(path, Picture(pixels.astype(np.uint16) * 257, None, metadata))
    else:
        options = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
        Image.fromarray(pixels).save(path, exif=exif(orientation), **options)
    tags = Image.Exif()
    tags[0x0112] = orientation
    turned = Image.fromarray(pixels)
    turned.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    picture = pictures.read(path)
    found = picture.pixels // 257 if picture.pixels.dtype == np.uint16 else picture.pixels
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 6
    pictures.write(tmp_path / "again.png", picture)
    with Image.open(tmp_path / "again.png") as image:
        assert image.getexif().get(0x0112, 1) == 1


def save(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def test_palette_bits_and_marked_colours(tmp_path):
    colours = Image.fromarray(np.kron(RNG.integers(0, 255, (2, 2, 3), np.uint8), np.ones((4, 4, 1), np.uint8)))
    palette = pictures.read(save(colours.quantize(4), tmp_path / "palette.png"))
    assert palette.pixels.shape == (8, 8, 3)
    bits = pictures.read(save(Image.fromarray(np.eye(8) > 0), tmp_path / "bits.png"))
    np.testing.assert_array_equal(bits.pixels, np.eye(8, dtype=np.uint8) * 255)
    gray = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    marked = pictures.read(save(gray, tmp_path / "marked.png", transparency=5))
    assert (marked.alpha == 0).sum() == 1
    assert marked.pixels.shape == (8, 8)


def test_inks_stay_inks(tmp_path):
    inks = Image.frombytes("CMYK", (16, 16), bytes(range(256)) * 4)
    picture = pictures.read(save(inks, tmp_path / "inks.jpg", quality=100, subsampling=0))
    assert picture.metadata.cmyk
    assert picture.alpha is None
    assert picture.pixels.shape == (16, 16, 4)
    for suffix in (".jpg", ".tif"):
        pictures.write(tmp_path / f"again{suffix}", picture)
        with Image.open(tmp_path / f"again{suffix}") as image:
            assert image.mode == "CMYK"
            assert np.abs(np.asarray(image).astype(int) - picture.pixels).max() < 12
    with pytest.raises(PictureError, match="4 channels of ink"):
        pictures.check_writable(tmp_path / "again.png", picture)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"tile": (16, 16)},
        {"planarconfig": "separate", "photometric": "rgb"},
        {"photometric": "minisblack", "planarconfig": "separate"},
    ],
)
def test_tiffs_of_other_programs(tmp_path, options):
    pixels = values(np.uint16, 3, (40, 30))
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "other.tif", stored, **{"photometric": "rgb", **options})
    back = pictures.read(tmp_path / "other.tif").pixels
    assert back.dtype == np.uint16
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, pixels)


def test_channels_kept_as_pages_are_channels(tmp_path):
    pixels = values(np.uint16, 5, (12, 10))
    tifffile.imwrite(tmp_path / "bands.tif", np.moveaxis(pixels, -1, 0), imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(pictures.read(tmp_path / "bands.tif").pixels, pixels)


def test_white_is_zero_is_turned_round(tmp_path):
    tifffile.imwrite(tmp_path / "white.tif", np.array([[0, 255]], np.uint8), photometric="miniswhite")
    assert pictures.read(tmp_path / "white.tif").pixels.tolist() == [[255, 0]]


# What is refused ----------------------------------------------------------------------------------------------------


def encoded(name: str) -> bytes:
    buffer = io.BytesIO()
    rgb = Image.fromarray(values(np.uint8, 3, (40, 30)))
    match name:
        case "png":
            rgb.save(buffer, "PNG")
        case "png of 16 bits":
            return bytes(imagecodecs.png_encode(values(np.uint16, 3, (40, 30))))
        case "jpeg":
            rgb.save(buffer, "JPEG")
        case "webp":
            rgb.save(buffer, "WEBP", lossless=True)
        case "tiff":
            tifffile.imwrite(buffer, values(np.uint16, 3, (40, 30)), photometric="rgb", compression="zlib")
        case "plain tiff":
            tifffile.imwrite(buffer, values(np.uint8, None, (40, 30)))
    return buffer.getvalue()


FORMATS = ["png", "png of 16 bits", "jpeg", "webp", "tiff", "plain tiff"]
SAMPLES = {name: encoded(name) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(tmp_path, name, share):
    path = tmp_path / "cut"
    path.write_bytes(SAMPLES[name][: int(len(SAMPLES[name]) * share)])
    with pytest.raises(PictureError, match=r"damaged or cut off"):
        pictures.read(path)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(FORMATS),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=6),
    length=st.floats(0.05, 1),
)
def test_whatever_is_in_a_file_it_is_a_picture_or_a_sentence(tmp_path_factory, name, flips, length):
    content = bytearray(SAMPLES[name])
    for place, change in flips:
        content[int(place * (len(content) - 1))] ^= change
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content[: max(1, int(len(content) * length))])
    with contextlib.suppress(PictureError):
        assert isinstance(pictures.read(path), Picture)


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"\xff\xd8\xff"]))
def test_noise_is_refused(tmp_path_factory, content, start):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(start + content)
    with pytest.raises(PictureError):
        pictures.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just text", "no picture"),
        (b"GIF89a....", "a GIF file"),
        (b"BM......", "a BMP file"),
        (b"%PDF-1.7", "a PDF file"),
        (b"  <svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(tmp_path, content, message):
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=message):
        pictures.read(path)


def test_a_missing_file_and_a_folder(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(PictureError, match=r"did you mean .*photo\.png"):
        pictures.read(tmp_path / "foto.png")
    with pytest.raises(PictureError, match="there is no file"):
        pictures.read(tmp_path / "nowhere" / "photo.png")
    with pytest.raises(PictureError, match="is a folder"):
        pictures.read(tmp_path)


def png_header(width: int, height: int, depth: int = 8) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("side", [10_001, 14_000, 60_000])
def test_a_bomb_is_refused_by_its_header(tmp_path, side, depth):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side, depth))
    with pytest.raises(PictureError, match="100,000,000"):
        pictures.read(path)


def test_a_bomb_in_a_tiff(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 50)
    tifffile.imwrite(tmp_path / "bomb.tif", np.zeros((8, 8), np.uint8))
    with pytest.raises(PictureError, match="8 x 8 pixels"):
        pictures.read(tmp_path / "bomb.tif")


def test_more_than_one_picture_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(PictureError, match="4 pages"):
        pictures.read(tmp_path / "stack.tif")
    frames = [Image.fromarray(values(np.uint8, 3)) for _ in range(3)]
    for name in ("film.webp", "film.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(PictureError, match="an animation of 3"):
            pictures.read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "picture", "message"),
    [
        ("out.jpg", Picture(values(np.uint16, 3)), r"8 bits a channel and this picture has 16: choose \.png or \.tif"),
        ("out.webp", Picture(values(np.uint16, 3)), "8 bits"),
        ("out.png", Picture(values(np.float32, None)), r"floats: choose \.tif"),
        ("out.png", Picture(values(np.int16, None)), "int16"),
        ("out.png", Picture(values(np.uint8, 7)), "7 channels"),
        ("out.png", Picture(values(np.uint8, 4)), "4 channels"),
        ("out.jpg", Picture(values(np.uint8, 3), values(np.uint8, None)), "no alpha"),
        ("out.webp", Picture(np.zeros((1, 16384), np.uint8)), "16383"),
        ("out.gif", Picture(values(np.uint8, 3)), r"\.gif.*\.png"),
        ("out", Picture(values(np.uint8, 3)), "no suffix"),
        ("nowhere/out.png", Picture(values(np.uint8, 3)), "no folder"),
        ("file/out.png", Picture(values(np.uint8, 3)), "no folder"),
        ("folder.png", Picture(values(np.uint8, 3)), "is a folder"),
    ],
)
def test_what_cannot_be_written_is_known_beforehand(tmp_path, name, picture, message):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(PictureError, match=message):
        pictures.check_writable(tmp_path / name, picture)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PictureError, match="Permission denied"):
        pictures.check_writable(tmp_path / "out.png", Picture(values(np.uint8, 3)))


def test_an_input_is_not_overwritten_unless_asked(tmp_path):
    picture = Picture(values(np.uint8, 3))
    source = tmp_path / "photo.png"
    pictures.write(source, picture)
    (tmp_path / "link.png").symlink_to(source)
    for name in ("photo.png", "link.png", "../" + tmp_path.name + "/photo.png"):
        with pytest.raises(PictureError, match="would be overwritten"):
            pictures.check_writable(tmp_path / name, picture, inputs=[source])
    pictures.check_writable(source, picture, inputs=[source], overwrite=True)
    pictures.check_writable(tmp_path / "other.png", picture, inputs=[source])
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "link.png"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    pictures.write(path, Picture(values(np.uint8, 3)))
    before = path.read_bytes()

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        pictures.write(path, Picture(values(np.uint8, 3)))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]


# Masks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, bool])
def test_masks_of_any_type(tmp_path, kind):
    bright = RNG.random((9, 7)) > 0.5
    top = 1.0 if kind in (np.float32, bool) else np.iinfo(kind).max
    tifffile.imwrite(tmp_path / "mask.tif", (bright * top).astype(kind), photometric="minisblack")
    mask = pictures.read_input(tmp_path / "mask.tif", "mask", (9, 7))
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, bright)


def test_a_colour_mask_counts_by_its_mean_and_without_its_alpha(tmp_path):
    mask = np.zeros((1, 3, 4), np.uint8)
    mask[0, 0] = (255, 255, 0, 0)
    mask[0, 1] = (255, 0, 0, 255)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert pictures.read_input(tmp_path / "mask.png", "mask", (1, 3)).tolist() == [[True, False, False]]


@pytest.mark.parametrize("kind", ["mask", "picture"])
def test_what_goes_in_beside_a_picture_has_its_size(tmp_path, kind):
    Image.fromarray(np.full((9, 7), 255, np.uint8)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="7 x 9 pixels and the picture 8 x 9"):
        pictures.read_input(tmp_path / "other.png", kind, (9, 8))
