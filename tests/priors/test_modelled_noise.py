"""Noise drawn from a model has what the model says: strength, spectrum, channels."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from untaught.imaging.noise_model import estimate_noise_model
from untaught.priors.inputs import mirror
from untaught.priors.modelled_noise import ModelledNoise
from untaught.priors.patches import Patches
from untaught.priors.r2r_input import R2RInput, R2RSampler

Y, X = np.mgrid[:128, :128] / 128
SMOOTH = np.stack([0.25 + 0.5 * X, 0.3 + 0.4 * Y, 0.6 - 0.3 * X * Y], -1)
MIX = np.array([[1, 0.2, 0.6], [0.2, 0.6, 0.2], [0.6, 0.2, 1]])


def grain(width):
    soft = gaussian_filter(np.random.default_rng(0).normal(0, 1, SMOOTH.shape), (width, width, 0))
    return soft / soft.std()


def correlations(noise):
    """Of the brightness with neighbours to the right and below, and of the first two channels."""
    gray = noise.mean(2) - noise.mean()
    pairs = [
        (gray[:, :-1], gray[:, 1:]),
        (gray[:, :-2], gray[:, 2:]),
        (gray[:-1], gray[1:]),
        (noise[..., 0], noise[..., 1]),
    ]
    return [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs]


@pytest.mark.parametrize(
    "noise",
    [0.05 * grain(0.8), 0.05 * grain(1.2) @ MIX, 0.12 * SMOOTH * grain(0.8)],
    ids=["grain", "colours", "bright"],
)
def test_it_is_like_the_noise_it_was_modelled_on(noise):
    source = ModelledNoise(estimate_noise_model(SMOOTH + noise), SMOOTH)
    drawn = source.draw(source.deviation, torch.Generator().manual_seed(1))[0].movedim(0, -1).numpy()
    np.testing.assert_allclose(correlations(drawn), correlations(noise), atol=0.12)
    for half in (np.s_[:64], np.s_[64:]):
        np.testing.assert_allclose(drawn[half].std((0, 1)), noise[half].std((0, 1)), rtol=0.2)


def test_input_and_target_share_none_of_it():
    clean = torch.full((1, 1, 128, 128), 0.5)
    source = ModelledNoise(estimate_noise_model(0.5 + 0.1 * grain(0.8)[..., :1]), np.full((128, 128, 1), 0.5))
    seen = clean + source.draw(source.deviation, torch.Generator().manual_seed(2))
    sampler = R2RSampler(seen, seen > -9, source, R2RInput(strength=0.7, patch=96), torch.Generator().manual_seed(3))
    drawn = sampler.draw()
    assert drawn.target.shape == (1, 1, 96, 96)
    (part,), _ = Patches((128, 128), 96, seen.device).cut(seen)
    # Of y = x + n: y + a z and y - z / a weigh to y again.
    shown = mirror(drawn.input[:, :1], drawn.mirrored)
    torch.testing.assert_close((shown + 0.49 * drawn.target) / 1.49, part)
    both = torch.stack([(shown - 0.5).flatten(), (drawn.target - 0.5).flatten()])
    assert abs(torch.corrcoef(both)[0, 1]) < 0.1
