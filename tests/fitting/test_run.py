"""Runs: stages, resuming, leaving, cancelling, budgets, several seeds, uncertainty."""

import dataclasses
import itertools
import json
import pickle
import threading

import numpy as np
import pytest
import torch

import untaught
from untaught import HeldOut, InputError, MaskedInput, NeverStop, ObserverError, StopReason, UntaughtError
from untaught.fitting import checkpoint
from untaught.tasks.preparation import prepare


def recipes(tiny, tiny_accumulated, masked):
    valley = untaught.VarianceValley(every=2, window=5, patience=6)
    shapes = MaskedInput(pattern="shapes", least=0.7, most=0.8)
    return {
        "masked": masked,
        "shapes": dataclasses.replace(
            masked, input=shapes, stopping=dataclasses.replace(masked.stopping, pattern="shapes")
        ),
        "held-out noise": dataclasses.replace(tiny, stopping=masked.stopping, iterations=30),
        "variance": dataclasses.replace(tiny, stopping=valley),
        "windowed variance": dataclasses.replace(
            tiny, stopping=untaught.WindowedVarianceValley(every=2, window=3, patience=6)
        ),
        "accumulated": tiny_accumulated,
        "two runs": dataclasses.replace(masked, runs=2),
        # The first sweep over a picture of 24 x 20 has four patches.
        "patches": dataclasses.replace(masked, runs=2, input=MaskedInput(pattern="shapes", patch=16)),
    }


NAMES = "masked", "shapes", "held-out noise", "variance", "windowed variance", "accumulated", "two runs", "patches"


@pytest.fixture(params=NAMES)
def recipe(request, tiny, tiny_accumulated, masked):
    return recipes(tiny, tiny_accumulated, masked)[request.param]


def begin(picture, mask, recipe, saved=None, **options):
    return prepare("restore", picture, mask, recipe=recipe, **options).begin(saved)


@pytest.fixture
def observed(picture):
    return torch.from_numpy(picture / 255).float().movedim(-1, 0)[None]


# Going on from a checkpoint ------------------------------------------------------------------------------------------


def test_a_resumed_run_gives_the_same_bits(picture, mask, recipe, tmp_path):
    whole = begin(picture, mask, recipe).finish()
    moments = {min(moment, whole.iterations - 1) for moment in (1, 20, 36)}
    first = begin(picture, mask, recipe)
    for state in itertools.islice(first, max(moments)):
        if state.iteration in moments:
            first.save(tmp_path / str(state.iteration))
    for moment in moments:
        resumed = begin(picture, mask, recipe, saved=checkpoint.load(tmp_path / str(moment)))
        assert same(resumed.finish(), whole), moment


def same(one, other):
    """Equal but for the time."""
    blank = {"elapsed": []}
    return dataclasses.replace(one, seconds=0.0, history={**one.history, **blank}) == dataclasses.replace(
        other, seconds=0.0, history={**other.history, **blank}
    )


@pytest.mark.parametrize("kind", ["path", "text", "snapshot"])
def test_fit_resumes_what_run_saved(observed, masked, kind, tmp_path):
    path = tmp_path / "checkpoint"

    def again(**more):
        return untaught.fit(observed, recipe=masked, **more)

    whole = again().finish()
    first = again()
    list(itertools.islice(first, 21))
    first.save(path)
    saved = {"path": path, "text": str(path), "snapshot": first.snapshot()}[kind]
    resumed = again(resume=saved)
    assert resumed.last.iteration == 21
    assert resumed.last.input is None, "the input is not kept"
    assert same(resumed.finish(), whole)


def test_a_learnt_operator_is_resumed(observed, tiny, tmp_path):
    class Gain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.ones(1, 3, 1, 1))

        def forward(self, picture):
            return picture * self.factor

    gain = Gain()
    whole = untaught.fit(observed, gain, recipe=tiny).finish()
    first = untaught.fit(observed, gain, recipe=tiny)
    list(itertools.islice(first, 5))
    first.save(tmp_path / "checkpoint")
    assert same(untaught.fit(observed, gain, recipe=tiny, resume=tmp_path / "checkpoint").finish(), whole)
    assert (gain.factor == 1).all(), "the user's operator is left alone"


