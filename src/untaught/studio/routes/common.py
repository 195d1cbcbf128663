"""What the routes share: who they speak for, what a client may call things, and how a file is sent."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.datastructures import Headers as RequestHeaders
from starlette.types import Receive, Scope, Send

from untaught.studio.context import Studio
from untaught.studio.queue import last_line
from untaught.studio.storage import Store, read_json
from untaught.studio.task_schema import command_line, find_offer, title

__all__ = ["Here", "Identity", "job_facts", "original", "scratch", "send_file"]


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


Here = Annotated[Studio, Depends(_studio)]
"""The studio that a request is for."""
Identity = Annotated[str, InPath(pattern="^[0-9a-f]{16}$", description="name of a picture or job")]
"""The only names that become part of a path."""


def original(folder: Path) -> Path:
    """The file of a picture as it came."""
    return next(folder.glob("original.*"))


@contextlib.contextmanager
def scratch(store: Store) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = store.folder / "pictures" / f".new-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def job_facts(studio: Studio, identity: str) -> dict[str, Any]:
    """A job as a client sees it."""
    folder = studio.store.entry("jobs", identity)
    request = read_json(folder / "request.json")
    shown = ("id", "picture", "name", "task", "settings", "crop", "width", "height", "continue_for")
    task = find_offer(request["task"])
    return {
        **{name: request[name] for name in shown},
        **studio.queue.state(identity),
        "title": title(task),
        "command": command_line(task, request["settings"], request["names"], request["continue_for"]),
        "progress": last_line(folder / "log.jsonl"),
        "has_mask": (folder / "mask.png").exists() or (folder / "whole-mask.png").exists(),
        "has_uncertainty": (folder / "uncertainty.tif").exists(),
        "result": read_json(folder / "result.json") if (folder / "result.json").exists() else None,
    }


class _File(FileResponse):
    """A file, which is not sent again to who has it: starlette sees to that only for static files."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if RequestHeaders(scope=scope).get("if-none-match") == self.headers["etag"]:
            kept = {name: self.headers[name] for name in ("etag", "cache-control")}
            await Response(status_code=304, headers=kept)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


def send_file(path: Path, download_as: str | None = None) -> Response:
    """Answer with a file.

    Args:
        path: of the file.
        download_as: name to keep it under, if it is not to be shown.

    Raises:
        HTTPException: 404 if it is not there.
    """
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise HTTPException(404, "there is no such file (yet)") from None
    return _File(path, filename=download_as, stat_result=facts, headers={"cache-control": "no-cache"})
