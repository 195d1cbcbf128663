"""The HTTP interface under /api, the page, and what starts both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
import time
import webbrowser
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers as RequestHeaders
from starlette.types import Receive, Scope, Send

import untaught
from untaught.errors import InputError, SettingError
from untaught.studio.guard import Door, Guard
from untaught.studio.offers import check_settings, command_line, describe, find_offer, mask_need, offers, title
from untaught.studio.proposals import KINDS
from untaught.studio.queueing import Queue, RefusedError, last_line
from untaught.studio.store import FullError, MissingError, Store, read_json, shown_name, write_json

__all__ = ["DEFAULT_PORT", "Studio", "create_app", "serve"]

DEFAULT_PORT = 8791

_STATIC = Path(__file__).parent / "static"
_READERS = 2
_UPLOADS = 16
_SECONDS_TO_READ = 120.0
_EXAMPLES = {
    "portrait": ("A portrait, written over", "inpaint"),
    "coffee": ("Half of the pixels gone", "restore"),
    "camera": ("A scratched photograph", "inpaint"),
}


class Studio:
    """The store, the queue, and the processes that read foreign files.

    Args:
        store: where everything is kept.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.queue = Queue(store)
        self.uploads = 0
        self._readers = asyncio.Semaphore(_READERS)

    async def read(self, where: Path, what: str, *words: str) -> dict[str, Any]:
        """Have `untaught.studio.reading` do something in a folder.

        Raises:
            HTTPException: 422 for a file that is refused, 500 for one that took the process down.
        """
        async with self._readers:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "untaught.studio.reading", what, *words),
                cwd=where,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                output, _ = await asyncio.wait_for(process.communicate(), _SECONDS_TO_READ)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if process.returncode not in (0, 2):
            raise HTTPException(422, "the file could not be read: it is damaged, or takes too much memory")
        answer: dict[str, Any] = json.loads(output)
        if process.returncode == 2:
            raise HTTPException(422, answer["message"])
        return answer

    async def make_examples(self) -> None:
        """Make the pictures to begin with, where they are not there yet."""
        folder = self.store.folder / "examples"
        if not all((folder / name / "thumbnail.jpg").exists() for name in _EXAMPLES):
            with contextlib.suppress(HTTPException, TimeoutError):
                await self.read(folder, "examples")

    async def take_in(self, request: Request, path: Path) -> None:
        """Write the body of a request into a file.

        Raises:
            HTTPException: 400 for an empty one, 503 while too many are being taken in.
            FullError: for want of room.
        """
        if self.uploads >= _UPLOADS:
            raise HTTPException(503, "too many uploads at once", headers={"retry-after": "2"})
        self.uploads += 1
        try:
            self.store.check_room(int(request.headers.get("content-length", "0")))
            with path.open("xb") as file:
                async for chunk in request.stream():
                    await asyncio.to_thread(file.write, chunk)
                if not file.tell():
                    raise HTTPException(400, "the body is empty: a picture is wanted")
        finally:
            self.uploads -= 1


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


_Here = Annotated[Studio, Depends(_studio)]
_Identity = Annotated[str, InPath(pattern="^[0-9a-f]{16}$", description="name of a picture or job")]

pages = APIRouter(prefix="/api")


# What there is ----------------------------------------------------------------------------------------------------


@pages.get("/tasks", summary="The tasks that can be asked for, and their settings")
async def _tasks() -> dict[str, Any]:
    return {"version": untaught.__version__, "tasks": [describe(task) for task in offers()], "proposals": KINDS}


@pages.get("/examples", summary="The pictures to begin with")
async def _examples(studio: _Here) -> dict[str, Any]:
    folder = studio.store.folder / "examples"
    ready = [name for name in _EXAMPLES if (folder / name / "thumbnail.jpg").exists()]
    return {
        "complete": len(ready) == len(_EXAMPLES),
        "examples": [{"name": name, "title": _EXAMPLES[name][0], "task": _EXAMPLES[name][1]} for name in ready],
    }


_ExampleName = Literal["portrait", "coffee", "camera"]


