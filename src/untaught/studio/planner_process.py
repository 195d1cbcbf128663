"""The planner as the server sees it: started with the first question, ended when nothing was asked for a while."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from untaught.processes import environment
from untaught.studio.job_checks import FieldError
from untaught.studio.reader_process import ending

__all__ = ["Planner"]

_SECONDS = 120.0
_SECONDS_TO_KEEP = 180.0


class Planner:
    """Answers one question at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._end: asyncio.TimerHandle | None = None
        self._ending = False

    async def ask(self, folder: Path) -> dict[str, Any]:
        """Return what the job in a folder will take, see `untaught.studio.planner`.

        Raises:
            FieldError: if it cannot be fitted.
            HTTPException: 503 if the server ends.
        """
        async with self._lock:
            if self._ending:
                raise ending()
            if self._end is not None:
                self._end.cancel()
            if self._process is None or self._process.returncode is not None:
                self._process = await _start()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            line = b""
            try:
                if self._ending:
                    raise ending()
                self._process.stdin.write(f"{folder}\n".encode())
                line = await asyncio.wait_for(self._process.stdout.readline(), _SECONDS)
            except (TimeoutError, ConnectionError):
                pass
            finally:
                if not line:  # also if the client has gone: the next answer would be to its question
                    self.close()
            if self._ending:
                raise ending()
            self._end = asyncio.get_running_loop().call_later(_SECONDS_TO_KEEP, self.close)
        answer: dict[str, Any] = json.loads(line) if line else {"notes": [], "seconds": None, "places": 0}
        if "refused" in answer:
            raise FieldError("", answer["refused"])
        return answer

    def end(self) -> None:
        """End the process, and start no other one."""
        self._ending = True
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._process = None


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "untaught.studio.planner"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
