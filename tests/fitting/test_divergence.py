"""The divergence guard: a fit whose loss explodes goes back to its last good moment."""

import dataclasses

import pytest
import torch

import untaught
from untaught import DivergenceError, NoiseInput
from untaught.fitting.divergence import DivergenceGuard

OBSERVED = torch.rand(1, 2, 16, 12, generator=torch.Generator().manual_seed(5))


class Sabotage:
    """An operator that spoils the picture at chosen calls, counted from 1 once it is armed."""

    def __init__(self, *calls: int, by: float = float("nan")) -> None:
        self.calls, self.by, self.count = calls, by, None

    def __call__(self, picture):
        if self.count is None:
            return picture
        self.count += 1
        return picture * self.by if self.count in self.calls else picture


def begin(operator, recipe, **options):
    """`fit` tries the operator first, which does not count."""
    run = untaught.fit(OBSERVED, operator, recipe=recipe, **options)
    if operator is not None:
        operator.count = 0
    return run


def states(operator, recipe, **options):
    return list(begin(operator, recipe, precision="float32", **options))


@pytest.mark.parametrize("by", [float("nan"), float("inf"), 100.0])
@pytest.mark.parametrize("walk", [False, True])
def test_divergence_is_rolled_back_and_reported(tiny, tiny_accumulated, walk, by):
    stream = states(Sabotage(7, by=by), tiny_accumulated if walk else tiny)
    assert [state.iteration for state in stream] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    assert [state.rollbacks for state in stream] == [0] * 6 + [1] * 5
    assert stream[-1].learning_rate == pytest.approx(stream[0].learning_rate / 2)
    assert stream[-1].average.isfinite().all()
    # The only snapshot was taken at iteration 1, so the iteration after the bad one starts from there.
    assert stream[6].loss > stream[5].loss


def test_a_rollback_restores_weights_optimiser_and_input(tiny):
    still = dataclasses.replace(tiny, input=NoiseInput(channels=4))
    undisturbed = states(None, still)
    stream = states(Sabotage(2, 3, 4), still)
    assert torch.equal(stream[0].output, undisturbed[0].output)
    assert stream[1].iteration == 5
    assert torch.equal(stream[1].output, undisturbed[0].output)


def test_poisoned_weights_and_optimiser_are_healed(tiny):
    made = []

    def adam(parameters):
        made.append(torch.optim.Adam(parameters, lr=0.01))
        return made[-1]

    run = untaught.fit(OBSERVED, recipe=tiny, optimiser=adam, iterations=20)
    losses = {}
    for state in run:
        losses[state.iteration] = float(state.loss)
        if state.iteration == 5:
            with torch.no_grad():
                for parameter in run.network.parameters():
                    parameter.fill_(torch.nan)
                    made[0].state[parameter]["exp_avg"].fill_(torch.nan)
    assert state.rollbacks == 1
    assert state.output.isfinite().all()
    assert losses[20] < losses[5] * 2


@pytest.mark.parametrize("at", [5, 10])
def test_a_users_optimiser_keeps_its_halved_learning_rate_when_resumed(tiny, tmp_path, at):
    def adam(parameters):
        return torch.optim.Adam(parameters, lr=0.02)

    options = {"recipe": tiny, "optimiser": adam, "iterations": 20}
    whole = list(begin(Sabotage(8), **options))
    assert [state.learning_rate for state in whole] == [0.02] * 7 + [0.01] * 12
    first = begin(Sabotage(8), **options)
    for state in first:
        if state.iteration == at:
            break
    first.save(tmp_path / "checkpoint")
    spoilt = [8 - at] if at < 8 else []
    rest = list(begin(Sabotage(*spoilt), resume=tmp_path / "checkpoint", **options))
    assert [state.learning_rate for state in rest] == [state.learning_rate for state in whole[-len(rest) :]]
    if at > 8:
        assert torch.equal(rest[-1].average, whole[-1].average)


def test_a_fit_that_keeps_diverging_is_given_up_with_its_best_picture(tiny):
    result = begin(Sabotage(*range(5, 100)), tiny, iterations=50).finish()
    assert result.stop_reason is untaught.StopReason.DIVERGED
    assert result.picture.isfinite().all()


def test_a_fit_that_never_was_well_is_an_error(tiny):
    with pytest.raises(DivergenceError, match="another seed"):
        begin(Sabotage(*range(1, 100)), tiny, iterations=50).finish()


def test_a_healthy_fit_is_never_rolled_back(tiny):
    assert states(None, tiny, iterations=150)[-1].rollbacks == 0


def test_on_an_accelerator_the_guard_looks_at_every_tenth_loss_only():
    guard = DivergenceGuard(interval=10)
    looks = [iteration for iteration in range(1, 31) if guard.diverged(iteration, torch.tensor(float("nan")))]
    assert looks == [1, 10, 20, 30]


def test_a_loss_that_may_be_negative_is_never_too_large():
    guard = DivergenceGuard(jump=None)
    assert not any(guard.diverged(iteration, torch.tensor(value)) for iteration, value in ((1, -1.0), (2, 1e9)))
    assert guard.diverged(3, torch.tensor(float("inf")))
