"""The answer so far is never worse on held-out values than the classical picture or the network's."""

import numpy as np
import pytest
import torch

from untaught.errors import InputError
from untaught.fitting.gaps import width_classes
from untaught.fitting.stacking import Stacking
from untaught.imaging.group_completion import GroupCompletion
from untaught.tasks.classical import fill
from untaught.tasks.preparation import prepare


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch):
    """The pictures are small, so few values are held out."""
    monkeypatch.setattr("untaught.fitting.stacking._FEWEST_WATCHED", 20)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    observed = torch.rand(1, 3, 64, 64, generator=generator)
    known = torch.rand(1, 1, 64, 64, generator=generator).expand(1, 3, 64, 64) > 0.4
    held = (torch.rand(1, 1, 64, 64, generator=generator) > 0.8) & known
    return observed, known, held


def wrong_by(observed, amount, seed):
    generator = torch.Generator().manual_seed(seed)
    return observed + amount * torch.randn(observed.shape, generator=generator)


def stacking_of(case, amount):
    observed, known, held = case
    classical = wrong_by(observed, amount, 1)
    return Stacking(lambda values, shown: torch.where(shown, values, classical), observed, known, held)


def test_it_begins_with_the_classical_picture(case):
    stacking = stacking_of(case, 0.1)
    assert torch.equal(stacking.frozen()(torch.zeros_like(case[0])), stacking.classical)
    assert stacking.share == 0


@pytest.mark.parametrize(("classical", "network"), [(0.1, 0.02), (0.02, 0.1), (0.05, 0.05)])
def test_the_better_one_weighs_more(case, classical, network):
    observed, _, held = case
    stacking = stacking_of(case, classical)
    average = wrong_by(observed, network, 2)
    stacking.look(average)
    error = stacking.errors(average).square().mean()
    alone = []
    for amount, seed in ((classical, 1), (network, 2)):
        alone.append(float((wrong_by(observed, amount, seed) - observed)[held].square().mean()))
    assert error <= min(alone) * 1.001
    assert (stacking.share > 0.5) == (network < classical) or classical == network


def test_what_no_patch_has_shown_is_no_evidence(case):
    observed, _, _ = case
    stacking = stacking_of(case, 0.05)
    visited = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    visited[..., :32] = True
    # Where there was no patch the average is the truth, as at the start; where there was one, it is bad.
    average = torch.where(visited, wrong_by(observed, 0.5, 3), observed)
    stacking.look(average, visited)
    assert stacking.share < 0.05


@pytest.mark.parametrize(("average", "mean"), [(0.1, 0.02), (0.02, 0.1), (0.05, 0.05)])
def test_the_network_s_two_pictures_are_mixed_by_their_errors(case, average, mean):
    observed, _, _ = case
    stacking = stacking_of(case, 0.5)
    outputs, stacking.evaluated = wrong_by(observed, average, 2), wrong_by(observed, mean, 4)
    stacking.look(outputs)
    expected = average**2 / (average**2 + mean**2)
    assert stacking.mixture == pytest.approx(expected, abs=0.05)
    assert stacking.errors(outputs).square().mean() < 1.02 * average**2 * mean**2 / (average**2 + mean**2)
    mixed = expected * stacking.evaluated + (1 - expected) * outputs
    stacking.weights.fill_(1)
    assert torch.allclose(stacking.frozen()(outputs.clone()), mixed, atol=0.05)


def test_the_width_of_gaps():
    known = torch.ones(1, 1, 80, 80, dtype=torch.bool)
    known[..., 10, :] = False
    known[..., 40:61, 20:41] = False
    classes = width_classes(known)[0, 0]
    assert classes[10].max() == 0
    assert classes[50, 30] == 4
    assert classes[40, 20] == 0
    assert classes[0].max() == 0


def test_each_channel_has_gaps_of_its_own():
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(1, 6, 40, 300, generator=generator) > 0.5
    # No pixel is known in all channels, and no channel has a wide gap.
    assert not known.all(1).float().mean() > 0.05
    assert width_classes(known).shape == known.shape
    assert width_classes(known).max() <= 1
    assert torch.equal(width_classes(known)[:, 2], width_classes(known[:, 2:3])[:, 0])


def test_a_large_picture_is_measured_in_bands():
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(1, 1, 700, 60, generator=generator) > 0.01
    known[..., 240:280, 10:50] = False
    turned = width_classes(known.transpose(-2, -1)).transpose(-2, -1)
    assert torch.equal(width_classes(known), turned)


