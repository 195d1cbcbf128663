"""The results of a batch of the command line: the summary that the batch itself has written."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException, Response

from untaught.studio.routes.common import CurrentServices

__all__ = ["routes"]

routes = APIRouter()

_SUMMARY = "summary.html"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
"""Its pictures and its style are in the page itself, and it has no scripts."""


@routes.get("/batch", summary="The name of a batch, empty if there is none, and whether its summary is written")
async def _batch(services: CurrentServices) -> dict[str, Any]:
    if services.batch is None:
        return {"name": "", "ready": False}
    ready = await asyncio.to_thread((services.batch / _SUMMARY).is_file)
    return {"name": services.batch.name, "ready": ready}


@routes.get("/batch/summary", summary="The summary of that batch, as a page: the worst results first")
async def _summary(services: CurrentServices) -> Response:
    if services.batch is None:
        raise HTTPException(404, "the studio was started without the folder of a batch")
    try:
        content = await asyncio.to_thread((services.batch / _SUMMARY).read_bytes)
    except OSError:
        raise HTTPException(404, "this batch is still at work: it writes its summary at its end") from None
    return Response(
        content,
        media_type="text/html; charset=utf-8",
        headers={"cache-control": "no-cache", "content-security-policy": _POLICY},
    )
