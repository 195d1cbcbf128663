"""Early stopping: which moment of a fit to return, and when to stop waiting for a better one.

A rule has a criterion, a number that falls while the picture gets better, computed without a clean picture. A user's
rule is any object with ``update(state)``, which returns that number, or None for no opinion; minus infinity ends the
fit at once. `EarlyStopping` decides when to stop waiting for a lower value.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

from untaught.backend.sums import mean
from untaught.errors import SettingError
from untaught.fitting.state import State, StopReason
from untaught.physics.operator import Operator
from untaught.settings import settings

__all__ = [
    "RULES",
    "Criterion",
    "Discrepancy",
    "EarlyStopping",
    "Evidence",
    "HeldOut",
    "NeverStop",
    "OwnRule",
    "ResidualPeak",
    "StoppingSettings",
    "VarianceValley",
    "WindowedVarianceValley",
]


@runtime_checkable
class Criterion(Protocol):
    """A number that falls while the picture gets better. Optional: ``state()`` and ``restore(state)``, of tensors.

    A rule without them starts anew when a fit is resumed.
    """

    def update(self, state: State, /) -> Tensor | float | None:
        """Look at the state of one iteration: a scalar, or None for no opinion; minus infinity ends the fit."""
        ...


@dataclass(frozen=True)
class Evidence:
    """What a rule may look at besides the states.

    Attributes:
        observed: (N, ...), float32.
        known: bool, the same shape.
        held: bool, the same shape: the values that were held out; None if none were.
        operator: from the picture to the observation.
    """

    observed: Tensor
    known: Tensor
    held: Tensor | None
    operator: Operator


@settings
class StoppingSettings:
    """What all rules share: how often to look, and how long to wait.

    Attributes:
        every: use the criterion's value at every n-th iteration; the criterion sees every iteration; default 10.
        patience: stop after max(patience, n / 4) iterations without a clearly better value, n being the iteration of
            the last clearly better one; default 60.
        tolerance: a value is clearly better if it is lower by this share; the best moment is that of the lowest value;
            default 0.005.
    """

    returns_best: ClassVar[bool] = True
    """Whether the best moment is returned, and not the last one."""
    reason: ClassVar[StopReason] = StopReason.RULE
    refit: ClassVar[float] = 0.0
    """Share of the fit, at its end, that uses the held-out values too."""

    every: Annotated[int, Field(ge=1)] = 10
    patience: Annotated[int, Field(ge=1)] = 60
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.005

    def criterion(self, evidence: Evidence) -> Criterion | None:
        """The criterion of one run; None for a rule that never stops."""
        raise NotImplementedError


@settings
class NeverStop(StoppingSettings):
    """Go on to the last iteration."""

    rule: Literal["none"] = "none"

    def criterion(self, evidence: Evidence) -> None:  # noqa: ARG002
        """None: there is nothing to watch."""
        return


@settings
class OwnRule(StoppingSettings):
    """Watch a criterion of the user's own.

    Attributes:
        watch: the criterion; each run watches a copy of it.
    """

    rule: Literal["own"] = "own"
    every: Annotated[int, Field(ge=1)] = 1
    watch: Any

    def __post_init__(self) -> None:
        if not isinstance(self.watch, Criterion):
            raise SettingError(f"a stop rule has a method update(state): found {self.watch!r}")

    def criterion(self, evidence: Evidence) -> Criterion:  # noqa: ARG002
        """A copy of the user's criterion."""
        return copy.deepcopy(self.watch)  # type: ignore[no-any-return]


@settings
class HeldOut(StoppingSettings):
    """Watch the error on known values that are hidden from the fit, then fit on with them.

    The classical validation set; for this method Yang et al., 2021, "Self-validation". It assumes that the errors of
    the held-out values are independent of those of the others: true of a mask, and of independent noise.

    Attributes:
        held_out: share of the known values that is held out, 0 to 1; default 0.04.
        pattern: "pixels" holds out scattered ones; "shapes" randomly moved and flipped copies of the missing region, so
            that the measured task is as hard as the real one; "nearby" pieces of it, moved a little, so that the
            surroundings are the same too.
        refit: share of the fit, at its end, that uses the held-out values too, 0 to 1; default 0.15.
    """

    reason: ClassVar[StopReason] = StopReason.HELD_OUT

    rule: Literal["held-out"] = "held-out"
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.04
    pattern: Literal["pixels", "shapes", "nearby"] = "pixels"
    refit: Annotated[float, Field(ge=0, lt=1)] = 0.15  # type: ignore[misc]

    def criterion(self, evidence: Evidence) -> Criterion | None:
        """The error on the held-out values; None if none could be spared."""
        return None if evidence.held is None else _HeldOutError(evidence, evidence.held)