def test_a_checkpoint_of_another_recipe_is_refused(picture, mask, masked, tiny):
    run = begin(picture, mask, masked)
    next(iter(run))
    with pytest.raises(InputError, match="does not belong"):
        prepare("restore", picture, mask, recipe=tiny).begin(run.snapshot())


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_checkpoint_is_refused(observed, tiny, tmp_path, content):
    (tmp_path / "broken").write_bytes(content)
    with pytest.raises(InputError, match="not a checkpoint"):
        untaught.fit(observed, recipe=tiny, resume=tmp_path / "broken")


def test_a_run_continues_after_its_end(picture, mask, masked):
    run = begin(picture, mask, masked)
    ended = run.finish().iterations
    assert run.finished
    run.continue_for(5)
    assert run.finish().iterations == ended + 5


@pytest.mark.parametrize("name", ["masked", "patches", "variance"])
def test_a_run_pickles_between_two_states(picture, mask, tiny, tiny_accumulated, masked, name):
    recipe = recipes(tiny, tiny_accumulated, masked)[name]
    whole = begin(picture, mask, recipe).finish()
    for moment in (0, 7):
        run = begin(picture, mask, recipe)
        list(itertools.islice(run, moment))
        copy = pickle.loads(pickle.dumps(run))
        assert copy.finished == run.finished
        assert copy.progress == run.progress
        assert same(copy.finish(), whole)
    assert pickle.loads(pickle.dumps(whole)) == whole


# The result ----------------------------------------------------------------------------------------------------------


def test_two_results_are_equal_if_all_their_values_are(observed, tiny):
    one = untaught.fit(observed, recipe=tiny).finish()
    assert one == dataclasses.replace(one, picture=one.picture.clone())
    for change in (
        {"picture": one.picture + 1e-6},
        {"picture": one.picture.numpy()},
        {"seed": 1},
        {"notes": ("another",)},
        {"history": {**one.history, "loss": one.history["loss"][:-1]}},
        {"found": {"kernel": torch.ones(1)}},
        {"uncertainty": np.ones(3)},
    ):
        assert one != dataclasses.replace(one, **change), change
    assert one != "a restoration"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_a_summary_is_everything_but_the_pictures_as_json(observed, tiny):
    result = untaught.fit(observed, recipe=tiny).finish()
    summary = json.loads(json.dumps(result.summary()))
    assert summary["iterations"] == 12
    assert summary["stop_reason"] == "the iteration limit was reached"
    assert {"picture", "uncertainty", "found"}.isdisjoint(summary)


def test_the_history_is_that_of_every_state(picture, mask, masked):
    losses = []
    recipe = dataclasses.replace(masked, stopping=NeverStop(), iterations=150)
    result = begin(picture, mask, recipe).finish([lambda state: losses.append(float(state.loss))])
    assert result.history["loss"] == losses
    assert result.history["iteration"] == list(range(1, 151))


def test_there_is_no_result_before_the_first_state(observed, tiny):
    with pytest.raises(UntaughtError, match="before the first iteration"):
        untaught.fit(observed, recipe=tiny).restoration()


# Leaving, cancelling, stopping ---------------------------------------------------------------------------------------


def test_a_left_loop_has_a_result_and_goes_on(observed, masked):
    whole = untaught.fit(observed, recipe=masked).finish()
    run = untaught.fit(observed, recipe=masked)
    for state in run:
        if state.iteration == 3:
            break
    left = run.restoration()
    assert (left.iterations, left.stop_reason) == (3, StopReason.LEFT)
    assert torch.equal(left.picture, state.average)
    assert same(run.finish(), whole)


def test_progress_tells_the_stage(observed, masked):
    run = untaught.fit(observed, recipe=masked)
    assert run.progress == untaught.Progress(True, 34, 40, 0, None)
    stages = []
    for state in run:
        now = run.progress
        stages.append(now.in_search)
        assert state.iteration <= now.until
        assert (now.gives_up_at is None) == (not now.in_search or now.best_iteration == 0)
    assert stages == sorted(stages, reverse=True)
    assert set(stages) == {True, False}