@pytest.mark.parametrize("moment", [1, 3])
def test_a_large_hole_is_filled_classically_but_for_its_rim_and_goes_on_to_the_same_bits(moment):
    y, x = np.mgrid[:64, :64] / 64
    picture = (0.5 + 0.4 * np.sin(9 * x + 4 * y)).astype(np.float32)
    known = np.ones((64, 64), bool)
    known[8:56, 8:56] = False
    job = prepare("inpaint", picture, known, recipe="fast", iterations=4, device="cpu")
    run = job.begin()
    moments = []
    for state in run:
        average, answer = state.average[0, 0].numpy(), state.picture[0, 0].numpy()
        moments.append((average, answer, run.snapshot()))
    average, answer, saved = moments[moment]
    classical = fill(torch.from_numpy(np.where(known, picture, 0))[None, None], torch.from_numpy(known)[None, None])
    both = np.stack([average, classical[0, 0].numpy()])
    np.testing.assert_allclose(answer[17:47, 17:47], both[1, 17:47, 17:47], atol=1e-6)
    assert (answer >= both.min(0) - 1e-6).all()
    assert (answer <= both.max(0) + 1e-6).all()
    assert "biharmonic" in " ".join(run.restoration().notes)
    again = job.begin(saved)
    np.testing.assert_array_equal(again.last.picture[0, 0].numpy(), answer)
    np.testing.assert_array_equal(again.finish().picture, run.restoration().picture)


@pytest.fixture
def stripes():
    """A picture that repeats itself, what is known of it, and what is held out."""
    rows, columns = np.mgrid[:64, :64]
    observed = torch.from_numpy(0.5 + 0.3 * np.sin(0.9 * rows + 0.4 * columns)).float()[None, None]
    draw = np.random.default_rng(0).random((1, 1, 64, 64))
    return observed, torch.from_numpy(draw > 0.5), torch.from_numpy(draw > 0.95)


def wrong(stacking, observed, known):
    return float((stacking.classical - observed)[~known].square().mean())


def test_gaps_are_completed_bit_by_bit_and_again_with_all_that_is_known(stripes):
    observed, known, held = stripes
    stacking = Stacking(fill, observed, known, held, ())
    smooth, calls = wrong(stacking, observed, known), 0
    while not stacking.shares.any():
        assert torch.equal(stacking.classical, stacking.smooth)
        stacking.complete(100)
        calls += 1
    assert 3 < calls < 20
    assert stacking.shares[0] > 0.95
    completed = wrong(stacking, observed, known)
    assert completed < 0.1 * smooth
    stacking.settle(hopeless=False)
    for _ in range(10):
        stacking.complete_again(lambda: stacking.classical, 100, last=False)
    assert stacking.watches
    most = wrong(stacking, observed, known)
    assert most < completed
    for _ in range(10):
        stacking.complete_again(lambda: stacking.classical, 100, last=True)
    assert not stacking.watches
    assert wrong(stacking, observed, known) < completed
    assert torch.equal(stacking.classical[known], observed[known])


def test_a_completion_that_is_worse_on_held_out_values_is_left_out(stripes, monkeypatch):
    observed, known, held = stripes
    monkeypatch.setattr(GroupCompletion, "finished", True)
    monkeypatch.setattr(GroupCompletion, "step", lambda completion: spoil(completion) or True)

    def spoil(completion):
        completion.picture = torch.where(completion._known, completion.picture, completion.picture * 0)

    stacking = Stacking(fill, observed, known, held, ())
    before = stacking.classical.clone()
    stacking.complete(1)
    assert stacking.shares.max() < 0.05
    assert (stacking.classical - before).abs().max() < 0.05
    stacking.settle(hopeless=False)
    stacking.complete_again(lambda: stacking.classical, 1, last=True)


def test_without_strips_nothing_is_completed(stripes):
    stacking = Stacking(fill, *stripes)
    stacking.complete(1)
    stacking.complete_again(lambda: stacking.classical, 1, last=True)
    assert torch.equal(stacking.classical, stacking.smooth)


@pytest.mark.parametrize("calls", [2, 40], ids=["in the middle", "at the end"])
@pytest.mark.parametrize("again", [False, True, "last"])
def test_a_completion_continues_from_its_facts(stripes, calls, again):
    observed, known, held = stripes
    one = Stacking(fill, observed, known, held, ())
    for _ in range(calls if not again else 40):
        one.complete(100)
    if again:
        one.settle(hopeless=False)
        for _ in range(calls):
            one.complete_again(lambda: one.classical, 100, last=again == "last")
    other = Stacking(fill, observed, known, held, ())
    other.restore(one.facts(), {name: tensor.clone() for name, tensor in one.tensors().items()}, again=bool(again))
    assert other.facts() == one.facts()
    assert bool(other._shortest) == bool(again)
    for _ in range(40):
        for stacking in (one, other):
            if again:
                stacking.complete_again(lambda stacking=stacking: stacking.classical, 100, last=again == "last")
            else:
                stacking.complete(100)
    assert torch.equal(one.classical, other.classical)
    assert torch.equal(one.shares, other.shares)
    assert torch.equal(one.shown, other.shown)


