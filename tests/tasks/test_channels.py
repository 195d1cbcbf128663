"""Channels that differ in range or noise: each is denoised by its own."""

import numpy as np
import pytest
import torch

import untaught
from untaught.errors import InputError
from untaught.fitting.losses import ChannelSquaredError, MeanSquaredError
from untaught.imaging.arrays import from_tensor
from untaught.tasks.preparation import prepare

SIDE = 32
Y, X = np.mgrid[:SIDE, :SIDE]
SCENE = (0.5 + 0.3 * np.sin(X / 4) + 0.19 * np.cos(Y / 3 + X / 7)).clip(0, 1)


def made(spans, noise, kind=np.float32):
    clean = np.stack([span * np.roll(SCENE, 3 * place, 0) for place, span in enumerate(spans)], -1)
    return (clean + np.random.default_rng(0).normal(0, 1, clean.shape) * noise).clip(0).astype(kind), clean


@pytest.mark.parametrize(
    ("spans", "noise", "kind", "range_"),
    [
        ((200, 200), (2, 40), np.float32, (0, 255)),
        ((200, 200, 200), (3, 3, 20), np.uint8, None),
        ((60000, 400), (900, 20), np.uint16, None),
        ((60000, 400), (30, 30), np.uint16, None),
        ((1, 0.02, 0.3, 0.5, 1), (0.02, 0.002, 0.01, 0.06, 0.1), np.float32, (0, 1.5)),
        ((4000,) * 24, tuple(np.linspace(20, 200, 24)), np.uint16, None),
    ],
)
def test_each_channel_has_its_range_and_noise(spans, noise, kind, range_):
    given, _ = made(spans, noise, kind)
    problem = prepare("denoise", given, value_range=range_).problem
    assert "each has its own" in " ".join(problem.notes)
    own = problem.channel_noise.flatten() * torch.as_tensor([np.ptp(one) for one in np.moveaxis(given, -1, 0)])
    np.testing.assert_allclose(own * 1.1, noise, rtol=0.5)
    assert 0 <= problem.observed.min() < 0.06
    assert 0.94 < problem.observed.amax((0, 2, 3)).min() <= 1
    # What goes in comes out.
    back = from_tensor(problem.display_step(problem.observed), None, problem.layout)
    np.testing.assert_allclose(back, given, atol=1e-3 * max(spans) if kind == np.float32 else 1)


@pytest.mark.parametrize("noise", [(2, 20), (20, 2, 2)])
def test_a_good_channel_does_not_pay_for_a_bad_one(noise):
    given, clean = made((200,) * len(noise), noise)
    found = untaught.denoise(given, value_range=(0, 255), iterations=40).picture
    errors = [np.sqrt(np.square(one - clean).mean((0, 1))) for one in (given, found)]
    assert (errors[1] < 1.8 * errors[0]).all()
    assert errors[1][np.argmax(noise)] < 0.6 * max(noise)


@pytest.mark.parametrize("noise", [(10, 10, 10), (8, 10, 14), None])
def test_similar_channels_are_fitted_together(noise):
    given, _ = made((200, 230, 180), noise or 10, np.uint8)
    problem = prepare("denoise", given, **({"noise": 10} if noise is None else {})).problem
    assert problem.channel_noise is None
    assert isinstance(problem.objective(problem.observed, None, problem.known), MeanSquaredError)


def test_a_channel_without_noise_has_nothing_of_its_own():
    given, _ = made((200, 200), (20, 20), np.uint8)
    given[..., 1] = 90
    assert prepare("denoise", given).problem.channel_noise is None
    with pytest.raises(InputError, match="no noise"):
        prepare("denoise", given * 0)


def test_the_weighted_loss():
    draw = torch.Generator().manual_seed(0)
    picture, observed, target = torch.rand(3, 1, 2, 5, 4, generator=draw)
    known, weights = observed > 0.2, torch.tensor([4.0, 0.25]).view(1, 2, 1, 1)
    loss = ChannelSquaredError(weights, observed, lambda x: x, known)
    expected = (weights * (picture - observed).square())[known].mean()
    torch.testing.assert_close(loss(picture), expected[None])
    expected = (weights * (picture - target).square())[known].mean()
    torch.testing.assert_close(loss(picture, known, target), expected[None])
