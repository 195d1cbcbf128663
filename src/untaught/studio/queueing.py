"""The queue: which job is fitted now, which are waiting, and what became of the others.

One job at a time has the machine. Where a job stands is in its folder, so the queue is the same after a restart: what
was running is queued again, and goes on from its checkpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from untaught.studio.store import Store, read_json, write_json

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


class Queue:
    """All jobs of a store, and the process that fits one of them.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.closing = False
        self.changes = 0
        self._states = {identity: self._read(identity) for identity in store.entries("jobs")}
        self._process: asyncio.subprocess.Process | None = None
        self._running: str | None = None
        self._spare: asyncio.subprocess.Process | None = None
        self._wish: Wish | None = None
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
        wish = self._wish if identity == self._running else None
        return {**self._states[identity], "wish": wish}

    def last_activity(self) -> float:
        """When the running job last wrote a line of its log; 0 where there is none."""
        if self._running is None:
            return 0.0
        log = self.store.folder / "jobs" / self._running / "log.jsonl"
        return log.stat().st_mtime if log.exists() else 0.0

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
        if state != "running" or self._process is None or self._process.stdin is None:
            raise RefusedError(f"the job is {state}, not running")
        self._wish = wish
        self._process.stdin.write(f"{wish}\n".encode())
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
        if identity == self._running:
            self._kill()

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

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _set(self, identity: str, **changes: Any) -> None:
        self._states[identity] |= changes
        self.changes += 1
        folder = self.store.folder / "jobs" / identity
        if folder.is_dir():
            write_json(folder / "state.json", self._states[identity])

    # What it does ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fit one job after the other, until the queue is closed."""
        while not self.closing:
            if self._spare is None:
                self._spare = await self._worker()
            waiting = self.waiting()
            if waiting:
                await self._fit(waiting[0])
                self.forget(self.store.clear(self.in_use()))
                continue
            self._more.clear()
            await self._more.wait()

    async def _fit(self, identity: str) -> None:
        folder = self.store.folder / "jobs" / identity
        process = self._spare if self._spare is not None and self._spare.returncode is None else await self._worker()
        self._spare = None
        assert process.stdin is not None
        process.stdin.write(f"{folder}\n".encode())
        self._process, self._running, self._wish = process, identity, None
        (folder / "error.txt").unlink(missing_ok=True)
        self._set(identity, state="running")
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            self._kill()
            raise
        finally:
            self._process, self._running, self._wish = None, None, None
        self._take_note(identity, code)

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
        """Leave the running job at a checkpoint, for the next start, and end."""
        self.closing = True
        self._more.set()
        if self._spare is not None and self._spare.stdin is not None:
            self._spare.stdin.close()
        if self._process is None or self._running is None:
            return
        with contextlib.suppress(RefusedError, ConnectionError):
            self.wish(self._running, "pause")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _SECONDS_TO_LEAVE)
        self._kill()


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
