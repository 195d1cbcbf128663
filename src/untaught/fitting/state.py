"""What a fit gives: a state for each iteration, the reason why it ended, and the restoration."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

__all__ = ["Observer", "Restoration", "State", "StopReason"]


class StopReason(enum.StrEnum):
    """Why a fit ended, as a sentence can use it."""

    ITERATIONS = "the iteration limit was reached"
    HELD_OUT = "the error on held-out pixels stopped falling"
    VARIANCE = "the outputs had come to rest and began to move again"
    DISCREPANCY = "what was left of the error was the noise"
    RESIDUAL_PEAK = "the noise was off and began to come back"
    TIME = "the time budget was spent"
    INTERRUPTED = "it was interrupted"
    DIVERGED = "it kept diverging, however far the rate was lowered"


@dataclass(frozen=True, slots=True)
class State:
    """One iteration of a fit, as everybody who follows the fit sees it.

    ``output`` and ``loss`` come from the same weights. Nothing here has been copied to the host: reading
    ``float(state.loss)`` on an accelerator is what waits for it, so whoever looks pays.

    Attributes:
        iteration: number of this iteration, from 1.
        iterations: the limit that was set.
        loss: what is descended, for most tasks the mean squared error over the known values; scalar tensor.
        output: the network's output, (N, C, H, W), float32 in [0, 1]; the average, where that is of a window only.
        average: exponential average of the outputs so far, same shape and range.
        square: exponential average of their squares.
        elapsed: seconds since the first iteration began.
        rate: learning rate of this iteration.
        rollbacks: how often the fit has diverged and was taken back, so far.
    """

    iteration: int
    iterations: int
    loss: Tensor
    output: Tensor
    average: Tensor
    square: Tensor
    elapsed: float
    rate: float
    rollbacks: int

    @property
    def spread(self) -> Tensor:
        """Standard deviation of the outputs over the last iterations and over runs: (N, C, H, W)."""
        return (self.square - self.average.square()).clamp_min(0).sqrt()


class Observer(Protocol):
    """Looks at the states of a fit and alters nothing."""

    def __call__(self, state: State, /) -> None:
        """Look at one state."""
        ...


@dataclass(frozen=True, slots=True)
class Restoration:
    """The result of a task.

    Attributes:
        picture: the restored picture, in the shape and dtype of what was given (numpy array or torch tensor).
        stop_reason: why the fit ended.
        iterations: how many iterations were done.
        seconds: how long the fit took.
        history: one list a quantity, of one value an iteration: ``iteration``, ``loss``, ``elapsed`` (seconds).
        seed: what the random numbers started from.
        task: name of the task.
        recipe: all settings of the fit, as plain values.
        engine: device, arithmetic and threads that the fit ran with, as plain values.
        rollbacks: how often the fit diverged and was taken back.
        missing: share of the values that were missing, 0 to 1.
        uncertainty: where values were held out, half the width of the interval that 90 % of them lay in, in the shape
            of the picture and in its units, float32; zero where a value is known and was kept; otherwise None.
        expected_psnr: PSNR in dB on known values that the fit had not been shown, before they were put back: what to
            expect of the missing ones; None where none were held out.
        notes: sentences that the user should read.
        found: what else was found, by name, as the picture is handed back: the kernel of a blur, another layer.
    """

    picture: Any
    stop_reason: StopReason
    iterations: int
    seconds: float
    history: Mapping[str, list[float]]
    seed: int
    task: str
    recipe: Mapping[str, Any]
    engine: Mapping[str, Any]
    rollbacks: int = 0
    missing: float = 0.0
    uncertainty: Any = None
    expected_psnr: float | None = None
    notes: tuple[str, ...] = ()
    found: Mapping[str, Any] = field(default_factory=dict)
