"""Those who follow a fit: the live display, plain lines, previews, the distance to a reference. They alter nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment, Segments
from rich.style import Style

from untaught.fitting.state import State
from untaught.imaging.metrics import psnr, ssim

__all__ = ["LiveDisplay", "PlainLines", "Preview", "ReferenceMeter", "Regularly"]


class ReferenceMeter:
    """Measures the averaged output against a clean picture, for the user to see; nothing in the fit depends on it.

    Args:
        reference: (H, W, C), float in [0, 1].
        compose: makes the picture of a state that would be returned, (H, W, C), float in [0, 1].
        every: iterations between two measurements.
    """

    def __init__(self, reference: NDArray[Any], compose: Callable[[State], NDArray[Any]], every: int = 25) -> None:
        self.reference = reference
        self.compose = compose
        self.every = every
        self.points: list[dict[str, float | None]] = []

    def __call__(self, state: State) -> None:
        """Measure, if it is time to."""
        if state.iteration % self.every and state.iteration != state.iterations:
            return
        picture = self.compose(state)
        figures = {"psnr": psnr(picture, self.reference), "ssim": ssim(picture, self.reference)}
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        self.points.append({"iteration": state.iteration, **finite})

    def latest(self) -> str:
        """The last figures, as a progress line shows them."""
        if not self.points:
            return ""
        last = self.points[-1]
        shown = (("PSNR {:.2f} dB", "psnr"), ("SSIM {:.4f}", "ssim"))
        return "  ".join(text.format(last[name]) for text, name in shown if last[name] is not None)


class Preview:
    """Hands the picture so far to ``write`` every so many iterations.

    Args:
        write: called with a state.
        every: iterations between two previews.
    """

    def __init__(self, write: Callable[[State], None], every: int) -> None:
        self.write = write
        self.every = every

    def __call__(self, state: State) -> None:
        """Write, if it is time to."""
        if state.iteration % self.every == 0 and state.iteration < state.iterations:
            self.write(state)


class Regularly:
    """Does something every so many seconds, between two iterations.

    Args:
        action: what to do.
        seconds: least time from one end of it to the next beginning.
    """

    def __init__(self, action: Callable[[], object], seconds: float) -> None:
        self.action = action
        self.seconds = seconds
        self._last = time.monotonic()

    def __call__(self, state: State) -> None:  # noqa: ARG002
        """Do it, if it is time to."""
        if time.monotonic() - self._last >= self.seconds:
            self.action()
            self._last = time.monotonic()


class PlainLines:
    """One line now and then, for logs and for terminals that cannot redraw.

    Args:
        console: where to.
        meter: whose figures to show beside the loss.
        seconds: least time between two lines.
    """

    def __init__(self, console: Console, meter: ReferenceMeter | None = None, seconds: float = 5.0) -> None:
        self.console = console
        self.meter = meter
        self.seconds = seconds
        self._last = -np.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, state: State) -> None:
        """Print a line, if it is time to."""
        if state.elapsed - self._last < self.seconds and state.iteration < state.iterations:
            return
        self._last = state.elapsed
        left = state.elapsed / state.iteration * (state.iterations - state.iteration)
        figures = self.meter.latest() if self.meter else ""
        line = (
            f"{state.iteration}/{state.iterations}  loss {float(state.loss):.2e}  "
            f"{state.elapsed:.0f} s  {left:.0f} s left  {figures}"
        )
        self.console.print(line.rstrip(), highlight=False)


class LiveDisplay:
    """A progress bar with loss and time left and, where the terminal has the colours, the picture coming back.

    Args:
        console: the terminal.
        meter: whose figures to show beside the loss.
        every: redraw the picture at least every so many iterations; by default, about twice a second.
    """

    def __init__(self, console: Console, meter: ReferenceMeter | None = None, every: int | None = None) -> None:
        self.console = console
        self.meter = meter
        self.every = every
        self._shows_picture = console.color_system in ("256", "truecolor")
        self._drawn = -np.inf
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            TextColumn("left  {task.fields[figures]}"),
            console=console,
        )
        self._bar = self._progress.add_task("fit", total=None, loss="", figures="")
        self._live = Live(self._progress, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, state: State) -> None:
        """Move the bar, and redraw the picture if it is time to."""
        now = time.monotonic()
        due = state.iteration % self.every == 0 if self.every else now - self._drawn > 0.5
        if not due and state.iteration < state.iterations:
            return
        self._drawn = now
        figures = self.meter.latest() if self.meter else ""
        self._progress.update(
            self._bar,
            total=state.iterations,
            completed=state.iteration,
            loss=f"{float(state.loss):.2e}",
            figures=figures,
        )
        content: RenderableType = self._progress
        if self._shows_picture:
            picture = state.average[0].movedim(0, -1).cpu().numpy()
            # Of a volume, the slice in the middle.
            picture = picture[len(picture) // 2] if picture.ndim == 4 else picture
            rows = max(4, min(24, self.console.size.height - 4))
            content = Group(as_blocks(picture, rows, self.console.size.width - 2), self._progress)
        self._live.update(content)


def as_blocks(picture: NDArray[Any], rows: int, columns: int) -> Segments:
    """A picture as coloured half blocks, two pixels a character cell.

    Args:
        picture: (H, W, C), float in [0, 1]; the first or the first three channels are shown.
        rows: at most so many lines.
        columns: at most so many characters a line.
    """
    from skimage.transform import resize

    height, width = picture.shape[:2]
    scale = min(2 * rows / height, columns / width, 1.0)
    shown = picture[..., :3] if picture.shape[2] >= 3 else np.repeat(picture[..., :1], 3, axis=2)
    tall, wide = max(2, round(height * scale) // 2 * 2), max(1, round(width * scale))
    small = resize(shown, (tall, wide), order=1, anti_aliasing=scale < 1)
    codes = (np.clip(small, 0, 1) * 255).astype(int)
    segments = []
    for top, bottom in zip(codes[::2], codes[1::2], strict=True):
        for upper, lower in zip(top, bottom, strict=True):
            style = Style.parse("rgb({},{},{}) on rgb({},{},{})".format(*upper, *lower))
            segments.append(Segment("▀", style))
        segments.append(Segment.line())
    return Segments(segments)
