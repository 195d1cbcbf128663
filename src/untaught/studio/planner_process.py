"""The planner as the server sees it: started with the first question, ended when nothing was asked for a while."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from untaught.processes import environment
from untaught.studio.job_checks import FieldError
from untaught.studio.kept_process import KeptProcess
from untaught.studio.reader_process import ending

__all__ = ["Planner"]


class Planner(KeptProcess):
    """Answers one question at a time."""

    async def ask(self, folder: Path) -> dict[str, Any]:
        """Return what the job in a folder will take, see `untaught.studio.planner`.

        Raises:
            FieldError: if it cannot be fitted.
            HTTPException: 503 if the server ends.
        """
        async with self._lock:
            if self._ending:
                raise ending()
            if self._process is None or self._process.returncode is not None:
                self._process = await _start()
            line = await self._answer(str(folder))
        answer: dict[str, Any] = json.loads(line) if line else {"notes": [], "seconds": None, "places": 0}
        if "refused" in answer:
            raise FieldError("", answer["refused"])
        return answer


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "untaught.studio.planner"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
