"""Runs: stages, resuming, budgets, several seeds, uncertainty."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

import untaught
from untaught.errors import InputError
from untaught.fitting import checkpoint
from untaught.fitting.state import StopReason
from untaught.fitting.stopping import StoppingSettings
from untaught.priors.masked_input import ThinningSettings
from untaught.tasks.preparation import prepare


@pytest.fixture(params=["thinned", "shapes", "held-out noise", "variance", "accumulated", "two runs", "windows"])
def recipe(request, tiny, tiny_accumulated, thinned):
    return {
        "thinned": thinned,
        "shapes": dataclasses.replace(
            thinned,
            thinning=ThinningSettings(pattern="shapes", least=0.7, most=0.8),
            stopping=dataclasses.replace(thinned.stopping, pattern="shapes"),
        ),
        "held-out noise": dataclasses.replace(tiny, stopping=thinned.stopping, iterations=30),
        "variance": dataclasses.replace(
            tiny, stopping=StoppingSettings(rule="variance", every=2, window=5, patience=6)
        ),
        "accumulated": tiny_accumulated,
        "two runs": dataclasses.replace(thinned, runs=2),
        # Of the pictures of these tests, 24 x 20, there are four in the first sweep.
        "windows": dataclasses.replace(thinned, runs=2, thinning=ThinningSettings(pattern="shapes", window=16)),
    }[request.param]


@pytest.mark.parametrize("moment", [1, 7, 20, 33, 36, 39])
def test_resuming_gives_the_same_picture_to_the_bit(picture, mask, recipe, moment, tmp_path):
    job = prepare("restore", picture, mask, recipe=recipe)
    whole = job.begin().finish()
    first = job.begin()
    list(itertools.islice(iter(first), min(moment, whole.iterations - 1)))
    checkpoint.save(tmp_path / "moment", first.snapshot())
    again = prepare("restore", picture, mask, recipe=recipe).begin(checkpoint.load(tmp_path / "moment")).finish()
    np.testing.assert_array_equal(again.picture, whole.picture)
    assert again.history["loss"] == whole.history["loss"]
    assert again.stop_reason == whole.stop_reason
    assert again.expected_psnr == whole.expected_psnr
    if whole.uncertainty is not None:
        np.testing.assert_array_equal(again.uncertainty, whole.uncertainty)


def test_a_checkpoint_of_another_picture_is_refused(picture, mask, thinned, tiny):
    run = prepare("restore", picture, mask, recipe=thinned).begin()
    next(iter(run))
    with pytest.raises(InputError, match="does not belong"):
        prepare("restore", picture, mask, recipe=tiny).begin(run.snapshot())


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "broken").write_bytes(content)
    with pytest.raises(InputError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "broken")


def test_the_history_is_that_of_every_state(picture, mask, thinned):
    losses = []
    recipe = dataclasses.replace(thinned, stopping=StoppingSettings(), iterations=150)
    job = prepare("restore", picture, mask, recipe=recipe)
    result = job.run([lambda state: losses.append(float(state.loss))])
    assert result.history["loss"] == losses
    assert result.history["iteration"] == list(range(1, 151))


def test_fitting_goes_on_after_the_end(picture, mask, thinned):
    run = prepare("restore", picture, mask, recipe=thinned).begin()
    ended = run.finish().iterations
    assert run.finished
    run.continue_for(5)
    assert run.finish().iterations == ended + 5


def test_held_out_pixels_are_put_back(picture, mask, thinned):
    """The last stage is fitted to values that the first was not shown."""
    job = prepare("restore", picture, mask, recipe=thinned)
    run = job.begin()
    held = run._held
    assert held.any()
    assert not (held & ~job.problem.known).any()
    seen_in_search = seen_in_refit = False
    for _ in run:
        compared = run._fit.source.draw().compared
        if run._in_search:
            seen_in_search |= bool((compared & held).any())
        else:
            seen_in_refit |= bool((compared & held).any())
    assert not seen_in_search
    assert seen_in_refit


def test_hidden_values_cannot_leak_through_any_recipe(picture, mask, recipe):
    plain = untaught.restore(picture, mask, recipe=recipe)
    changed = untaught.restore(np.where(mask[..., None], picture, np.uint8(255)), mask, recipe=recipe)
    np.testing.assert_array_equal(plain.picture, changed.picture)


def test_several_runs_are_the_mean_of_each_alone(picture, mask, tiny):
    job = prepare("restore", picture, mask, recipe=tiny, keep_known=False, precision="float32")
    alone = [list(dataclasses.replace(job, seed=seed).begin())[-1].average for seed in (5, 6)]
    together = list(dataclasses.replace(job, seed=5, recipe=dataclasses.replace(tiny, runs=2)).begin())[-1]
    torch.testing.assert_close(together.average, (alone[0] + alone[1]) / 2, atol=1e-5, rtol=0)
    assert together.average.shape == alone[0].shape
    assert (together.spread >= 0.9 * (alone[0] - alone[1]).abs() / 2).float().mean() > 0.95


def test_a_time_budget_is_kept(picture, mask, thinned):
    endless = dataclasses.replace(
        thinned, iterations=10**6, stopping=dataclasses.replace(thinned.stopping, patience=10**6)
    )
    result = untaught.restore(picture, mask, recipe=endless, time_budget=1.0)
    assert result.stop_reason is StopReason.TIME
    assert 0.8 < result.seconds < 2
    with pytest.raises(InputError, match="time budget"):
        untaught.restore(picture, mask, recipe=endless, time_budget=0)


def test_a_run_stops_by_itself_and_says_why(picture, mask, thinned):
    patient = dataclasses.replace(thinned, iterations=3000)
    result = untaught.restore(picture, mask, recipe=patient)
    assert result.stop_reason is StopReason.HELD_OUT
    assert result.iterations < 3000


def test_uncertainty_covers_the_error_as_often_as_it_says(thinned):
    """On a picture with structure at all scales, nine times out of ten, give or take what so few pixels allow."""
    y, x = np.mgrid[0:64, 0:64] / 64
    clean = 0.5 + 0.2 * np.sin(20 * x * y) + 0.2 * np.cos(9 * x + 30 * y * y)
    known = np.random.default_rng(0).random(clean.shape) > 0.5
    result = untaught.restore(np.where(known, clean, 0), known, recipe=dataclasses.replace(thinned, iterations=120))
    assert result.uncertainty.shape == clean.shape
    assert (result.uncertainty[known] == 0).all()
    covered = (np.abs(result.picture - clean) <= result.uncertainty)[~known].mean()
    assert 0.8 < covered < 0.98
    error = np.square(result.picture - clean)[~known].mean()
    assert abs(result.expected_psnr + 10 * np.log10(error)) < 2.5


def test_the_interval_is_of_the_moment_when_it_was_measured(picture, mask, thinned):
    """Going on with every value makes the outputs agree, and does not make the interval narrower."""
    run = prepare("restore", picture, mask, recipe=thinned).begin()
    ended = run.finish()
    run.continue_for(10)
    np.testing.assert_array_equal(run.finish().uncertainty, ended.uncertainty)
    assert (ended.uncertainty[~mask] > 0).all()


def test_too_few_known_pixels_are_not_held_out(thinned):
    image = np.arange(1, 17, dtype=np.uint8).reshape(4, 4)
    known = np.ones((4, 4), bool)
    known[1, 1] = False
    result = untaught.restore(image, known, recipe=thinned)
    assert result.expected_psnr is None
    assert result.uncertainty is None


def test_what_is_shown_stands_in_the_output(picture, mask, thinned):
    """Where the network was shown a value it is asked for nothing: the output there is the value."""
    job = prepare("restore", picture, mask, recipe=thinned)
    state = list(job.begin())[-1]
    error, known = (state.average - job.problem.observed).abs(), job.problem.known
    assert error[known].mean() < 0.5 * error[~known].mean()


def test_a_place_has_the_average_of_the_windows_that_it_was_in(picture, mask, thinned):
    recipe = dataclasses.replace(
        thinned, thinning=ThinningSettings(window=16), stopping=StoppingSettings(), averaging=0.95
    )
    run = prepare("restore", picture, mask, recipe=recipe, iterations=20).begin()
    fit, outputs = run._fit, []
    real = fit.take_up
    fit.take_up = lambda output, decay, window: (outputs.append((output, window)), real(output, decay, window))
    *_, last = run
    decay = max(0.9, 0.95 ** (24 * 20 / (16 * 16)))
    total, weight = torch.zeros(2, 3, 24, 20), torch.zeros(24, 20)
    for output, (rows, columns) in outputs:
        place = (..., rows[0][:, None], columns[0])
        weight[place] = weight[place] * decay + 1
        total[place] = total[place] * decay + torch.stack([output[0], output[0].square()])
    assert (weight > 0).all()
    torch.testing.assert_close(last.average[0], total[0] / weight)
    torch.testing.assert_close(last.square[0], total[1] / weight)
    assert last.output is last.average
