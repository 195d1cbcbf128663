"""`fit`: observations, operators, units and masks of the user's own."""

import dataclasses

import numpy as np
import pytest
import torch

import untaught
from untaught import InputError, NoiseInput, SettingError

CLEAN = torch.linspace(0.1, 0.9, 20).expand(1, 3, 24, 20) * torch.linspace(0.5, 1, 24)[:, None]
KNOWN = torch.rand(1, 1, 24, 20, generator=torch.Generator().manual_seed(1)) > 0.3


@pytest.fixture
def recipe(tiny):
    return dataclasses.replace(tiny, iterations=6)


def halve(picture):
    return torch.nn.functional.avg_pool2d(picture, 2)


# Operators -----------------------------------------------------------------------------------------------------------


def test_any_differentiable_callable_is_an_operator(recipe):
    run = untaught.fit(halve(CLEAN), halve, size=(24, 20), recipe=recipe, iterations=60)
    result = run.finish()
    assert result.picture.shape == CLEAN.shape
    assert (halve(result.picture) - halve(CLEAN)).square().mean() < 0.3 * (0.5 - halve(CLEAN)).square().mean()


def counting(operator, calls):
    def counted(picture):
        calls.append(picture)
        return operator(picture)

    return counted


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (lambda x: x[..., :-1], r"\(1, 3, 24, 19\)"),
        (lambda x: x.mean(1, keepdim=True), r"\(1, 1, 24, 20\)"),
        (lambda x: x[0], r"\(3, 24, 20\)"),
        (lambda x: x * torch.nan, "NaN"),
        (lambda x: x / 0, "infinite"),
    ],
    ids=["another shape", "a shape that broadcasts", "no batch", "NaN", "infinite"],
)
def test_an_unsuitable_operator_is_refused_before_the_first_iteration(recipe, operator, message):
    calls = []
    with pytest.raises(InputError, match=message):
        untaught.fit(CLEAN, counting(operator, calls), recipe=recipe)
    assert len(calls) <= 2, "tried, and not fitted"


def test_nan_of_the_operator_where_nothing_is_known_is_no_obstacle(recipe):
    def operator(picture):
        return torch.where(KNOWN, picture, torch.nan)

    result = untaught.fit(CLEAN, operator, mask=KNOWN, recipe=recipe).finish()
    assert result.picture.isfinite().all()
    assert result.rollbacks == 0


def test_an_operators_own_error_is_the_cause(recipe):
    def broken(picture):
        raise ZeroDivisionError(picture.shape)

    with pytest.raises(InputError, match="the operator fails on a picture of") as caught:
        untaught.fit(CLEAN, broken, recipe=recipe)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_complex_observations(recipe):
    """Undersampled Fourier coefficients of a picture, and a complex picture of two real channels."""
    sampled = torch.rand(1, 1, 24, 20, generator=torch.Generator().manual_seed(0)) > 0.4
    observed = torch.fft.fft2(CLEAN, norm="ortho")

    def transform(picture):
        return torch.fft.fft2(picture, norm="ortho")

    hidden = torch.where(sampled, observed, complex(float("nan"), 0))
    result = untaught.fit(hidden, transform, recipe=recipe, iterations=60).finish()
    assert result.picture.dtype == torch.float32
    assert (result.picture - CLEAN).square().mean() < 0.02
    assert result.missing == pytest.approx(1 - sampled.float().mean().item(), abs=1e-6)
    masked = untaught.fit(observed, transform, mask=sampled, recipe=recipe, iterations=60).finish()
    assert torch.equal(masked.picture, result.picture)

    joined = torch.complex(CLEAN[:, :1], CLEAN[:, 1:2])
    run = untaught.fit(joined, lambda x: torch.complex(x[:, :1], x[:, 1:]), channels=2, recipe=recipe)
    assert run.finish().picture.shape == (1, 2, 24, 20)


