"""What a worker writes while it fits: lines of figures in log.jsonl, and preview pictures in moments/.

A line of the log replaces all earlier lines of its own or a later iteration: that is how it looks when a job continues
from a checkpoint. A preview is named after its iteration; at most 60 are kept.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from untaught.fitting.observers import Throttle
from untaught.fitting.run import Job, Progress, Run
from untaught.fitting.state import State, StopReason
from untaught.imaging.files import write_bytes
from untaught.imaging.picture import Picture
from untaught.studio.job_files import moments
from untaught.studio.previews import as_jpeg

__all__ = ["KeptPreviews", "Pace", "ProgressWriter", "open_log", "why_it_will_stop"]

_LONGEST_SIDE = 1280
_MOST_PREVIEWS = 60

_FAR = 2.0
"""A filter's picture is as far from the noisy one as the noise is strong. What is farther by this errs by itself."""
_LATE = 8.0
"""Seconds whose pace tells how long the rest takes."""
_ALONE = 3.0
"""Seconds of a fit after which its pictures are shown, however far they are: a clean picture is never reached."""


class Pace:
    """How long an iteration takes of late: the first ones complete the picture besides, and say little of the rest.

    Args:
        iteration: that the run begins with.
        elapsed: seconds until it.
    """

    def __init__(self, iteration: int, elapsed: float) -> None:
        self._moments = deque([(iteration, elapsed)])

    def at(self, iteration: int, elapsed: float) -> float:
        """Seconds of an iteration, in the last seconds before this one."""
        self._moments.append((iteration, elapsed))
        while len(self._moments) > 2 and self._moments[1][1] <= elapsed - _LATE:
            self._moments.popleft()
        first, began = self._moments[0]
        return (elapsed - began) / (iteration - first) if iteration > first else elapsed / max(iteration, 1)


class KeptPreviews:
    """Which previews are kept: dense at the beginning, where the picture changes fast, and sparse later.

    Args:
        iterations: of the previews that exist already.
        most: number of previews to keep.
    """

    def __init__(self, iterations: Iterable[int], most: int = _MOST_PREVIEWS) -> None:
        self.kept = sorted(iterations)
        self.most = most

    def add(self, iteration: int, best: int) -> list[int]:
        """Add a preview and return the iterations of those to delete for it.

        Args:
            iteration: of the new preview; those of later iterations are outdated.
            best: iteration of the best picture so far; the preview nearest to it is always kept.
        """
        dropped = [other for other in self.kept if other > iteration]
        self.kept = [other for other in self.kept if other < iteration] + [iteration]
        if len(self.kept) > self.most:
            nearest = min(self.kept, key=lambda other: abs(other - best))
            inner = [index for index in range(1, len(self.kept) - 1) if self.kept[index] != nearest]
            # The one whose neighbours have the smallest ratio of iterations.
            index = min(inner, key=lambda index: self.kept[index + 1] / max(1, self.kept[index - 1]))
            dropped.append(self.kept.pop(index))
        return dropped


def open_log(path: Path) -> IO[str]:
    """Open a log to append to it; a line that a killed worker has left half-written is ended first."""
    content = path.read_bytes() if path.exists() else b""
    log = path.open("a", encoding="utf-8")
    if content and not content.endswith(b"\n"):
        log.write("\n")
    return log


