"""The mean of a network's weights, and the picture it gives."""

import numpy as np
import pytest
import torch

from untaught.fitting import stacking
from untaught.fitting.mean_weights import MeanWeights, evaluation_interval
from untaught.fitting.stacking import Stacking
from untaught.tasks.preparation import prepare


def test_the_mean_follows_the_weights():
    network = torch.nn.Linear(2, 1)
    mean = MeanWeights(network)
    before = mean.network.weight.clone()
    with torch.no_grad():
        network.weight.add_(1)
    mean.update(network, 4)
    assert torch.allclose(mean.network.weight, before + 0.5)
    for iteration in range(5, 600):
        mean.update(network, iteration)
    assert torch.allclose(mean.network.weight, network.weight, atol=1e-3)
    assert not mean.network.weight.requires_grad


def begin(picture, mask, runs=1):
    return prepare("restore", picture, mask, recipe="balanced", iterations=24, runs=runs).begin()


@pytest.fixture
def picture():
    return np.random.default_rng(0).random((40, 44, 3), dtype=np.float32)


@pytest.fixture(autouse=True)
def always_of_use(monkeypatch):
    """The network has a share in the answer, as it seldom has after so few iterations of noise."""
    look = Stacking.look

    def generous(self, *averages):
        look(self, *averages)
        self.weights.clamp_(min=0.1)

    monkeypatch.setattr(Stacking, "look", generous)
    # So few held-out values that all are given back, and the weights stay.
    monkeypatch.setattr(stacking, "_FEWEST_WATCHED", 10_000)


@pytest.fixture
def mask():
    return np.random.default_rng(1).random((40, 44)) > 0.3


@pytest.fixture
def run_and_another(picture, mask):
    """A run, and one of a picture that is another where the first holds values out."""
    one = begin(picture, mask)
    held = one._held[0].movedim(0, -1).numpy()
    return one, begin(np.where(held, 1 - picture, picture), mask)


@pytest.mark.parametrize("runs", [1, 2])
def test_its_picture_is_evaluated_during_both_stages(picture, mask, runs):
    run = begin(picture, mask, runs)
    seen = []
    for state in run:
        evaluated = run._stacking.evaluated
        if evaluated is not None and not any(evaluated is one for _, one in seen):
            seen.append((state.iteration, evaluated))
    assert [iteration for iteration, _ in seen] == [10, 12, 20, 24]


def test_it_is_left_out_of_the_last_stage_where_the_network_has_no_share(picture, mask, monkeypatch):
    monkeypatch.setattr(Stacking, "look", lambda *_: None)
    run = begin(picture, mask)
    for state in run:
        if state.iteration >= 12:
            assert run._stacking.evaluated is None or run.progress.in_search


def test_held_out_values_are_hidden_from_it(run_and_another):
    one, other = run_and_another
    for states in zip(one, other, strict=True):
        if not one.progress.in_search:
            break
        assert torch.equal(states[0].average, states[1].average)
    assert one._stacking.evaluated is not None
    assert torch.equal(one._stacking.evaluated, other._stacking.evaluated)


def test_evaluations_take_a_small_share_of_the_time():
    window = (0, 256, 0, 256)
    assert evaluation_interval([(window, window)], 256 * 256) == 10
    assert evaluation_interval([(window, window)] * 16, 160 * 160) == 274