def test_a_run_is_cancelled_from_another_thread(observed, tiny):
    run = untaught.fit(observed, recipe=tiny, iterations=10**9)
    started, result = threading.Event(), []
    thread = threading.Thread(target=lambda: result.append(run.finish([lambda _: started.set()])))
    thread.start()
    assert started.wait(60)
    run.cancel()
    thread.join(60)
    assert run.finished
    assert result[0].stop_reason is StopReason.CANCELLED
    assert result[0].iterations == run.last.iteration >= 1


@pytest.mark.parametrize("how", ["cancel", "StopFit"])
def test_a_cancelled_run_returns_its_best_moment_and_can_be_continued(observed, masked, how):
    run = untaught.fit(observed, recipe=masked)

    def end(state):
        if state.iteration == 11:
            if how == "StopFit":
                raise untaught.StopFit
            run.cancel()

    best = {}
    for state in untaught.fit(observed, recipe=masked):
        best[state.iteration] = state.average
        if state.iteration == 12:
            break
    result = run.finish([end])
    assert result.stop_reason is StopReason.CANCELLED
    assert result.iterations in (11, 12)
    assert torch.equal(result.picture, best[run.progress.best_iteration])
    run.continue_for(4)
    assert run.finish().iterations == result.iterations + 4


def test_a_second_thread_is_refused_and_the_first_goes_on(observed, tiny):
    whole = untaught.fit(observed, recipe=tiny).finish()
    run = untaught.fit(observed, recipe=tiny)
    errors = []

    def second():
        try:
            run.finish()
        except UntaughtError as error:
            errors.append(str(error))

    for state in run:
        if state.iteration == 4:
            thread = threading.Thread(target=second)
            thread.start()
            thread.join(60)
    assert len(errors) == 1
    assert "give each thread a run of its own" in errors[0]
    assert same(run.restoration(), whole)


def test_an_observer_that_raises_gives_the_result_so_far(observed, tiny):
    def observer(state):
        if state.iteration == 5:
            raise ZeroDivisionError("by zero")

    run = untaught.fit(observed, recipe=tiny)
    with pytest.raises(ObserverError, match="observer raised ZeroDivisionError: by zero") as caught:
        run.finish([observer])
    error = caught.value
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert (error.restoration.iterations, error.restoration.stop_reason) == (5, StopReason.LEFT)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.restoration == error.restoration
    assert run.finish().iterations == 12


def test_an_interrupted_run_gives_the_result_so_far_and_goes_on(observed, tiny):
    def observer(state):
        if state.iteration == 5:
            raise KeyboardInterrupt

    run = untaught.fit(observed, recipe=tiny)
    with pytest.raises(untaught.Interrupted) as caught:
        run.finish([observer])
    result = caught.value.restoration
    assert (result.iterations, result.stop_reason) == (5, StopReason.INTERRUPTED)
    assert pickle.loads(pickle.dumps(caught.value)).restoration == result
    assert run.finish().stop_reason is StopReason.ITERATIONS


def test_a_time_budget_is_kept(picture, mask, masked):
    endless = dataclasses.replace(masked, iterations=10**6, stopping=HeldOut(every=3, patience=10**6))
    result = untaught.restore(picture, mask, recipe=endless, time_budget=1.0)
    assert result.stop_reason is StopReason.TIME
    assert 0.8 < result.seconds < 2
    with pytest.raises(InputError, match="time_budget"):
        untaught.restore(picture, mask, recipe=endless, time_budget=0)


def test_a_run_stops_by_itself_and_says_why(picture, mask, masked):
    result = untaught.restore(picture, mask, recipe=dataclasses.replace(masked, iterations=3000))
    assert result.stop_reason is StopReason.HELD_OUT
    assert result.iterations < 3000


# Several pictures and runs -------------------------------------------------------------------------------------------


