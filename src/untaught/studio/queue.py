"""The queue: which jobs are fitted now, which are waiting, and what became of the others.

One job at a time has a device; those for different devices, named in their settings, run side by side. Where a job
stands is in its folder, so the queue is the same after a restart: what was running is queued again, and goes on from
its checkpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from untaught.studio.storage import Store, read_json, write_json

__all__ = ["FINAL", "Queue", "RefusedError", "last_line"]

FINAL = ("done", "failed", "cancelled")
"""States that a job stays in."""

_MOST_WAITING = 100
_SECONDS_TO_LEAVE = 20.0
# The exit codes of `untaught.studio.worker`, which is not imported here: torch stays out of the server.
_DONE, _PAUSED = 0, 3

Wish = Literal["pause", "finish"]


class RefusedError(Exception):
    """A job cannot do that in the state that it is in."""


@dataclass
class _Fitting:
    """A job that is being fitted.

    Attributes:
        process: that fits it.
        device: that it has.
        wish: that it was told of.
    """

    process: asyncio.subprocess.Process
    device: str
    wish: Wish | None = None

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


class Queue:
    """All jobs of a store, and the processes that fit some of them.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.closing = False
        self.changes = 0
        self._states = {identity: self._read(identity) for identity in store.entries("jobs")}
        self._fittings: dict[str, _Fitting] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._spare: asyncio.subprocess.Process | None = None
        self._more = asyncio.Event()
        for identity, state in self._states.items():
            if state["state"] == "running":
                self._set(identity, state="queued")

    def _read(self, identity: str) -> dict[str, Any]:
        return read_json(self.store.folder / "jobs" / identity / "state.json")

    # What is asked of it ---------------------------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        """Names of the queued jobs, the next one first."""
        queued = [identity for identity, state in self._states.items() if state["state"] == "queued"]
        return sorted(queued, key=lambda identity: float(self._states[identity]["turn"]))

    def all(self) -> list[str]:
        """Names of all jobs, the newest first."""
        return sorted(self._states, key=lambda identity: -float(self._states[identity]["created"]))

    def state(self, identity: str) -> dict[str, Any]:
        """Where a job stands: "state", "message", "created", "turn", and "wish" while one is being fulfilled."""
        self.store.entry("jobs", identity)
        fitting = self._fittings.get(identity)
        return {**self._states[identity], "wish": fitting and fitting.wish}

    def last_activity(self) -> float:
        """When a running job last wrote a line of its log; 0 where there is none."""
        logs = [self.store.folder / "jobs" / identity / "log.jsonl" for identity in self._fittings]
        return max((log.stat().st_mtime for log in logs if log.exists()), default=0.0)

    def in_use(self) -> set[str]:
        """Names of the jobs that are not at their end."""
        return {identity for identity, state in self._states.items() if state["state"] not in FINAL}

    def check_room(self) -> None:
        """Find out whether one more job can be queued.

        Raises:
            RefusedError: if not.
        """
        if len(self.waiting()) >= _MOST_WAITING:
            raise RefusedError(f"{_MOST_WAITING} jobs are waiting already")

    def add(self, identity: str) -> None:
        """Queue a job that is new in the store."""
        now = time.time()
        self._states[identity] = {"state": "queued", "message": "", "created": now, "turn": now}
        self._set(identity)
        self._more.set()

    def wish(self, identity: str, wish: Wish) -> None:
        """Ask for a pause, or for the end with the picture so far.

        Raises:
            RefusedError: for a job that is not being fitted, but for a pause of one that waits.
        """
        state = self.state(identity)["state"]
        if wish == "pause" and state == "queued":
            self._set(identity, state="paused")
            return
        fitting = self._fittings.get(identity)
        if state != "running" or fitting is None or fitting.process.stdin is None:
            raise RefusedError(f"the job is {state}, not running")
        fitting.wish = wish
        fitting.process.stdin.write(f"{wish}\n".encode())
        self.changes += 1

    def resume(self, identity: str) -> None:
        """Queue a paused job again; also one that failed or was cancelled, from its last checkpoint.

        Raises:
            RefusedError: for a job that is doing something already, or is done.
        """
        state = self.state(identity)["state"]
        if state not in ("paused", "failed", "cancelled"):
            raise RefusedError(f"the job is {state}: there is nothing to resume")
        self._queue(identity)

    def continue_for(self, identity: str, iterations: int) -> None:
        """Fit on for so many iterations after the end.

        Raises:
            RefusedError: for a job that is not done.
        """
        state = self.state(identity)["state"]
        if state != "done":
            raise RefusedError(f"the job is {state}: only one that is done can be continued")
        path = self.store.entry("jobs", identity) / "request.json"
        request = read_json(path)
        write_json(path, {**request, "continue_for": [*request["continue_for"], iterations]})
        self._queue(identity)

    def _queue(self, identity: str) -> None:
        self._set(identity, state="queued", message="", turn=time.time())
        self._more.set()

    def cancel(self, identity: str) -> None:
        """End a job at once; what it has shown so far stays to be looked at.

        Raises:
            RefusedError: for a job that has ended.
        """
        state = self.state(identity)["state"]
        if state in FINAL:
            raise RefusedError(f"the job is {state} already")
        self._set(identity, state="cancelled")
        if identity in self._fittings:
            self._fittings[identity].kill()

    def remove(self, identity: str) -> None:
        """Cancel a job if need be, and forget it with all its files."""
        if self.state(identity)["state"] not in FINAL:
            self.cancel(identity)
        self.store.remove("jobs", identity)
        self.forget([identity])

    def forget(self, identities: list[str]) -> None:
        """Take note that entries are gone from the store."""
        for identity in identities:
            self._states.pop(identity, None)
        self.changes += 1

    def _set(self, identity: str, **changes: Any) -> None:
        self._states[identity] |= changes
        self.changes += 1
        folder = self.store.folder / "jobs" / identity
        if folder.is_dir():
            write_json(folder / "state.json", self._states[identity])

    # What it does ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fit one job after the other on each device, until the queue is closed."""
        while not self.closing:
            if self._spare is None and (not self._fittings or self._next()):
                self._spare = await self._worker()
                continue  # what is next may have changed meanwhile
            identity = self._next()
            if identity is not None:
                self._begin(identity)
                continue
            self._more.clear()
            await self._more.wait()

    def _next(self) -> str | None:
        """The first waiting job whose device is free, and not what one before it is waiting for."""
        taken = [fitting.device for fitting in self._fittings.values()]
        for identity in self.waiting():
            device = self._device(identity)
            if not _collides(device, taken):
                return identity
            taken.append(device)
        return None

    def _device(self, identity: str) -> str:
        """Where a job is to be fitted: "auto" if it does not say."""
        request = read_json(self.store.folder / "jobs" / identity / "request.json")
        device = str(request["settings"].get("device", "auto"))
        return f"{device}:0" if device in ("cuda", "xpu") else device

    def _begin(self, identity: str) -> None:
        """Give a job to the spare worker."""
        process, self._spare = self._spare, None
        if process is None or process.returncode is not None:
            return  # it ended while it waited; there will be another
        assert process.stdin is not None
        folder = self.store.folder / "jobs" / identity
        (folder / "error.txt").unlink(missing_ok=True)
        process.stdin.write(f"{folder}\n".encode())
        self._fittings[identity] = _Fitting(process, self._device(identity))
        self._set(identity, state="running")
        end = asyncio.create_task(self._see_to_its_end(identity))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    async def _see_to_its_end(self, identity: str) -> None:
        code = await self._fittings[identity].process.wait()
        del self._fittings[identity]
        self._take_note(identity, code)
        self.forget(self.store.clear(self.in_use()))
        self._more.set()

    async def _worker(self) -> asyncio.subprocess.Process:
        """A process that waits for a job, so that what it has to import is there when one comes."""
        with (self.store.folder / "worker.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "untaught.studio.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for the server, which tells its worker
            )

    def _take_note(self, identity: str, code: int) -> None:
        """What became of a job whose process has ended."""
        if identity not in self._states or self._states[identity]["state"] != "running":
            return  # removed or cancelled
        if self.closing and code == _PAUSED:
            return  # it stays "running", and so is taken up at the next start
        if code in (_DONE, _PAUSED):
            self._set(identity, state="done" if code == _DONE else "paused")
            return
        error = self.store.folder / "jobs" / identity / "error.txt"
        if error.exists():
            message = error.read_text(encoding="utf-8")
        elif code < 0:
            message = "the system ended the job, for want of memory perhaps: crop the picture or make it smaller"
        else:
            message = "the job ended with an error; worker.log in the studio's folder says more"
        self._set(identity, state="failed", message=message)

    async def close(self) -> None:
        """Leave the running jobs at a checkpoint, for the next start, and end."""
        self.closing = True
        self._more.set()
        if self._spare is not None and self._spare.stdin is not None:
            self._spare.stdin.close()
        for identity in self._fittings:
            with contextlib.suppress(RefusedError, ConnectionError):
                self.wish(identity, "pause")
        if self._ends:
            await asyncio.wait(self._ends, timeout=_SECONDS_TO_LEAVE)
        for fitting in self._fittings.values():
            fitting.kill()


def _collides(device: str, taken: Iterable[str]) -> bool:
    """Whether a device is one of those taken; "auto" may be any of them."""
    return any("auto" in (device, other) or device == other for other in taken)


def last_line(path: Path) -> Mapping[str, Any] | None:
    """The last whole line of a log, read; None if there is none yet."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            lines = log.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    if not lines:
        return None
    line: dict[str, Any] = json.loads(lines[-1])
    return line
