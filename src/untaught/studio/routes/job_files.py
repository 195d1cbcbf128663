"""The files of a job: its result, record and preview pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from fastapi import Path as InPath

from untaught.studio.job_files import moments
from untaught.studio.routes.common import CurrentServices, Identity, send_content, send_file

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
    result = folder / files["result"]
    path, name = {
        "thumbnail": (latest or folder / "thumbnail.jpg", None),
        "picture": (folder / files["picture"], names["picture"]),
        "before": (folder / "before.png" if (folder / "before.png").exists() else folder / files["picture"], None),
        "mask": (folder / "mask.png", names.get("mask")),
        "preview": (latest or folder / "moments" / "none", None),
        "view": (folder / "view.png" if (folder / "view.png").exists() else result, None),
        "result": (result, names["result"]),
        "record": (folder / "record.json", f"{request.name}-record.json"),
        "uncertainty": (folder / "uncertainty.tif", f"{request.name}-uncertainty.tif"),
        "uncertainty-view": (folder / "uncertainty.png", None),
        "log": (folder / "worker.log", f"{request.name}-log.txt"),
    }[which]
    if path.suffix == ".jpg":  # a preview, which the worker may delete meanwhile
        return send_content(path, if_none_match)
    return send_file(path, name if download else None)


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


@routes.get("/jobs/{identity}/moments/{iteration}", summary="The preview of an iteration, as a JPEG")
async def _moment(
    services: CurrentServices,
    identity: Identity,
    iteration: Annotated[int, InPath(ge=1, le=9999999)],
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    folder = services.store.entry("jobs", identity)
    return send_content(folder / "moments" / f"{iteration:07d}.jpg", if_none_match)
