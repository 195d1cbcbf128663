"""What several routes use: the studio of a request, the facts of a job, temporary folders and file responses."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers as RequestHeaders
from starlette.types import Receive, Scope, Send

from untaught.studio.job_files import JobResult, last_line
from untaught.studio.services import Services
from untaught.studio.storage import DamagedError, MissingError, Store, read_json, set_file_aside, shown_name
from untaught.studio.task_schema import command_line, find_offer

__all__ = [
    "CurrentServices",
    "Identity",
    "Name",
    "all_job_facts",
    "job_facts",
    "link",
    "mask_version",
    "original",
    "picture_info",
    "send_content",
    "send_file",
    "temporary_folder",
]


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    services.queue.note_use()
    return services


CurrentServices = Annotated[Services, Depends(_services)]
"""The services of the studio that a request is for."""


class Name(BaseModel):
    """What a picture or a job is called."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=255)]

    def shown(self) -> str:
        """The name, safe to show and to suggest for downloads."""
        return shown_name(f"{self.name}.x")


Identity = Annotated[str, InPath(pattern="^[0-9a-f]{16}$", description="name of a picture or a job")]
"""The only part of a request that names an entry of the store."""


def picture_info(store: Store, identity: str) -> dict[str, Any]:
    """Read what is known about a picture.

    Raises:
        MissingError: if there is no such picture, or its files are damaged; they are then moved to ``damaged/``.
    """
    folder = store.entry("pictures", identity)
    try:
        info = read_json(folder / "info.json")
        if not _is_info(info, identity) or not list(folder.glob("original.*")):
            raise DamagedError(folder, "is incomplete")
    except DamagedError as error:
        store.set_aside("pictures", identity, error)
        raise MissingError(f"the files of this picture are damaged ({error}): upload it again") from None
    return info


def _is_info(info: dict[str, Any], identity: str) -> bool:
    created = info.setdefault("created", 0.0)
    answer = info.setdefault("answer", "")
    return (
        info.get("id") == identity
        and isinstance(info.get("name"), str)
        and all(isinstance(info.get(side), int) and info[side] > 0 for side in ("width", "height"))
        and info.get("result") in (".png", ".tif")
        and all(isinstance(info.get(name), int | None) for name in ("page", "pages"))
        and _is_range(info.get("shown"))
        and isinstance(answer, str)
        and isinstance(created, int | float)
        and math.isfinite(created)
    )


def original(store: Store, identity: str) -> Path:
    """Return the uploaded file of a picture.

    Raises:
        MissingError: if there is none.
    """
    picture_info(store, identity)
    return next(store.entry("pictures", identity).glob("original.*"))


def _is_range(shown: object) -> bool:
    """Whether this is what is shown as black and white; None in the pictures of earlier versions."""
    if not isinstance(shown, list):
        return shown is None
    return len(shown) == 2 and all(isinstance(end, int | float) and math.isfinite(end) for end in shown)


_MEDIA = {".jpg": "image/jpeg", ".png": "image/png"}


def mask_version(folder: Path) -> str:
    """Return a hash of the mask in a folder, the same for the same marks; empty if there is none."""
    try:
        return hashlib.sha256((folder / "mask.png").read_bytes()).hexdigest()[:32]
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def temporary_folder(store: Store) -> Iterator[Path]:
    """Yield a new folder in the store, and remove it afterwards."""
    folder = store.folder / "pictures" / f".new-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """Put a file in a second place, as a hard link where the disk allows it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def job_facts(services: Services, identity: str) -> dict[str, Any]:
    """Return a job as clients see it.

    Raises:
        MissingError: if there is no such job.
    """
    folder = services.store.entry("jobs", identity)
    request = services.queue.request(identity)
    task = find_offer(request.task)
    return {
        **request.model_dump(mode="json", exclude={"whole", "names", "files", "shown"}),
        **services.queue.state(identity).model_dump(),
        "wish": services.queue.wish_of(identity),
        "place": services.queue.place_of(identity),
        "command": command_line(task, request.settings, request.names, request.continue_for, request.own_page),
        "progress": last_line(folder / "log.jsonl"),
        "has_mask": (folder / "mask.png").exists() or (folder / "whole-mask.png").exists(),
        "has_uncertainty": (folder / "uncertainty.tif").exists(),
        "has_layer": (folder / f"layer{Path(request.files['result']).suffix}").exists(),
        "has_strengths": (folder / "smoothed.png").exists(),
        "result": _result(folder),
        "full": services.queue.full,
    }


def _result(folder: Path) -> dict[str, Any] | None:
    if not (folder / "result.json").exists():
        return None
    try:
        return JobResult.read(folder).model_dump(mode="json")
    except DamagedError as error:
        set_file_aside(error.path, error)
        return None


def all_job_facts(services: Services) -> list[dict[str, Any]]:
    """Return all jobs as clients see them, the newest first."""
    found = []
    for identity in services.queue.all():
        with contextlib.suppress(MissingError):  # its folder was removed by hand
            found.append(job_facts(services, identity))
    return found


class _File(FileResponse):
    """A file response that answers 304 to a client that has the file; starlette does so for static files only."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if RequestHeaders(scope=scope).get("if-none-match") == self.headers["etag"]:
            kept = {name: self.headers[name] for name in ("etag", "cache-control")}
            await Response(status_code=304, headers=kept)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


def send_content(path: Path, if_none_match: str = "", download_as: str | None = None) -> Response:
    """Answer with a small file that may be replaced or deleted at any time; it is read at once.

    Args:
        path: of the file.
        if_none_match: the client's etag of what it has already.
        download_as: the name that a browser saves it under; None to show it instead.

    Raises:
        HTTPException: 404 if there is no such file.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise HTTPException(404, "this file does not exist, or not yet") from None
    headers = {"cache-control": "no-cache", "etag": f'"{zlib.crc32(content):08x}-{len(content)}"'}
    if if_none_match == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if download_as is not None:
        headers["content-disposition"] = f"attachment; filename*=utf-8''{quote(download_as)}"
    return Response(content, media_type=_MEDIA.get(path.suffix, "application/octet-stream"), headers=headers)


def send_file(path: Path, download_as: str | None = None) -> Response:
    """Answer with a file.

    Args:
        path: of the file.
        download_as: the name that a browser saves it under; None to show it instead.

    Raises:
        HTTPException: 404 if there is no such file.
    """
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise HTTPException(404, "this file does not exist, or not yet") from None
    return _File(path, filename=download_as, stat_result=facts, headers={"cache-control": "no-cache"})