@pages.get("/examples/{name}/thumbnail", summary="A small JPEG of an example")
async def _example_thumbnail(studio: _Here, name: _ExampleName) -> Response:
    return _file(studio.store.folder / "examples" / name / "thumbnail.jpg")


@pages.post("/examples/{name}", status_code=201, summary="Take an example as a picture, with its mask")
async def _take_example(studio: _Here, name: _ExampleName) -> dict[str, Any]:
    source = studio.store.folder / "examples" / name
    if not (source / "thumbnail.jpg").exists():
        raise HTTPException(503, "the examples are being made", headers={"retry-after": "1"})
    studio.store.check_room()
    with studio.store.adding("pictures") as (identity, folder):
        shutil.copyfile(source / "picture.png", folder / "file")
        shutil.copyfile(source / "mask.png", folder / "mask.png")
        facts = await studio.read(folder, "picture")
        write_json(folder / "info.json", {"id": identity, "name": name, "created": time.time(), **facts})
    return _picture_facts(studio, identity)


# Pictures ---------------------------------------------------------------------------------------------------------


@pages.post("/pictures", status_code=201, summary="Upload a picture: the file is the body")
async def _upload(
    studio: _Here, request: Request, name: Annotated[str, Query(max_length=255, description="its file name")] = ""
) -> dict[str, Any]:
    with studio.store.adding("pictures") as (identity, folder):
        await studio.take_in(request, folder / "file")
        facts = await studio.read(folder, "picture")
        write_json(folder / "info.json", {"id": identity, "name": shown_name(name), "created": time.time(), **facts})
    studio.queue.forget(studio.store.clear(studio.queue.in_use() | {identity}))
    return _picture_facts(studio, identity)


def _picture_facts(studio: Studio, identity: str) -> dict[str, Any]:
    folder = studio.store.entry("pictures", identity)
    return {**read_json(folder / "info.json"), "has_mask": (folder / "mask.png").exists()}


@pages.get("/pictures/{identity}", summary="What is known of a picture")
async def _picture(studio: _Here, identity: _Identity) -> dict[str, Any]:
    return _picture_facts(studio, identity)


@pages.delete("/pictures/{identity}", status_code=204, summary="Remove a picture; jobs keep their own copy")
async def _remove_picture(studio: _Here, identity: _Identity) -> None:
    studio.store.remove("pictures", identity)


@pages.get("/pictures/{identity}/view", summary="The picture as a browser can show it")
async def _view(studio: _Here, identity: _Identity) -> Response:
    folder = studio.store.entry("pictures", identity)
    view = folder / "view.png"
    return _file(view if view.exists() else _original(folder))


@pages.get("/pictures/{identity}/thumbnail", summary="A small JPEG of it")
async def _thumbnail(studio: _Here, identity: _Identity) -> Response:
    return _file(studio.store.entry("pictures", identity) / "thumbnail.jpg")


@pages.put("/pictures/{identity}/mask", summary="Upload the mask of a picture, white known and black missing")
async def _put_mask(studio: _Here, request: Request, identity: _Identity) -> dict[str, Any]:
    folder = studio.store.entry("pictures", identity)
    info = read_json(folder / "info.json")
    with _scratch(studio.store) as scratch:
        await studio.take_in(request, scratch / "file")
        facts = await studio.read(scratch, "mask", str(info["width"]), str(info["height"]))
        (scratch / "mask.png").replace(folder / "mask.png")
    return facts


@pages.get("/pictures/{identity}/mask", summary="The mask of a picture")
async def _get_mask(studio: _Here, identity: _Identity, *, download: bool = False) -> Response:
    folder = studio.store.entry("pictures", identity)
    name = f"{read_json(folder / 'info.json')['name']}-mask.png" if download else None
    return _file(folder / "mask.png", name)


@pages.delete("/pictures/{identity}/mask", status_code=204, summary="Forget the mask of a picture")
async def _remove_mask(studio: _Here, identity: _Identity) -> None:
    (studio.store.entry("pictures", identity) / "mask.png").unlink(missing_ok=True)


