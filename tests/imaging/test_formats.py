"""What is written is read back: pixels, alpha and metadata, in every format."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from made_pictures import RNG, values
from untaught.errors import PictureError
from untaught.imaging import reading, writing
from untaught.imaging.metadata import Metadata
from untaught.imaging.picture import Picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


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
def test_a_picture_is_written_and_read_to_the_bit(tmp_path, suffix, kind, channels, alpha):
    pixels = values(kind, channels)
    picture = Picture(pixels, values(kind, None) if alpha else None)
    path = tmp_path / f"picture{suffix}"
    writing.check_writable(path, picture)
    writing.write(path, picture)
    back = reading.read(path)
    assert back.pixels.dtype == kind
    np.testing.assert_array_equal(back.pixels, pixels if channels != 1 else pixels.reshape(back.pixels.shape))
    if alpha:
        np.testing.assert_array_equal(back.alpha, picture.alpha)
    else:
        assert back.alpha is None


def test_nan_and_infinity_are_kept(tmp_path):
    pixels = np.array([[0.5, np.nan], [np.inf, -np.inf]], np.float32)
    writing.write(tmp_path / "picture.tif", Picture(pixels))
    np.testing.assert_array_equal(reading.read(tmp_path / "picture.tif").pixels, pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_profile_exif_and_resolution_are_kept(tmp_path, suffix, kind):
    if kind == np.uint16 and suffix in (".jpg", ".webp"):
        pytest.skip("the format has 8 bits")
    metadata = Metadata(icc_profile=PROFILE, exif=exif(), resolution=(300.0, 300.0), texts={270: "a boat"})
    path = tmp_path / f"picture{suffix}"
    writing.write(path, Picture(values(kind, 3), None, metadata))
    back = reading.read(path).metadata
    assert back.icc_profile == PROFILE
    if suffix != ".webp":
        assert back.resolution == pytest.approx((300, 300), rel=0.01)
    if suffix == ".tif":
        assert back.texts == {270: "a boat", 271: "a camera"}
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
        writing.write(path, Picture(pixels.astype(np.uint16) * 257, None, metadata))
    else:
        options = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
        Image.fromarray(pixels).save(path, exif=exif(orientation), **options)
    tags = Image.Exif()
    tags[0x0112] = orientation
    turned = Image.fromarray(pixels)
    turned.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    picture = reading.read(path)
    found = picture.pixels // 257 if picture.pixels.dtype == np.uint16 else picture.pixels
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 6
    writing.write(tmp_path / "again.png", picture)
    with Image.open(tmp_path / "again.png") as image:
        assert image.getexif().get(0x0112, 1) == 1


def save(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def test_palettes_bits_and_transparent_colours(tmp_path):
    colours = Image.fromarray(np.kron(RNG.integers(0, 255, (2, 2, 3), np.uint8), np.ones((4, 4, 1), np.uint8)))
    palette = reading.read(save(colours.quantize(4), tmp_path / "palette.png"))
    assert palette.pixels.shape == (8, 8, 3)
    bits = reading.read(save(Image.fromarray(np.eye(8) > 0), tmp_path / "bits.png"))
    np.testing.assert_array_equal(bits.pixels, np.eye(8, dtype=np.uint8) * 255)
    gray = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    marked = reading.read(save(gray, tmp_path / "marked.png", transparency=5))
    assert (marked.alpha == 0).sum() == 1
    assert marked.pixels.shape == (8, 8)


def test_cmyk_stays_cmyk(tmp_path):
    inks = Image.frombytes("CMYK", (16, 16), bytes(range(256)) * 4)
    picture = reading.read(save(inks, tmp_path / "inks.jpg", quality=100, subsampling=0))
    assert picture.metadata.cmyk
    assert picture.alpha is None
    assert picture.pixels.shape == (16, 16, 4)
    for suffix in (".jpg", ".tif"):
        writing.write(tmp_path / f"again{suffix}", picture)
        with Image.open(tmp_path / f"again{suffix}") as image:
            assert image.mode == "CMYK"
            assert np.abs(np.asarray(image).astype(int) - picture.pixels).max() < 12
    with pytest.raises(PictureError, match="4 channels of ink"):
        writing.check_writable(tmp_path / "again.png", picture)
