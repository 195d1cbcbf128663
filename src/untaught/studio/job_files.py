"""The files of one job, checked when they are read: request.json, state.json, log.jsonl and moments/."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from untaught.studio.storage import DamagedError, read_json, write_json
from untaught.studio.task_schema import find_offer

__all__ = ["FINAL", "JobRequest", "JobResult", "JobState", "Status", "last_line", "moments", "new_lines"]

Status = Literal["queued", "running", "paused", "done", "failed", "cancelled"]

FINAL: tuple[Status, ...] = ("done", "failed", "cancelled")
"""States that a job leaves only at the user's request."""

_TAIL = 8192
_FILE_NAME = r"^[A-Za-z0-9_-]+\.[a-z]+$"
_NUMBERS = ("iteration", "until", "loss", "elapsed", "left", "best", "moment")


class _JobFile(BaseModel):
    """A JSON file in a job's folder."""

    _FILE: ClassVar[str]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file in a job's folder.

        Raises:
            DamagedError: if it is missing, empty or cut, or has values that cannot be.
        """
        path = folder / cls._FILE
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            raise DamagedError(path, f"is damaged at {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def write(self, folder: Path) -> None:
        """Write the file into a job's folder."""
        write_json(folder / self._FILE, self.model_dump(mode="json"))


class JobRequest(_JobFile):
    """What a job is to do: request.json.

    Attributes:
        id: of the job.
        picture: name of the uploaded picture, which may have been removed since.
        name: what the user calls the picture.
        task: name of the task.
        settings: of the task, checked; those left out have their default.
        crop: left, top, width and height of the region to restore, in pixels; None for the whole picture.
        whole: name in the job's folder of the file that the region is cut from; None for the whole picture.
        width: of the result, in pixels.
        height: of the result, in pixels.
        names: the names of downloads, by role: "picture", "mask", "result" and others of the task.
        files: the names in the job's folder, by role.
        continue_for: extra iterations, one number for each time that the user continued the job.
        mask: `mask_version` of the marks that the job was given; empty if there are none.
        page: of the file that the picture was uploaded in, from 1; None if it has only one.
        pages: how many that file has; None if it has only one.
        shown: the values that are shown as black and white; None in the jobs of earlier versions.
    """

    _FILE = "request.json"

    id: str
    picture: str
    name: str
    task: str
    settings: dict[str, Any]
    crop: tuple[int, int, int, int] | None
    whole: str | None
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    names: dict[str, str]
    files: dict[str, Annotated[str, Field(pattern=_FILE_NAME)]]
    continue_for: list[int]
    mask: str = ""
    page: int | None = None
    pages: int | None = None
    shown: tuple[FiniteFloat, FiniteFloat] | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """The values that are shown as black and white: those that the user has set, or those of the picture."""
        given = self.settings.get("value_range")
        return (given[0], given[1]) if given else self.shown

    @property
    def device(self) -> str:
        """The device that it asks for; "auto" by default."""
        device = str(self.settings.get("device", "auto"))
        return f"{device}:0" if device in ("cuda", "xpu") else device

    @property
    def is_volume(self) -> bool:
        """Whether all pages are restored together; the page is the slice that is shown then."""
        return bool(self.settings.get("volume"))

    @property
    def own_page(self) -> int | None:
        """The page of the job's own file to restore; that of a region has only one, and a volume has all."""
        return self.page if self.crop is None and not self.is_volume else None

    @field_validator("names", "files")
    @classmethod
    def _has_both_ends(cls, names: dict[str, str]) -> dict[str, str]:
        if not {"picture", "result"} <= set(names):
            raise ValueError("the picture or the result is missing")
        return names

    @field_validator("task")
    @classmethod
    def _is_offered(cls, name: str) -> str:
        return find_offer(name).name


class JobResult(_JobFile):
    """How a job has ended: result.json. What else the record says about it is kept as it is.

    Attributes:
        iterations: that were fitted.
        notes: sentences for the user.
        repeatable: whether the command line gives the same picture.
    """

    model_config = ConfigDict(extra="allow")

    _FILE = "result.json"

    iterations: int
    notes: list[str]
    repeatable: bool = True
    seconds: FiniteFloat | None = None
    expected_psnr: FiniteFloat | None = None


class JobState(_JobFile):
    """Where a job stands: state.json.

    Attributes:
        state: its status.
        message: why it failed; empty otherwise.
        created: time of the request, in seconds since 1970.
        turn: time at which it was queued last; jobs are fitted in this order.
    """

    _FILE = "state.json"

    state: Status
    message: str
    created: FiniteFloat
    turn: FiniteFloat

    @classmethod
    def queued(cls, turn: float | None = None) -> JobState:
        """Return the state of a new job, queued now or at a given time."""
        now = time.time() if turn is None else turn
        return cls(state="queued", message="", created=now, turn=now)


def last_line(log: Path) -> dict[str, Any] | None:
    """Return the last whole line of a log, or None if there is none yet."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            content = file.read()
    except OSError:
        return None
    return next((line for _, line in _lines(content, reverse=True)), None)


def new_lines(log: Path, offset: int) -> tuple[list[str], int]:
    """Read the whole lines of a log after an offset in bytes; an offset behind the end counts as 0.

    Returns:
        The lines as JSON text, without those that are damaged, and the offset after them.
    """
    try:
        with log.open("rb") as file:
            offset = offset if offset <= file.seek(0, os.SEEK_END) else 0
            file.seek(offset)
            content = file.read()
    except OSError:
        return [], 0
    end = content.rfind(b"\n") + 1
    return [text for text, _ in _lines(content[:end])], offset + end


def moments(folder: Path) -> dict[int, Path]:
    """Return the preview pictures in a job's folder by iteration, in order."""
    return {int(path.stem): path for path in sorted((folder / "moments").glob("[0-9]" * 7 + ".jpg"))}


def _lines(content: bytes, *, reverse: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lines that end with a newline and hold a JSON object, as text and as values."""
    whole = content.split(b"\n")[:-1]
    for raw in reversed(whole) if reverse else whole:
        try:
            text = raw.decode()
            line = json.loads(text)
        except ValueError:
            continue  # a worker that was killed may leave half a line, and the next one writes after it
        if isinstance(line, dict) and all(_is_number(line[name]) for name in _NUMBERS if name in line):
            yield text, line


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