@pages.get("/pictures/{identity}/proposal", summary="A guess at what is damaged, as a mask to correct")
async def _proposal(
    studio: _Here,
    identity: _Identity,
    kind: Literal["black", "dark", "bright", "coloured"],
    strength: Annotated[float, Query(ge=0, le=1, description="how much is taken as damage")] = 0.5,
) -> Response:
    original = _original(studio.store.entry("pictures", identity))
    with _scratch(studio.store) as scratch:
        facts = await studio.read(scratch, "proposal", str(original.resolve()), kind, str(strength))
        content = (scratch / "mask.png").read_bytes()
    return Response(content, media_type="image/png", headers={"x-missing": f"{facts['missing']:.6f}"})


def _original(folder: Path) -> Path:
    return next(folder.glob("original.*"))


@contextlib.contextmanager
def _scratch(store: Store) -> Any:
    """A folder that is gone afterwards."""
    folder = store.folder / "pictures" / f".new-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Jobs -------------------------------------------------------------------------------------------------------------


class JobRequest(BaseModel):
    """What to do with a picture.

    Attributes:
        picture: name of an uploaded picture; its mask as it is now is used.
        task: name of one of the tasks.
        settings: of that task, by name; what is left out is as it is for the command line.
        crop: left, top, width and height of a region to try, in pixels; the whole picture if there is none.
    """

    model_config = ConfigDict(extra="forbid")

    picture: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    task: Annotated[str, Field(max_length=40)]
    settings: dict[str, bool | int | float | str | None] = {}
    crop: tuple[int, int, int, int] | None = None


class ContinueRequest(BaseModel):
    """How much longer to fit."""

    model_config = ConfigDict(extra="forbid")

    iterations: Annotated[int, Field(ge=1, le=1_000_000)]


@pages.post("/jobs", status_code=201, summary="Queue a job")
async def _add_job(studio: _Here, wanted: JobRequest) -> dict[str, Any]:
    source = studio.store.entry("pictures", wanted.picture)
    info = read_json(source / "info.json")
    task = find_offer(wanted.task)
    settings = check_settings(task, wanted.settings)
    has_mask = mask_need(task) != "none" and (source / "mask.png").exists()
    if mask_need(task) == "needed" and not has_mask:
        raise HTTPException(422, "paint over what is missing first: there is no mask yet")
    crop = wanted.crop
    if crop is not None and not _fits(crop, info["width"], info["height"]):
        raise HTTPException(422, "the region to try is not inside the picture, or is smaller than 16 x 16")
    own = [file.role for file in task.files if file.own]
    if crop is not None and own:
        crop = _whole_blocks(crop, info["width"], info["height"])
    studio.queue.check_room()
    studio.store.check_room()
    name = info["name"] if crop is None else f"{info['name']}-part"
    original = _original(source)
    suffix = original.suffix if crop is None else info["result"]
    names = {"picture": f"{name}{suffix}", "result": f"{name}-restored{info['result']}"}
    files = {"picture": f"picture{suffix}", "result": f"result{info['result']}"}
    if has_mask:
        names["mask"], files["mask"] = f"{name}-mask.png", "mask.png"
    whole = None if crop is None else f"whole{original.suffix}"
    if whole is not None:
        # What is read from the picture's own file is not in that of a part.
        for role in own:
            names[role], files[role] = f"{info['name']}{original.suffix}", whole
    with studio.store.adding("jobs") as (identity, folder):
        _link(original, folder / (whole or files["picture"]))
        if has_mask:
            # Copied, not linked: the picture's own mask may be painted on.
            shutil.copyfile(source / "mask.png", folder / ("whole-mask.png" if crop else "mask.png"))
        if crop is None and (source / "view.png").exists():
            _link(source / "view.png", folder / "before.png")
        _link(source / "thumbnail.jpg", folder / "thumbnail.jpg")
        request: dict[str, Any] = {
            "id": identity,
            "picture": wanted.picture,
            "name": name,
            "task": task.name,
            "settings": settings,
            "crop": crop,
            "whole": whole,
            "width": info["width"] if crop is None else crop[2],
            "height": info["height"] if crop is None else crop[3],
            "names": names,
            "files": files,
            "continue_for": [],
        }
        write_json(folder / "request.json", request)
        write_json(folder / "state.json", {"state": "queued", "message": "", "created": 0, "turn": 0})
    studio.queue.add(identity)
    return _job_facts(studio, identity)


