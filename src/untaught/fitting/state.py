"""What a fit gives: a state for each iteration, the reason why it ended, and the restoration."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from untaught.fitting.display import facts, figure, page
from untaught.fitting.tiles import Tiles
from untaught.settings import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Observer", "Restoration", "State", "StopReason"]


class StopReason(enum.StrEnum):
    """Why a fit ended, as the end of the sentence "it ran until ..."."""

    ITERATIONS = "the iteration limit was reached"
    HELD_OUT = "the error on held-out pixels stopped falling"
    VARIANCE = "the variance of the outputs passed its valley"
    DISCREPANCY = "the loss reached the noise level"
    RESIDUAL_PEAK = "the noise was removed and began to come back"
    RULE = "the stop rule ended it"
    SETTLED = "nothing was left for the network to do"
    TIME = "the time budget was spent"
    INTERRUPTED = "it was interrupted"
    CANCELLED = "it was cancelled"
    LEFT = "the loop was left"
    DIVERGED = "it kept diverging, however low the learning rate"


class State:
    """One iteration of a fit, as every observer sees it.

    ``output`` and ``loss`` come from the same weights. Tensors are on the device of the fit; reading
    ``float(state.loss)`` on an accelerator waits for it. Each reading of a picture is a new copy: an observer may
    change it.

    Attributes:
        iteration: number of this iteration, from 1.
        iterations: the limit.
        elapsed: seconds since the first iteration began.
        learning_rate: of this iteration.
        rollbacks: how often the fit has diverged and was taken back so far.
        network: the module that is fitted, not a copy.
    """

    def __init__(
        self,
        *,
        iteration: int,
        iterations: int,
        loss: Tensor,
        losses: Tensor,
        average: Tensor | Tiles,
        square: Tensor | Tiles,
        output: Tensor | None = None,
        input: Tensor | None = None,  # noqa: A002
        stacked: Callable[[Tensor], Tensor] | None = None,
        elapsed: float = 0.0,
        learning_rate: float = 0.0,
        rollbacks: int = 0,
        network: nn.Module | None = None,
    ) -> None:
        self.iteration = iteration
        self.iterations = iterations
        self.elapsed = elapsed
        self.learning_rate = learning_rate
        self.rollbacks = rollbacks
        self.network = network
        self._loss, self._losses = loss, losses
        self._average, self._square, self._stacked = average, square, stacked
        self._output, self._input = output, input

    @property
    def loss(self) -> Tensor:
        """Mean of `losses`, scalar."""
        return self._loss.clone()

    @property
    def losses(self) -> Tensor:
        """The loss of each picture, (N,); for most tasks the mean squared error over the known values."""
        return self._losses.clone()

    @property
    def output(self) -> Tensor:
        """The network's output, (N, C, H, W), float32; the average for a network that sees a patch only."""
        return self.average if self._output is None else self._output.clone()

    @property
    def average(self) -> Tensor:
        """Exponential average of the outputs so far, same shape and range."""
        return _copied(self._average)

    @property
    def square(self) -> Tensor:
        """Exponential average of the squared outputs."""
        return _copied(self._square)

    @property
    def picture(self) -> Tensor:
        """The answer so far, same shape and range: the average, with the classical picture where that is better."""
        return self.average if self._stacked is None else self._stacked(self.average)

    @property
    def input(self) -> Tensor | None:
        """The network's input in this iteration, (N * runs, channels, H, W); None in a state made after the end."""
        return None if self._input is None else self._input.clone()

    @property
    def spread(self) -> Tensor:
        """Standard deviation of the outputs over the last iterations and over runs: (N, C, H, W)."""
        # In place: both are copies, and may be large.
        return self.square.sub_(self.average.square_()).clamp_min_(0).sqrt_()

    def stacked_by(self, stacked: Callable[[Tensor], Tensor]) -> State:
        """The same moment with another way from the average to the picture."""
        return self._changed(self._average, self._square, stacked)

    def with_averages(self, average: Tensor | Tiles, square: Tensor | Tiles) -> State:
        """The same moment with other averages."""
        return self._changed(average, square, self._stacked)

    def _changed(
        self, average: Tensor | Tiles, square: Tensor | Tiles, stacked: Callable[[Tensor], Tensor] | None
    ) -> State:
        same = {
            name: getattr(self, name)
            for name in (
                "iteration",
                "iterations",
                "loss",
                "losses",
                "elapsed",
                "learning_rate",
                "rollbacks",
                "network",
            )
        }
        output = average if isinstance(average, Tensor) and self._output is None else self._output
        return State(average=average, square=square, output=output, input=self._input, stacked=stacked, **same)


def _copied(picture: Tensor | Tiles) -> Tensor:
    return picture.whole() if isinstance(picture, Tiles) else picture.clone()


class Observer(Protocol):
    """Looks at the states of a fit and changes nothing."""

    def __call__(self, state: State, /) -> None:
        """Look at one state."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Restoration:
    """The result of a task. It pickles, and two are equal if all their values are.

    Attributes:
        picture: the restored picture, in the shape and dtype of the input (numpy array or torch tensor).
        stop_reason: why the fit ended.
        iterations: number of iterations done.
        seconds: how long the fit took.
        history: lists of one value per iteration: ``iteration``, ``loss``, ``elapsed`` (seconds).
        seed: of the random numbers.
        task: name of the task.
        recipe: all settings of the fit, as plain values.
        engine: device, arithmetic and threads of the fit, as plain values.
        rollbacks: how often the fit diverged and was taken back.
        missing: share of the values that were missing, 0 to 1.
        uncertainty: half-width of each pixel's 90 % interval, in the picture's units and shape, float32; zero where a
            known value was kept; None if no values were held out.
        expected_psnr: PSNR in dB on held-out values before they were used: what to expect of the missing ones; None if
            none were held out.
        notes: sentences for the user.
        found: further results by name, such as the kernel of an unknown blur.
        thumbnails: what was given ("before") and the picture ("after"), small, for a screen.
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
    thumbnails: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Restoration):
            return NotImplemented
        return all(_same(getattr(self, one.name), getattr(other, one.name)) for one in dataclasses.fields(self))

    __hash__: Callable[[Restoration], int] = None  # type: ignore[assignment]

    def summary(self) -> dict[str, Any]:
        """Everything but the pictures, as values that JSON can hold."""
        pictures = ("picture", "uncertainty", "found", "thumbnails")
        return {
            one.name: plain(getattr(self, one.name)) for one in dataclasses.fields(self) if one.name not in pictures
        }

    def plot(self) -> Figure:
        """Draw before, after and the loss as a figure of matplotlib, to show or to save.

        Raises:
            SettingError: where matplotlib is not installed.
        """
        return figure(self.thumbnails, self.history["loss"], f"it ran until {self.stop_reason}")

    def _repr_html_(self) -> str:
        return page(self.thumbnails, self.history["loss"], facts(self))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(one, other)
    return bool(one == other)
