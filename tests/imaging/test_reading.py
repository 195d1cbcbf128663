"""Files that are refused, and inputs other than the picture."""

import contextlib
import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from made_pictures import RNG, values
from untaught.errors import InputError, PictureError
from untaught.imaging import reading
from untaught.imaging.picture import Picture


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
        reading.read(path)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(FORMATS),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=6),
    length=st.floats(0.05, 1),
)
def test_a_damaged_file_gives_a_picture_or_a_picture_error(tmp_path_factory, name, flips, length):
    content = bytearray(SAMPLES[name])
    for place, change in flips:
        content[int(place * (len(content) - 1))] ^= change
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content[: max(1, int(len(content) * length))])
    with contextlib.suppress(PictureError):
        assert isinstance(reading.read(path), Picture)


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"\xff\xd8\xff"]))
def test_random_bytes_are_refused(tmp_path_factory, content, start):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(start + content)
    with pytest.raises(PictureError):
        reading.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just text", "not a picture"),
        (b"GIF89a....", "a GIF file"),
        (b"BM......", "a BMP file"),
        (b"%PDF-1.7", "a PDF file"),
        (b"  <svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
    ],
)
def test_other_files_are_refused_by_their_name(tmp_path, content, message):
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=message):
        reading.read(path)


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(PictureError, match=r"did you mean .*photo\.png"):
        reading.read(tmp_path / "foto.png")
    with pytest.raises(PictureError, match="there is no file"):
        reading.read(tmp_path / "nowhere" / "photo.png")
    with pytest.raises(PictureError, match="is a folder"):
        reading.read(tmp_path)


def png_header(width: int, height: int, depth: int = 8) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("side", [10_001, 14_000, 60_000])
def test_a_huge_png_is_refused_by_its_header(tmp_path, side, depth):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side, depth))
    with pytest.raises(PictureError, match="100,000,000"):
        reading.read(path)


def test_a_huge_tiff_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr("untaught.imaging.picture.MAX_PIXELS", 50)
    tifffile.imwrite(tmp_path / "bomb.tif", np.zeros((8, 8), np.uint8))
    with pytest.raises(PictureError, match="8 x 8 pixels"):
        reading.read(tmp_path / "bomb.tif")


def test_more_than_one_picture_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(PictureError, match="4 pages"):
        reading.read(tmp_path / "stack.tif")
    frames = [Image.fromarray(values(np.uint8, 3)) for _ in range(3)]
    for name in ("film.webp", "film.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(PictureError, match="an animation of 3"):
            reading.read(tmp_path / name)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, bool])
def test_masks_of_any_type(tmp_path, kind):
    bright = RNG.random((9, 7)) > 0.5
    top = 1.0 if kind in (np.float32, bool) else np.iinfo(kind).max
    tifffile.imwrite(tmp_path / "mask.tif", (bright * top).astype(kind), photometric="minisblack")
    mask = reading.read_input(tmp_path / "mask.tif", "mask", (9, 7))
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, bright)


def test_a_colour_mask_is_averaged_and_alpha_that_says_nothing_is_ignored(tmp_path):
    mask = np.full((1, 3, 4), (255, 255, 0, 255), np.uint8)
    mask[0, 2, 1] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert reading.read_input(tmp_path / "mask.png", "mask", (1, 3)).tolist() == [[True, True, False]]


@pytest.mark.parametrize("kind", ["mask", "picture"])
def test_inputs_must_have_the_size_of_the_picture(tmp_path, kind):
    Image.fromarray(np.full((9, 7), 255, np.uint8)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="7 x 9 pixels and the picture 8 x 9"):
        reading.read_input(tmp_path / "other.png", kind, (9, 8))
