"""Noise and coordinates as input, and their perturbation."""

import pytest
import torch

from untaught.errors import SettingError
from untaught.priors.inputs import CoordinateInput, NoiseInput, PerturbationSettings, PerturbedSampler, mirror
from untaught.priors.sampler import InputScheme, Measurement, SideBySide


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def first(scheme, size, seed=0):
    return scheme.first(size, generator(seed))


def test_uniform_noise_is_the_published_one():
    values = first(NoiseInput(), (64, 64))
    assert values.shape == (1, 32, 64, 64)
    assert values.min() >= 0
    assert values.max() < 0.1
    assert values.mean() == pytest.approx(0.05, abs=1e-3)


def test_normal_noise_has_the_given_deviation():
    assert first(NoiseInput(kind="normal", scale=0.5), (64, 64)).std() == pytest.approx(0.5, rel=0.02)


def test_a_grid_runs_from_zero_to_one_along_x_then_y():
    x, y = first(CoordinateInput(), (3, 5))[0]
    torch.testing.assert_close(x[1], torch.linspace(0, 1, 5))
    torch.testing.assert_close(y[:, 2], torch.linspace(0, 1, 3))


def test_fourier_features_are_sines_and_cosines_of_the_grid():
    features = first(CoordinateInput(kind="fourier", channels=8), (6, 7))[0]
    grid = first(CoordinateInput(), (6, 7))[0]
    angles = torch.cat([torch.pi * grid[axis] * 2.0**octave for axis in (0, 1) for octave in (0, 1)]).view(4, 6, 7)
    torch.testing.assert_close(features, torch.cat([angles.sin(), angles.cos()]))


@pytest.mark.parametrize(
    "scheme",
    [NoiseInput(), NoiseInput(kind="normal"), CoordinateInput(), CoordinateInput(kind="fourier", channels=4)],
    ids=lambda scheme: scheme.kind,
)
def test_a_scheme_builds_a_sampler_for_a_picture_of_one_pixel_or_more(scheme):
    assert isinstance(scheme, InputScheme)
    for size in ((1, 1), (3, 2)):
        observed = torch.rand(1, 3, *size)
        measurement = Measurement(observed=observed, known=observed > -1, channels=3, size=size)
        sampler = scheme.build(measurement, generator())
        assert sampler.channels == scheme.channels
        drawn = sampler.draw()
        assert drawn.input.shape == (1, scheme.channels, *size)
        assert drawn.input.isfinite().all()
        assert all(value is None for value in drawn[1:])


def test_a_guide_replaces_the_noise():
    guide = torch.rand(1, 2, 4, 5)
    measurement = Measurement(observed=guide, known=guide > -1, channels=2, size=(4, 5), guide=guide)
    for scheme in (NoiseInput(), CoordinateInput()):
        sampler = scheme.build(measurement, generator())
        assert sampler.channels == 2
        assert torch.equal(sampler.draw().input, guide)


def test_a_volume_has_a_channel_for_each_axis():
    x, y, z = first(CoordinateInput(channels=3), (2, 3, 5))[0]
    torch.testing.assert_close(x[1, 1], torch.linspace(0, 1, 5))
    torch.testing.assert_close(y[1, :, 1], torch.linspace(0, 1, 3))
    torch.testing.assert_close(z[:, 1, 1], torch.linspace(0, 1, 2))
    features = first(CoordinateInput(kind="fourier", channels=18), (2, 3, 5))[0]
    torch.testing.assert_close(features[:9] ** 2 + features[9:] ** 2, torch.ones(9, 2, 3, 5))
    with pytest.raises(SettingError, match="3 axes has 3 channels"):
        first(CoordinateInput(), (2, 3, 5))


def draws(kind: str, count: int) -> list[torch.Tensor]:
    perturbation = PerturbationSettings(kind=kind, standard_deviation=0.1)
    sampler = PerturbedSampler(torch.zeros(1, 8, 64, 64), perturbation, generator())
    return [sampler.draw().input for _ in range(count)]


def test_no_perturbation_gives_the_same_input():
    assert all(torch.equal(draw, torch.zeros(1, 8, 64, 64)) for draw in draws("none", 3))


def test_fresh_noise_does_not_add_up_and_accumulated_noise_does():
    fresh, accumulated = draws("fresh", 9), draws("accumulated", 9)
    assert fresh[8].std() == pytest.approx(0.1, rel=0.05)
    assert accumulated[8].std() == pytest.approx(0.3, rel=0.05)
    assert (accumulated[8] - accumulated[7]).std() == pytest.approx(0.1, rel=0.05)
    correlation = torch.corrcoef(torch.stack((fresh[8].flatten(), fresh[7].flatten())))[0, 1]
    assert abs(correlation) < 0.05


def walk():
    return PerturbedSampler(torch.zeros(1, 1, 4, 4), PerturbationSettings(kind="accumulated"), generator())


def test_later_draws_leave_earlier_ones_alone():
    sampler = walk()
    drawn = sampler.draw().input
    before = drawn.clone()
    sampler.draw()
    assert torch.equal(drawn, before)


def test_a_walk_in_place_is_the_same_walk():
    walks = []
    for in_place in (False, True):
        sampler = walk()
        sampler.in_place, place = in_place, sampler.current.data_ptr()
        walks.append([sampler.draw().input for _ in range(3)])
        assert (sampler.current.data_ptr() == place) == in_place
    assert all(torch.equal(one, other) for one, other in zip(*walks, strict=True))


def test_a_walk_continues_from_a_state_with_the_same_noise_or_with_other():
    sampler = walk()
    sampler.draw()
    moment = {name: value.clone() for name, value in sampler.state().items()}
    after = sampler.draw().input
    sampler.restore(moment)
    assert torch.equal(sampler.draw().input, after)
    sampler.restore(moment, randomness=False)
    assert not torch.equal(sampler.draw().input, after)


def test_samplers_side_by_side_are_each_alone():
    alone, together = ([walk() for _ in range(3)] for _ in range(2))
    for number, (one, other) in enumerate(zip(alone, together, strict=True)):
        for sampler in (one, other):
            sampler.generator.manual_seed(number)
    joined = SideBySide(together)
    moment = {name: value.clone() for name, value in joined.state().items()}
    drawn = joined.draw()
    assert torch.equal(drawn.input, torch.cat([sampler.draw().input for sampler in alone]))
    assert drawn.guess is None
    joined.restore(moment)
    assert torch.equal(joined.draw().input, drawn.input)


def test_to_mirror_twice_is_to_do_nothing():
    pictures = torch.rand(4, 2, 3, 5)
    mirrored = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    once = mirror(pictures, mirrored)
    for number, axes in enumerate(((), (-1,), (-2,), (-1, -2))):
        assert torch.equal(once[number], pictures[number].flip(axes))
    assert torch.equal(mirror(once, mirrored), pictures)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NoiseInput(kind="noise"),
        lambda: NoiseInput(channels=0),
        lambda: NoiseInput(scale=0.0),
        lambda: CoordinateInput(kind="grid", channels=32),
        lambda: CoordinateInput(kind="fourier", channels=7),
        lambda: CoordinateInput(scale=0.1),
        lambda: PerturbationSettings(kind="sometimes"),
        lambda: PerturbationSettings(standard_deviation=-1.0),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(SettingError):
        make()