@settings
class VarianceValley(StoppingSettings):
    """Watch the exponential variance of the outputs (Wang et al., 2021, "Early stopping for deep image prior", ES-EMV).

    It has a valley where the picture is learnt and the damage is not yet.

    Attributes:
        window: number of outputs that the average spans; default 50.
    """

    reason: ClassVar[StopReason] = StopReason.VARIANCE

    rule: Literal["variance"] = "variance"
    window: Annotated[int, Field(ge=2)] = 50

    def criterion(self, evidence: Evidence) -> Criterion:  # noqa: ARG002
        """The running variance."""
        return _ExponentialVariance(self.window)


@settings
class WindowedVarianceValley(StoppingSettings):
    """Watch the variance of the last outputs (Wang et al., 2021, "Early stopping for deep image prior", ES-WMV).

    Attributes:
        window: number of outputs, which are kept in memory; default 50.
    """

    reason: ClassVar[StopReason] = StopReason.VARIANCE

    rule: Literal["windowed-variance"] = "windowed-variance"
    window: Annotated[int, Field(ge=2)] = 50

    def criterion(self, evidence: Evidence) -> Criterion:  # noqa: ARG002
        """The variance of the window."""
        return _WindowedVariance(self.window)


@settings
class Discrepancy(StoppingSettings):
    """Stop when the loss has fallen to the noise's variance (Morozov, 1966, the discrepancy principle).

    Attributes:
        noise: standard deviation of the noise, in [0, 1].
    """

    reason: ClassVar[StopReason] = StopReason.DISCREPANCY

    rule: Literal["discrepancy"] = "discrepancy"
    noise: Annotated[float, Field(gt=0)]

    def criterion(self, evidence: Evidence) -> Criterion:  # noqa: ARG002
        """The distance of the loss from the variance."""
        return _Discrepancy(self.noise)


@settings
class ResidualPeak(StoppingSettings):
    """Watch how far the averaged output is from the noisy picture, for a network that is shown that picture.

    The two approach each other while the picture is learnt, part while the noise is removed, and approach again when
    the noise is learnt. The picture improves a little beyond the peak, so the last moment is returned and not the peak
    (measured: lab notes on quality).
    """

    returns_best: ClassVar[bool] = False
    reason: ClassVar[StopReason] = StopReason.RESIDUAL_PEAK

    rule: Literal["residual-peak"] = "residual-peak"

    def criterion(self, evidence: Evidence) -> Criterion:
        """The inverse of the mean squared distance."""
        return _ResidualPeak(evidence)


_SHIPPED = (NeverStop, HeldOut, VarianceValley, WindowedVarianceValley, Discrepancy, ResidualPeak)

RULES: Mapping[str, type[StoppingSettings]] = MappingProxyType({kind.rule: kind for kind in _SHIPPED})
"""The shipped rules by the name that a record gives them."""


class _Stateless:
    """A criterion that remembers nothing."""

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        pass


class _HeldOutError(_Stateless):
    """Mean squared error of the averaged output on the held-out values."""

    def __init__(self, evidence: Evidence, held: Tensor) -> None:
        self.observed = evidence.observed
        self.operator = evidence.operator
        # As indices: to count a mask's values for each state would make the host wait for the device.
        self.held = held.nonzero(as_tuple=True)

    def update(self, state: State) -> Tensor:
        difference = self.operator(state.average)[self.held] - self.observed[self.held]
        return mean((difference.abs() if difference.is_complex() else difference).square())


class _ExponentialVariance:
    def __init__(self, window: int) -> None:
        self.step = 2 / (window + 1)
        self.mean: Tensor | None = None
        self.variance = torch.zeros((), dtype=torch.float32)

    def update(self, state: State) -> Tensor:
        """The running variance, averaged over the picture."""
        output = state.output
        if self.mean is None:
            self.mean = output.clone()
        difference = output - self.mean
        self.mean = self.mean + self.step * difference
        self.variance = (1 - self.step) * (self.variance.to(difference) + self.step * mean(difference.square()))
        # The first outputs vary little around a mean that they have just set: there is no valley among them.
        return self.variance if state.iteration > 2 / self.step else self.variance + torch.inf

    def state(self) -> dict[str, Tensor]:
        return {"variance": self.variance} | ({} if self.mean is None else {"mean": self.mean})

    def restore(self, state: dict[str, Tensor]) -> None:
        self.mean, self.variance = state.get("mean"), state["variance"]


