"""Held-out values: hidden from the fit until the rule ends the first stage, then used; and what their error says."""

import dataclasses

import numpy as np
import pytest
import torch

import untaught
from untaught import HeldOut, MaskedInput, NoiseInput, R2RInput, Recipe

OBSERVED = torch.rand(1, 2, 24, 20, generator=torch.Generator().manual_seed(1))


class Watching:
    """An input scheme around another: keeps what the network is shown, and which values are in use."""

    def __init__(self, scheme):
        self.scheme = scheme
        self.patch = getattr(scheme, "patch", None)
        self.shows_picture = getattr(scheme, "shows_picture", False)
        self.known, self.shown, self.guesses = [], [], []

    def build(self, measurement, generator):
        sampler = self.scheme.build(measurement, generator)
        draw, set_known, first_guess = sampler.draw, sampler.set_known, sampler.first_guess

        def drawing():
            batch = draw()
            self.shown.append(batch)
            return batch

        def setting(known):
            self.known.append((len(self.shown), known.clone()))
            set_known(known)

        def guessing():
            self.guesses.append(first_guess())
            return self.guesses[-1].clone()

        sampler.draw, sampler.set_known, sampler.first_guess = drawing, setting, guessing
        return sampler


SCHEMES = {
    "masked": MaskedInput(),
    "masked, patches": MaskedInput(patch=16),
    "R2R": R2RInput(),
    "R2R, patches": R2RInput(patch=16),
    "noise": NoiseInput(),
}


def fitted(observed, scheme, masked):
    watching = Watching(scheme)
    recipe = dataclasses.replace(masked, input=watching)
    if isinstance(scheme, NoiseInput):
        recipe = dataclasses.replace(masked, input=watching, network=dataclasses.replace(masked.network, head="none"))
    result = untaught.fit(observed, recipe=recipe, noise=0.1).finish()
    return watching, result


def tensors(batch):
    return [one for one in (batch.input, batch.guess) if one is not None]


@pytest.mark.parametrize("name", SCHEMES)
def test_held_out_values_are_not_shown_before_they_are_put_back(masked, name):
    """With other values in their place, the network is shown the same to the bit; afterwards it is shown them."""
    first, result = fitted(OBSERVED, SCHEMES[name], masked)
    (start, known), (turn, all_known) = first.known
    held = ~known
    assert start == 0
    assert 0 < turn < result.iterations
    assert 0.05 < held.float().mean() < 0.2
    assert all_known.all()
    changed = torch.where(held, 1 - OBSERVED, OBSERVED)
    second, _ = fitted(changed, SCHEMES[name], masked)
    for number, (one, other) in enumerate(zip(first.shown[:turn], second.shown[:turn], strict=False)):
        # The other error on held-out values may end the other fit's first stage sooner.
        if number < second.known[1][0]:
            assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))
    for one, other in zip(first.guesses, second.guesses, strict=True):
        assert torch.equal(one, other)
    if name != "noise":
        after = zip(first.shown[turn:], second.shown[second.known[1][0] :], strict=False)
        assert any(not torch.equal(one.target, other.target) for one, other in after)


@pytest.mark.parametrize("name", ["masked", "R2R"])
def test_held_out_values_are_compared_only_after_they_are_put_back(masked, name):
    watched, _ = fitted(OBSERVED, SCHEMES[name], masked)
    (_, known), (turn, _) = watched.known
    compared = [(batch.compared & ~known).any() for batch in watched.shown]
    assert not any(compared[:turn])
    assert any(compared[turn:])


