"""A worker as the server sees it: a process that waits for a job's folder and then takes wishes.

The worker's own side is `untaught.studio.worker`. It is not imported here, so that torch stays out of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Literal, NamedTuple, Self

from untaught.processes import environment

__all__ = ["DONE", "FULL", "PAUSED", "Machine", "Wish", "WorkerProcess"]

DONE, PAUSED, FULL = 0, 3, 5
"""Exit codes of a worker that has written the result, has left the job at a checkpoint, or has found the disk full."""

Wish = Literal["pause", "finish"]

_LARGEST_LOG = 2**20


class Machine(NamedTuple):
    """What this machine has.

    Attributes:
        devices: to choose from.
        reasons: a sentence for each choice that a fit makes by itself: device, arithmetic, threads, kernels.
    """

    devices: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class WorkerProcess:
    """A running worker.

    Args:
        process: the process itself, with a pipe to its standard input.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.device = ""
        self.machine: Machine | None = None
        self._reading = asyncio.create_task(self._read_machine())
        self.wish: Wish | None = None

    @classmethod
    async def start(cls, log: Path) -> Self:
        """Start a worker ahead of time: its imports are done when a job comes.

        Args:
            log: file that its error output is appended to until it has a job, then in the job's folder;
                it is renamed to NAME.old.log when it gets large.
        """
        with contextlib.suppress(OSError):
            if log.stat().st_size > _LARGEST_LOG:
                log.replace(log.with_suffix(".old.log"))
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "untaught.studio.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                env=environment(),
                start_new_session=True,  # Ctrl-C in the terminal goes to the server, which tells its workers
            )
        return cls(process)

    async def _read_machine(self) -> None:
        """Note what this machine has: torch, which knows it, is in the worker only."""
        if self._process.stdout is not None:
            with contextlib.suppress(ValueError):
                self.machine = Machine(*map(tuple, json.loads(await self._process.stdout.readline())))

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.returncode is not None

    def begin(self, folder: Path, device: str) -> None:
        """Hand over the folder of the job to fit."""
        self.device = device
        self._say(str(folder))

    def ask(self, wish: Wish) -> None:
        """Ask for a pause, or to finish with the picture so far."""
        self.wish = wish
        self._say(wish)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def leave(self) -> None:
        """Let a worker that has no job end."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        return await self._process.wait()
