"""The working range: plain pictures keep theirs, narrow signals get their own, rare values do not count."""

import numpy as np
import pytest

from untaught.errors import InputError
from untaught.imaging.arrays import from_tensor, in_unit_range, to_tensor, with_ends
from untaught.imaging.ranges import stated_range, working_range

SIDE = 64
RNG = np.random.default_rng(0)
Y, X = np.mgrid[:SIDE, :SIDE]
SCENE = 0.5 + 0.3 * np.sin(X / 6) + 0.2 * np.cos(Y / 5 + X / 11)


def of(values, given=None, valid=None):
    return working_range(values[None, None], given, None if valid is None else valid[None, None])


def star(peak, width=1.2, place=(20, 30)):
    return peak * np.exp(-((Y - place[0]) ** 2 + (X - place[1]) ** 2) / (2 * width**2))


@pytest.mark.parametrize(
    "picture",
    [
        (SCENE * 255).astype(np.uint8),
        (SCENE * 80 + 60).astype(np.uint8),
        (SCENE * 65535).astype(np.uint16),
        (SCENE * 30000).astype(np.uint16),
        SCENE.astype(np.float32),
        SCENE * 0.4 + 0.3,
        np.full((SIDE, SIDE), 90, np.uint8),
        np.where(SCENE > 0.9, 255, 0).astype(np.uint8),
    ],
)
def test_what_spans_a_quarter_keeps_its_range(picture):
    range_ = of(picture)
    white = 1 if picture.dtype.kind == "f" else np.iinfo(picture.dtype).max
    assert (range_.low, range_.high, range_.stated, range_.note) == (0, white, (0, white), "")
    plain, layout = to_tensor(picture)
    same, own = to_tensor(picture, range_)
    np.testing.assert_array_equal(plain, same)
    assert own.carried is None
    assert layout.figures_gain == own.figures_gain == 0


@pytest.mark.parametrize(
    ("low", "span", "kind"),
    [
        (0, 1023, np.uint16),
        (64, 4000, np.uint16),
        (100, 350, np.uint16),
        (0, 16383 * 0.8, np.uint16),
        (60000, 500, np.uint16),
        (3, 40, np.uint8),
        (200, 30, np.uint8),
        (0.01, 0.05, np.float32),
    ],
)
@pytest.mark.parametrize("noise", [0, 0.05])
def test_a_narrow_signal_gets_its_own_range(low, span, kind, noise):
    signal = low + span * (SCENE + noise * RNG.normal(size=SCENE.shape)).clip(0, 1.2)
    picture = (signal.round() if kind != np.float32 else signal).astype(kind)
    range_ = of(picture)
    assert range_.low <= picture.min()
    assert range_.high >= picture.max()
    assert np.ptp(picture.astype(float)) / range_.span > 0.7
    assert "black and white are taken as" in range_.note
    assert range_.stated == (range_.low, range_.high)
    tensor, layout = to_tensor(picture, range_)
    np.testing.assert_array_equal(from_tensor(tensor, None, layout), picture)


@pytest.mark.parametrize("peak", [20000, 60000])
@pytest.mark.parametrize("stars", [1, 3, 6])
def test_stars_do_not_stretch_the_range_and_keep_their_peaks(peak, stars):
    sky = 100 + 200 * SCENE + RNG.normal(0, 10, SCENE.shape)
    for number in range(stars):
        sky += star(peak, 0.8, (5 + 4 * number, (7 + 23 * number) % SIDE))
    picture = sky.clip(0, 65535).astype(np.uint16)
    range_ = of(picture)
    assert range_.span < 5000
    assert 200 / range_.span > 0.05
    tensor, layout = to_tensor(picture, range_)
    assert tensor[tensor.isfinite()].max() <= 1
    back = from_tensor(tensor.nan_to_num(0.5), None, layout)
    np.testing.assert_array_equal(back, picture)
    assert with_ends(tensor, layout).isfinite().all()
    assert f"{int(layout.carried.sum())} values beyond it are carried over" in range_.note


def test_an_object_is_no_star():
    # Twenty times brighter than its surroundings, but more than a few pixels across.
    picture = (100 + 20 * SCENE + 4000 * ((abs(Y - 30) < 10) & (abs(X - 30) < 10))).astype(np.uint16)
    range_ = of(picture)
    assert range_.high > 4000
    assert to_tensor(picture, range_)[1].carried is None


@pytest.mark.parametrize("given", [(0, 1000), (0, 65535), (-1000, 40000)])
def test_a_stated_range_stays_that_of_figures(given):
    picture = (100 + 300 * SCENE + star(60000)).astype(np.float32)
    range_ = of(picture, given)
    assert range_.stated == given
    tensor, layout = to_tensor(picture, range_)
    assert layout.figures_range == given
    assert layout.carried is not None
    assert from_tensor(tensor.nan_to_num(0), None, layout).max() == picture.max()


def test_noise_beyond_a_stated_range_is_noise():
    picture = 255 * SCENE + RNG.normal(0, 20, SCENE.shape)
    assert picture.min() < 0
    assert picture.max() > 255
    range_ = of(picture, (0, 255))
    assert (range_.low, range_.high, range_.note) == (0, 255, "")


def test_a_signal_beyond_a_stated_range_widens_it():
    range_ = of(400 * SCENE, (0, 255))
    assert range_.high == pytest.approx(400 * SCENE.max())
    assert range_.stated == (0, 255)
    assert "values lie beyond 0 and 255" in range_.note


def test_what_is_missing_does_not_count():
    picture = (100 + 300 * SCENE).astype(np.uint16)
    valid = RNG.random(SCENE.shape) > 0.4
    spoilt = np.where(valid, picture, RNG.integers(0, 65535, SCENE.shape)).astype(np.uint16)
    assert of(spoilt, valid=valid) == of(picture, valid=valid)
    void = np.where(valid, picture.astype(np.float64), np.nan)
    assert of(void / 65535).span == pytest.approx(of(picture, valid=valid).span / 65535)


def test_clipped_ends_are_black_and_white():
    picture = (4000 * SCENE).clip(800, 3000).astype(np.uint16)
    assert (of(picture).low, of(picture).high) == (800, 3000)


@pytest.mark.parametrize("given", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1), (1,), "ab"])
def test_an_impossible_range_is_refused(given):
    with pytest.raises(InputError, match="the lower first"):
        stated_range(np.zeros(3), given)


def test_figures_of_one_picture_use_one_range():
    picture = (100 + 300 * SCENE).astype(np.uint16)
    range_ = of(picture)
    unit = in_unit_range(picture, range_.stated)
    assert 0 <= unit.min() < 0.1
    assert 0.9 < unit.max() <= 1


@pytest.mark.parametrize("share", [1, 0.05])
def test_a_large_picture_that_fills_its_type_is_told_by_some_of_it(share, monkeypatch):
    monkeypatch.setattr("untaught.imaging.ranges._SAMPLES", 256)
    picture = (share * 65535 * SCENE).astype(np.uint16)
    valid = RNG.random(SCENE.shape) > 0.5
    for chosen in (None, valid):
        assert (of(picture, valid=chosen).high == 65535) == (share == 1)
