"""When to stop, and which moment to return: scores that fall while a picture gets better, and patience.

A rule reads the states of a fit and draws nothing. None of them sees a clean picture.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from untaught.errors import SettingError
from untaught.fitting.state import State, StopReason
from untaught.physics.operator import Operator

__all__ = [
    "Discrepancy",
    "ExponentialVariance",
    "HeldOutError",
    "Patience",
    "ResidualPeak",
    "Score",
    "StoppingSettings",
    "WindowedVariance",
    "build_score",
]

RuleName = Literal["held-out", "variance", "windowed-variance", "discrepancy", "residual-peak", "none"]

_REASONS = {
    "held-out": StopReason.HELD_OUT,
    "variance": StopReason.VARIANCE,
    "windowed-variance": StopReason.VARIANCE,
    "discrepancy": StopReason.DISCREPANCY,
    "residual-peak": StopReason.RESIDUAL_PEAK,
}


@dataclass(frozen=True, kw_only=True)
class StoppingSettings:
    """When a fit has gone on for long enough.

    Attributes:
        rule: "held-out" watches the error on known values that the fit is not shown; "variance" and
            "windowed-variance" watch how much the outputs move; "discrepancy" stops when the loss has come down to the
            noise; "residual-peak" when more of the noise has been taken off than is left off later, for a network that
            is shown the noisy picture; "none" goes on to the last iteration.
        held_out: share of the known values that is held out, 0 to 1.
        pattern: "pixels" holds out scattered ones; "shapes" what the missing part itself would cover, moved and turned,
            so that what is measured is as hard as what is missing.
        every: iterations between two looks.
        patience: stop after so many iterations without a clearly better score, and no sooner than after a quarter of
            the iterations that the last such one took.
        tolerance: a score is clearly better when it is lower by this share. The best moment is that of the lowest.
        refit: share of the whole fit, 0 to 1, that is spent at its end with the held-out values put back.
        window: outputs that a variance is taken over.
        noise: standard deviation of the noise for "discrepancy", in [0, 1].
    """

    rule: RuleName = "none"
    held_out: float = 0.04
    pattern: Literal["pixels", "shapes"] = "pixels"
    every: int = 10
    patience: int = 60
    tolerance: float = 0.005
    refit: float = 0.15
    window: int = 50
    noise: float | None = None

    def __post_init__(self) -> None:
        if self.rule not in get_args(RuleName):
            raise SettingError(f"rule must be one of {', '.join(get_args(RuleName))}: found {self.rule!r}")
        if self.pattern not in ("pixels", "shapes"):
            raise SettingError(f"pattern must be pixels or shapes: found {self.pattern!r}")
        if not (0 < self.held_out < 1 and 0 <= self.refit < 1 and 0 <= self.tolerance < 1):
            raise SettingError("held_out, refit and tolerance are shares between 0 and 1")
        if self.every < 1 or self.patience < 1 or self.window < 2:
            raise SettingError("every and patience are whole numbers from 1, window from 2")
        if self.rule == "discrepancy" and not (self.noise and self.noise > 0):
            raise SettingError("the discrepancy rule needs the standard deviation of the noise")

    @property
    def returns_best(self) -> bool:
        """Whether the best moment by the score is returned, and not that at which the rule ends the fit."""
        return self.rule != "residual-peak"

    @property
    def reason(self) -> StopReason:
        """Why a fit ends when its rule says so."""
        return _REASONS[self.rule]


class Score(Protocol):
    """A figure that falls while the picture gets better, taken of each state in turn."""

    def __call__(self, state: State, /) -> Tensor:
        """Look at one state; scalar tensor."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What it remembers."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Remember that again."""
        ...


class HeldOutError:
    """Mean squared error of the averaged output on known values that the fit is not shown.

    The classical validation set; for this method, Yang et al., 2021, "Self-validation". It assumes that what is wrong
    with the held-out values is independent of what is wrong with the others: true of a mask, and of independent noise.

    Args:
        observed: (N, ...), float32.
        held: the same shape, bool.
        operator: from the picture to the observation.
    """

    def __init__(self, observed: Tensor, held: Tensor, operator: Operator) -> None:
        self.observed = observed
        self.operator = operator
        # As indices: to count the values of a mask anew for each state makes the host wait for the device.
        self.held = held.nonzero(as_tuple=True)

    def __call__(self, state: State) -> Tensor:
        """Mean squared error over the held-out values."""
        return (self.operator(state.average) - self.observed)[self.held].square().mean()

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing to do."""