def completed_stacking(stripes):
    """Of a noisy picture, so that the completed one is not exact."""
    observed, known, held = stripes
    observed += 0.05 * torch.randn(observed.shape, generator=torch.Generator().manual_seed(0))
    stacking = Stacking(fill, observed, known, held, ())
    while not stacking.shares.any():
        stacking.complete(1)
    return stacking


def test_some_held_out_values_tell_the_share_of_a_network_that_became_good_late(stripes):
    observed, known, held = stripes
    stacking = completed_stacking(stripes)
    stacking.look(wrong_by(observed, 1.4 * wrong(stacking, observed, known) ** 0.5, 1))
    assert stacking.share < 0.5
    stacking.settle(hopeless=False)
    watched = known & ~stacking.shown
    assert 0.2 < watched.sum() / held.sum() < 0.5
    assert not (watched & ~held).any()
    # The classical picture knows nothing of them.
    hidden, missing = ((stacking.classical - observed)[where].square().mean() for where in (watched, ~known))
    assert 0.3 * missing < hidden < 3 * missing
    stacking.complete_again(lambda: stacking.classical, 1, last=False)
    assert not torch.equal(stacking.classical[watched], observed[watched])
    before = wrong(stacking, observed, known)
    # As good as the completed picture, with errors of its own.
    network = wrong_by(observed, before**0.5, 2)
    stacking.look(network)
    share = stacking.share
    assert 0.1 < share < 0.7
    answer = stacking.frozen()(network.clone())
    assert float((answer - observed)[~known].square().mean()) < 0.9 * before
    stacking.complete_again(lambda: answer, 1, last=True)
    assert stacking.share == pytest.approx(share / 2)


def test_a_network_that_is_far_worse_is_given_up(stripes):
    stacking = completed_stacking(stripes)
    stacking.look(torch.zeros_like(stripes[0]))
    assert stacking.hopeless(500, 600), stacking._deficit
    assert not stacking.hopeless(1, 10_000)
    stacking.settle(hopeless=True)
    assert stacking.shortest >= 20
    assert not stacking.watches
    assert torch.equal(stacking.shown, stripes[1])


def test_one_that_is_little_worse_is_not(stripes):
    stacking = completed_stacking(stripes)
    stacking.look(wrong_by(stripes[0], 1.2 * wrong(stacking, *stripes[:2]) ** 0.5, 1))
    assert not stacking.hopeless(500, 600)


@pytest.mark.parametrize("moment", [0.3, 0.6, 0.95])
def test_a_run_whose_held_out_values_are_watched_goes_on_to_the_same_bits(moment):
    rows, columns = np.mgrid[:64, :64]
    picture = (0.5 + 0.3 * np.sin(0.9 * rows + 0.4 * columns)).astype(np.float32)
    known = np.random.default_rng(0).random((64, 64)) > 0.1
    noisy = (picture + np.random.default_rng(1).normal(0, 0.1, (64, 64)).astype(np.float32)).clip(0, 1)
    job = prepare("restore", noisy, known, recipe="balanced", iterations=100, device="cpu")
    run, saved, watching = job.begin(), None, set()
    for state in run:
        watching.add((run.progress.in_search, run._stacking.watches, run._stacking._round))
        if state.iteration == round(100 * moment):
            saved = run.snapshot()
    assert {(False, True, 1), (False, False, 2)} <= watching
    again = job.begin(saved)
    np.testing.assert_array_equal(again.finish().picture, run.restoration().picture)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("done", "x"), ("done", -1), ("shares", [0.5]), ("shares", [2.0] * 6), ("round", 3), ("round", True)),
        *(("watches", "yes"), ("deficit", float("nan")), ("deficit", "x"), ("shortest", -1), ("shortest", None)),
    ],
)
def test_forged_facts_of_a_completion_are_refused(stripes, name, value):
    observed, known, _ = (one[0, 0].numpy() for one in stripes)
    job = prepare("restore", observed, known, recipe="balanced", iterations=6, device="cpu")
    run = job.begin()
    run.finish()
    saved = run.snapshot()
    assert name in saved.values["completion"]
    saved.values["completion"][name] = value
    with pytest.raises(InputError, match="does not belong"):
        job.begin(saved)
