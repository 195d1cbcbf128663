"""Observers of a fit: the distance to a reference, previews, actions now and then. They change nothing in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from untaught.errors import StopFit, UntaughtError
from untaught.fitting.state import Observer, State
from untaught.imaging.files import reason
from untaught.imaging.metrics import finite, psnr_and_ssim

__all__ = ["Preview", "ReferenceMeter", "SafetyNet", "Throttle"]


class ReferenceMeter:
    """Measures the average of the outputs against a clean picture. The fit does not depend on it.

    Args:
        reference: (H, W, C), float in [0, 1].
        compose: makes the picture to return of a state, (H, W, C), float in [0, 1].
        every: iterations between two measurements.
    """

    def __init__(self, reference: NDArray[Any], compose: Callable[[State], NDArray[Any]], every: int = 25) -> None:
        self.reference = reference
        self.compose = compose
        self.every = every
        self.points: list[dict[str, float | None]] = []

    def __call__(self, state: State) -> None:
        """Measure if it is time to."""
        if state.iteration % self.every and state.iteration != state.iterations:
            return
        picture = self.compose(state)
        self.points.append({"iteration": state.iteration, **finite(psnr_and_ssim(picture, self.reference))})

    def latest(self) -> str:
        """The last figures, as a progress line shows them."""
        if not self.points:
            return ""
        last = self.points[-1]
        shown = (("PSNR {:.2f} dB", "psnr"), ("SSIM {:.4f}", "ssim"))
        return "  ".join(text.format(last[name]) for text, name in shown if last[name] is not None)


class Preview:
    """Calls ``write`` with the state every few iterations, except at the last one.

    Args:
        write: called with a state.
        every: iterations between two previews.
    """

    def __init__(self, write: Callable[[State], None], every: int) -> None:
        self.write = write
        self.every = every

    def __call__(self, state: State) -> None:
        """Write if it is time to."""
        if state.iteration % self.every == 0 and state.iteration < state.iterations:
            self.write(state)


class SafetyNet:
    """An observer that the result does not depend on: if it fails, that is told and the fit goes on without it.

    Args:
        observer: called with each state until it fails.
        about: what is given up then, as the beginning of a sentence.
        tell: takes the sentence.
    """

    def __init__(self, observer: Observer, about: str, tell: Callable[[str], object]) -> None:
        self.observer = observer
        self.about = about
        self.tell = tell
        self.failed = False

    def __call__(self, state: State) -> None:
        """Call the observer, unless it has failed before."""
        if self.failed:
            return
        try:
            self.observer(state)
        except StopFit:
            raise
        # Whatever it is, it is no reason to lose a fit.
        except Exception as error:  # noqa: BLE001
            self.failed = True
            own = isinstance(error, UntaughtError | OSError | MemoryError)
            why = reason(error) if own else f"{type(error).__name__}: {error}"
            self.tell(f"{self.about} given up, and the fit goes on: {why}")


class Throttle:
    """Acts now and then, between two iterations, and never for more than a share of the time.

    Args:
        action: what to do.
        seconds: least time between the end of one action and the start of the next.
        share: largest share of the time that the action may take; infinite for no limit.
    """

    def __init__(self, action: Callable[[], object], seconds: float, share: float = 0.04) -> None:
        self.action = action
        self.seconds = seconds
        self.share = share
        self._next = time.monotonic() + seconds

    def __call__(self, state: State) -> None:  # noqa: ARG002
        """Act if it is time to."""
        self.try_now()

    def try_now(self) -> bool:
        """Act if it is time to, and return whether it was."""
        if time.monotonic() < self._next:
            return False
        # The action's own work counts, and not the time that it waits for a busy processor.
        started = time.thread_time()
        self.action()
        cost = time.thread_time() - started
        self._next = time.monotonic() + max(self.seconds, cost / self.share)
        return True
