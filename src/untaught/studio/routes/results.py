"""What came of a job: its result, its record, its moments."""

from __future__ import annotations

import zlib
from typing import Annotated, Literal

from fastapi import APIRouter, Header, HTTPException, Response
from fastapi import Path as InPath

from untaught.studio.routes.common import Here, Identity, send_file
from untaught.studio.storage import read_json

__all__ = ["routes"]

routes = APIRouter()


_JobFile = Literal[
    "thumbnail", "picture", "before", "mask", "preview", "view", "result", "record", "uncertainty", "uncertainty-view"
]


@routes.get("/jobs/{identity}/files/{which}", summary="One of the files of a job")
async def _job_file(studio: Here, identity: Identity, which: _JobFile, *, download: bool = False) -> Response:
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
    return send_file(path, name if download else None)


@routes.get("/jobs/{identity}/film", summary="A short film of the emergence, as an animated GIF")
async def _film(studio: Here, identity: Identity) -> Response:
    folder = studio.store.entry("jobs", identity)
    made, moments = folder / "film.gif", folder / "moments"
    if not made.exists() or (moments.exists() and made.stat().st_mtime < moments.stat().st_mtime):
        await studio.read(folder, "film")
    return send_file(made, f"{read_json(folder / 'request.json')['name']}-film.gif")


@routes.get("/jobs/{identity}/moments", summary="The iterations of which there is a picture")
async def _moments(studio: Here, identity: Identity) -> dict[str, list[int]]:
    folder = studio.store.entry("jobs", identity) / "moments"
    return {"iterations": sorted(int(path.stem) for path in folder.glob("*.jpg"))}


@routes.get("/jobs/{identity}/moments/{iteration}", summary="The picture at one of them, as a JPEG")
async def _moment(
    studio: Here,
    identity: Identity,
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
