import dataclasses
import itertools

import pytest
import torch

from untaught.errors import DivergenceError, InputError, SettingError
from untaught.fitting.loop import Guard
from untaught.fitting.losses import MeanSquaredError
from untaught.physics.linear import Identity, Mask
from untaught.tasks import preparation

SIZE = (1, 2, 16, 12)


@pytest.fixture
def observed():
    return torch.rand(SIZE, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def known():
    return torch.rand(SIZE, generator=torch.Generator().manual_seed(6)) > 0.3


def run(observed, operator=None, **options):
    return list(preparation.fit(observed, operator, precision="float32", **options))


def test_a_stream_of_states(observed, tiny):
    states = run(observed, recipe=tiny)
    assert [state.iteration for state in states] == list(range(1, 13))
    assert all(state.output.shape == SIZE == state.average.shape for state in states)
    assert [state.elapsed for state in states] == sorted(state.elapsed for state in states)
    assert states[-1].loss < states[0].loss
    with pytest.raises(dataclasses.FrozenInstanceError):
        states[0].iteration = 7


def test_output_and_loss_come_from_the_same_weights(observed, known, tiny):
    for state in run(observed, Mask(known), recipe=tiny):
        difference = (state.output - observed)[known]
        torch.testing.assert_close(state.loss, difference.square().mean())


def test_the_average_is_the_exponential_one_from_the_start(observed, tiny):
    states = run(observed, recipe=tiny)
    weights = torch.tensor([0.9 ** (len(states) - state.iteration) for state in states])
    outputs = torch.stack([state.output for state in states])
    expected = (outputs * weights.view(-1, 1, 1, 1, 1)).sum(0) / weights.sum()
    torch.testing.assert_close(states[-1].average, expected)


def test_states_already_given_are_left_alone(observed, tiny):
    stream = iter(preparation.fit(observed, recipe=tiny))
    first = next(stream)
    output, average, loss = first.output.clone(), first.average.clone(), first.loss.clone()
    for _ in stream:
        pass
    assert torch.equal(first.output, output)
    assert torch.equal(first.average, average)
    assert torch.equal(first.loss, loss)


def test_leaving_the_loop_is_all_it_takes_to_stop(observed, tiny):
    for state in preparation.fit(observed, recipe=tiny, iterations=10**9):
        if state.iteration == 3:
            break
    assert state.iteration == 3


def test_to_look_is_not_to_touch(observed, tiny):
    """A reader that takes its time, or draws random numbers of its own, changes nothing."""
    plain = run(observed, recipe=tiny)
    for state in preparation.fit(observed, recipe=tiny, precision="float32"):
        torch.rand(7)
        looked = state
    assert torch.equal(looked.average, plain[-1].average)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_same_seed_same_picture(observed, tiny, precision, optimiser):
    recipe = dataclasses.replace(tiny, optimiser=dataclasses.replace(tiny.optimiser, name=optimiser))
    one, same, other = (
        list(preparation.fit(observed, recipe=recipe, seed=seed, precision=precision))[-1].average for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_global_random_state_is_neither_read_nor_changed(observed, tiny):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = run(observed, recipe=tiny)[-1].average
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(run(observed, recipe=tiny)[-1].average, one)


@pytest.mark.parametrize("hidden", [0.0, 1.0, 1e30, float("nan"), float("inf")])
def test_hidden_values_cannot_leak(observed, known, tiny, hidden):
    """Whatever stands behind the mask, the result is the same to the bit."""
    plain = run(observed, Mask(known), recipe=tiny)[-1]
    changed = run(torch.where(known, observed, hidden), Mask(known), recipe=tiny)[-1]
    assert torch.equal(plain.average, changed.average)
    assert torch.equal(plain.loss, changed.loss)


def test_pictures_of_a_batch_are_fitted_as_if_alone(tiny):
    batch = torch.rand(3, 2, 16, 12)
    together = run(batch, recipe=tiny)[-1]
    for index in range(3):
        alone = run(batch[index : index + 1], recipe=tiny)[-1]
        torch.testing.assert_close(together.average[index], alone.average[0], atol=1e-5, rtol=0)


def test_an_operator_of_the_users_own(tiny):
    """Any torch callable will do: here, the picture is only seen at half its size."""
    small = torch.rand(1, 1, 8, 8)
    halve = torch.nn.functional.avg_pool2d
    states = run(small, lambda picture: halve(picture, 2), size=(16, 16), recipe=tiny, iterations=60)
    assert states[-1].output.shape == (1, 1, 16, 16)
    assert states[-1].loss < 0.7 * states[0].loss


class Sabotage:
    """An operator that spoils the picture at chosen calls."""

    def __init__(self, *calls: int, by: float = float("nan")) -> None:
        self.calls, self.by, self.count = calls, by, 0

    def __call__(self, picture):
        self.count += 1
        return picture * self.by if self.count in self.calls else picture


@pytest.mark.parametrize("by", [float("nan"), float("inf"), 100.0])
@pytest.mark.parametrize("recipe_name", ["tiny", "tiny_accumulated"])
def test_divergence_is_rolled_back_and_told(observed, recipe_name, by, request):
    recipe = request.getfixturevalue(recipe_name)
    states = run(observed, Sabotage(7, by=by), recipe=recipe)
    assert [state.iteration for state in states] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    assert [state.rollbacks for state in states] == [0] * 6 + [1] * 5
    assert states[-1].rate == pytest.approx(states[0].rate / 2)
    assert states[-1].average.isfinite().all()
    # The only snapshot was taken at iteration 1, so the iteration after the bad one starts from there.
    assert states[6].loss > states[5].loss


def test_rollback_puts_back_weights_optimiser_and_input(observed, tiny_accumulated):
    """From the snapshot on, everything is as it was then: the same step gives the same weights."""
    undisturbed = run(observed, recipe=dataclasses.replace(tiny_accumulated, perturbation=_no_noise()))
    states = run(observed, Sabotage(2, 3, 4), recipe=dataclasses.replace(tiny_accumulated, perturbation=_no_noise()))
    assert torch.equal(states[0].output, undisturbed[0].output)
    assert states[1].iteration == 5
    assert torch.equal(states[1].output, undisturbed[0].output)


def _no_noise():
    from untaught.priors.inputs import PerturbationSettings

    return PerturbationSettings(kind="none")


def test_poisoned_weights_are_healed(observed, tiny):
    """A NaN that has got into weights and optimiser is gone after the roll-back."""
    run = preparation.fit(observed, recipe=tiny, iterations=20)
    stream = iter(run)
    state = list(itertools.islice(stream, 5))[-1]
    network, optimiser = run._fit.network, run._fit.optimiser
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
            optimiser.state[parameter]["exp_avg"].fill_(torch.nan)
    rest = list(stream)
    assert rest[-1].rollbacks == 1
    assert rest[-1].output.isfinite().all()
    assert rest[-1].loss < state.loss * 2


def test_a_fit_that_cannot_be_saved_is_given_up(observed, tiny):
    with pytest.raises(DivergenceError, match="another seed"):
        run(observed, Sabotage(*range(2, 100)), recipe=tiny, iterations=50)


def test_a_healthy_fit_is_never_rolled_back(observed, known, tiny):
    assert run(observed, Mask(known), recipe=tiny, iterations=150)[-1].rollbacks == 0


def test_on_an_accelerator_the_guard_looks_only_now_and_then():
    guard = Guard(interval=10)
    looks = [iteration for iteration in range(1, 31) if guard.diverged(iteration, torch.tensor(float("nan")))]
    assert looks == [1, 10, 20, 30]


def test_mean_squared_error_is_over_what_is_known(observed, known):
    picture = torch.rand(SIZE)
    loss = MeanSquaredError(observed, Identity(), known)(picture)
    torch.testing.assert_close(loss[0], torch.nn.functional.mse_loss(picture[known], observed[known]))
    whole = MeanSquaredError(observed, Identity(), torch.ones_like(known))(picture)
    torch.testing.assert_close(whole[0], torch.nn.functional.mse_loss(picture, observed))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: run(torch.rand(3, 4)), InputError),
        (lambda: run(torch.full((1, 1, 4, 4), torch.nan)), InputError),
        (lambda: run(torch.rand(1, 1, 4, 4), Mask(torch.zeros(1, 1, 4, 4, dtype=torch.bool))), InputError),
        (lambda: run(torch.rand(1, 1, 4, 4), recipe="best ever"), SettingError),
        (lambda: run(torch.rand(1, 1, 4, 4), iterations=0), SettingError),
        (lambda: list(preparation.fit(torch.rand(1, 1, 4, 4), device="tpu")), SettingError),
        (lambda: list(preparation.fit(torch.rand(1, 1, 4, 4), device="cuda:77")), SettingError),
        (lambda: list(preparation.fit(torch.rand(1, 1, 4, 4), precision="int8")), SettingError),
    ],
)
def test_bad_input_is_refused(make, error):
    with pytest.raises(error):
        make()


def test_bad_input_is_refused_before_the_first_state_is_asked_for():
    with pytest.raises(InputError):
        preparation.fit(torch.full((1, 1, 4, 4), torch.nan))


def test_a_loss_that_may_be_negative_diverges_only_where_it_is_not_finite():
    guard = Guard(jump=None)
    assert not any(guard.diverged(1 + n, torch.tensor(loss)) for n, loss in enumerate((1e-3, 5.0, -2.0, 40.0, -3.0)))
    assert guard.diverged(9, torch.tensor(torch.nan))
    assert guard.diverged(10, torch.tensor(-torch.inf))