def _fits(crop: tuple[int, int, int, int], width: int, height: int) -> bool:
    left, top, wide, tall = crop
    return min(wide, tall) >= 16 and min(left, top) >= 0 and left + wide <= width and top + tall <= height


def _whole_blocks(crop: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """A region that a JPEG's blocks fit into, those of colours spared too, as they fit into the whole picture."""
    left, top = (start // 16 * 16 for start in crop[:2])
    right, bottom = (-(-(start + side) // 16) * 16 for start, side in zip(crop[:2], crop[2:], strict=True))
    return left, top, min(right, width) - left, min(bottom, height) - top


def _link(source: Path, target: Path) -> None:
    """The same file in a second place: no copy where the disk can do without one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _job_facts(studio: Studio, identity: str) -> dict[str, Any]:
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


@pages.get("/jobs", summary="All jobs, the newest first")
async def _jobs(studio: _Here) -> dict[str, Any]:
    return {"jobs": [_job_facts(studio, identity) for identity in studio.queue.all()]}


@pages.get("/jobs/{identity}", summary="Where a job stands")
async def _job(studio: _Here, identity: _Identity) -> dict[str, Any]:
    return _job_facts(studio, identity)


@pages.delete("/jobs/{identity}", status_code=204, summary="Cancel a job if need be, and remove it")
async def _remove_job(studio: _Here, identity: _Identity) -> None:
    studio.queue.remove(identity)


@pages.post("/jobs/{identity}/pause", summary="Leave a job at a checkpoint, to be resumed later")
async def _pause(studio: _Here, identity: _Identity) -> dict[str, Any]:
    studio.queue.wish(identity, "pause")
    return _job_facts(studio, identity)


@pages.post("/jobs/{identity}/resume", summary="Go on with a job that was paused, cancelled or has failed")
async def _resume(studio: _Here, identity: _Identity) -> dict[str, Any]:
    studio.queue.resume(identity)
    return _job_facts(studio, identity)


@pages.post("/jobs/{identity}/finish", summary="End a job now, with the picture so far as its result")
async def _finish(studio: _Here, identity: _Identity) -> dict[str, Any]:
    studio.queue.wish(identity, "finish")
    return _job_facts(studio, identity)


@pages.post("/jobs/{identity}/cancel", summary="End a job at once")
async def _cancel(studio: _Here, identity: _Identity) -> dict[str, Any]:
    studio.queue.cancel(identity)
    return _job_facts(studio, identity)


@pages.post("/jobs/{identity}/continue", summary="Fit on after the end")
async def _continue(studio: _Here, identity: _Identity, wanted: ContinueRequest) -> dict[str, Any]:
    studio.queue.continue_for(identity, wanted.iterations)
    return _job_facts(studio, identity)


# What came of a job -----------------------------------------------------------------------------------------------


_JobFile = Literal[
    "thumbnail", "picture", "before", "mask", "preview", "view", "result", "record", "uncertainty", "uncertainty-view"
]


@pages.get("/jobs/{identity}/files/{which}", summary="One of the files of a job")
async def _job_file(studio: _Here, identity: _Identity, which: _JobFile, *, download: bool = False) -> Response:
    folder = studio.store.entry("jobs", identity)
    request = read_json(folder / "request.json")
    files, names = request["files"], request["names"]
    moments = sorted((folder / "moments").glob("*.jpg"))
    result = folder / files["result"]
    path, name = {
        "thumbnail": (moments[-1] if moments else folder / "thumbnail.jpg", None),
        "picture": (folder / files["picture"], names["picture"]),
        "before": (folder / "before.png" if (folder / "before.png").exists() else folder / files["picture"], None),
        "mask": (folder / "mask.png", names.get("mask")),
        "preview": (moments[-1] if moments else folder / "none", None),
        "view": (folder / "view.png" if (folder / "view.png").exists() else result, None),
        "result": (result, names["result"]),
        "record": (folder / "record.json", f"{request['name']}-record.json"),
        "uncertainty": (folder / "uncertainty.tif", f"{request['name']}-uncertainty.tif"),
        "uncertainty-view": (folder / "uncertainty.png", None),
    }[which]
    return _file(path, name if download else None)


@pages.get("/jobs/{identity}/film", summary="A short film of the emergence, as an animated GIF")
async def _film(studio: _Here, identity: _Identity) -> Response:
    folder = studio.store.entry("jobs", identity)
    made, moments = folder / "film.gif", folder / "moments"
    if not made.exists() or (moments.exists() and made.stat().st_mtime < moments.stat().st_mtime):
        await studio.read(folder, "film")
    return _file(made, f"{read_json(folder / 'request.json')['name']}-film.gif")


@pages.get("/jobs/{identity}/moments", summary="The iterations of which there is a picture")
async def _moments(studio: _Here, identity: _Identity) -> dict[str, list[int]]:
    folder = studio.store.entry("jobs", identity) / "moments"
    return {"iterations": sorted(int(path.stem) for path in folder.glob("*.jpg"))}


@pages.get("/jobs/{identity}/moments/{iteration}", summary="The picture at one of them, as a JPEG")
async def _moment(
    studio: _Here,
    identity: _Identity,
    iteration: Annotated[int, InPath(ge=1, le=9999999)],
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    # Read at once: the next moment may be what this one is dropped for.
    try:
        content = (studio.store.entry("jobs", identity) / "moments" / f"{iteration:07d}.jpg").read_bytes()
    except FileNotFoundError:
        raise HTTPException(404, "there is no picture of this iteration") from None
    headers = {"cache-control": "no-cache", "etag": f'"{zlib.crc32(content):08x}-{len(content)}"'}
    if if_none_match == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="image/jpeg", headers=headers)


class _File(FileResponse):
    """A file, which is not sent again to who has it: starlette sees to that only for static files."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if RequestHeaders(scope=scope).get("if-none-match") == self.headers["etag"]:
            kept = {name: self.headers[name] for name in ("etag", "cache-control")}
            await Response(status_code=304, headers=kept)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


def _file(path: Path, download_as: str | None = None) -> Response:
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise HTTPException(404, "there is no such file (yet)") from None
    return _File(path, filename=download_as, stat_result=facts, headers={"cache-control": "no-cache"})


# As it happens ----------------------------------------------------------------------------------------------------


@pages.get("/events", summary="Server-sent events: `jobs`, the whole queue, whenever it changes")
async def _events(studio: _Here) -> Response:
    async def events() -> AsyncIterator[str]:
        seen: tuple[int, float] | None = None
        async for tick in _ticks(studio):
            # What a running job looks like by now is said every two seconds.
            now = (studio.queue.changes, studio.queue.last_activity() if tick % 10 == 0 or seen is None else seen[1])
            if now != seen:
                seen = now
                jobs = [_job_facts(studio, identity) for identity in studio.queue.all()]
                yield f"event: jobs\ndata: {json.dumps(jobs)}\n\n"
            else:
                yield ""

    return _stream(events())


@pages.get("/jobs/{identity}/events", summary="Server-sent events: `progress`, lines of figures; `job`, its state")
async def _job_events(studio: _Here, identity: _Identity, last_event_id: Annotated[str, Header()] = "") -> Response:
    log = studio.store.entry("jobs", identity) / "log.jsonl"

    async def events() -> AsyncIterator[str]:
        offset = int(last_event_id) if last_event_id.isdecimal() else 0
        seen = -1
        async for _ in _ticks(studio):
            lines, offset = _new_lines(log, offset)
            text = ""
            if lines:
                text += f"id: {offset}\nevent: progress\ndata: [{','.join(lines)}]\n\n"
            if studio.queue.changes != seen:
                seen = studio.queue.changes
                try:
                    text += f"event: job\ndata: {json.dumps(_job_facts(studio, identity))}\n\n"
                except (MissingError, KeyError):
                    return
            yield text

    return _stream(events())


async def _ticks(studio: Studio) -> AsyncIterator[int]:
    tick = 0
    while not studio.queue.closing:
        yield tick
        tick += 1
        await asyncio.sleep(0.2)


def _stream(events: AsyncIterator[str]) -> Response:
    async def with_signs_of_life() -> AsyncIterator[str]:
        silent_since = time.monotonic()
        async for text in events:
            if text or time.monotonic() - silent_since > 10:
                silent_since = time.monotonic()
                yield text or ": still here\n\n"

    return StreamingResponse(with_signs_of_life(), media_type="text/event-stream")


def _new_lines(log: Path, offset: int) -> tuple[list[str], int]:
    """The whole lines of a log after an offset in bytes, and the offset after them."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], offset
    whole, _, _ = content.rpartition(b"\n")
    if not whole:
        return [], offset
    return whole.decode().split("\n"), offset + len(whole) + 1


# The whole --------------------------------------------------------------------------------------------------------


def create_app(studio: Studio, door: Door) -> Guard:
    """The studio as an ASGI application, with its guard before it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(studio.queue.run()), asyncio.create_task(studio.make_examples())]
        yield
        await studio.queue.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(
        title="untaught studio",
        version=untaught.__version__,
        description="Pictures are uploaded, masks set, jobs queued and followed. Every request carries the token, as "
        "`Authorization: Bearer TOKEN` or as the page's cookie.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.studio = studio
    app.include_router(pages)
    for kind, status in ((MissingError, 404), (FullError, 507), (RefusedError, 409), (SettingError, 422)):
        app.add_exception_handler(kind, _answer_with(status))
    app.mount("/static", StaticFiles(directory=_STATIC))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(_STATIC / "index.html", headers={"cache-control": "no-cache"})

    return Guard(app, door)


def _answer_with(status: int) -> Any:
    async def answer(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, status)

    return answer


class _Server(uvicorn.Server):
    """Lets the streams of events end before it waits for them to."""

    def __init__(self, config: uvicorn.Config, studio: Studio, address: str, *, browser: bool) -> None:
        super().__init__(config)
        self.studio = studio
        self.address = address
        self.browser = browser

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"untaught studio: {self.address}\nCtrl-C ends it; unfinished jobs go on at the next start\n")
        sys.stdout.flush()
        if self.browser:
            await asyncio.to_thread(webbrowser.open, self.address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.studio.queue.close()
        await super().shutdown(sockets)


def serve(folder: Path, *, host: str = "127.0.0.1", port: int | None = None, token: str = "", browser: bool) -> None:
    """Serve the studio until it is interrupted.

    Args:
        folder: where pictures and jobs are kept; made if need be.
        host: address to listen on.
        port: to listen on; if None, `DEFAULT_PORT`, or a free one where that is taken.
        token: what a client has to know; the folder's own if empty.
        browser: whether to open the page.

    Raises:
        InputError: for an address or a folder that cannot be used.
    """
    listening = _listen(host, port)
    bound = listening.getsockname()[1]
    try:
        store = Store(folder.resolve())
    except OSError as error:
        raise InputError(f"{folder} cannot be used: {error.strerror}") from error
    token = token or store.token()

    async def main() -> None:
        studio = Studio(store)
        app = create_app(studio, Door(host, bound, token))
        config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=3)
        name = f"[{host}]" if ":" in host else host
        server = _Server(config, studio, f"http://{name}:{bound}/?token={token}", browser=browser)
        await server.serve([listening])

    asyncio.run(main())


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in (DEFAULT_PORT, 0) if port is None else (port,):
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, attempt))
        except OSError as error:
            listening.close()
            if port is not None or attempt == 0:
                raise InputError(f"{host}:{attempt} cannot be listened on: {error.strerror}") from error
        else:
            return listening
    raise AssertionError
