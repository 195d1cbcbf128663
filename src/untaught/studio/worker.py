"""One job, in a process of its own: ``python -m untaught.studio.worker``, with its folder as the first line of input.

It begins from the job's checkpoint where there is one, so a job that was paused, killed or left behind by its server
goes on to the same result. What it does is what the command line does, by the same calls. It may be started before
there is a job, so that what takes long to import is there by then. On standard input the server then says "pause" or
"finish"; when that input ends, the server is gone, and so is this process.

What it leaves in the folder, besides the result: ``log.jsonl``, one line of figures now and then, and ``moments/``, the
picture at up to sixty moments. A line of the log takes back all earlier lines of its own or a later iteration: that is
how going on from a checkpoint looks.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from untaught.errors import Interrupted, UntaughtError
from untaught.fitting import checkpoint
from untaught.fitting import record as records
from untaught.fitting.run import Job, Progress, Run
from untaught.fitting.state import Restoration, State, StopReason
from untaught.imaging import reading, writing
from untaught.imaging.files import write_bytes, write_text
from untaught.imaging.picture import Picture
from untaught.studio.previews import as_jpeg, as_shown, heat
from untaught.studio.task_schema import command_line
from untaught.tasks.preparation import prepare
from untaught.tasks.registry import find_task

__all__ = ["BAD_INPUT", "DONE", "FAILED", "GONE", "PAUSED", "Moments", "main", "why_it_will_stop"]

DONE, FAILED, BAD_INPUT, PAUSED, GONE = 0, 1, 2, 3, 4

_LONGEST_SIDE = 1280
_MOMENTS = 60


def main(lines: IO[str]) -> int:
    """Wait for a folder, fit the job in it to its end, or to where the server wants it left; returns the exit code."""
    name = lines.readline().strip()
    if not name:
        return GONE
    folder = Path(name)
    try:
        return _fit(folder, _Wishes(lines))
    except MemoryError:
        return _fail(folder, "there is not enough memory for a picture of this size: crop it or make it smaller")
    except UntaughtError as error:
        return _fail(folder, str(error).replace(f"{folder}{os.sep}", ""), BAD_INPUT)


def _fail(folder: Path, message: str, code: int = FAILED) -> int:
    write_text(folder / "error.txt", message)
    return code


class _Wishes:
    """What the server asks for, taken up between two iterations.

    Args:
        lines: where it says so; when they end, the process does.
    """

    def __init__(self, lines: IO[str]) -> None:
        self.latest = ""
        self._lines = lines
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._lines:
            self.latest = line.strip()
        # At once, and without a checkpoint: another server may be about to go on from the last one.
        os._exit(GONE)

    def __call__(self, state: State) -> None:  # noqa: ARG002
        if self.latest == "pause":
            raise _PauseError
        if self.latest == "finish":
            raise KeyboardInterrupt


class _PauseError(Exception):
    """The job is to be left as it is."""


def _fit(folder: Path, wishes: _Wishes) -> int:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    _crop(folder, request)
    files = request["files"]
    picture = reading.read(folder / files["picture"])
    if request["crop"] is not None:
        writing.write(folder / "before.png", as_shown(picture))
    height, width = picture.pixels.shape[:2]
    more = {
        file.role: reading.read_input(folder / files.get(file.role, files["picture"]), file.kind, (height, width))
        for file in find_task(request["task"]).files
        if file.own or file.role in files
    }
    job = prepare(request["task"], picture.pixels, **more, **request["settings"])

    checkpoint_path = folder / "checkpoint"
    saved = checkpoint.load(checkpoint_path) if checkpoint_path.exists() else None
    run = job.begin(saved)
    applied, repeatable = (0, True) if saved is None else (saved.values["continued"], saved.values["repeatable"])
    for iterations in request["continue_for"][applied:]:
        run.continue_for(iterations)

    def keep() -> None:
        moment = run.snapshot()
        values = {**moment.values, "continued": len(request["continue_for"]), "repeatable": repeatable}
        checkpoint.save(checkpoint_path, checkpoint.Snapshot(moment.tensors, values))

    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        reporter = _Reporter(job, run, picture, folder, log)
        try:
            restoration = run.finish([reporter, _Sparingly(keep, 10.0), wishes])
        except _PauseError:
            reporter.report()
            keep()
            return PAUSED
        except Interrupted as interrupted:
            if interrupted.restoration is None:
                raise
            restoration = interrupted.restoration
        reporter.report(restoration.stop_reason)
    # Nobody can end another run at the same moment, neither by hand nor by the clock.
    repeatable &= restoration.stop_reason not in (StopReason.INTERRUPTED, StopReason.TIME)
    keep()
    _write_result(folder, request, job, picture, restoration, repeatable=repeatable)
    return DONE


def _crop(folder: Path, request: dict[str, Any]) -> None:
    """Cut the region that is to be tried out of picture and mask, once."""
    if request["crop"] is None:
        return
    left, top, width, height = request["crop"]
    window = np.s_[top : top + height, left : left + width]
    for source, target in ((request["whole"], request["files"]["picture"]), ("whole-mask.png", "mask.png")):
        if (folder / source).exists() and not (folder / target).exists():
            whole = reading.read(folder / source)
            alpha = None if whole.alpha is None else np.ascontiguousarray(whole.alpha[window])
            writing.write(folder / target, Picture(np.ascontiguousarray(whole.pixels[window]), alpha, whole.metadata))


def _write_result(
    folder: Path, request: dict[str, Any], job: Job, picture: Picture, restoration: Restoration, *, repeatable: bool
) -> None:
    """Everything that came of the run; its figures last, since they say that there is a result.

    Args:
        folder: of the job.
        request: what was asked for.
        job: that was fitted.
        picture: as it was read.
        restoration: what came of it.
        repeatable: whether the command line gives the same picture.
    """
    files, names, given = request["files"], request["names"], request["settings"]
    result = picture.with_pixels(restoration.picture)
    writing.write(folder / files["result"], result)
    shown = folder / "view.png"
    if result.pixels.dtype != np.uint8 or not files["result"].endswith(".png"):
        writing.write(shown, as_shown(result))
    if restoration.uncertainty is not None:
        writing.write(folder / "uncertainty.tif", Picture(restoration.uncertainty.astype("float32")))
        write_bytes(folder / "uncertainty.png", heat(restoration.uncertainty))
    present = {role: folder / name for role, name in files.items() if role != "result" and (folder / name).exists()}
    task = find_task(job.task)
    made = records.make_request(
        job,
        command=command_line(task, given, names, request["continue_for"]),
        files=present,
        options={
            **{option.name: given.get(option.name, option.default) for option in task.own_options},
            "value_range": None,
        },
    )
    # Under the names of the downloads: who has them in one folder can repeat the run there.
    made["files"] = {role: {**entry, "path": names[role]} for role, entry in made["files"].items()}
    record = records.make_record(made, restoration, {})
    write_text(folder / "record.json", json.dumps(record, indent=1) + "\n")
    write_text(folder / "result.json", json.dumps({**record["result"], "repeatable": repeatable}) + "\n")


class _Sparingly:
    """Does something now and then between two iterations, and never for more than a part of the time.

    Args:
        action: what to do.
        seconds: least time between two times.
        share: most of the time that it may take, 0 to 1.
    """

    def __init__(self, action: Callable[[], object], seconds: float, share: float = 0.04) -> None:
        self.action = action
        self.seconds = seconds
        self.share = share
        self._next = time.monotonic() + seconds

    def __call__(self, state: State) -> None:  # noqa: ARG002
        """Do it, if it is time to."""
        self.try_now()

    def try_now(self) -> bool:
        """Do it, if it is time to, and say whether it was."""
        if time.monotonic() < self._next:
            return False
        # Its own work is what counts, not what it waited for while others had the processor.
        started = time.thread_time()
        self.action()
        cost = time.thread_time() - started
        self._next = time.monotonic() + max(self.seconds, cost / self.share)
        return True


class Moments:
    """The picture at no more than so many moments: dense where it changes fast, which is early, and sparse later.

    Args:
        iterations: of the moments that are there already.
        most: how many may be kept.
    """

    def __init__(self, iterations: Iterator[int] | list[int], most: int = _MOMENTS) -> None:
        self.kept = sorted(iterations)
        self.most = most

    def add(self, iteration: int, best: int) -> list[int]:
        """Take one more; returns those that are to be dropped for it.

        Args:
            iteration: of the new moment, which takes back those of its own and later iterations.
            best: of the best moment; the one nearest to it is never dropped.
        """
        dropped = [other for other in self.kept if other > iteration]
        self.kept = [other for other in self.kept if other < iteration] + [iteration]
        if len(self.kept) > self.most:
            nearest = min(self.kept, key=lambda other: abs(other - best))
            inner = [index for index in range(1, len(self.kept) - 1) if self.kept[index] != nearest]
            # The one whose neighbours are closest to each other, as ratios go.
            index = min(inner, key=lambda index: self.kept[index + 1] / self.kept[index - 1])
            dropped.append(self.kept.pop(index))
        return dropped


class _Reporter:
    """Writes figures, pictures of moments, and why the run will stop.

    Args:
        job: what is fitted.
        run: its run.
        picture: as it was read, for its colour profile.
        folder: of the job.
        log: where the figures go.
    """

    def __init__(self, job: Job, run: Run, picture: Picture, folder: Path, log: IO[str]) -> None:
        self.job = job
        self.run = run
        self.profile = None if picture.metadata.cmyk else picture.metadata.icc_profile
        self.log = log
        self.folder = folder / "moments"
        self.folder.mkdir(exist_ok=True)
        self.moments = Moments([int(path.stem) for path in self.folder.glob("*.jpg")])
        self._figures = _Sparingly(self.report_figures, 0.25)
        self._pictures = _Sparingly(self.report, 1.0)
        self._began: tuple[int, float] | None = None
        self._aside = 0.0

    def __call__(self, state: State) -> None:
        """Write what it is time for; the first state always, with its picture."""
        started = time.perf_counter()
        if self._began is None:
            self._began = (state.iteration, state.elapsed)
            self.report()
        elif not self._pictures.try_now():
            self._figures.try_now()
        self._aside += time.perf_counter() - started

    def report_figures(self, stop_reason: StopReason | None = None, **more: Any) -> None:
        """Write a line."""
        state, outlook = self.run.last, self.run.progress
        if state is None:
            return
        line = {
            "iteration": state.iteration,
            "until": outlook.until,
            "loss": float(state.loss),
            "elapsed": state.elapsed,
            "aside": self._aside,  # of these seconds, what all earlier lines and their pictures have taken
            "left": self._seconds_left(state, outlook),
            "in_search": outlook.in_search,
            "best": outlook.best_iteration,
            "why": str(stop_reason) if stop_reason else why_it_will_stop(self.job, outlook, state.iteration),
            **more,
        }
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()

    def report(self, stop_reason: StopReason | None = None) -> None:
        """Write a line and the picture that goes with it."""
        state = self.run.last
        if state is None:
            return
        write_bytes(self.folder / f"{state.iteration:07d}.jpg", as_jpeg(self._shown(state.average), self.profile))
        dropped = self.moments.add(state.iteration, self.run.progress.best_iteration)
        for iteration in dropped:
            (self.folder / f"{iteration:07d}.jpg").unlink(missing_ok=True)
        self.report_figures(stop_reason, moment=state.iteration, dropped=dropped)

    def _shown(self, average: Tensor) -> Image.Image:
        """The picture that would be returned, no larger than a screen, with 8 bits."""
        job = self.job
        values = average if job.problem.finish is None else job.problem.finish(average)
        values = values[:1].cpu()
        kept = job.problem.kept
        if kept is not None:
            values = torch.where(kept[:1], job.problem.observed[:1], values)
        scale = max(values.shape[-2:]) / _LONGEST_SIDE
        if scale > 1:
            size = [max(1, round(side / scale)) for side in values.shape[-2:]]
            values = torch.nn.functional.interpolate(values, size=size, mode="area")
        pixels = (values[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        if pixels.shape[2] != 3:
            pixels = pixels[..., :3] if pixels.shape[2] > 3 else pixels[..., 0]
        return Image.fromarray(np.ascontiguousarray(pixels))

    def _seconds_left(self, state: State, outlook: Progress) -> float:
        """At the latest, at the pace so far."""
        assert self._began is not None
        iteration, elapsed = self._began
        done = state.iteration - iteration
        pace = (state.elapsed - elapsed) / done if done else state.elapsed / state.iteration
        left = max(0, outlook.until - state.iteration) * pace
        budget = self.job.time_budget
        return left if budget is None else min(left, max(0.0, budget - state.elapsed))


def why_it_will_stop(job: Job, outlook: Progress, iteration: int) -> str:
    """What will end the run, as a sentence for the user."""
    budget = "" if job.time_budget is None else f" or when {job.time_budget:g} s are spent"
    if not outlook.in_search:
        return f"It ends at iteration {outlook.until}{budget}: every known pixel is being fitted now."
    if outlook.gives_up_at is None:
        return f"It ends at iteration {outlook.until} at the latest{budget}."
    rules = {"held-out": "held-out pixels are no better", "residual-peak": "no more of the noise has come off"}
    rule = rules.get(job.recipe.stopping.rule, "the picture is no better")
    waited, patience = iteration - outlook.best_iteration, outlook.gives_up_at - outlook.best_iteration
    return (
        f"It ends when {rule} for {patience} iterations (now {waited}), "
        f"at iteration {outlook.until} at the latest{budget}."
    )


if __name__ == "__main__":
    sys.exit(main(sys.stdin))
