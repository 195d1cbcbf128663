"""Denoising: the estimated noise, each kind of noise, and the result."""

import dataclasses
from unittest.mock import patch

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import downscale_local_mean

import untaught
from untaught.errors import InputError, SettingError
from untaught.fitting.run import Run
from untaught.fitting.state import StopReason
from untaught.fitting.stopping import NeverStop
from untaught.imaging.metrics import psnr
from untaught.imaging.noise import estimate_noise
from untaught.imaging.real_noise import remove_noise
from untaught.recipes import find_recipe
from untaught.tasks.classical import fallback, polished
from untaught.tasks.preparation import prepare

CAMERA = data.camera()[60:156:2, 180:308:2]


def noisy(deviation=25, seed=0):
    seen = CAMERA + np.random.default_rng(seed).normal(0, deviation, CAMERA.shape)
    return seen.round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def small():
    fast = find_recipe("denoise", "fast")
    network = dataclasses.replace(fast.network, down_channels=(16, 32), up_channels=(16, 32), skip_channels=(16, 16))
    return dataclasses.replace(fast, network=network, iterations=120)


def test_noise_goes_and_the_picture_stays(small):
    seen = noisy()
    result = untaught.denoise(seen, noise=25, recipe=small)
    assert result.picture.dtype == np.uint8
    assert psnr(result.picture / 255, CAMERA / 255) > psnr(seen / 255, CAMERA / 255) + 4
    again = untaught.denoise(seen, noise=25, recipe=small)
    np.testing.assert_array_equal(result.picture, again.picture)


def test_it_ends_before_the_noise_is_back(small):
    rows, columns = np.mgrid[:32, :32] / 32
    clean = 0.5 + 0.25 * np.sin(6 * columns) * np.cos(5 * rows)
    seen = (clean + np.random.default_rng(0).normal(0, 0.2, clean.shape)).clip(0, 1)
    recipe = dataclasses.replace(small, iterations=300)
    result = prepare("denoise", seen, noise=0.2, recipe=recipe).run()
    assert result.stop_reason is StopReason.RESIDUAL_PEAK
    to_the_end = dataclasses.replace(recipe, stopping=NeverStop())
    longer = prepare("denoise", seen, noise=0.2, recipe=to_the_end).run()
    assert psnr(result.picture, clean) > psnr(longer.picture, clean)


def test_the_level_is_estimated_and_said(small):
    job = prepare("denoise", noisy(20), recipe=small)
    assert abs(job.problem.noise * 255 - 20) < 4
    assert "standard deviation of" in job.problem.notes[0]


def test_the_same_picture_in_other_units_gives_the_same(small):
    tiny = dataclasses.replace(small, iterations=3)
    seen = noisy()
    wide = untaught.denoise(seen.astype(np.float64) * 8 + 100, noise=200, value_range=(100, 2140), recipe=tiny)
    unit = untaught.denoise(seen / 255, noise=25 / 255, recipe=tiny)
    np.testing.assert_allclose((wide.picture - 100) / 2040, unit.picture, atol=2e-3)


def test_photons(small):
    random = np.random.default_rng(0)
    light = CAMERA / 255 * 30
    counts = random.poisson(light) * 10.0 + 100 + random.normal(0, 5, CAMERA.shape)
    job = prepare("denoise", counts, kind="poisson", gain=10, offset=100, noise=5, value_range=(100, 400), recipe=small)
    result = job.run()
    before, after = (psnr((x - 100) / 300, CAMERA / 255) for x in (counts, result.picture))
    assert after > before + 4


def test_impulses_are_replaced_and_the_rest_is_kept(masked):
    random = np.random.default_rng(0)
    hit = random.random(CAMERA.shape) < 0.1
    seen = np.where(hit, random.integers(0, 2, CAMERA.shape) * 255, CAMERA).astype(np.uint8)
    result = untaught.denoise(seen, kind="impulse", recipe=masked)
    assert psnr(result.picture / 255, CAMERA / 255) > psnr(seen / 255, CAMERA / 255) + 3
    assert (result.picture == CAMERA)[~hit].mean() > 0.9


