"""Values that stand for nothing: told from what a picture holds."""

import numpy as np
import pytest
from scipy import ndimage

import untaught
from untaught.errors import InputError
from untaught.imaging.sentinels import dropped, fill_values, loaded, marked_by, suspect

SIDE = 64


def disk(radius):
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    return x**2 + y**2 < radius**2


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99])
def test_pixels_dropped_at_random_are_all_scattered(share):
    black = np.random.default_rng(3).random((SIDE, SIDE)) < share
    scattered, solid = dropped(black)
    np.testing.assert_array_equal(scattered, black)
    assert not solid.any()


@pytest.mark.parametrize(
    "own",
    [
        ~disk(22),  # an X-ray on black
        disk(15),
        np.arange(SIDE)[:, None] * np.ones(SIDE) > 50,  # a letterbox
        np.add.outer(np.arange(SIDE), np.arange(SIDE)) < 40,
        np.pad(np.zeros((40, 40), bool), 12, constant_values=True),
    ],
)
@pytest.mark.parametrize("share", [0.03, 0.2])
def test_a_solid_part_is_the_pictures_own(own, share):
    lost = np.random.default_rng(1).random((SIDE, SIDE)) < share
    scattered, solid = dropped(own | lost)
    far = ~ndimage.binary_dilation(own, np.ones((3, 3)), iterations=4)
    np.testing.assert_array_equal(scattered[far], lost[far])
    assert solid[own].mean() > 0.97
    # A few beside its edge may count as part of it.
    assert scattered[lost & ~own].mean() > 0.85


@pytest.mark.parametrize("own", [disk(12), ~disk(25)])
def test_without_scattered_pixels_all_of_it_is_solid(own):
    scattered, solid = dropped(own)
    assert not scattered.any()
    np.testing.assert_array_equal(solid, own)


def test_thin_lines_are_no_solid_part():
    lines = np.zeros((SIDE, SIDE), bool)
    lines[20:23], lines[:, 40:44] = True, True
    np.testing.assert_array_equal(dropped(lines)[0], lines)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
def test_values_are_compared_as_their_type_holds_them(kind):
    values = np.zeros((1, 2, 3, 4), kind)
    values[0, 1, 2, 3] = -32768
    values[0, 0, 1, 1] = 7
    found = marked_by(values, (-32768.0, 7))
    assert found.sum() == 2
    assert found[0, 1, 2, 3]
    if kind == np.float32:
        values[0, 0, 0, 0] = -3.4028234663852886e38
        assert marked_by(values, (-3.40282346639e38,)).sum() == 1


def test_of_colours_all_channels_have_to_be_the_value():
    values = np.ones((1, 3, 4, 4), np.uint8)
    values[0, :, 1, 1] = values[0, 0, 2, 2] = 0
    found = marked_by(values, (0,))
    assert found.all(1).sum() == 1
    assert found.sum() == 3


class Labelled:
    """What an xarray.DataArray has of this."""

    def __init__(self, attrs, encoding=None):
        self.attrs, self.encoding = attrs, encoding


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (Labelled({"_FillValue": np.float32(-999)}), (-999.0,)),
        (Labelled({"missing_value": np.array([-1.0, -2.0])}), (-1.0, -2.0)),
        (Labelled({}, {"_FillValue": 255}), (255.0,)),
        (Labelled({"nodata": "no"}, {}), ()),
        (Labelled({"nodatavals": (-5, -5)}), (-5.0,)),
        (np.zeros(3), ()),
    ],
)
def test_fill_values_of_labelled_arrays(image, wanted):
    assert fill_values(image) == wanted


class Lazy:
    """What a dask array has of this."""

    dask = object()

    def compute(self):
        return np.ma.masked_array([1, 2], [True, False])


def test_lazy_arrays_are_computed_so_that_their_masks_are_seen():
    assert np.ma.isMaskedArray(loaded(Lazy()))
    array = np.zeros(2)
    assert loaded(array) is array


LAND = (100 + 80 * np.sin(np.arange(400) / 9)).reshape(20, 20)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (-9999, np.int16),
        (-32768, np.int16),
        (65535, np.uint16),
        (-3.4e38, np.float32),
        (1e20, np.float64),
        (-1e4, "f4"),
    ],
)
def test_a_value_far_from_all_others_is_asked_about(value, kind):
    values = LAND.astype(kind)
    values[3:7, 4:9] = value
    found, words = suspect(values)
    assert found == values[3, 4]
    assert words.startswith("5.0% of the values are ")
    assert float(words.split("missing_value=")[1].split(",")[0]) == pytest.approx(float(value))
    with pytest.raises(InputError, match="if they stand for nothing"):
        untaught.restore(values, value_range=(0, 200))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a,
        lambda a: np.where(a > 170, 190, a),
        lambda a: np.where(np.arange(400).reshape(20, 20) < 3, -9999, a),
        lambda a: np.full_like(a, 7),
        lambda a: np.where(a > 100, 0, 255),
        lambda a: np.full_like(a, np.nan),
        lambda a: a.astype(str),
        lambda a: a.astype(object),
    ],
)
def test_clipped_few_and_flat_values_are_not_asked_about(spoil):
    assert suspect(spoil(LAND)) is None


def test_a_range_is_not_proposed_from_a_fill_value():
    values = LAND.astype(np.int16)
    values[3:7, 4:9] = -9999
    with pytest.raises(InputError, match="missing_value=-9999") as found:
        untaught.denoise(values)
    assert "value_range=(-9999" not in str(found.value)