class ProgressWriter:
    """Observer that writes the log and the previews of a job.

    Args:
        job: what is fitted.
        picture: the input, for its colour profile.
        folder: of the job.
        log: from `open_log`.
        ends: the values that are shown as black and white; those of the fit if None.
        slice_: the slice of a volume that is shown, from 1; None for the first.
    """

    def __init__(
        self,
        job: Job,
        picture: Picture,
        folder: Path,
        log: IO[str],
        ends: tuple[float, float] | None = None,
        slice_: int | None = None,
    ) -> None:
        self._job = job
        self._slice = (slice_ or 1) - 1
        self._run: Run | None = None
        self._profile = None if picture.metadata.cmyk else picture.metadata.icc_profile
        self._log = log
        self._folder = folder / "moments"
        self._folder.mkdir(exist_ok=True)
        self._kept = KeptPreviews(moments(folder))
        self._figures = Throttle(self.write_figures, 0.25)
        self._previews = Throttle(self._write_better, 1.0)
        self._first: float | None = None
        self._pace: Pace | None = None
        self._aside = 0.0
        fitted = (job.problem.layout.low, job.problem.layout.high)
        low, high = ends or fitted
        self._gain, self._offset = (fitted[1] - fitted[0]) / (high - low), (fitted[0] - low) / (high - low)

    def __call__(self, state: State) -> None:
        """Write what is due; the first state with a preview, unless that of iteration 0 is better."""
        started = time.perf_counter()
        if self._pace is None:
            self._pace = Pace(state.iteration, state.elapsed)
            self._write_better()
        elif not self._previews.try_now():
            self._figures.try_now()
        self._aside += time.perf_counter() - started

    def write_first(self) -> None:
        """Write a preview of what there is before the run is prepared, if there is anything, as that of iteration 0."""
        state = self._job.first_state()
        if state is None:
            return
        self._first = self._distance(state)
        self._write_picture(state)
        line = {"iteration": 0, "until": state.iterations, "elapsed": 0.0, "in_search": True, "best": 0, "why": ""}
        self._write_line({**line, "moment": 0, "dropped": self._kept.add(0, 0)})

    def _distance(self, state: State) -> float:
        """The mean squared distance of the picture so far from the observation."""
        observed = self._job.problem.observed
        return float((state.average.to(observed.device) - observed).square().mean())

    def _write_better(self) -> None:
        """Write a preview, or only a line where the picture is much farther from the observation than the first one."""
        assert self._run is not None
        state = self._run.last
        early = state is not None and state.elapsed < _ALONE
        if state is not None and self._first is not None and early and self._distance(state) > _FAR * self._first:
            self.write_figures()
            return
        self._first = None
        self.write_preview()

    def follow(self, run: Run) -> None:
        """Write of this run from now on."""
        self._run = run

    def write_figures(self, stop_reason: StopReason | None = None, **more: Any) -> None:
        """Write a line of the log.

        Args:
            stop_reason: why the run has ended; None while it runs.
            more: further entries of the line.
        """
        if self._run is None or self._run.last is None:
            return
        state, progress = self._run.last, self._run.progress
        line = {
            "iteration": state.iteration,
            "until": progress.until,
            "loss": float(state.loss),
            "elapsed": state.elapsed,
            "aside": self._aside,  # seconds of "elapsed" that the earlier lines and previews have taken
            "left": self._seconds_left(state, progress),
            "in_search": progress.in_search,
            "best": progress.best_iteration,
            "why": str(stop_reason) if stop_reason else why_it_will_stop(self._job, progress, state.iteration),
            **more,
        }
        self._write_line(line)

    def _write_line(self, line: dict[str, Any]) -> None:
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()

    def write_preview(self, stop_reason: StopReason | None = None) -> None:
        """Write a preview and a line of the log that names it.

        Args:
            stop_reason: why the run has ended; None while it runs.
        """
        if self._run is None or self._run.last is None:
            return
        state = self._run.last
        self._write_picture(state)
        dropped = self._kept.add(state.iteration, self._run.progress.best_iteration)
        for iteration in dropped:
            (self._folder / f"{iteration:07d}.jpg").unlink(missing_ok=True)
        self.write_figures(stop_reason, moment=state.iteration, dropped=dropped)

    def _write_picture(self, state: State) -> None:
        write_bytes(self._folder / f"{state.iteration:07d}.jpg", as_jpeg(self._shown(state), self._profile))

    def _shown(self, state: State) -> Image.Image:
        """Return the picture so far with 8 bits, and no larger than a screen."""
        values = self._job.preview(state, _LONGEST_SIDE)
        if self._job.problem.layout.volume:
            values = values[self._slice]
            step = max(1, -(-max(values.shape[:2]) // _LONGEST_SIDE))
            values = values[::step, ::step]
        values = values * self._gain + self._offset
        pixels = (values.clip(0, 1) * 255).round().astype(np.uint8)
        if pixels.shape[2] != 3:
            pixels = pixels[..., :3] if pixels.shape[2] > 3 else pixels[..., 0]
        return Image.fromarray(np.ascontiguousarray(pixels))

    def _seconds_left(self, state: State, progress: Progress) -> float:
        """Return the longest time that the run may still take, at its pace of late."""
        if self._pace is None:
            return 0.0  # the run had ended already: an earlier worker was killed before it wrote the result
        left = max(0, progress.until - state.iteration) * self._pace.at(state.iteration, state.elapsed)
        budget = self._job.time_budget
        return left if budget is None else min(left, max(0.0, budget - state.elapsed))


def why_it_will_stop(job: Job, progress: Progress, iteration: int) -> str:
    """Return a sentence for the user that says what will end the run."""
    budget = "" if job.time_budget is None else f" or after {job.time_budget:g} s"
    if not progress.in_search:
        return f"It ends at iteration {progress.until}{budget}: every known pixel is being fitted now."
    if progress.gives_up_at is None:
        return f"It ends at iteration {progress.until} at the latest{budget}."
    rules = {"held-out": "the held-out pixels get no better", "residual-peak": "no more noise is removed"}
    rule = rules.get(job.recipe.stopping.rule, "the picture gets no better")
    waited, patience = iteration - progress.best_iteration, progress.gives_up_at - progress.best_iteration
    return (
        f"It ends when {rule} for {patience} iterations (now {waited}), "
        f"at iteration {progress.until} at the latest{budget}."
    )