def test_pixels_are_held_out_in_all_channels_and_shapes_like_holes(masked):
    hole = torch.ones(1, 1, 24, 20, dtype=torch.bool)
    hole[..., 5:12, 6:11] = False
    scattered, shapes = (
        dataclasses.replace(masked, stopping=HeldOut(pattern=pattern, held_out=0.1)) for pattern in ("pixels", "shapes")
    )
    held = {}
    for name, recipe in (("pixels", scattered), ("shapes", shapes)):
        watching = Watching(MaskedInput())
        run = untaught.fit(OBSERVED, mask=hole, recipe=dataclasses.replace(recipe, input=watching))
        next(iter(run))
        held[name] = hole & ~watching.known[0][1]
        assert (held[name][:, :1] == held[name]).all()
    # Of a hole's pixels most have a neighbour in it; of scattered ones few have.
    neighbours = {name: (one[..., 1:] & one[..., :-1]).sum() / one.sum() for name, one in held.items()}
    assert neighbours["shapes"] > 0.5 > 0.3 > neighbours["pixels"]


def test_single_values_of_an_observation_without_channels_are_held_out():
    """Projections of a picture, (N, M): whole channels would be all of it."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(300, 3 * 12 * 10, generator=generator) / 19
    clean = torch.linspace(0, 1, 10).expand(1, 3, 12, 10)
    observed = clean.flatten(1) @ matrix.T
    recipe = Recipe(
        network=untaught.NetworkSettings(down_channels=(8, 8), up_channels=(8, 8), skip_channels=(4, 4)),
        stopping=HeldOut(held_out=0.1, every=5, patience=1000),
        iterations=60,
    )

    def project(picture):
        return picture.flatten(1) @ matrix.T

    run = untaught.fit(observed, project, channels=3, size=(12, 10), recipe=recipe, value_range=(0, 1))
    seen = [run.progress.in_search for _ in run]
    assert True in seen, "some values were spared"
    assert False in seen, "and put back"
    result = run.restoration()
    assert result.expected_psnr > 10
    assert result.uncertainty is None, "the observation is no picture"


def test_complex_observations_are_held_out_too():
    clean = torch.linspace(0.1, 0.9, 12).expand(1, 1, 12, 12)
    recipe = Recipe(
        network=untaught.NetworkSettings(down_channels=(8,), up_channels=(8,), skip_channels=(4,)),
        stopping=HeldOut(held_out=0.2, every=5),
        iterations=30,
    )
    result = untaught.fit(torch.fft.fft2(clean, norm="ortho"), lambda x: torch.fft.fft2(x, norm="ortho"), recipe=recipe)
    assert result.finish().expected_psnr > 0


def test_too_few_known_values_are_not_held_out(masked):
    image = np.arange(1, 17, dtype=np.uint8).reshape(4, 4)
    known = np.ones((4, 4), bool)
    known[1, 1] = False
    result = untaught.restore(image, known, recipe=masked)
    assert result.expected_psnr is None
    assert result.uncertainty is None


def test_uncertainty_covers_nine_errors_of_ten(masked):
    """On a picture with structure at all scales, within what so few pixels allow."""
    y, x = np.mgrid[0:64, 0:64] / 64
    clean = 0.5 + 0.2 * np.sin(20 * x * y) + 0.2 * np.cos(9 * x + 30 * y * y)
    # Without grain a classical method is all but exact, and fewer known values tell nothing of more.
    clean += 0.02 * np.random.default_rng(9).standard_normal(clean.shape)
    known = np.random.default_rng(0).random(clean.shape) > 0.5
    result = untaught.restore(np.where(known, clean, 0), known, recipe=dataclasses.replace(masked, iterations=120))
    assert result.uncertainty.shape == clean.shape
    assert (result.uncertainty[known] == 0).all()
    covered = (np.abs(result.picture - clean) <= result.uncertainty)[~known].mean()
    assert 0.8 < covered < 0.98
    error = np.square(result.picture - clean)[~known].mean()
    assert abs(result.expected_psnr + 10 * np.log10(error)) < 2.5


def test_the_interval_is_of_the_moment_when_it_was_calibrated(picture, mask, masked):
    """Continuing with every value makes the outputs agree, and does not make the interval narrower."""
    from untaught.tasks.preparation import prepare

    run = prepare("restore", picture, mask, recipe=masked).begin()
    ended = run.finish()
    run.continue_for(10)
    np.testing.assert_array_equal(run.finish().uncertainty, ended.uncertainty)
    assert (ended.uncertainty[~mask] > 0).all()
