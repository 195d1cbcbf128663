"""Pictures and their masks: upload, view, suggest a mask, remove."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from untaught.studio.routes.common import (
    CurrentServices,
    Identity,
    original,
    picture_info,
    send_file,
    temporary_folder,
)
from untaught.studio.services import Services
from untaught.studio.storage import shown_name, write_json

__all__ = ["picture_facts", "routes"]

routes = APIRouter()


@routes.post("/pictures", status_code=201, summary="Upload a picture: the file is the body")
async def _upload(
    services: CurrentServices,
    request: Request,
    name: Annotated[str, Query(max_length=255, description="name of the file")] = "",
) -> dict[str, Any]:
    with services.store.adding("pictures") as (identity, folder):
        await services.receive(request, folder / "file")
        facts = await services.run_sandbox(folder, "picture")
        write_json(folder / "info.json", {"id": identity, "name": shown_name(name), "created": time.time(), **facts})
    services.queue.forget(services.store.clear(services.queue.in_use() | {identity}))
    return picture_facts(services, identity)


def picture_facts(services: Services, identity: str) -> dict[str, Any]:
    """Return a picture as clients see it."""
    info = picture_info(services.store, identity)
    return {**info, "has_mask": (services.store.entry("pictures", identity) / "mask.png").exists()}


@routes.get("/pictures/{identity}", summary="Size, format and name of a picture")
async def _picture(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    return picture_facts(services, identity)


@routes.delete("/pictures/{identity}", status_code=204, summary="Remove a picture; its jobs keep their own copy")
async def _remove_picture(services: CurrentServices, identity: Identity) -> None:
    services.store.remove("pictures", identity)


@routes.get("/pictures/{identity}/view", summary="The picture in a format that browsers show")
async def _view(services: CurrentServices, identity: Identity) -> Response:
    view = services.store.entry("pictures", identity) / "view.png"
    return send_file(view if view.exists() else original(services.store, identity))


@routes.get("/pictures/{identity}/thumbnail", summary="A small JPEG of the picture")
async def _thumbnail(services: CurrentServices, identity: Identity) -> Response:
    return send_file(services.store.entry("pictures", identity) / "thumbnail.jpg")


@routes.put("/pictures/{identity}/mask", summary="Upload the mask of a picture: white is known, black is missing")
async def _put_mask(services: CurrentServices, request: Request, identity: Identity) -> dict[str, Any]:
    info = picture_info(services.store, identity)
    with temporary_folder(services.store) as aside:
        await services.receive(request, aside / "file")
        facts = await services.run_sandbox(aside, "mask", str(info["width"]), str(info["height"]))
        (aside / "mask.png").replace(services.store.entry("pictures", identity) / "mask.png")
    return facts


@routes.get("/pictures/{identity}/mask", summary="The mask of a picture")
async def _get_mask(services: CurrentServices, identity: Identity, *, download: bool = False) -> Response:
    name = f"{picture_info(services.store, identity)['name']}-mask.png" if download else None
    return send_file(services.store.entry("pictures", identity) / "mask.png", name)


@routes.delete("/pictures/{identity}/mask", status_code=204, summary="Remove the mask of a picture")
async def _remove_mask(services: CurrentServices, identity: Identity) -> None:
    (services.store.entry("pictures", identity) / "mask.png").unlink(missing_ok=True)


@routes.get("/pictures/{identity}/proposal", summary="A suggested mask of the damage, for the user to correct")
async def _proposal(
    services: CurrentServices,
    identity: Identity,
    kind: Literal["black", "dark", "bright", "coloured"],
    strength: Annotated[float, Query(ge=0, le=1, description="how much is marked as damage")] = 0.5,
) -> Response:
    source = original(services.store, identity)
    with temporary_folder(services.store) as aside:
        facts = await services.run_sandbox(aside, "proposal", str(source.resolve()), kind, str(strength))
        content = (aside / "mask.png").read_bytes()
    return Response(content, media_type="image/png", headers={"x-missing": f"{facts['missing']:.6f}"})
