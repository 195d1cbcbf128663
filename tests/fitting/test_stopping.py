"""Stop rules: each finds the moment between picture and damage, and resumes to the same numbers."""

import json

import pytest
import torch

import untaught
from untaught import (
    Discrepancy,
    HeldOut,
    NeverStop,
    OwnRule,
    ResidualPeak,
    SettingError,
    State,
    VarianceValley,
    WindowedVarianceValley,
)
from untaught.fitting.stopping import RULES, EarlyStopping, Evidence
from untaught.physics.linear import Identity

CLEAN = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
NOISY = CLEAN + 0.1 * torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(1))


def state(iteration, output, loss=None):
    loss = output.mean() if loss is None else loss
    return State(
        iteration=iteration, iterations=400, loss=loss, losses=loss[None], average=output, square=output.square()
    )


def states(count: int = 400):
    """A fit: from gray to the clean picture by iteration 100, there until 200, and then to the noise."""
    generator = torch.Generator().manual_seed(2)
    for iteration in range(1, count + 1):
        to_clean = 1 - 0.5 ** (iteration / 12)
        to_noise = min(1.0, max(0.0, (iteration - 200) / 150))
        trembling = 0.002 * torch.randn(CLEAN.shape, generator=generator) * (1 + 5 * to_noise)
        output = 0.5 + to_clean * (CLEAN - 0.5) + to_noise * (NOISY - CLEAN) + trembling
        yield state(iteration, output, (output - NOISY).square().mean())


def evidence(observed=None):
    """What a rule may look at: held-out values have noise of their own."""
    held = torch.rand(CLEAN.shape, generator=torch.Generator().manual_seed(3)) > 0.5
    other = CLEAN + 0.05 * torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(4))
    everywhere = torch.ones(CLEAN.shape, dtype=torch.bool)
    return Evidence(other if observed is None else observed, everywhere, held, Identity())


class Distance:
    """A user's rule: the distance from the clean picture, with a memory of the last two."""

    def __init__(self):
        self.last = []

    def update(self, state):
        self.last = [*self.last[-1:], float((state.average - CLEAN).square().mean())]
        return sum(self.last)

    def state(self):
        return {"last": torch.tensor(self.last, dtype=torch.float64)}

    def restore(self, state):
        self.last = state["last"].tolist()


WAIT = {"every": 1, "patience": 60}
RULE = {
    "held-out": HeldOut(**WAIT),
    "variance": VarianceValley(window=20, **WAIT),
    "windowed-variance": WindowedVarianceValley(window=20, **WAIT),
    "discrepancy": Discrepancy(noise=0.1, **WAIT),
    "own": OwnRule(watch=Distance(), **WAIT),
}


def followed(rule, stream, observed=None):
    patience = EarlyStopping(rule.criterion(evidence(observed)), rule)
    for one in stream:
        patience(one)
        if patience.exhausted:
            break
    return patience, one


@pytest.mark.parametrize("name", RULE)
def test_every_rule_finds_the_moment_between_picture_and_damage(name):
    patience, _ = followed(RULE[name], states())
    assert patience.exhausted
    assert 85 <= patience.best_iteration <= 225


@pytest.mark.parametrize("name", RULE)
def test_a_restored_criterion_continues_with_the_same_numbers(name):
    whole, first, second = (RULE[name].criterion(evidence()) for _ in range(3))
    expected = [float(whole.update(one)) for one in states(60)]
    for one in list(states(60))[:30]:
        first.update(one)
    second.restore(first.state())
    assert [float(second.update(one)) for one in list(states(60))[30:]] == expected[30:]


def test_rules_look_as_often_as_they_are_told():
    patience = EarlyStopping(Distance(), OwnRule(watch=Distance(), every=7, patience=1000))
    for one in states(100):
        patience(one)
        if patience.improved:
            assert one.iteration % 7 == 0
    assert patience.best_iteration % 7 == 0


class Follows:
    """A criterion that is a function of the iteration."""

    def __init__(self, function):
        self.function = function

    def update(self, state):
        return self.function(state.iteration)


def test_patience_grows_with_the_run():
    rule = OwnRule(watch=Follows(lambda iteration: 1.0 / min(iteration, 200)), patience=10, tolerance=0.0)
    patience, last = followed(rule, states())
    assert patience.best_iteration > 190
    assert last.iteration - patience.best_iteration == patience.best_iteration // 4


def test_a_slightly_better_value_is_kept_but_does_not_prolong_the_wait():
    """Falls to 100 in 20 iterations, and from there by a thousandth each."""
    falling = Follows(lambda iteration: 120.0 - iteration if iteration <= 20 else 102.0 - 0.1 * iteration)
    rule = OwnRule(watch=falling, patience=10, tolerance=0.05)
    patience, last = followed(rule, states(100))
    assert last.iteration == patience.best_iteration  # it was still falling,
    assert last.iteration == patience.clear_iteration + 10  # but not by enough
    again = EarlyStopping(falling, rule)
    again.restore(patience.facts(), {})
    assert again.gives_up_at == patience.gives_up_at