def test_several_runs_are_the_mean_of_each_alone(picture, mask, tiny):
    job = prepare("restore", picture, mask, recipe=tiny, keep_known=False, precision="float32")
    alone = [list(dataclasses.replace(job, seed=seed).begin())[-1].average for seed in (5, 6)]
    together = list(dataclasses.replace(job, seed=5, recipe=dataclasses.replace(tiny, runs=2)).begin())[-1]
    torch.testing.assert_close(together.average, (alone[0] + alone[1]) / 2, atol=1e-5, rtol=0)
    assert together.average.shape == alone[0].shape
    assert (together.spread >= 0.9 * (alone[0] - alone[1]).abs() / 2).float().mean() > 0.95


def test_several_runs_with_an_operator_that_has_data_for_each_picture(tiny):
    generator = torch.Generator().manual_seed(0)
    observed = torch.rand(2, 3, 16, 12, generator=generator)
    known = torch.rand(2, 1, 16, 12, generator=generator) > 0.5
    options = {"recipe": tiny, "precision": "float32"}
    together = untaught.fit(observed, untaught.Mask(known), runs=2, **options).finish().picture
    for number in range(2):
        one = slice(number, number + 1)
        alone = [
            untaught.fit(observed[one], untaught.Mask(known[one]), seed=seed, **options).finish().picture
            for seed in (0, 1)
        ]
        torch.testing.assert_close(together[one], (alone[0] + alone[1]) / 2, atol=1e-5, rtol=0)


def test_hidden_values_cannot_leak_through_any_recipe(picture, mask, recipe):
    plain = untaught.restore(picture, mask, recipe=recipe)
    for hidden in (255, 0):
        changed = untaught.restore(np.where(mask[..., None], picture, np.uint8(hidden)), mask, recipe=recipe)
        np.testing.assert_array_equal(plain.picture, changed.picture)


@pytest.mark.parametrize("name", ["balanced", "fast"])
def test_a_recipe_and_its_name_give_the_same_bits_for_a_picture_larger_than_a_patch(name):
    recipe = untaught.find_recipe("inpaint", name)
    side = recipe.patch + 24
    picture = np.random.default_rng(0).random((16, side))
    known = np.random.default_rng(1).random((16, side)) > 0.2
    by_name, by_value = (untaught.inpaint(picture, known, recipe=one, iterations=2) for one in (name, recipe))
    assert by_name.picture.tobytes() == by_value.picture.tobytes()
    assert by_name.recipe == by_value.recipe
    adapted = recipe.for_size(picture.shape, torch.from_numpy(~known))
    assert adapted != recipe
    assert by_value.recipe["stopping"]["patience"] == adapted.stopping.patience


RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(60, 200, (24, 28), np.uint8)
GRAIN = np.clip(128 + 30 * (RANDOM.normal(0, 1, (65, 65))[1:, 1:] + RANDOM.normal(0, 1, (65, 65))[:-1, 1:]), 0, 255)
EVERY = {
    "inpaint": {"image": GRAY, "mask": GRAY > 70},
    "restore": {"image": GRAY, "mask": GRAY > 100},
    "denoise": {"image": GRAY, "noise": 20, "strength": 1.2},
    "denoise by a model": {"image": GRAIN.astype(np.uint8)},
    "denoise photons": {"image": GRAY, "kind": "poisson"},
    "upscale": {"image": GRAY, "factor": 2},
    "deblur": {"image": GRAY, "blur": "gaussian", "radius": 1},
    "dejpeg": {"image": GRAY, "quality": 30},
    "demosaic": {"image": GRAY},
    "guide": {"image": GRAY, "guide": GRAY[::-1].copy(), "noise": 20},
    "separate": {"image": GRAY, "other": GRAY[::-1].copy()},
}


@pytest.mark.parametrize("name", EVERY)
def test_a_run_of_every_task_pickles(name):
    run = prepare(name.split()[0], **EVERY[name], device="cpu", iterations=2).begin()
    next(iter(run))
    copy = pickle.loads(pickle.dumps(run))
    assert np.array_equal(run.finish().picture, copy.finish().picture)
