"""The process that fits one job: ``python -m untaught.studio.worker``.

The server starts it ahead of time, so that its imports are done when a job comes. The first line on standard input is
the job's folder; "pause" or "finish" may follow. When the input ends, the server is gone and this process ends too.

A job continues from its checkpoint if there is one, so a paused or killed job comes to the same result. The worker
makes the same calls as the command line. It writes to the job's folder only.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from untaught.backend.engine import choose_engine, usable_devices
from untaught.errors import InputError, PictureError, StopFit, UntaughtError
from untaught.fitting import checkpoint
from untaught.fitting.observers import SafetyNet, Throttle
from untaught.fitting.state import State, StopReason
from untaught.imaging.files import write_text
from untaught.studio.job_files import JobRequest
from untaught.studio.job_input import read_job
from untaught.studio.job_log import ProgressWriter, open_log
from untaught.studio.job_result import write_result
from untaught.studio.storage import DamagedError, is_full, set_file_aside
from untaught.studio.worker_process import DONE, FULL, PAUSED
from untaught.tasks.modelled_noise import Blend
from untaught.tasks.preparation import prepare

__all__ = ["main"]

_FAILED, _BAD_INPUT, _GONE = 1, 2, 4

_log = logging.getLogger("untaught")


def main(lines: IO[str]) -> int:
    """Wait for the folder of a job, fit the job and return the exit code.

    Args:
        lines: from the server.
    """
    sys.stdout.write(json.dumps([usable_devices(), choose_engine("auto", "auto").reasons]) + "\n")
    sys.stdout.flush()
    _warm_up()
    name = lines.readline().strip()
    if not name:
        return _GONE
    folder = Path(name)
    with suppress(OSError), (folder / "worker.log").open("ab") as log:
        os.dup2(log.fileno(), 2)
    try:
        return _fit(folder, _Wishes(lines))
    except MemoryError:
        return _fail(folder, "there is too little memory for a picture of this size: crop it or make it smaller")
    except (UntaughtError, DamagedError, OSError) as error:
        if is_full(error):
            return FULL
        return _fail(folder, str(error).replace(f"{folder}{os.sep}", ""), _BAD_INPUT)


def _warm_up() -> None:
    """Load what a fit needs besides torch, by the first iteration of a small one."""
    picture = np.zeros((32, 32), np.uint8)
    picture[:, ::2] = 200
    known = np.ones(picture.shape, bool)
    known[12:16, 8:24] = False
    with suppress(UntaughtError):
        next(iter(prepare("inpaint", picture, mask=known, recipe="fast").begin()), None)


def _fail(folder: Path, message: str, code: int = _FAILED) -> int:
    with suppress(OSError):
        write_text(folder / "error.txt", message)
    return code


class _Pause(BaseException):
    """Leaves the fit between two iterations. It is no Exception: the run would report that as an observer's error."""


class _Wishes:
    """Observer that ends the fit when the server asks for it.

    Args:
        lines: from the server; this process ends when they end.
    """

    def __init__(self, lines: IO[str]) -> None:
        self.latest = ""
        self._lines = lines
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._lines:
            self.latest = line.strip()
        # At once and without a checkpoint: another server may be about to continue from the last one.
        os._exit(_GONE)

    def __call__(self, state: State) -> None:  # noqa: ARG002
        if self.latest == "pause":
            raise _Pause
        if self.latest == "finish":
            raise StopFit


def _fit(folder: Path, wishes: _Wishes) -> int:
    request = JobRequest.read(folder)
    job, picture = read_job(folder, request)
    blend = job.problem.display_step if isinstance(job.problem.display_step, Blend) else None
    if blend is not None:
        blend.keeps = True

    checkpoint_path = folder / "checkpoint"
    saved = _load_checkpoint(checkpoint_path)
    applied, repeatable = (0, True) if saved is None else (saved.values["continued"], saved.values["repeatable"])

    def save() -> None:
        moment = run.snapshot().beside(continued=len(request.continue_for), repeatable=repeatable)
        checkpoint.save(checkpoint_path, moment)

    with open_log(folder / "log.jsonl") as log:
        progress = ProgressWriter(job, picture, folder, log, request.ends, request.page)
        if saved is None:
            progress.write_first()
        run = job.begin(saved)
        progress.follow(run)
        for iterations in request.continue_for[applied:]:
            run.continue_for(iterations)
        try:
            kept = SafetyNet(Throttle(save, 10.0), "checkpoints are", _log.warning)
            restoration = run.finish([progress, kept, wishes])
        except _Pause:
            progress.write_preview()
            save()
            return PAUSED
        if blend is not None:
            blend.keeps = False  # what follows is a preview
        progress.write_preview(restoration.stop_reason)
    # A run that was stopped by the user or by the clock cannot be stopped at the same iteration again.
    repeatable &= restoration.stop_reason not in (StopReason.CANCELLED, StopReason.TIME)
    try:
        save()
    except PictureError as error:
        # The result matters more, and may still fit on the disk.
        _log.warning("the last checkpoint is missing: %s", error)
    write_result(folder, request, job, picture, restoration, repeatable=repeatable)
    return DONE


def _load_checkpoint(path: Path) -> checkpoint.Snapshot | None:
    """Read a job's checkpoint; without one that can be read, the job starts again and comes to the same result."""
    if not path.exists():
        return None
    try:
        return checkpoint.load(path)
    except InputError as error:
        set_file_aside(path, error)
        return None


if __name__ == "__main__":
    sys.exit(main(sys.stdin))