@pytest.mark.parametrize("value_range", [None, (0, 1)])
def test_a_complex_picture_needs_an_operator(recipe, value_range):
    with pytest.raises(InputError, match="complex, and a picture has real channels"):
        untaught.fit(torch.complex(CLEAN, CLEAN), recipe=recipe, value_range=value_range)


# Units ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (-1000, 3000), (-1, 1), (1e-4, 2e-4), (1e7, 1e7 + 1)])
def test_the_units_do_not_matter(recipe, low, high):
    """Computed tomography has signed values; the picture comes back in them."""
    plain = untaught.fit(CLEAN, recipe=recipe).finish().picture
    scaled = untaught.fit(low + (high - low) * CLEAN.double(), recipe=recipe, value_range=(low, high)).finish().picture
    assert scaled.dtype == torch.float64
    np.testing.assert_allclose((scaled - low) / (high - low), plain, atol=5e-3)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-1000, 3000)])
def test_an_operator_takes_pictures_in_the_users_units(recipe, low, high):
    plain = untaught.fit(halve(CLEAN), halve, size=(24, 20), recipe=recipe).finish()
    seen = []

    def operator(picture):
        seen.append((picture.min().item(), picture.max().item()))
        return halve(picture)

    observed = halve(low + (high - low) * CLEAN)
    result = untaught.fit(observed, operator, size=(24, 20), recipe=recipe, value_range=(low, high)).finish()
    assert all(low <= least <= most <= high for least, most in seen)
    assert max(most for _, most in seen) > (low + high) / 2
    if low == 0:
        np.testing.assert_allclose(result.picture / high, plain.picture, atol=5e-3)
        assert result.history["loss"] == pytest.approx(plain.history["loss"], rel=0.02)
    assert result.picture.min() >= low
    assert f"white is {high}" in result.notes[-1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_unsigned_integers_have_their_whole_range(recipe, dtype):
    white = torch.iinfo(dtype).max
    values = (CLEAN * white).round()
    result = untaught.fit(values.to(dtype), recipe=recipe, precision="float32").finish()
    plain = untaught.fit(values / white, recipe=recipe, precision="float32").finish()
    assert result.picture.dtype == dtype
    np.testing.assert_allclose(result.picture.double() / white, plain.picture, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_signed_integers_need_a_range(recipe, dtype):
    values = (CLEAN * 1000).to(dtype)
    with pytest.raises(InputError, match="has no range of its own"):
        untaught.fit(values, recipe=recipe)
    assert untaught.fit(values, recipe=recipe, value_range=(0, 1000)).finish().picture.dtype == dtype


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), (0, float("inf")), (float("nan"), 1)])
def test_an_impossible_range_is_refused(recipe, value_range):
    with pytest.raises(InputError, match="the lower first"):
        untaught.fit(CLEAN, recipe=recipe, value_range=value_range)


@pytest.mark.parametrize("scale", [255, -1])
def test_values_far_from_the_range_are_doubted(recipe, scale):
    with pytest.raises(InputError, match="value_range="):
        untaught.fit(CLEAN * scale, recipe=recipe)
    with pytest.raises(InputError, match="value_range="):
        untaught.fit(halve(CLEAN) * 255 * scale, halve, size=(24, 20), recipe=recipe)


def test_noise_may_reach_beyond_the_range(recipe):
    noisy = CLEAN + 0.1 * torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(0))
    assert untaught.fit(noisy, recipe=recipe).finish().picture.shape == CLEAN.shape


def test_noise_is_in_the_units_of_the_picture():
    recipe = dataclasses.replace(untaught.find_recipe("denoise", "fast"), iterations=2)
    plain = untaught.fit(CLEAN, noise=0.1, recipe=recipe).finish().picture
    scaled = untaught.fit(CLEAN * 255, noise=25.5, value_range=(0, 255), recipe=recipe).finish().picture
    np.testing.assert_allclose(scaled / 255, plain, atol=1e-4)
    with pytest.raises(SettingError, match="noise's standard deviation"):
        untaught.fit(CLEAN, recipe=recipe)


