"""Scale, units, axes and channels of ImageJ and OME, and the place of GeoTIFF: kept, and scaled with the pixels."""

import numpy as np
import pytest
import tifffile

from untaught.imaging import reading, writing

SHAPES = {"YX": (12, 10), "CYX": (6, 12, 10), "ZYX": (4, 12, 10), "TYX": (4, 12, 10), "ZCYX": (4, 3, 12, 10)}


def stored(axes, kind=np.uint16):
    shape = SHAPES[axes]
    return (np.arange(np.prod(shape)).reshape(shape) % 200).astype(kind)


def larger(picture, factor=2):
    """The picture with more pixels, as upscaling makes it."""
    pixels = picture.pixels
    first = len(picture.size) - 2
    for axis in (first, first + 1):
        pixels = np.repeat(pixels, factor, axis)
    return picture.with_pixels(pixels)


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("unit", ["micron", "µm", "\\u00B5m", "nm"])
def test_imagej_is_imagej_again(tmp_path, axes, kind, factor, unit):
    values = stored(axes, kind)
    shown = unit.replace("µ", "\\u00B5")
    metadata = {"axes": axes, "unit": shown, "min": 20.0, "max": 180.0}
    if "Z" in axes:
        metadata |= {"spacing": 0.3, "Labels": [f"s{at}" for at in range(int(np.prod(values.shape[:-2])))]}
    tifffile.imwrite(
        tmp_path / "a.tif", values, imagej=True, resolution=(15.385, 7.5), metadata=metadata, photometric="minisblack"
    )
    volume = axes[0] in "ZT"
    picture = reading.read(tmp_path / "a.tif", volume=volume)
    assert writing.check_writable(tmp_path / "b.tif", larger(picture, factor)) == ()
    writing.write(tmp_path / "b.tif", larger(picture, factor))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.is_imagej
        assert file.series[0].axes == axes
        wanted = np.repeat(np.repeat(values, factor, -1), factor, -2)
        np.testing.assert_array_equal(file.asarray(), wanted)
        found = file.imagej_metadata
        assert found["unit"] == shown
        assert (found["min"], found["max"]) == (20, 180)
        if "Z" in axes:
            assert found["spacing"] == 0.3
            assert found["Labels"] == metadata["Labels"]
        tags = file.pages.first.tags
        assert tags[296].value == 1
        for code, density in ((282, 15.385), (283, 7.5)):
            above, below = tags[code].value
            assert above / below == pytest.approx(density * factor, rel=1e-4)
    again = reading.read(tmp_path / "b.tif", volume=volume)
    np.testing.assert_array_equal(again.pixels, larger(picture, factor).pixels)


def test_an_old_result_of_six_channels_can_be_read(tmp_path):
    """Samples of one page under a description that speaks of six pages, as this program wrote it."""
    values = np.moveaxis(stored("CYX"), 0, -1)
    text = "ImageJ=1.11a\nimages=6\nchannels=6\nhyperstack=true\nmode=grayscale\n"
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig", metadata=None,
                     description=text)  # fmt: skip
    picture = reading.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, values)
    writing.write(tmp_path / "b.tif", picture)
    np.testing.assert_array_equal(reading.read(tmp_path / "b.tif").pixels, values)


OME = {
    "PhysicalSizeX": 0.065,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 0.13,
    "PhysicalSizeYUnit": "µm",
    "TimeIncrement": 2.5,
}


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("factor", [1, 2])
def test_ome_is_ome_again(tmp_path, axes, kind, factor):
    values = stored(axes, kind)
    names = ["DAPI", "GFP", "ß", "d", "e", "f"][: values.shape[axes.index("C")]] if "C" in axes else ["DAPI"]
    channels = {"Channel": {"Name": names}}
    tifffile.imwrite(
        tmp_path / "a.ome.tif", values, ome=True, metadata={"axes": axes, **OME, **channels}, photometric="minisblack"
    )
    volume = axes[0] in "ZT"
    picture = reading.read(tmp_path / "a.ome.tif", volume=volume)
    assert writing.check_writable(tmp_path / "b.ome.tif", larger(picture, factor)) == ()
    writing.write(tmp_path / "b.ome.tif", larger(picture, factor))
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == axes
        np.testing.assert_array_equal(file.asarray(), np.repeat(np.repeat(values, factor, -1), factor, -2))
        image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert image["PhysicalSizeX"] == pytest.approx(0.065 / factor)
    assert image["PhysicalSizeY"] == pytest.approx(0.13 / factor)
    assert image["PhysicalSizeXUnit"] == "µm"
    assert (image["SizeX"], image["SizeY"]) == (10 * factor, 12 * factor)
    found = image["Channel"] if isinstance(image["Channel"], list) else [image["Channel"]]
    assert [one["Name"] for one in found] == names
    np.testing.assert_array_equal(
        reading.read(tmp_path / "b.ome.tif", volume=volume).pixels, larger(picture, factor).pixels
    )