def test_no_opinion_is_no_value():
    rule = OwnRule(watch=Follows(lambda iteration: None if iteration < 50 else float(iteration)), patience=10)
    patience, last = followed(rule, states())
    assert (patience.best_iteration, last.iteration) == (50, 62)


def test_a_criterion_may_end_the_fit():
    rule = OwnRule(watch=Follows(lambda iteration: -torch.inf if iteration == 8 else 1.0), patience=1000)
    patience, last = followed(rule, states())
    assert last.iteration == patience.best_iteration == 8


def test_the_residual_peaks_where_the_noise_is_removed():
    """As for a network that is shown the noisy picture: all of the noise at first, least at 200, then more again."""

    def stream():
        for iteration in range(1, 400):
            blur = 0.5 ** (iteration / 5)
            left = 0.9 * 0.5 ** (iteration / 30) + max(0, iteration - 200) / 200
            yield state(iteration, CLEAN + blur * (0.5 - CLEAN) + left * (NOISY - CLEAN))

    rule = ResidualPeak(every=1, patience=10, tolerance=0.0)
    patience, last = followed(rule, stream(), NOISY)
    assert 180 <= patience.best_iteration <= 220
    assert last.iteration == patience.best_iteration + patience.best_iteration // 4
    whole, first, second = (rule.criterion(evidence(NOISY)) for _ in range(3))
    expected = [float(whole.update(one)) for one in stream()]
    for one in list(stream())[:100]:
        first.update(one)
    second.restore(first.state())
    assert [float(second.update(one)) for one in list(stream())[100:]] == expected[100:]


def test_a_residual_that_only_falls_has_no_peak():
    """A weak noise may never be removed by more than the picture comes nearer: the fit continues to its limit."""
    stream = (state(n, NOISY + 0.5 ** (n / 20) * (0.5 - NOISY)) for n in range(1, 200))
    patience, _ = followed(ResidualPeak(every=1), stream, NOISY)
    assert patience.best_iteration == 0
    assert not patience.exhausted


def test_a_rise_while_the_picture_is_still_being_learnt_is_no_peak():
    def stream():
        for iteration in range(1, 400):
            # For some iterations at the start the output goes astray.
            blur = 0.5 ** (iteration / 20) * (1.5 if 8 <= iteration <= 16 else 1)
            left = 0.9 * 0.5 ** (iteration / 30) + max(0, iteration - 200) / 600
            yield state(iteration, CLEAN + blur * (0.5 - CLEAN) + left * (NOISY - CLEAN))

    patience, last = followed(ResidualPeak(every=1, patience=10, tolerance=0.0), stream(), NOISY)
    assert 180 <= patience.best_iteration <= 220
    assert last.iteration > 220


def test_a_rule_without_evidence_watches_nothing():
    nothing_held = Evidence(CLEAN, CLEAN > -1, None, Identity())
    assert NeverStop().criterion(evidence()) is None
    assert HeldOut().criterion(nothing_held) is None


def test_the_best_moment_is_returned():
    """Of a picture that is learnt and lost again, by a rule that knows it."""
    target = torch.linspace(0.2, 0.8, 12).expand(1, 1, 12, 12)
    seen = {}

    class Nearest:
        def update(self, state):
            seen[state.iteration] = (float((state.average - target).square().mean()), state.average)
            return seen[state.iteration][0] if state.iteration < 20 else 1.0

    network = untaught.NetworkSettings(down_channels=(8,), up_channels=(8,), skip_channels=(4,))
    recipe = untaught.Recipe(network=network, stopping=Nearest(), iterations=100)
    result = untaught.fit(target, recipe=recipe).finish()
    best = min(range(1, 20), key=lambda iteration: seen[iteration][0])
    assert result.stop_reason is untaught.StopReason.RULE
    assert torch.equal(result.picture, seen[best][1])


def test_every_shipped_rule_has_a_name_and_a_record():
    for name, kind in RULES.items():
        assert kind.rule == name
        rule = Discrepancy(noise=0.1) if name == "discrepancy" else kind()
        recipe = untaught.Recipe(stopping=rule, iterations=1)
        assert untaught.recipe_from_record(json.loads(json.dumps(recipe.record()))).stopping == rule


@pytest.mark.parametrize(
    "make",
    [
        lambda: HeldOut(held_out=0.0),
        lambda: HeldOut(refit=1.0),
        lambda: HeldOut(pattern="dots"),
        lambda: NeverStop(every=0),
        lambda: VarianceValley(window=1),
        lambda: WindowedVarianceValley(window=1),
        lambda: Discrepancy(),
        lambda: Discrepancy(noise=0.0),
        lambda: OwnRule(watch=print),
        lambda: HeldOut(window=3),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(SettingError):
        make()
