import contextlib

import numpy as np
import pytest
import tifffile

from made_pictures import values
from untaught.errors import PictureError
from untaught.imaging import reading, writing
from untaught.imaging.picture import Picture


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
def test_tiffs_written_by_other_programs(tmp_path, options):
    pixels = values(np.uint16, 3, (40, 30))
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "other.tif", stored, **{"photometric": "rgb", **options})
    back = reading.read(tmp_path / "other.tif").pixels
    assert back.dtype == np.uint16
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, pixels)


def test_channels_stored_as_pages_are_channels(tmp_path):
    pixels = values(np.uint16, 5, (12, 10))
    tifffile.imwrite(tmp_path / "bands.tif", np.moveaxis(pixels, -1, 0), imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(reading.read(tmp_path / "bands.tif").pixels, pixels)


def test_white_is_zero_is_inverted(tmp_path):
    tifffile.imwrite(tmp_path / "white.tif", np.array([[0, 255]], np.uint8), photometric="miniswhite")
    assert reading.read(tmp_path / "white.tif").pixels.tolist() == [[255, 0]]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("shape", [(4, 6, 5), (1, 6, 5), (3, 6, 3), (4, 6, 5, 3), (2, 6, 5, 2), (4, 1, 1)])
def test_a_volume_is_written_and_read_to_the_bit(tmp_path, kind, shape):
    values = (np.random.default_rng(0).random(shape) * 200).astype(kind)
    writing.write(tmp_path / "one.tif", Picture(values, volume=True))
    back = reading.read(tmp_path / "one.tif", volume=True)
    np.testing.assert_array_equal(back.pixels, values)
    assert back.pixels.dtype == kind
    assert back.size == shape[:3]
    with tifffile.TiffFile(tmp_path / "one.tif") as file:
        assert len(file.pages) == shape[0]


@pytest.mark.parametrize(
    ("axes", "shape", "wanted"),
    [("ZYX", (4, 6, 5), (4, 6, 5)), ("TYX", (4, 6, 5), (4, 6, 5)), ("ZCYX", (4, 2, 6, 5), (4, 6, 5, 2))],
)
def test_volumes_written_by_other_programs(tmp_path, axes, shape, wanted):
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "stack.tif", values, imagej=True, metadata={"axes": axes})
    back = reading.read(tmp_path / "stack.tif", volume=True)
    assert back.pixels.shape == wanted
    np.testing.assert_array_equal(back.pixels, np.moveaxis(values, 1, -1) if "C" in axes else values)
    writing.write(tmp_path / "again.tif", back)
    np.testing.assert_array_equal(reading.read(tmp_path / "again.tif", volume=True).pixels, back.pixels)


def test_files_that_are_not_a_volume_are_refused(tmp_path, monkeypatch):
    volume = values(np.uint16, 10, (6, 12))
    tifffile.imwrite(tmp_path / "film.tif", np.zeros((2, 3, 4, 5), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(PictureError, match="holds 2 x 3 x 4 x 5"):
        reading.read(tmp_path / "film.tif", volume=True)
    rgba = np.zeros((2, 4, 5, 4), np.uint8)
    tifffile.imwrite(tmp_path / "alpha.tif", rgba, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    with pytest.raises(PictureError, match="alpha"):
        reading.read(tmp_path / "alpha.tif", volume=True)
    writing.write(tmp_path / "flat.png", Picture(np.zeros((4, 5), np.uint8)))
    with pytest.raises(PictureError, match="a volume is read from a TIFF"):
        reading.read(tmp_path / "flat.png", volume=True)
    stack = Picture(volume, volume=True)
    with pytest.raises(PictureError, match=r"a volume: choose \.tif"):
        writing.check_writable(tmp_path / "out.png", stack)
    writing.write(tmp_path / "stack.tif", stack)
    with pytest.raises(PictureError, match="by --volume"):
        reading.read(tmp_path / "stack.tif")
    monkeypatch.setattr("untaught.imaging.picture.MAX_PIXELS", volume.size - 1)
    with pytest.raises(PictureError, match="10 x 12 x 6 pixels"):
        reading.read(tmp_path / "stack.tif", volume=True)


def test_the_log_of_tifffile_is_silent_only_while_a_file_is_read(tmp_path, caplog):
    pixels = values(np.uint16, 3, (40, 30))
    tifffile.imwrite(tmp_path / "cut.tif", pixels, photometric="rgb")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:200])

    def log_of_tifffile():
        caplog.clear()
        with contextlib.suppress(Exception):
            tifffile.imread(tmp_path / "cut.tif")
        return len(caplog.records)

    assert log_of_tifffile() > 0
    caplog.clear()
    with pytest.raises(PictureError):
        reading.read(tmp_path / "cut.tif")
    assert not caplog.records
    assert log_of_tifffile() > 0