def test_values_that_are_not_finite_are_filled_in(small):
    seen = noisy() / 255
    seen[10, 10] = np.nan
    result = untaught.denoise(seen, noise=0.1, recipe=dataclasses.replace(small, iterations=2))
    assert np.isfinite(result.picture).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": 0}, "positive standard deviation"),
        ({"noise": 1e300}, "picture's units"),
        ({"noise": 25, "image": np.full((16, 16), 0.4)}, "noise of 25 in values from 0 to 1"),
        ({"kind": "pink"}, "one of gaussian, poisson, impulse"),
        ({"gain": -1.0}, "gain is a positive"),
        ({"strength": 1.6}, "strength"),
        ({"image": np.zeros((5, 9), np.uint8)}, "at least 8 pixels"),
        ({"image": np.full((16, 16), 7, np.uint8)}, "no noise is found"),
        ({"image": np.full((16, 16), np.nan)}, "no finite value"),
        ({"kind": "impulse", "image": np.full((16, 16), 7, np.uint8)}, "no pixel differs"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(change, message):
    with pytest.raises(InputError, match=message):
        untaught.denoise(**{"image": noisy(), **change})


def test_a_recipe_for_noise_wants_to_know_it(small):
    with pytest.raises(SettingError, match="noise's standard deviation, which is unknown"):
        untaught.fit(torch.rand(1, 1, 16, 16), recipe=small)


def grainy():
    """A smooth picture with noise that neighbours share."""
    grain = gaussian_filter(np.random.default_rng(0).normal(0, 1, (96, 96)), 0.8)
    clean = np.linspace(0.3, 0.7, 96)[:, None].repeat(96, 1)
    return clean, clean + 0.08 * grain / grain.std()


def test_noise_that_neighbours_share_is_modelled():
    clean, seen = grainy()
    result = untaught.denoise(seen, iterations=20)
    assert result.iterations == 20
    assert "the network's share of the picture is 4%" in result.notes[-1]
    assert psnr(result.picture, clean) > psnr(seen, clean) + 8


def test_a_large_picture_is_filtered_only(monkeypatch):
    monkeypatch.setattr("untaught.tasks.modelled_noise._FITTED", 1000)
    clean, seen = grainy()
    result = untaught.denoise(seen, seed=1)
    assert "the network's share of the picture is 0%" in result.notes[-1]
    assert psnr(result.picture, clean) > psnr(seen, clean) + 8
    # The seed is that of a fit, and there is none.
    np.testing.assert_array_equal(untaught.denoise(seen, seed=2).picture, result.picture)


def test_the_noise_of_light_gets_the_classical_answer():
    clean, _ = grainy()
    seen = np.random.default_rng(0).poisson(200 * clean**2) / 200
    result = untaught.denoise(seen, iterations=20)
    assert any("that of light" in note for note in result.notes)
    assert psnr(result.picture, clean**2) > psnr(seen, clean**2) + 8


STRENGTHS = {
    "white": lambda **options: (noisy(), untaught.denoise(noisy(), iterations=30, **options)),
    "modelled": lambda **options: (
        grainy()[1].astype(np.float32),
        untaught.denoise(grainy()[1].astype(np.float32), iterations=2, **options),
    ),
    "poisson": lambda **options: (noisy(), untaught.denoise(noisy(), kind="poisson", iterations=2, **options)),
    "impulse": lambda **options: (specks(), untaught.denoise(specks(), kind="impulse", iterations=2, **options)),
    "volume": lambda **options: (
        np.stack([noisy()[:16, :16]] * 8),
        untaught.denoise(np.stack([noisy()[:16, :16]] * 8), noise=25, volume=True, iterations=2, **options),
    ),
}


def specks():
    seen = CAMERA.copy()
    seen[::7, ::5] = 255
    return seen


def roughness(picture):
    return np.abs(np.diff(picture.astype(float), axis=-1)).mean()


CHANNELS = np.random.default_rng(0).normal(0, 1, (48, 48, 3)) * [1, 30, 400] + [10, 1000, 30000]

FIRST = {
    "white": (noisy, {}),
    "channels": (lambda: CHANNELS.astype(np.uint16), {}),
    "modelled": (lambda: grainy()[1].astype(np.float32), {}),
    "poisson": (lambda: np.random.default_rng(0).poisson(CAMERA // 8).astype(np.uint8), {"kind": "poisson"}),
    "volume": (lambda: np.stack([noisy()[:16, :16]] * 8), {"noise": 25, "volume": True}),
}


@pytest.mark.parametrize("kind", FIRST)
def test_a_filter_answers_before_a_run_is_prepared(kind):
    make, options = FIRST[kind]
    given = make()
    job = prepare("denoise", given, **options)
    state = job.first_state()
    assert (state.iteration, state.iterations) == (0, job.recipe.iterations)
    found = np.asarray(job.picture(state))
    assert (found.shape, found.dtype) == (given.shape, given.dtype)
    assert np.isfinite(found).all()
    assert roughness(np.moveaxis(found, 1, -1)) < 0.8 * roughness(np.moveaxis(given, 1, -1))
    # Where nothing is known of the noise, the first iteration is as early.
    assert kind != "white" or prepare("denoise", specks(), kind="impulse").first_state() is None


@pytest.mark.parametrize("kind", STRENGTHS)
def test_strength_goes_from_the_input_to_smoothness(kind):
    make = STRENGTHS[kind]
    given, none = make(strength=0.0)
    np.testing.assert_array_equal(none.picture, given)
    full, half, more = (make(strength=s)[1].picture.astype(float) for s in (1.0, 0.5, 1.5))
    np.testing.assert_allclose(half, (given + full) / 2, atol=0.51 if given.dtype == np.uint8 else 1e-5)
    # Of a picture with impulses, only these change.
    assert kind == "impulse" or roughness(more) < roughness(full)


@pytest.mark.parametrize("iterations", [1, 5])
def test_what_is_shown_is_never_worse_than_the_filter(iterations):
    clean, seen = grainy()
    job = prepare("denoise", seen, iterations=iterations)
    filtered = remove_noise(seen[..., None]).picture[..., 0]
    states = list(job.begin())
    for state in states:
        assert psnr(job.picture(state), clean) > psnr(filtered, clean) - 0.05
        assert psnr(job.preview(state, 96)[..., 0], clean) > psnr(filtered, clean) - 0.05
    # What is shown at once does not wait for the model.
    first = prepare("denoise", seen)
    with patch("untaught.imaging.real_noise.remove_noise", side_effect=AssertionError):
        first.picture(first.first_state())


@pytest.mark.parametrize("options", [{}, {"noise": 9}, {"kind": "poisson", "gain": 0.5}])
def test_a_large_picture_with_white_noise_is_filtered_only(monkeypatch, options):
    monkeypatch.setattr("untaught.tasks.modelled_noise._FITTED", 1000)
    job = prepare("denoise", noisy(9), **options)
    result = job.run()
    assert result.iterations == 1
    assert any("more than a megapixel" in note for note in result.notes)
    assert not any("as far from the noisy one" in note for note in result.notes)
    assert psnr(result.picture / 255, CAMERA / 255) > psnr(noisy(9) / 255, CAMERA / 255) + 1
    # Who names a published recipe gets its network.
    assert prepare("denoise", noisy(9), recipe="printed", **options).recipe.iterations > 1


def test_little_white_noise_is_filtered_only():
    clean = np.linspace(0.3, 0.7, 64)[:, None].repeat(64, 1)
    seen = clean + np.random.default_rng(0).normal(0, 0.004, clean.shape)
    result = untaught.denoise(seen)
    assert result.iterations == 1
    assert psnr(result.picture, clean) > psnr(seen, clean) + 6
    assert prepare("denoise", seen, noise=0.004).recipe.iterations > 1


@pytest.mark.parametrize("recipe", ["balanced", "best"])
def test_where_there_is_little_noise_no_network_is_fitted(recipe):
    photograph = data.coffee()[:192, :192]
    job = prepare("denoise", photograph, recipe=recipe)
    result = job.run()
    assert (result.stop_reason, result.iterations) == (StopReason.SETTLED, 1)
    assert any("little noise" in note for note in result.notes)
    assert psnr(result.picture / 255, photograph / 255) > 45
    run = job.begin()
    next(iter(run))
    np.testing.assert_array_equal(Run(job, run.snapshot()).restoration().picture, result.picture)


def test_where_there_is_noise_one_is():
    run = prepare("denoise", grainy()[1]).begin()
    next(iter(run))
    assert run.progress.until > 1


@pytest.mark.parametrize("options", [{"noise": 0.08, "recipe": "fast"}, {"recipe": "printed"}])
def test_who_names_a_level_or_a_published_recipe_gets_the_network(options):
    _, seen = grainy()
    result = untaught.denoise(seen, iterations=2, **options)
    assert not any("network's share" in note for note in result.notes)
    assert any("correlated" in note for note in result.notes)


PICTURES = {
    "camera": downscale_local_mean(data.camera(), (8, 8)),
    "coffee": downscale_local_mean(data.coffee()[..., 0], (8, 9)),
    "chelsea": downscale_local_mean(data.chelsea()[..., 1], (5, 7)),
    "brick": downscale_local_mean(data.brick(), (8, 8)),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("level", [1, 3])
def test_little_noise_in_much_texture_never_costs_the_picture(name, level):
    clean = PICTURES[name][:40, :40] / 255
    observed = clean + np.random.default_rng(0).normal(0, level / 255, clean.shape)
    smooth, seen = (torch.from_numpy(one)[None, None].float() for one in (gaussian_filter(observed, 0.5), observed))
    estimated = estimate_noise(seen.numpy()[0, 0])
    # The smooth one stands for the picture of a network that has not come far.
    for found in (polished(smooth, seen, estimated, seen), fallback(seen, estimated, seen)):
        assert psnr(found.numpy()[0, 0], clean) > psnr(observed, clean) - 0.5


def test_noise_that_is_told_is_not_doubted():
    seen = torch.from_numpy(noisy(4) / 255)[None, None].float()
    told, doubted = (polished(seen, seen, 12 / 255, within) for within in (None, seen))
    assert (told - seen).std() > 1.5 * (doubted - seen).std()


def test_of_strong_noise_nothing_is_doubted():
    seen = torch.from_numpy(noisy(25) / 255)[None, None].float()
    estimated = estimate_noise(seen.numpy()[0, 0])
    pilot = torch.from_numpy(gaussian_filter(seen.numpy(), (0, 0, 1, 1)))
    assert torch.equal(polished(pilot, seen, estimated), polished(pilot, seen, estimated, seen))


def test_texture_is_not_modelled_as_noise():
    clean = downscale_local_mean(data.chelsea()[..., 1], (3, 4))
    observed = (clean + np.random.default_rng(0).normal(0, 2, clean.shape)).round().clip(0, 255).astype(np.uint8)
    problem = prepare("denoise", observed).problem
    assert problem.modelled_noise is None
    assert "is texture" in problem.notes[-1]
