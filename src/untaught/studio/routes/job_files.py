"""The files of a job: its result, record and preview pictures."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from untaught.studio.exports import BOTH, FORMS
from untaught.studio.job_files import JobRequest, moments
from untaught.studio.routes.common import CurrentServices, Identity, send_content, send_file, temporary_folder
from untaught.studio.routes.pictures import add_picture

__all__ = ["routes"]

routes = APIRouter()


_JobFile = Literal[
    "thumbnail",
    "picture",
    "before",
    "mask",
    "preview",
    "view",
    "result",
    "record",
    "uncertainty",
    "uncertainty-view",
    "denoised",
    "smoothed",
    "layer",
    "log",
]


@routes.get("/jobs/{identity}/files/{which}", summary="A file of a job")
async def _job_file(
    services: CurrentServices,
    identity: Identity,
    which: _JobFile,
    *,
    download: bool = False,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    folder = services.store.entry("jobs", identity)
    request = services.queue.request(identity)
    files, names = request.files, request.names
    latest = next(reversed(moments(folder).values()), None)
    result, of_result = folder / files["result"], folder / "thumbnail-result.jpg"
    done = services.queue.state(identity).state == "done" and of_result.exists()
    path, name = {
        "thumbnail": (of_result if done else latest or folder / "thumbnail.jpg", None),
        "picture": (folder / files["picture"], names["picture"]),
        "before": (_before(folder, request), None),
        "mask": (folder / "mask.png", names.get("mask")),
        "preview": (latest or folder / "moments" / "none", None),
        "view": (_view(folder, request), None),
        "result": (result, names["result"]),
        "record": (folder / "record.json", f"{request.name}-record.json"),
        "uncertainty": (folder / "uncertainty.tif", f"{request.name}-uncertainty.tif"),
        "uncertainty-view": (folder / "uncertainty.png", None),
        "denoised": (folder / "denoised.png", None),
        "smoothed": (folder / "smoothed.png", None),
        "layer": (folder / f"layer{result.suffix}", f"{names['result'].rpartition('.')[0]}.layer{result.suffix}"),
        "log": (folder / "worker.log", f"{request.name}-log.txt"),
    }[which]
    if path.suffix == ".jpg":  # a preview, which the worker may delete meanwhile
        return send_content(path, if_none_match)
    return send_file(path, name if download else None)


def _before(folder: Path, request: JobRequest) -> Path:
    """The picture before, in a format that browsers show."""
    made = folder / "before.png"
    return made if made.exists() else folder / request.files["picture"]


def _view(folder: Path, request: JobRequest) -> Path:
    """The result in a format that browsers show."""
    made = folder / "view.png"
    return made if made.exists() else folder / request.files["result"]


@routes.get("/jobs/{identity}/export", summary="The result in another format, or before and after in one file")
async def _export(
    services: CurrentServices,
    identity: Identity,
    form: Annotated[Literal["png", "jpeg", "tiff", "webp", "pair", "gif", "mp4"], Query(alias="format")],
    quality: Annotated[int, Query(ge=1, le=100, description="of jpeg and webp; webp of 100 is lossless")] = 95,
) -> Response:
    folder = services.store.entry("jobs", identity)
    request = services.queue.request(identity)
    ending, media_type = FORMS[form]
    paths = [folder / request.files["result"], _view(folder, request), _before(folder, request)]
    if not paths[0].exists():
        raise HTTPException(404, "the job has no result yet: wait for its end")
    services.store.check_room()
    with temporary_folder(services.store) as aside:
        name = f"export.{ending}"
        pages = str(request.pages) if request.is_volume else ""
        await services.readers.run(aside, "export", *map(str, paths), name, form, str(quality), pages)
        content = (aside / name).read_bytes()
    stem = request.names["result"].rpartition(".")[0] + ("-pair" if form in BOTH else "")
    headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(stem)}.{ending}"}
    return Response(content, media_type=media_type, headers=headers)


@routes.post("/jobs/{identity}/comparison", summary="Say how near the result is to a clean picture, the body")
async def _compare(services: CurrentServices, request: Request, identity: Identity) -> dict[str, Any]:
    folder = services.store.entry("jobs", identity)
    asked = services.queue.request(identity)
    paths = [folder / asked.files[role] for role in ("result", "picture")]
    if not paths[0].exists():
        raise HTTPException(404, "the job has no result yet: wait for its end")
    with temporary_folder(services.store) as aside:
        await services.receive(request, aside / "file")
        pages = str(asked.pages) if asked.is_volume else ""
        return await services.readers.run(aside, "compare", *map(str, paths), pages, str(asked.own_page or ""))


@routes.get("/jobs/{identity}/slices/{number}/{which}", summary="A slice of a volume, before or after, as a PNG")
async def _slice(
    services: CurrentServices,
    identity: Identity,
    number: Annotated[int, InPath(ge=1, le=100_000)],
    which: Literal["before", "after"],
) -> Response:
    folder = services.store.entry("jobs", identity)
    request = services.queue.request(identity)
    if not request.is_volume or number > (request.pages or 1):
        raise HTTPException(404, "the job has no such slice")
    source = folder / request.files["picture" if which == "before" else "result"]
    if not source.exists():
        raise HTTPException(404, "the job has no result yet: wait for its end")
    services.store.check_room()
    with temporary_folder(services.store) as aside:
        ends = ("", "") if request.ends is None else tuple(map(repr, request.ends))
        await services.readers.run(aside, "slice", str(source), str(number), *ends)
        return send_content(aside / "slice.png")


@routes.post("/jobs/{identity}/picture", status_code=201, summary="Add the result as a picture, to restore it again")
async def _as_picture(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    request = services.queue.request(identity)
    result = services.store.entry("jobs", identity) / request.files["result"]
    if not result.exists():
        raise HTTPException(404, "the job has no result yet: wait for its end")
    services.store.check_room(result.stat().st_size)
    page: dict[str, Any] = {"page": str(request.page), "pages": request.pages} if request.is_volume else {}
    return await add_picture(services, request.names["result"], lambda path: shutil.copyfile(result, path), **page)


@routes.get("/results.zip", summary="The results of all jobs that are done, as a ZIP file")
async def _results(services: CurrentServices) -> Response:
    found: dict[str, Path] = {}
    for identity in reversed(services.queue.all()):
        request = services.queue.request(identity)
        path = services.store.folder / "jobs" / identity / request.files["result"]
        if services.queue.state(identity).state == "done" and path.exists():
            name = request.names["result"]
            found[name if name not in found else f"{identity}-{name}"] = path
    if not found:
        raise HTTPException(404, "no job is done yet: the file would be empty")
    services.store.check_room(sum(path.stat().st_size for path in found.values()))
    packed = services.store.folder / f".results-{secrets.token_hex(8)}.zip"
    await asyncio.to_thread(_pack, packed, found)
    task = BackgroundTask(packed.unlink, missing_ok=True)
    return FileResponse(packed, filename="results.zip", media_type="application/zip", background=task)


def _pack(packed: Path, found: dict[str, Path]) -> None:
    with zipfile.ZipFile(packed, "w") as archive:  # pictures are compressed already
        for name, path in found.items():
            archive.write(path, name)


@routes.get("/jobs/{identity}/film", summary="The previews of a job as an animated GIF")
async def _film(services: CurrentServices, identity: Identity) -> Response:
    folder = services.store.entry("jobs", identity)
    name = services.queue.request(identity).name
    made, previews = folder / "film.gif", folder / "moments"
    if not made.exists() or (previews.exists() and made.stat().st_mtime < previews.stat().st_mtime):
        await services.readers.run(folder, "film")
    return send_file(made, f"{name}-film.gif")


@routes.get("/jobs/{identity}/moments", summary="The iterations that have a preview")
async def _moments(services: CurrentServices, identity: Identity) -> dict[str, list[int]]:
    return {"iterations": list(moments(services.store.entry("jobs", identity)))}


@routes.get(
    "/jobs/{identity}/moments/{iteration}", summary="The preview of an iteration, as a JPEG; of 0 what a filter makes"
)
async def _moment(
    services: CurrentServices,
    identity: Identity,
    iteration: Annotated[int, InPath(ge=0, le=9999999)],
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    folder = services.store.entry("jobs", identity)
    return send_content(folder / "moments" / f"{iteration:07d}.jpg", if_none_match)
