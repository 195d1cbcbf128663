import pytest
import torch

from untaught.errors import SettingError
from untaught.fitting.state import State
from untaught.fitting.stopping import (
    Discrepancy,
    ExponentialVariance,
    HeldOutError,
    Patience,
    ResidualPeak,
    StoppingSettings,
    WindowedVariance,
    build_score,
)
from untaught.physics.linear import Identity

CLEAN = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
NOISY = CLEAN + 0.1 * torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(1))


def states(count: int = 400):
    """A fit as it goes: from gray to the clean picture by 100, rest there, and then on to the noise."""
    generator = torch.Generator().manual_seed(2)
    for iteration in range(1, count + 1):
        to_clean = 1 - 0.5 ** (iteration / 12)
        to_noise = min(1.0, max(0.0, (iteration - 200) / 150))
        trembling = 0.002 * torch.randn(CLEAN.shape, generator=generator) * (1 + 5 * to_noise)
        output = 0.5 + to_clean * (CLEAN - 0.5) + to_noise * (NOISY - CLEAN) + trembling
        loss = (output - NOISY).square().mean()
        yield State(iteration, count, loss, output, output, output.square(), float(iteration), 0.01, 0)


def scores():
    held = torch.rand(CLEAN.shape, generator=torch.Generator().manual_seed(3)) > 0.5
    # An independent look at the clean picture, as held-out values with noise of their own give it.
    other = CLEAN + 0.05 * torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(4))
    return {
        "held-out": HeldOutError(other, held, Identity()),
        "variance": ExponentialVariance(20),
        "windowed-variance": WindowedVariance(20),
        "discrepancy": Discrepancy(0.1),
    }


@pytest.mark.parametrize("name", list(scores()))
def test_every_score_finds_the_moment_between_picture_and_damage(name):
    noise = 0.1 if name == "discrepancy" else None
    patience = Patience(scores()[name], StoppingSettings(rule=name, every=1, patience=60, noise=noise))
    for state in states():
        patience(state)
        if patience.exhausted:
            break
    assert patience.exhausted
    assert 85 <= patience.best_iteration <= 225


@pytest.mark.parametrize("name", list(scores()))
def test_to_go_on_from_a_state_is_to_have_never_stopped(name):
    whole, first, second = (scores()[name] for _ in range(3))
    expected = [float(whole(state)) for state in states(60)]
    for state in list(states(60))[:30]:
        first(state)
    second.restore(first.state())
    assert [float(second(state)) for state in list(states(60))[30:]] == expected[30:]


def test_patience_grows_with_the_run():
    settings = StoppingSettings(rule="held-out", every=1, patience=10)

    class Falling:
        def __call__(self, state):
            return torch.tensor(1.0 / min(state.iteration, 200))

        def state(self):
            return {}

    patience = Patience(Falling(), settings)
    for state in states(400):
        patience(state)
        if patience.exhausted:
            break
    assert patience.best_iteration > 190
    assert state.iteration - patience.best_iteration == patience.best_iteration // 4


def test_what_is_hardly_better_is_kept_but_not_waited_for():
    settings = StoppingSettings(rule="held-out", every=1, patience=10, tolerance=0.05)

    class Creeping:
        """Falls to 100 in 20 iterations, and from there by a thousandth each."""

        def __call__(self, state):
            return torch.tensor(120.0 - state.iteration if state.iteration <= 20 else 102.0 - 0.1 * state.iteration)

        def state(self):
            return {}

        def restore(self, state):
            pass

    patience = Patience(Creeping(), settings)
    for state in states(100):
        patience(state)
        if patience.exhausted:
            break
    assert state.iteration == patience.best_iteration  # it was still falling,
    assert state.iteration == patience.clear_iteration + 10  # and not by enough
    again = Patience(Creeping(), settings)
    again.restore(patience.facts(), {})
    assert again.gives_up_at == patience.gives_up_at


def test_the_residual_peaks_where_the_noise_is_off():
    """As for a network that is shown the noisy picture: all of the noise at first, least at 200, then more again."""
    noise = NOISY - CLEAN
    known = torch.ones(CLEAN.shape, dtype=torch.bool)
    score = ResidualPeak(NOISY, known)
    patience = Patience(score, StoppingSettings(rule="residual-peak", every=1, patience=10, tolerance=0.0))
    for iteration in range(1, 400):
        blur = 0.5 ** (iteration / 5)
        left = 0.9 * 0.5 ** (iteration / 30) + max(0, iteration - 200) / 200
        output = CLEAN + blur * (0.5 - CLEAN) + left * noise
        patience(State(iteration, 400, blur, output, output, output.square(), 0.0, 0.01, 0))
        if iteration == 100:
            kept, score = score.state(), ResidualPeak(NOISY, known)
            score.restore(kept)
            patience.score = score
        if patience.exhausted:
            break
    assert 180 <= patience.best_iteration <= 220
    assert iteration == patience.best_iteration + patience.best_iteration // 4


def test_a_residual_that_only_falls_has_no_peak():
    """A weak noise may never come off by more than the picture comes nearer: then the fit goes on to its limit."""
    patience = Patience(ResidualPeak(NOISY, torch.ones(CLEAN.shape, dtype=torch.bool)), StoppingSettings(every=1))
    for iteration in range(1, 200):
        output = NOISY + 0.5 ** (iteration / 20) * (0.5 - NOISY)
        patience(State(iteration, 200, output.mean(), output, output, output.square(), 0.0, 0.01, 0))
    assert patience.best_iteration == 0
    assert not patience.exhausted


def test_the_rules_are_built_from_settings():
    held = torch.ones(CLEAN.shape, dtype=torch.bool)
    assert build_score(StoppingSettings(), CLEAN, held, None, Identity()) is None
    assert isinstance(build_score(StoppingSettings(rule="held-out"), CLEAN, held, held, Identity()), HeldOutError)
    assert isinstance(
        build_score(StoppingSettings(rule="variance"), CLEAN, held, None, Identity()), ExponentialVariance
    )
    assert isinstance(
        build_score(StoppingSettings(rule="windowed-variance"), CLEAN, held, None, Identity()), WindowedVariance
    )
    assert isinstance(
        build_score(StoppingSettings(rule="discrepancy", noise=0.1), CLEAN, held, None, Identity()), Discrepancy
    )


@pytest.mark.parametrize(
    "change",
    [{"rule": "guess"}, {"held_out": 0.0}, {"refit": 1.0}, {"every": 0}, {"window": 1}, {"rule": "discrepancy"}],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(SettingError):
        StoppingSettings(**change)
