"""Progress on a terminal: a bar with the picture so far, or plain lines."""

from __future__ import annotations

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

from untaught.fitting.observers import ReferenceMeter
from untaught.fitting.state import State

__all__ = ["LiveDisplay", "PlainLines", "as_blocks", "make_console", "make_display"]


def make_console(*, quiet: bool = False) -> Console:
    """A console on standard error that prints every text as it is: a file may be called ``scan[red].png``."""
    return Console(stderr=True, quiet=quiet, markup=False, highlight=False, emoji=False, soft_wrap=True)


def make_display(
    console: Console,
    meter: ReferenceMeter | None = None,
    every: int | None = None,
    preview: Callable[[State], NDArray[Any]] | None = None,
) -> LiveDisplay | PlainLines:
    """The display that suits a console.

    Args:
        console: where it is shown.
        meter: its figures are shown beside the loss.
        every: iterations between two pictures of a live display; about half a second if None.
        preview: makes the picture, (H, W, C), in [0, 1], of a state; the averaged output itself if None.
    """
    return LiveDisplay(console, meter, every, preview) if console.is_terminal else PlainLines(console, meter)


class PlainLines:
    """One line every few seconds, for logs and for terminals that cannot redraw.

    Args:
        console: where they are printed.
        meter: its figures are shown beside the loss.
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
        """Print a line if it is time for one."""
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
    """A progress bar with loss and time left and, where the terminal has the colours, the picture so far.

    Args:
        console: the terminal.
        meter: its figures are shown beside the loss.
        every: iterations between two pictures at most; about half a second if None.
        preview: makes the picture, (H, W, C), in [0, 1], of a state; the averaged output itself if None.
    """

    def __init__(
        self,
        console: Console,
        meter: ReferenceMeter | None = None,
        every: int | None = None,
        preview: Callable[[State], NDArray[Any]] | None = None,
    ) -> None:
        self.preview = preview
        self.console = console
        self.meter = meter
        self.every = every
        # Half blocks are no letters of ASCII or Latin-1.
        self._shows_picture = console.color_system in ("256", "truecolor") and console.encoding.startswith("utf")
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
        """Move the bar, and redraw the picture, if it is time to."""
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
            picture = self.preview(state) if self.preview else state.picture[0].movedim(0, -1).cpu().numpy()
            # Of a volume, the middle slice is shown.
            picture = picture[len(picture) // 2] if picture.ndim == 4 else picture
            rows = max(4, min(24, self.console.size.height - 4))
            content = Group(as_blocks(picture, rows, self.console.size.width - 2), self._progress)
        self._live.update(content)


def as_blocks(picture: NDArray[Any], rows: int, columns: int) -> Segments:
    """A picture as coloured half blocks, two pixels in each character cell.

    Args:
        picture: (H, W, C), float in [0, 1]; the first channel or the first three are shown.
        rows: most lines.
        columns: most characters per line.
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
