"""What a fit will take is told before it begins, and telling changes nothing."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from untaught.fitting.estimate import Estimate
from untaught.tasks.preparation import prepare


@pytest.fixture
def picture():
    return np.random.default_rng(0).random((200, 300), dtype=np.float32)


@pytest.fixture
def mask():
    mask = np.ones((200, 300), bool)
    mask[50, 20:80] = False
    return mask


@pytest.mark.parametrize("recipe", ["fast", "noise"])
def test_telling_changes_nothing(picture, mask, recipe):
    def last(told):
        run = prepare("inpaint", picture[:64, :96], mask[:64, :96], recipe=recipe, iterations=3).begin()
        before = torch.get_rng_state()
        if told:
            assert run.estimate().iterations == 3
        assert torch.equal(torch.get_rng_state(), before)
        return list(run)[-1].average

    assert torch.equal(last(told=False), last(told=True))


def test_it_grows_with_the_iterations_up_to_the_budget(picture, mask, monkeypatch):
    # On a busy machine two timings of the same say little.
    ticks = itertools.count(0, 0.01)
    monkeypatch.setattr("untaught.fitting.estimate.time.perf_counter", lambda: next(ticks))
    few = prepare("inpaint", picture, mask, iterations=10).begin().estimate()
    many = prepare("inpaint", picture, mask, iterations=1000).begin().estimate()
    assert many.seconds > 10 * few.seconds
    assert many.strips == few.strips == 1
    assert prepare("inpaint", picture, mask, iterations=10**6, time_budget=3).begin().estimate().seconds == 3


def test_noise_that_is_modelled_has_one_too():
    grain = gaussian_filter(np.random.default_rng(0).normal(0, 1, (96, 96)), 0.8)
    noisy = 0.5 + 0.08 * grain / grain.std()
    assert prepare("denoise", noisy, iterations=50).begin().estimate().iterations == 50


def test_what_a_classical_method_does_alone_has_none():
    mosaic = np.random.default_rng(0).random((32, 32))
    assert prepare("demosaic", mosaic).begin().estimate() is None


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "1 s"), (44.6, "45 s"), (89, "89 s"), (90, "1.5 minutes"), (600, "10 minutes"), (5400, "1.5 hours")],
)
def test_the_sentence(seconds, told):
    sentence = str(Estimate(iterations=5, seconds=seconds, memory=6e8, strips=3))
    assert (
        sentence
        == f"the fit of 3 strips around the damage takes at most 5 iterations, about {told} on this machine, 0.6 GB"
    )
