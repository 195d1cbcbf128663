"""The loop: a stream of states, reproducible to the bit, and nothing hidden that leaks into it."""

import dataclasses

import numpy as np
import pytest
import torch

import untaught
from untaught import InputError, MaskedInput, NeverStop, SettingError
from untaught.tasks.preparation import prepare

SIZE = (1, 2, 16, 12)


@pytest.fixture
def observed():
    return torch.rand(SIZE, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def known():
    return torch.rand(SIZE, generator=torch.Generator().manual_seed(6)) > 0.3


def states(observed, operator=None, **options):
    return list(untaught.fit(observed, operator, precision="float32", **options))


def test_a_stream_of_states(observed, tiny):
    stream = states(observed, recipe=tiny)
    assert [state.iteration for state in stream] == list(range(1, 13))
    assert {state.iterations for state in stream} == {12}
    assert all(state.output.shape == SIZE == state.average.shape for state in stream)
    assert all(state.input.shape == (1, 4, 16, 12) for state in stream)
    assert [state.elapsed for state in stream] == sorted(state.elapsed for state in stream)
    assert {state.learning_rate for state in stream} == {0.01}
    assert stream[-1].loss < stream[0].loss


def test_output_and_loss_come_from_the_same_weights(observed, known, tiny):
    for state in states(observed, mask=known, recipe=tiny):
        difference = (state.output - observed)[known]
        torch.testing.assert_close(state.loss, difference.square().mean())


def test_the_average_is_exponential_and_bias_corrected(observed, tiny):
    stream = states(observed, recipe=tiny)
    weights = torch.tensor([0.9 ** (len(stream) - state.iteration) for state in stream]).view(-1, 1, 1, 1, 1)
    outputs = torch.stack([state.output for state in stream])
    torch.testing.assert_close(stream[-1].average, (outputs * weights).sum(0) / weights.sum())
    torch.testing.assert_close(stream[-1].square, (outputs.square() * weights).sum(0) / weights.sum())


def test_later_iterations_leave_earlier_states_alone(observed, tiny_accumulated):
    stream = iter(untaught.fit(observed, recipe=tiny_accumulated))
    first = next(stream)
    before = {name: getattr(first, name).clone() for name in ("output", "average", "square", "input", "loss")}
    for _ in stream:
        pass
    for name, value in before.items():
        assert torch.equal(getattr(first, name), value), name


@pytest.mark.parametrize("names", [("average", "square", "output", "input", "spread"), ("losses", "loss")])
def test_an_observer_that_writes_into_a_state_changes_no_result(observed, tiny_accumulated, masked, names):
    def write(state):
        for name in names:
            getattr(state, name).zero_()

    valley = untaught.VarianceValley(every=1, window=3, patience=4)
    recipes = (tiny_accumulated, dataclasses.replace(tiny_accumulated, stopping=valley, iterations=60), masked)
    for recipe in recipes:
        plain = untaught.fit(observed, recipe=recipe).finish()
        written = untaught.fit(observed, recipe=recipe).finish([write])
        assert torch.equal(written.picture, plain.picture)
        assert written.history["loss"] == plain.history["loss"]
        assert written.stop_reason == plain.stop_reason


def test_a_slow_reader_with_random_numbers_of_its_own_changes_nothing(observed, tiny):
    plain = states(observed, recipe=tiny)
    run = untaught.fit(observed, recipe=tiny, precision="float32")
    for _ in run:
        torch.rand(7)
    assert torch.equal(run.restoration().picture, plain[-1].average)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_the_same_seed_gives_the_same_picture(observed, tiny, precision, optimiser):
    recipe = dataclasses.replace(tiny, optimiser=dataclasses.replace(tiny.optimiser, name=optimiser))
    one, same, other = (
        untaught.fit(observed, recipe=recipe, seed=seed, precision=precision).finish().picture for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_global_random_state_is_neither_read_nor_changed(observed, tiny):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = states(observed, recipe=tiny)[-1].average
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(states(observed, recipe=tiny)[-1].average, one)


@pytest.mark.parametrize("hidden", [0.0, 1.0, 1e30, float("nan"), float("inf")])
@pytest.mark.parametrize("how", ["mask", "operator"])
def test_hidden_values_cannot_leak(observed, known, tiny, hidden, how):
    given = {"mask": known} if how == "mask" else {"operator": untaught.Mask(known)}
    plain = states(observed, recipe=tiny, **given)[-1]
    changed = states(torch.where(known, observed, hidden), recipe=tiny, **given)[-1]
    assert torch.equal(plain.average, changed.average)
    assert torch.equal(plain.loss, changed.loss)


def test_pictures_of_a_batch_are_fitted_as_if_alone(tiny):
    batch = torch.rand(3, 2, 16, 12, generator=torch.Generator().manual_seed(0))
    together = states(batch, recipe=tiny)[-1]
    for index in range(3):
        alone = states(batch[index : index + 1], recipe=tiny)[-1]
        torch.testing.assert_close(together.average[index], alone.average[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.losses[index], alone.losses[0], atol=1e-5, rtol=0)


def test_where_the_network_was_shown_a_value_the_output_is_that_value(picture, mask, masked):
    job = prepare("restore", picture, mask, recipe=masked)
    state = list(job.begin())[-1]
    error, known = (state.average - job.problem.observed).abs(), job.problem.known
    assert error[known].mean() < 0.5 * error[~known].mean()


class Patched:
    """The masked input, whose batches are kept, with the outputs that come of them."""

    patch = 16

    def __init__(self):
        self.scheme = MaskedInput(patch=16)
        self.batches = []

    def build(self, measurement, generator):
        sampler = self.scheme.build(measurement, generator)
        draw = sampler.draw

        def kept():
            self.batches.append(draw())
            return self.batches[-1]

        sampler.draw = kept
        return sampler


class Identical(torch.nn.Module):
    """A network whose correction is one learnt constant, so that its outputs can be computed beside it."""

    def __init__(self):
        super().__init__()
        self.constant = torch.nn.Parameter(torch.full((1, 3, 1, 1), 0.1))

    def forward(self, x):
        return self.constant.expand(len(x), 3, *x.shape[2:])


def test_a_place_has_the_average_of_the_patches_that_covered_it():
    observed = torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    scheme, constants = Patched(), []
    run = untaught.fit(
        observed,
        recipe=untaught.Recipe(network=Identical(), input=scheme, averaging=0.95, iterations=20),
        iterations=20,
        precision="float32",
    )
    (constant,) = run.network.parameters()
    constants.append(constant.detach().clone())
    for state in run:  # noqa: B007
        constants.append(constant.detach().clone())
    decay = max(0.9, 0.95 ** (24 * 20 / (16 * 16)))
    total, weight = torch.zeros(2, 3, 24, 20), torch.zeros(24, 20)
    assert len(scheme.batches) == 20
    for batch, constant in zip(scheme.batches, constants, strict=False):
        rows, columns = (one[0] for one in batch.patch)
        place = (..., rows[:, None], columns)
        output = torch.where(batch.shown, batch.guess, batch.guess + constant).clamp(0, 1)[0]
        weight[place] = weight[place] * decay + 1
        total[place] = total[place] * decay + torch.stack([output, output.square()])
    assert (weight > 0).all()
    torch.testing.assert_close(state.average[0], total[0] / weight)
    torch.testing.assert_close(state.square[0], total[1] / weight)
    assert torch.equal(state.output, state.average)


def test_a_scheme_with_patches_needs_a_first_guess(picture):
    class Guessless(Patched):
        def build(self, measurement, generator):
            sampler = super().build(measurement, generator)
            sampler.first_guess = lambda: None
            return sampler

    observed = torch.from_numpy(picture / 255).float().movedim(-1, 0)[None]
    with pytest.raises(InputError, match="overrides first_guess"):
        untaught.fit(observed, recipe=untaught.Recipe(network=Identical(), input=Guessless(), iterations=2)).finish()


def test_unclipped_outputs_leave_the_range(tiny):
    linear = dataclasses.replace(tiny, network=dataclasses.replace(tiny.network, head="none"), iterations=40)
    observed = torch.full((1, 1, 12, 12), 1.4)
    clipped, free = (untaught.fit(observed, recipe=linear, clip=clip).finish().picture for clip in (True, False))
    assert clipped.max() <= 1
    assert free.max() > 1.1


def test_the_head_of_a_shown_picture_stays_in_range(picture, mask, masked):
    recipe = dataclasses.replace(masked, stopping=NeverStop())
    state = list(prepare("restore", picture, mask, recipe=recipe).begin())[-1]
    assert 0 <= state.output.min() <= state.output.max() <= 1
    assert np.isfinite(state.average.numpy()).all()


@pytest.mark.parametrize(
    ("observed", "options", "error", "message"),
    [
        (torch.rand(3), {}, InputError, "at least one of each"),
        (torch.rand(3, 4), {}, InputError, "how many channels"),
        (torch.full((1, 1, 4, 4), torch.nan), {}, InputError, "no known value"),
        (torch.rand(1, 1, 4, 4), {"mask": torch.zeros(1, 1, 4, 4) > 0}, InputError, "no known value"),
        (torch.rand(1, 1, 4, 4), {"recipe": "best ever"}, SettingError, "best ever"),
        (torch.rand(1, 1, 4, 4), {"iterations": 0}, SettingError, "iterations"),
        (torch.rand(1, 1, 4, 4), {"device": "tpu"}, SettingError, "tpu"),
        (torch.rand(1, 1, 4, 4), {"device": "cuda:77"}, SettingError, "cuda"),
        (torch.rand(1, 1, 4, 4), {"precision": "int8"}, SettingError, "int8"),
    ],
)
def test_bad_input_is_refused_before_the_first_state(observed, options, error, message):
    with pytest.raises(error, match=message):
        untaught.fit(observed, **options)