# What is known -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["mask", "NaN", "operator", "object"])
def test_four_ways_to_say_what_is_known(recipe, how):
    class Sampling:
        """An operator that knows which values it leaves out."""

        known = KNOWN

        def __call__(self, picture):
            return picture

    expected = untaught.fit(CLEAN, mask=KNOWN, recipe=recipe).finish()
    given = {
        "mask": {"observed": CLEAN, "mask": KNOWN.numpy()},
        "NaN": {"observed": torch.where(KNOWN, CLEAN, torch.nan)},
        "operator": {"observed": CLEAN, "operator": untaught.Mask(KNOWN)},
        "object": {"observed": CLEAN, "operator": Sampling()},
    }[how]
    result = untaught.fit(**given, recipe=recipe).finish()
    assert torch.equal(result.picture, expected.picture)
    assert result.missing == expected.missing == pytest.approx(1 - KNOWN.float().mean().item(), abs=1e-6)


def test_integers_have_a_mask_too(recipe):
    values = (CLEAN * 255).round().to(torch.uint8)
    spoilt = torch.where(KNOWN, values, torch.tensor(255, dtype=torch.uint8))
    one, other = (untaught.fit(given, mask=KNOWN, recipe=recipe).finish().picture for given in (values, spoilt))
    assert torch.equal(one, other)


@pytest.mark.parametrize(("mask", "message"), [(KNOWN.float(), "mask is bool"), (KNOWN[..., :7], "does not broadcast")])
def test_an_impossible_mask_is_refused(recipe, mask, message):
    with pytest.raises(InputError, match=message):
        untaught.fit(CLEAN, mask=mask, recipe=recipe)


# Sizes ---------------------------------------------------------------------------------------------------------------


def test_an_observation_that_is_no_picture_needs_a_size(recipe):
    flat = CLEAN.flatten(1)
    with pytest.raises(InputError, match="say how many channels"):
        untaught.fit(flat, lambda x: x.flatten(1), recipe=recipe)
    run = untaught.fit(flat, lambda x: x.flatten(1), channels=3, size=(24, 20), recipe=recipe)
    assert run.finish().picture.shape == CLEAN.shape


@pytest.mark.parametrize("size", [(24,), (0, 20), (1, 2, 3, 4)])
def test_an_impossible_size_is_refused(recipe, size):
    with pytest.raises(InputError, match="a picture's size is"):
        untaught.fit(CLEAN, lambda x: x, size=size, recipe=recipe)


def test_arrays_are_taken_too(recipe):
    one = untaught.fit(CLEAN.numpy(), recipe=recipe).finish().picture
    assert torch.equal(one, untaught.fit(CLEAN, recipe=recipe).finish().picture)


# Parts of the recipe -------------------------------------------------------------------------------------------------


def test_parts_replace_those_of_the_recipe(recipe):
    run = untaught.fit(
        CLEAN,
        recipe=recipe,
        input=NoiseInput(channels=4, scale=1.0),
        stopping=untaught.VarianceValley(window=5),
        optimiser=untaught.OptimiserSettings(learning_rate=0.1),
        loss="absolute",
        iterations=3,
        runs=2,
    )
    used = run.finish().recipe
    assert used["name"] == "own"
    assert used["input"]["scale"] == 1.0
    assert used["stopping"]["rule"] == "variance"
    assert used["optimiser"]["learning_rate"] == 0.1
    assert (used["loss"], used["iterations"], used["runs"]) == ("absolute", 3, 2)


def test_an_input_that_shows_the_picture_needs_one(masked):
    with pytest.raises(SettingError, match="operator's output is no picture"):
        untaught.fit(halve(CLEAN), halve, size=(24, 20), recipe=masked)
