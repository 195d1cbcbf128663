import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from untaught.imaging.noise import Stabilised, declipped, estimate_noise, impulses, noise_correlation

CAMERA = data.camera()[::2, ::2] / 255


def noisy(clean, deviation, seed=0):
    return clean + np.random.default_rng(seed).normal(0, deviation, clean.shape)


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.1, 0.2])
def test_noise_is_estimated_within_a_tenth_or_the_texture(deviation):
    found = estimate_noise(noisy(CAMERA, deviation))
    assert abs(found - deviation) < 0.1 * deviation + 0.009


def test_a_slope_is_no_noise():
    y, x = np.mgrid[:32, :32] / 100
    assert estimate_noise(0.3 * y + 0.5 * x) < 1e-6


def test_correlated_noise_is_told_apart():
    white = np.random.default_rng(0).normal(0, 0.1, CAMERA.shape)
    assert abs(noise_correlation(CAMERA + white)) < 0.12
    coarse = ndimage.gaussian_filter(white, 0.8)
    assert noise_correlation(CAMERA + coarse * 0.1 / coarse.std()) > 0.3
    assert noise_correlation(np.full((40, 40), 0.5)) == 0


def test_impulses_are_found_and_little_else():
    random = np.random.default_rng(0)
    hit = random.random(CAMERA.shape) < 0.1
    found = impulses(np.where(hit, random.integers(0, 2, CAMERA.shape), CAMERA))
    assert found[hit].mean() > 0.9
    assert found[~hit].mean() < 0.06


def test_clipping_is_undone():
    random = np.random.default_rng(0)
    for value in (0.0, 0.03, 0.5, 0.96, 1.0):
        mean = np.clip(random.normal(value, 0.1, 10**6), 0, 1).mean()
        assert abs(float(declipped(torch.tensor([mean]), 0.1)) - value) < 2e-3


@pytest.mark.parametrize(("light", "reading"), [(20, 0.0), (20, 3.0), (200, 0.0)])
def test_counts_are_stabilised_and_put_back_without_bias(light, reading):
    random = np.random.default_rng(0)
    counts = torch.from_numpy(random.poisson(light, 10**5) + random.normal(0, reading, 10**5))
    stabilised = Stabilised(counts, reading)
    assert abs(float(stabilised.values.std()) / stabilised.noise - 1) < 0.04
    assert abs(float(stabilised.counts(stabilised.values.mean())) - light) < 0.02 * light
