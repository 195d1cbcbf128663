"""The queue of jobs: which one is fitted on which device, which ones wait, and how each one ended.

Each device fits one job at a time; jobs for different devices run side by side. The state of a job is in its folder,
so the queue is the same after a restart: a job that was running is queued again and continues from its checkpoint.
A job whose request cannot be read is moved to ``damaged/``; one whose state cannot be read counts as failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from untaught.studio.job_files import FINAL, JobRequest, JobState, Status
from untaught.studio.spare_worker import SpareWorker
from untaught.studio.storage import DamagedError, FullError, MissingError, Store, set_file_aside
from untaught.studio.worker_process import DONE, FULL, PAUSED, Machine, Wish, WorkerProcess

__all__ = ["Queue", "RefusedError"]

_MOST_WAITING = 100
_SECONDS_TO_LEAVE = 20.0
_SECONDS_BETWEEN_LOOKS = 3.0

_log = logging.getLogger(__name__)


class RefusedError(Exception):
    """The state of a job does not allow what was asked."""


class Queue:
    """All jobs of a store, and the workers that fit some of them.

    Args:
        store: of the jobs.
        start_worker: starts a worker, given the path of its log; tests pass another one.

    Attributes:
        closing: whether the server ends.
        changes: counts what clients should know of.
        full: whether jobs wait for space on the disk.
    """

    def __init__(
        self, store: Store, start_worker: Callable[[Path], Awaitable[WorkerProcess]] = WorkerProcess.start
    ) -> None:
        self.store = store
        self.closing = False
        self.changes = 0
        self.full = False
        self._full_until = 0.0
        self._machine = Machine()
        self._requests: dict[str, JobRequest] = {}
        self._states: dict[str, JobState] = {}
        self._workers: dict[str, WorkerProcess] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._spare = SpareWorker(start_worker, store.folder / "worker.log")
        self._more = asyncio.Event()
        for identity in store.entries("jobs"):
            self._load(identity)

    def _load(self, identity: str) -> None:
        """Read a job that an earlier server has left."""
        folder = self._folder(identity)
        try:
            request = JobRequest.read(folder)
            if request.id != identity:
                raise DamagedError(folder / "request.json", "is of another job")
            self._requests[identity] = request
        except DamagedError as error:
            self.store.set_aside("jobs", identity, error)
            return
        try:
            self._states[identity] = JobState.read(folder)
        except DamagedError as error:
            set_file_aside(error.path, error)
            created = (folder / "request.json").stat().st_mtime
            message = f"{error}: resume the job to continue from its last checkpoint"
            self._states[identity] = JobState(state="failed", message=message, created=created, turn=created)
            self._set(identity)
        if self._states[identity].state == "running":
            self._set(identity, state="queued")

    def _folder(self, identity: str) -> Path:
        return self.store.folder / "jobs" / identity

    # Questions -------------------------------------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        """Return the names of the queued jobs, the next one first."""
        queued = [identity for identity, state in self._states.items() if state.state == "queued"]
        return sorted(queued, key=lambda identity: self._states[identity].turn)

    def all(self) -> list[str]:
        """Return the names of all jobs, the newest first."""
        return sorted(self._states, key=lambda identity: -self._states[identity].created)

    def state(self, identity: str) -> JobState:
        """Return the state of a job.

        Raises:
            MissingError: if there is no such job.
        """
        self.store.entry("jobs", identity)
        try:
            return self._states[identity]
        except KeyError:
            raise MissingError("the queue has no job of this name") from None

    def request(self, identity: str) -> JobRequest:
        """Return what a job is to do.

        Raises:
            MissingError: if there is no such job.
        """
        self.state(identity)
        return self._requests[identity]

    def wish_of(self, identity: str) -> Wish | None:
        """Return what a running job has been asked for and has not yet done."""
        worker = self._workers.get(identity)
        return None if worker is None else worker.wish

    def place_of(self, identity: str) -> tuple[int, int] | None:
        """Return the place of a queued job among those that wait, from 1, and their number."""
        if self.state(identity).state != "queued":
            return None
        waiting = self.waiting()
        return waiting.index(identity) + 1, len(waiting)

    def last_activity(self) -> float:
        """Return the time of the last line in the logs of running jobs, 0 if there is none."""
        logs = [self._folder(identity) / "log.jsonl" for identity in self._workers]
        return max((log.stat().st_mtime for log in logs if log.exists()), default=0.0)

    @property
    def machine(self) -> Machine:
        """What this machine has; without devices until the first worker has told it."""
        told = [self._spare.machine, *(worker.machine for worker in self._workers.values())]
        self._machine = next(filter(None, told), self._machine)
        return self._machine

    def running(self) -> list[Path]:
        """Return the folders of the running jobs."""
        return [self._folder(identity) for identity in self._workers]

    def is_unfinished(self, identity: str) -> bool:
        """Return whether a job has not ended.

        Raises:
            MissingError: if there is no such job.
        """
        return self.state(identity).state not in FINAL

    def jobs_of(self, picture: str, *, ended: bool = False) -> list[str]:
        """Return the names of the jobs of a picture: those that have not ended, or all."""
        counted = (identity for identity, state in self._states.items() if ended or state.state not in FINAL)
        return [identity for identity in counted if self._requests[identity].picture == picture]

    def next_turn(self) -> float:
        """Return the time, or a moment after the last turn if the clock was put back since."""
        last = max((state.turn for state in self._states.values()), default=0.0)
        return max(time.time(), last + 0.001)

    def check_room(self) -> None:
        """Check that one more job can be queued.

        Raises:
            RefusedError: if too many are waiting.
        """
        if len(self.waiting()) >= _MOST_WAITING:
            raise RefusedError(f"{_MOST_WAITING} jobs are waiting already: cancel some, or wait")

    # Actions ---------------------------------------------------------------------------------------------------------

    def add(self, identity: str, request: JobRequest, state: JobState) -> None:
        """Add a job that is new in the store."""
        self._requests[identity], self._states[identity] = request, state
        self.changes += 1
        self._more.set()

    def wish(self, identity: str, wish: Wish) -> None:
        """Ask a running job for a pause, or to finish with the picture so far; a queued job can be paused too.

        Raises:
            RefusedError: for a job in another state.
        """
        state = self.state(identity).state
        if wish == "pause" and state == "queued":
            self._set(identity, state="paused")
            return
        if state != "running" or identity not in self._workers:
            raise RefusedError(f"the job is {state}, not running")
        self._workers[identity].ask(wish)
        self.changes += 1

    def resume(self, identity: str) -> None:
        """Queue a job again that was paused or cancelled, or has failed; it continues from its last checkpoint.

        Raises:
            RefusedError: for a job in another state.
        """
        self._check(identity, "only a paused, failed or cancelled job can be resumed", "paused", "failed", "cancelled")
        self._queue(identity)

    def continue_for(self, identity: str, iterations: int) -> None:
        """Fit a job that is done for this many more iterations.

        Raises:
            RefusedError: for a job that is not done.
        """
        self._check(identity, "only one that is done can be continued", "done")
        self._change(identity, continue_for=[*self._requests[identity].continue_for, iterations])

    def set_strength(self, identity: str, settings: dict[str, Any]) -> None:
        """Make the result of a job that is done anew, with settings that its fit does not depend on.

        Raises:
            RefusedError: for a job that is not done.
        """
        self._check(identity, "the strength of one that is done can be changed", "done")
        self._change(identity, settings=settings)

    def _check(self, identity: str, otherwise: str, *allowed: Status) -> None:
        state = self.state(identity).state
        if state not in allowed:
            raise RefusedError(f"the job is {state}: {otherwise}")

    def _change(self, identity: str, **changes: Any) -> None:
        self._rewrite(identity, **changes)
        self._queue(identity)

    def _rewrite(self, identity: str, **changes: Any) -> None:
        request = self._requests[identity].model_copy(update=changes)
        request.write(self._folder(identity))
        self._requests[identity] = request
        self.changes += 1

    def _queue(self, identity: str) -> None:
        self._set(identity, state="queued", message="", turn=self.next_turn())
        self._more.set()

    def move(self, identity: str, places: int) -> None:
        """Let a queued job wait longer by some places, or less long if negative.

        Raises:
            RefusedError: for a job in another state.
        """
        self._check(identity, "only one that waits can be moved", "queued")
        waiting = self.waiting()
        turns = [self._states[one].turn for one in waiting]
        at = waiting.index(identity)
        waiting.insert(max(0, at + places), waiting.pop(at))
        for one, turn in zip(waiting, turns, strict=True):
            self._set(one, turn=turn)
        self._more.set()

    def rename(self, identity: str, name: str) -> None:
        """Give a job another name, and its result with it. Its record keeps the names that it was made with."""
        names = self.request(identity).names
        self._rewrite(identity, name=name, names={**names, "result": f"{name}-restored{Path(names['result']).suffix}"})

    def cancel(self, identity: str) -> None:
        """End a job at once; its log and preview pictures stay.

        Raises:
            RefusedError: for a job that has ended.
        """
        self._check(identity, "it has ended already", "queued", "running", "paused")
        self._set(identity, state="cancelled")
        if identity in self._workers:
            self._workers[identity].kill()

    def remove(self, identity: str) -> None:
        """Remove a job with all its files, and cancel it first if it has not ended."""
        if self.state(identity).state not in FINAL:
            self.cancel(identity)
        self.store.remove("jobs", identity)
        del self._states[identity], self._requests[identity]
        self.changes += 1

    def _set(self, identity: str, **changes: Any) -> None:
        state = self._states[identity] = self._states[identity].model_copy(update=changes)
        self.changes += 1
        if self._folder(identity).is_dir():
            try:
                state.write(self._folder(identity))
            except OSError as error:  # after a restart the job continues from its last checkpoint
                _log.warning("jobs/%s: %s", identity, error)

    # Fitting ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fit one job after the other on each device, until the queue is closed."""
        while not self.closing:
            wanted = self._next() or (not self._workers and self._spare.seconds_left)
            if wanted and not self._spare.exists and self._has_room():
                if not await self._spare.prepare():
                    self._full_until = time.monotonic() + _SECONDS_BETWEEN_LOOKS
                continue  # the next job may be another one now
            identity = self._next()
            if identity is not None and self._has_room():
                self._begin(identity)
                continue
            self._more.clear()
            seconds = self._spare.leave_in_time()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), _SECONDS_BETWEEN_LOOKS if self.full else seconds)

    def note_use(self) -> None:
        """Note that somebody uses the studio: a worker will be ready for the next job."""
        self._spare.note_use()
        if not self._spare.exists:
            self._more.set()

    def _has_room(self) -> bool:
        """Return whether the next job can begin; `full` tells the page if not."""
        try:
            self.store.check_room()
            full = time.monotonic() < self._full_until
        except FullError:
            full = True
        self.changes += full != self.full
        self.full = full
        return not full

    def _next(self) -> str | None:
        """Return the first waiting job whose device is free and not wanted by a job before it."""
        taken = [worker.device for worker in self._workers.values()]
        for identity in self.waiting():
            device = self._requests[identity].device
            if not _collides(device, taken):
                return identity
            taken.append(device)
        return None

    def _begin(self, identity: str) -> None:
        """Give a job to the spare worker."""
        worker = self._spare.take()
        if worker is None:
            return  # it ended while it waited; the loop starts another one
        folder = self._folder(identity)
        (folder / "error.txt").unlink(missing_ok=True)
        worker.begin(folder, self._requests[identity].device)
        self._workers[identity] = worker
        self._set(identity, state="running")
        end = asyncio.create_task(self._follow(identity))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    async def _follow(self, identity: str) -> None:
        """Wait for the end of a job's worker, and note how it ended."""
        code = await self._workers[identity].wait()
        del self._workers[identity]
        self._note_end(identity, code)
        self._more.set()

    def _note_end(self, identity: str, code: int) -> None:
        if identity not in self._states or self._states[identity].state != "running":
            return  # removed or cancelled
        if self.closing and code == PAUSED:
            return  # it stays "running", so the next server queues it again
        if code in (DONE, PAUSED):
            self._set(identity, state="done" if code == DONE else "paused")
            return
        if code == FULL:  # it continues once there is space
            self._full_until = time.monotonic() + _SECONDS_BETWEEN_LOOKS
            self._set(identity, state="queued")
            return
        message = ""
        with contextlib.suppress(FileNotFoundError):
            message = (self._folder(identity) / "error.txt").read_text(encoding="utf-8", errors="replace")
        if not message and code < 0:
            message = "the system ended the job, perhaps because memory ran out: crop the picture or make it smaller"
        elif not message:
            message = "the job ended with an unexpected error: what it said is under More downloads, Log"
        self._set(identity, state="failed", message=message)

    async def close(self) -> None:
        """Leave the running jobs at a checkpoint for the next server, and end."""
        self.closing = True
        self._more.set()
        self._spare.leave()
        for identity in list(self._workers):
            with contextlib.suppress(RefusedError, MissingError, ConnectionError):
                self.wish(identity, "pause")
        if self._ends:
            await asyncio.wait(self._ends, timeout=_SECONDS_TO_LEAVE)
        for worker in self._workers.values():
            worker.kill()


def _collides(device: str, taken: Iterable[str]) -> bool:
    """Return whether a device may be one of those taken; "auto" may be any of them."""
    return any("auto" in (device, other) or device == other for other in taken)