@pytest.mark.parametrize("program", ["imagej", "ome"])
@pytest.mark.parametrize("kind", [np.float64, np.uint32])
def test_what_the_other_program_cannot_hold_is_told(tmp_path, program, kind):
    """The colours of a mosaic, or another type: a plain TIFF that everybody reads."""
    options = {"imagej": True} if program == "imagej" else {"ome": True}
    tifffile.imwrite(tmp_path / "a.tif", stored("YX"), metadata={"axes": "YX", "unit": "nm"}, **options)
    picture = reading.read(tmp_path / "a.tif")
    other = picture.with_pixels(np.repeat(picture.pixels[..., None], 3, -1).astype(kind))
    (note,) = writing.check_writable(tmp_path / "b.tif", other)
    assert "the scale and channels of the microscope" in note
    writing.write(tmp_path / "b.tif", other)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), other.pixels)
    np.testing.assert_array_equal(reading.read(tmp_path / "b.tif").pixels, other.pixels)


def test_a_description_of_shape_does_not_stay(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stored("YX"))
    writing.write(tmp_path / "b.tif", larger(reading.read(tmp_path / "a.tif")))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert 270 not in file.pages.first.tags
        assert file.asarray().shape == (24, 20)


# GeoTIFF ------------------------------------------------------------------------------------------------------------

PLACE = [
    (33550, 12, 3, (30.0, 20.0, 0.0), True),
    (33922, 12, 6, (2.0, 3.0, 0.0, 500000.0, 4600000.0, 0.0), True),
    (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
    (34736, 12, 1, (6378137.0,), True),
    (34737, 2, None, "WGS 84|", True),
    (42112, 2, None, "<GDALMetadata/>", True),
]
MATRIX = (34264, 12, 16, (30.0, 0, 0, 5e5, 0, -20.0, 0, 4.6e6, 0, 0, 0, 0, 0, 0, 0, 1.0), True)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("nodata", ["-9999", "nan", "-3.4028234663852886e+38"])
def test_the_place_on_the_map_is_kept(tmp_path, factor, nodata):
    extra = [*PLACE, MATRIX, (42113, 2, None, nodata, True)]
    tifffile.imwrite(tmp_path / "a.tif", stored("YX", np.float32), metadata=None, extratags=extra)
    picture = reading.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.nodata, [float(nodata)])
    assert writing.check_writable(tmp_path / "b.tif", larger(picture, factor)) == ()
    writing.write(tmp_path / "b.tif", larger(picture, factor))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        tags = file.pages.first.tags
        geo = file.geotiff_metadata
        assert tags[42113].value == nodata
        assert tags[34737].value == "WGS 84|"
        assert tags[42112].value == "<GDALMetadata/>"
        assert tags[33550].value == pytest.approx((30 / factor, 20 / factor, 0))
        assert tags[33922].value == pytest.approx((2 * factor, 3 * factor, 0, 5e5, 4.6e6, 0))
        matrix = tags[34264].value
        assert (matrix[0], matrix[5], matrix[3]) == pytest.approx((30 / factor, -20 / factor, 5e5))
        assert int(geo["ProjectedCSTypeGeoKey"]) == 32633
    for name in ("b.png", "b.jpg"):
        eight = picture.with_pixels(stored("YX", np.uint8))
        (note,) = writing.check_writable(tmp_path / name, eight)
        assert "33550, the size of a pixel on the map," in note


def test_a_turned_picture_and_a_part_have_no_place(tmp_path):
    extra = [*PLACE, (274, 3, 1, 6, True)]
    tifffile.imwrite(tmp_path / "a.tif", stored("YX"), metadata=None, extratags=extra)
    assert 33550 not in reading.read(tmp_path / "a.tif").metadata.tags
    tifffile.imwrite(tmp_path / "b.tif", stored("YX"), metadata=None, extratags=PLACE, resolution=(300, 300))
    part = reading.read(tmp_path / "b.tif").metadata.cut(4, 5)
    assert 33550 not in part.tags
    assert part.scaled_to(4, 5).resolution == pytest.approx((300, 300))