class _WindowedVariance:
    def __init__(self, window: int) -> None:
        self.outputs: deque[Tensor] = deque(maxlen=window)

    def update(self, state: State) -> Tensor:
        """The variance of the window, averaged over the picture; infinite until the window is full."""
        self.outputs.append(state.output)
        if len(self.outputs) < (self.outputs.maxlen or 0):
            return state.loss + torch.inf
        return mean(torch.stack(tuple(self.outputs)).var(0, correction=0))

    def state(self) -> dict[str, Tensor]:
        return {"outputs": torch.stack(tuple(self.outputs))} if self.outputs else {}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.outputs.clear()
        self.outputs.extend(state.get("outputs", ()))


class _Discrepancy(_Stateless):
    def __init__(self, noise: float) -> None:
        self.level = noise**2

    def update(self, state: State) -> Tensor:
        return (state.loss - self.level).abs()


class _ResidualPeak:
    def __init__(self, evidence: Evidence) -> None:
        self.observed = evidence.observed
        self.known = evidence.known
        device = self.observed.device
        self.least = torch.tensor(torch.inf, device=device, dtype=torch.float32)
        self.parting = torch.tensor(False, device=device)

    def update(self, state: State) -> Tensor:
        """The inverse of the mean squared distance; infinite until the two part, and once they are nearer than ever."""
        difference = torch.where(self.known, state.average - self.observed, 0)
        residual = mean(difference.square()).clamp_min(1e-12)
        self.parting = (self.parting | (residual > 1.01 * self.least)) & (residual >= self.least)
        self.least = torch.minimum(self.least, residual)
        return torch.where(self.parting, 1 / residual, torch.inf)

    def state(self) -> dict[str, Tensor]:
        return {"least": self.least, "parting": self.parting}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.least = state["least"].to(self.observed.device)
        self.parting = state["parting"].to(self.observed.device)


class EarlyStopping:
    """Follows a criterion, knows its best moment, and says when to stop waiting for a better one.

    Args:
        criterion: what to follow.
        settings: how patiently.
    """

    def __init__(self, criterion: Criterion, settings: StoppingSettings) -> None:
        self.criterion = criterion
        self.settings = settings
        self.best, self.best_iteration = math.inf, 0
        # A value that is better by less than the tolerance is kept, but does not prolong the waiting.
        self.clear, self.clear_iteration = math.inf, 0
        self.improved = self.exhausted = False

    def __call__(self, state: State) -> None:
        """Look at one state; afterwards ``improved`` and ``exhausted`` say what it meant."""
        self.improved = False
        if isinstance(self.criterion, _Stateless) and state.iteration % self.settings.every:
            # It need not see this state, and to look at a large picture takes time.
            return
        value = self.criterion.update(state)
        if value is None or state.iteration % self.settings.every:
            return
        score = float(value)
        if score == math.inf and isinstance(self.criterion, _ResidualPeak):
            # There was no peak: the picture was still being learnt.
            self.best, self.best_iteration, self.clear, self.clear_iteration = math.inf, 0, math.inf, 0
        if score < self.best:
            self.best, self.best_iteration, self.improved = score, state.iteration, True
        if score < self.clear * (1 - self.settings.tolerance if self.clear > 0 else 1 + self.settings.tolerance):
            self.clear, self.clear_iteration = score, state.iteration
        waited = self.clear_iteration > 0 and state.iteration >= self.gives_up_at
        self.exhausted = waited or score == -math.inf

    @property
    def gives_up_at(self) -> int:
        """The iteration at which the waiting ends if nothing better comes."""
        return self.clear_iteration + max(self.settings.patience, self.clear_iteration // 4)

    def facts(self) -> dict[str, Any]:
        """The best moment, as plain values."""
        return {
            "best": self.best,
            "best_iteration": self.best_iteration,
            "clear": self.clear,
            "clear_iteration": self.clear_iteration,
        }

    def tensors(self) -> dict[str, Tensor]:
        """What the criterion remembers."""
        state = getattr(self.criterion, "state", None)
        return {} if state is None else state()

    def restore(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Go back to an earlier moment."""
        self.best, self.best_iteration = facts["best"], facts["best_iteration"]
        self.clear, self.clear_iteration = facts["clear"], facts["clear_iteration"]
        restore = getattr(self.criterion, "restore", None)
        if restore is not None:
            restore(tensors)