class ExponentialVariance:
    """Exponential running variance of the outputs (Wang et al., 2021, "Early stopping for deep image prior", ES-EMV).

    It has a valley where the picture has been taken up and the damage has not yet.

    Args:
        window: outputs that the average reaches over, about.
    """

    def __init__(self, window: int) -> None:
        self.step = 2 / (window + 1)
        self.mean: Tensor | None = None
        self.variance = torch.zeros(())

    def __call__(self, state: State) -> Tensor:
        """The running variance, a mean over the picture."""
        if self.mean is None:
            self.mean = state.output.clone()
        difference = state.output - self.mean
        self.mean = self.mean + self.step * difference
        self.variance = (1 - self.step) * (self.variance.to(difference) + self.step * difference.square().mean())
        # The first outputs move little around a mean that they have just set: no valley is looked for among them.
        return self.variance if state.iteration > 2 / self.step else self.variance + torch.inf

    def state(self) -> dict[str, Tensor]:
        """Mean and variance."""
        return {"variance": self.variance} | ({} if self.mean is None else {"mean": self.mean})

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put them back."""
        self.mean, self.variance = state.get("mean"), state["variance"]


class WindowedVariance:
    """Variance of the last outputs (Wang et al., 2021, "Early stopping for deep image prior", ES-WMV).

    Args:
        window: how many; they are kept in memory.
    """

    def __init__(self, window: int) -> None:
        self.outputs: deque[Tensor] = deque(maxlen=window)

    def __call__(self, state: State) -> Tensor:
        """The variance, a mean over the picture; infinite until the window is full."""
        self.outputs.append(state.output)
        if len(self.outputs) < (self.outputs.maxlen or 0):
            return state.loss + torch.inf
        return torch.stack(tuple(self.outputs)).var(0, correction=0).mean()

    def state(self) -> dict[str, Tensor]:
        """The window."""
        return {"outputs": torch.stack(tuple(self.outputs))} if self.outputs else {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put it back."""
        self.outputs.clear()
        self.outputs.extend(state.get("outputs", ()))


class Discrepancy:
    """How far the loss is from the noise's own variance (Morozov, 1966): nothing is to be gained below it.

    Args:
        noise: standard deviation, in [0, 1].
    """

    def __init__(self, noise: float) -> None:
        self.level = noise**2

    def __call__(self, state: State) -> Tensor:
        """Distance of the loss from the level."""
        return (state.loss - self.level).abs()

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing to do."""


class ResidualPeak:
    """How far the averaged output is from the noisy picture: the farther, the more of the noise is off.

    While the picture is taken up the two come nearer, while the noise is cast off they part, and when it is taken up
    they come nearer again. The picture goes on getting better for a little longer, which is left to the patience. Found
    on networks that are shown the noisy picture (docs/quality.md).

    Args:
        observed: (N, ...), float32.
        known: the same shape, bool.
    """

    def __init__(self, observed: Tensor, known: Tensor) -> None:
        self.observed = observed
        self.known = known
        self.least = torch.tensor(torch.inf, device=observed.device)
        self.parting = torch.tensor(False, device=observed.device)

    def __call__(self, state: State) -> Tensor:
        """The inverse of their mean squared difference; infinite until they have begun to part."""
        difference = torch.where(self.known, state.average - self.observed, 0)
        residual = difference.square().mean().clamp_min(1e-12)
        self.least = torch.minimum(self.least, residual)
        self.parting = self.parting | (residual > 1.01 * self.least)
        return torch.where(self.parting, 1 / residual, torch.inf)

    def state(self) -> dict[str, Tensor]:
        """How near they have come, and whether they have begun to part."""
        return {"least": self.least, "parting": self.parting}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put them back."""
        self.least = state["least"].to(self.observed.device)
        self.parting = state["parting"].to(self.observed.device)


def build_score(
    settings: StoppingSettings, observed: Tensor, known: Tensor, held: Tensor | None, operator: Operator
) -> Score | None:
    """Make the score that a rule watches; None for the rule "none", or where no value could be held out."""
    match settings.rule:
        case "held-out":
            return None if held is None else HeldOutError(observed, held, operator)
        case "variance":
            return ExponentialVariance(settings.window)
        case "windowed-variance":
            return WindowedVariance(settings.window)
        case "discrepancy":
            assert settings.noise is not None
            return Discrepancy(settings.noise)
        case "residual-peak":
            return ResidualPeak(observed, known)
    return None


class Patience:
    """Follows a score, knows its best moment, and says when waiting for a better one has been long enough.

    Args:
        score: what to follow.
        settings: how patiently.
    """

    def __init__(self, score: Score, settings: StoppingSettings) -> None:
        self.score = score
        self.settings = settings
        self.best = float("inf")
        self.best_iteration = 0
        # What is better by less than the tolerance is kept, but is no reason to wait for longer.
        self.clear = float("inf")
        self.clear_iteration = 0
        self.improved = False
        self.exhausted = False

    def __call__(self, state: State) -> None:
        """Look at one state; afterwards ``improved`` and ``exhausted`` say what it meant."""
        value = self.score(state)
        self.improved = False
        if state.iteration % self.settings.every:
            return
        figure = float(value)
        if figure < self.best:
            self.best, self.best_iteration, self.improved = figure, state.iteration, True
        if figure < self.clear * (1 - self.settings.tolerance):
            self.clear, self.clear_iteration = figure, state.iteration
        self.exhausted = self.clear_iteration > 0 and state.iteration >= self.gives_up_at

    @property
    def gives_up_at(self) -> int:
        """The iteration at which waiting for a better score has been long enough, once there is a best one."""
        return self.clear_iteration + max(self.settings.patience, self.clear_iteration // 4)

    def facts(self) -> dict[str, Any]:
        """The best moment, as plain values."""
        return {
            "best": self.best,
            "best_iteration": self.best_iteration,
            "clear": self.clear,
            "clear_iteration": self.clear_iteration,
        }

    def restore(self, facts: dict[str, Any], state: dict[str, Tensor]) -> None:
        """Go back to an earlier moment."""
        self.best, self.best_iteration = facts["best"], facts["best_iteration"]
        self.clear, self.clear_iteration = facts["clear"], facts["clear_iteration"]
        self.score.restore(state)
