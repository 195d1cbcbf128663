"""Suggested marks as the server sees them: a process measures a picture once, and answers for each strength."""

from __future__ import annotations

import base64
import json
from typing import Any

from fastapi import HTTPException

from untaught.studio.kept_process import KeptProcess
from untaught.studio.reader_process import UNREADABLE, Readers

__all__ = ["Proposer"]


class Proposer(KeptProcess):
    """Suggests marks for one picture at a time. Its process ends with the next picture, or when it is idle.

    Args:
        readers: lend the process.
    """

    def __init__(self, readers: Readers) -> None:
        super().__init__()
        self._readers = readers
        self._source = ("", "")

    async def ask(self, source: tuple[str, str], kind: str, strength: float) -> tuple[float, bytes]:
        """Suggest marks.

        Args:
            source: the file of the picture and its page.
            kind: of damage, see `untaught.propose_mask`.
            strength: see there.

        Returns:
            The share of the picture that is marked, and the mask as a PNG file.

        Raises:
            HTTPException: 422 if the picture cannot be read, 503 if the server ends.
        """
        async with self._lock:
            line = b""
            if source == self._source and self._process is not None:
                line = await self._answer(f"{kind} {strength}")
            if not line:  # another picture, or its process has come to its limits
                self.close()
                self._process, self._source = await self._readers.lend(*source), source
                line = await self._answer(f"{kind} {strength}")
            answer: dict[str, Any] = json.loads(line) if line else {"message": UNREADABLE}
            if "message" in answer:
                self.close()
                raise HTTPException(422, answer["message"])
        return answer["missing"], base64.b64decode(answer["mask"])
