"""The worker that waits for the next job, so that a job does not wait for the import of torch."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from untaught.studio.worker_process import Machine, WorkerProcess

__all__ = ["SpareWorker"]

_SECONDS_TO_KEEP = 600.0

_logger = logging.getLogger(__name__)


class SpareWorker:
    """At most one worker without a job. It takes about 300 MiB, and ends when nobody has used the studio for a while.

    Args:
        start: starts a worker, given the path of its log.
        log: that path.
    """

    def __init__(self, start: Callable[[Path], Awaitable[WorkerProcess]], log: Path) -> None:
        self._start = start
        self._log = log
        self._worker: WorkerProcess | None = None
        self._used = time.monotonic()

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self._worker is not None

    @property
    def machine(self) -> Machine | None:
        """What this machine has; None until the worker has told it."""
        return None if self._worker is None else self._worker.machine

    @property
    def seconds_left(self) -> float:
        """The time until it is not worth its memory, unless the studio is used again; 0 after that."""
        return max(0.0, self._used + _SECONDS_TO_KEEP - time.monotonic())

    def note_use(self) -> None:
        """Note that somebody uses the studio."""
        self._used = time.monotonic()

    async def prepare(self) -> bool:
        """Start the worker, and return whether that was possible."""
        try:
            self._worker = await self._start(self._log)
        except OSError as error:
            _logger.warning("no worker could be started: %s", error)
        return self._worker is not None

    def leave_in_time(self) -> float | None:
        """Let the worker end if it is not worth its memory; the seconds until then, None if there is none."""
        if not self.seconds_left:
            self.leave()
        return self.seconds_left if self.exists else None

    def take(self) -> WorkerProcess | None:
        """Return the worker for a job; None if there is none, or it has ended."""
        worker, self._worker = self._worker, None
        return None if worker is None or worker.ended else worker

    def leave(self) -> None:
        """Let the worker end."""
        if self._worker is not None:
            self._worker.leave()
        self._worker = None
