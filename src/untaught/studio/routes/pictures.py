"""Pictures and their masks: uploaded, shown, proposed, removed."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from untaught.studio.context import Studio
from untaught.studio.routes.common import Here, Identity, original, scratch, send_file
from untaught.studio.storage import read_json, shown_name, write_json

__all__ = ["picture_facts", "routes"]

routes = APIRouter()


@routes.post("/pictures", status_code=201, summary="Upload a picture: the file is the body")
async def _upload(
    studio: Here, request: Request, name: Annotated[str, Query(max_length=255, description="its file name")] = ""
) -> dict[str, Any]:
    with studio.store.adding("pictures") as (identity, folder):
        await studio.take_in(request, folder / "file")
        facts = await studio.read(folder, "picture")
        write_json(folder / "info.json", {"id": identity, "name": shown_name(name), "created": time.time(), **facts})
    studio.queue.forget(studio.store.clear(studio.queue.in_use() | {identity}))
    return picture_facts(studio, identity)


def picture_facts(studio: Studio, identity: str) -> dict[str, Any]:
    """A picture as a client sees it."""
    folder = studio.store.entry("pictures", identity)
    return {**read_json(folder / "info.json"), "has_mask": (folder / "mask.png").exists()}


@routes.get("/pictures/{identity}", summary="What is known of a picture")
async def _picture(studio: Here, identity: Identity) -> dict[str, Any]:
    return picture_facts(studio, identity)


@routes.delete("/pictures/{identity}", status_code=204, summary="Remove a picture; jobs keep their own copy")
async def _remove_picture(studio: Here, identity: Identity) -> None:
    studio.store.remove("pictures", identity)


@routes.get("/pictures/{identity}/view", summary="The picture as a browser can show it")
async def _view(studio: Here, identity: Identity) -> Response:
    folder = studio.store.entry("pictures", identity)
    view = folder / "view.png"
    return send_file(view if view.exists() else original(folder))


@routes.get("/pictures/{identity}/thumbnail", summary="A small JPEG of it")
async def _thumbnail(studio: Here, identity: Identity) -> Response:
    return send_file(studio.store.entry("pictures", identity) / "thumbnail.jpg")


@routes.put("/pictures/{identity}/mask", summary="Upload the mask of a picture, white known and black missing")
async def _put_mask(studio: Here, request: Request, identity: Identity) -> dict[str, Any]:
    folder = studio.store.entry("pictures", identity)
    info = read_json(folder / "info.json")
    with scratch(studio.store) as aside:
        await studio.take_in(request, aside / "file")
        facts = await studio.read(aside, "mask", str(info["width"]), str(info["height"]))
        (aside / "mask.png").replace(folder / "mask.png")
    return facts


@routes.get("/pictures/{identity}/mask", summary="The mask of a picture")
async def _get_mask(studio: Here, identity: Identity, *, download: bool = False) -> Response:
    folder = studio.store.entry("pictures", identity)
    name = f"{read_json(folder / 'info.json')['name']}-mask.png" if download else None
    return send_file(folder / "mask.png", name)


@routes.delete("/pictures/{identity}/mask", status_code=204, summary="Forget the mask of a picture")
async def _remove_mask(studio: Here, identity: Identity) -> None:
    (studio.store.entry("pictures", identity) / "mask.png").unlink(missing_ok=True)


@routes.get("/pictures/{identity}/proposal", summary="A guess at what is damaged, as a mask to correct")
async def _proposal(
    studio: Here,
    identity: Identity,
    kind: Literal["black", "dark", "bright", "coloured"],
    strength: Annotated[float, Query(ge=0, le=1, description="how much is taken as damage")] = 0.5,
) -> Response:
    source = original(studio.store.entry("pictures", identity))
    with scratch(studio.store) as aside:
        facts = await studio.read(aside, "proposal", str(source.resolve()), kind, str(strength))
        content = (aside / "mask.png").read_bytes()
    return Response(content, media_type="image/png", headers={"x-missing": f"{facts['missing']:.6f}"})
