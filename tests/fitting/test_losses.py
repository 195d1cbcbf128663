"""Losses: what they compare, in which units, and what a user's own may return."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

import untaught
from untaught import InputError, SettingError
from untaught.fitting.losses import LOSSES, DataLoss, MeanSquaredError
from untaught.physics.linear import Identity

SIZE = (2, 3, 10, 8)


def draw(seed, low=0.0):
    return low + (1 - low) * torch.rand(SIZE, generator=torch.Generator().manual_seed(seed))


OBSERVED, PICTURE, KNOWN = draw(0, 0.1), draw(1, 0.1), draw(2) > 0.3
EXPECTED = {
    "squared": lambda prediction, observed: F.mse_loss(prediction, observed),
    "absolute": lambda prediction, observed: F.l1_loss(prediction, observed),
    "poisson": lambda prediction, observed: (
        F.poisson_nll_loss(prediction, observed, log_input=False, eps=0.0)
        - F.poisson_nll_loss(observed, observed, log_input=False, eps=0.0)
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_named_loss_is_that_of_torch_over_the_known_values(name):
    found = DataLoss(torch.where(KNOWN, OBSERVED, torch.nan), Identity(), KNOWN, LOSSES[name])(PICTURE)
    for number in range(2):
        own = KNOWN[number]
        expected = EXPECTED[name](PICTURE[number][own], OBSERVED[number][own])
        torch.testing.assert_close(found[number], expected, atol=1e-5, rtol=1e-5)


def test_mean_squares_are_the_default_and_the_named_loss():
    one = MeanSquaredError(OBSERVED, Identity(), KNOWN)(PICTURE)
    torch.testing.assert_close(one, DataLoss(OBSERVED, Identity(), KNOWN, LOSSES["squared"])(PICTURE))


def test_complex_observations_are_compared_by_modulus():
    observed = torch.fft.fft2(OBSERVED)
    known = torch.ones(SIZE, dtype=torch.bool)
    expected = (torch.fft.fft2(PICTURE) - observed).abs().square().flatten(1).mean(1)
    for loss in (MeanSquaredError(observed, torch.fft.fft2, known), DataLoss(observed, torch.fft.fft2, known)):
        torch.testing.assert_close(loss(PICTURE), expected)


def test_hidden_values_give_no_gradient():
    picture = PICTURE.clone().requires_grad_()
    for name in LOSSES:
        picture.grad = None
        DataLoss(torch.where(KNOWN, OBSERVED, torch.inf), Identity(), KNOWN, LOSSES[name])(picture).sum().backward()
        assert picture.grad.isfinite().all()
        assert not picture.grad[~KNOWN].any()
        assert picture.grad[KNOWN].any()


def test_weights_multiply_the_loss_of_each_value():
    weights = draw(3)
    found = DataLoss(OBSERVED, Identity(), KNOWN, weights=weights)(PICTURE)
    terms = torch.where(KNOWN, weights * (PICTURE - OBSERVED).square(), 0).flatten(1)
    torch.testing.assert_close(found, terms.sum(1) / KNOWN.flatten(1).sum(1))


SHAPES = {
    "per element": lambda prediction, observed: (prediction - observed).square(),
    "per picture": lambda prediction, observed: (prediction - observed).square().flatten(1).mean(1),
    "scalar": lambda prediction, observed: (prediction - observed).square().flatten(1).mean(1).sum(),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_users_loss_may_return_three_shapes(tiny, shape):
    plain = untaught.fit(OBSERVED, recipe=tiny, precision="float32").finish()
    own = untaught.fit(OBSERVED, recipe=tiny, loss=SHAPES[shape], precision="float32").finish()
    torch.testing.assert_close(own.picture, plain.picture, atol=1e-4, rtol=0)
    assert own.history["loss"] == pytest.approx(plain.history["loss"], rel=1e-3)


def test_a_users_loss_may_be_negative(tiny):
    def shifted(prediction, observed):
        return (prediction - observed).square() - 3

    plain = untaught.fit(OBSERVED, recipe=tiny, precision="float32").finish()
    own = untaught.fit(OBSERVED, recipe=tiny, loss=shifted, precision="float32").finish()
    assert own.rollbacks == 0
    torch.testing.assert_close(own.picture, plain.picture, atol=1e-3, rtol=0)


def test_another_shape_is_refused(tiny):
    with pytest.raises(InputError, match="a loss returns"):
        untaught.fit(OBSERVED, recipe=tiny, loss=lambda prediction, observed: (prediction - observed)[:, :1]).finish()


def test_weights_need_a_value_per_element(tiny):
    with pytest.raises(InputError, match="one value per element"):
        untaught.fit(OBSERVED, recipe=tiny, weights=OBSERVED, loss=SHAPES["scalar"]).finish()


@pytest.mark.parametrize("operator", [None, lambda picture: picture], ids=["no operator", "an operator"])
@pytest.mark.parametrize("low", [0.0, -50.0])
def test_a_users_loss_sees_the_units_of_the_observation(tiny, operator, low):
    seen = {}

    def loss(prediction, observed):
        seen["observed"] = observed.detach().clone()
        seen["prediction"] = prediction.detach().clone()
        return (prediction - observed).square()

    counts = low + 200 * OBSERVED
    run = untaught.fit(counts, operator, recipe=tiny, loss=loss, value_range=(low, low + 200))
    next(iter(run))
    torch.testing.assert_close(seen["observed"], counts, atol=1e-3, rtol=0)
    assert seen["prediction"].min() >= low
    assert seen["prediction"].max() > low + 1


def test_absolute_differences_shrug_off_outliers(tiny):
    recipe = dataclasses.replace(tiny, iterations=120)
    clean = torch.linspace(0.2, 0.6, 16).expand(1, 1, 16, 16)
    hit = torch.rand(clean.shape, generator=torch.Generator().manual_seed(4)) < 0.15
    squared, absolute = (
        (untaught.fit(torch.where(hit, 1.0, clean), recipe=recipe, loss=loss).finish().picture - clean).abs().mean()
        for loss in ("squared", "absolute")
    )
    assert absolute < 0.85 * squared


def test_photon_counts(tiny):
    clean = torch.linspace(0.1, 0.9, 16).expand(1, 1, 16, 16) * 40
    counts = torch.poisson(clean, generator=torch.Generator().manual_seed(0))
    recipe = dataclasses.replace(tiny, iterations=35)
    result = untaught.fit(counts, recipe=recipe, loss="poisson", value_range=(0, 40)).finish()
    assert result.rollbacks == 0
    assert min(result.history["loss"]) > 0
    assert (result.picture - clean).square().mean() < 0.5 * (counts.clamp(0, 40) - clean).square().mean()


def test_total_variation_makes_the_picture_flatter(tiny):
    noisy = (0.5 + 0.2 * torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    recipe = dataclasses.replace(tiny, iterations=80)
    price = untaught.total_variation(1.0)
    plain, flat = (
        untaught.fit(noisy, recipe=recipe, regulariser=one).finish().picture
        for one in (None, untaught.total_variation(0.3))
    )
    assert price(flat).item() < 0.5 * price(plain).item()


def test_total_variation_is_the_mean_absolute_difference_of_neighbours():
    steps = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]).view(1, 1, 2, 3)
    torch.testing.assert_close(untaught.total_variation(2.0)(steps), torch.tensor([2 * 2 / 4]))


def test_total_variation_counts_differences_of_far_slices_less():
    volume = torch.rand(1, 1, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    steps = [volume.diff(dim=axis).abs().mean() for axis in (2, 3, 4)]
    found = untaught.total_variation(2.0, spacing=(1.5, 0.5, 0.5))(volume)
    torch.testing.assert_close(found, (2 * (steps[0] / 3 + steps[1] + steps[2]))[None])
    for spacing in ((1.0, 0.0, 1.0), (1.0, float("nan"), 1.0), (1.0, 2.0)):
        with pytest.raises(untaught.SettingError, match="spacing"):
            untaught.total_variation(1.0, spacing=spacing)(volume)


def test_unequal_weights_are_followed(tiny):
    """Two halves contradict each other through an operator that sums them; the heavier one is believed."""
    observed = torch.stack([torch.full((8, 8), 0.2), torch.full((8, 8), 0.8)])[None]
    recipe = dataclasses.replace(tiny, iterations=60)

    def twice(picture):
        return picture.expand(-1, 2, -1, -1)

    for weights, expected in (((1.0, 0.0), 0.2), ((0.0, 1.0), 0.8), ((1.0, 1.0), 0.5)):
        result = untaught.fit(
            observed, twice, channels=1, weights=torch.tensor(weights).view(1, 2, 1, 1), recipe=recipe
        )
        assert result.finish().picture.mean() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(1, 5, 1, 1), "do not broadcast"),
        (-torch.ones(1, 1, 1, 1), "not negative"),
        (torch.zeros(1, 1, 1, 1), "not all are zero"),
        (torch.full((1, 1, 1, 1), torch.nan), "finite"),
    ],
)
def test_impossible_weights_are_refused(tiny, weights, message):
    with pytest.raises(InputError, match=message):
        untaught.fit(OBSERVED, weights=weights, recipe=tiny)


def test_weights_are_for_a_picture_that_is_seen_whole(masked):
    weights, observed = torch.ones(1, 1, 1, 1), torch.rand(1, 1, 20, 40)
    small = dataclasses.replace(masked, input=dataclasses.replace(masked.input, patch=16))
    with pytest.raises(SettingError, match="patch to 40"):
        untaught.fit(observed, weights=weights, recipe=small)
    assert untaught.fit(observed, weights=weights, recipe=masked, iterations=3).finish().iterations == 3
