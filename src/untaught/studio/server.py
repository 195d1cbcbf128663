"""The page and its interface as one application, and what starts it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

import untaught
from untaught.errors import InputError, SettingError
from untaught.studio.context import Studio
from untaught.studio.queue import RefusedError
from untaught.studio.routes import api
from untaught.studio.security import Door, Guard
from untaught.studio.storage import FullError, MissingError, Store

__all__ = ["DEFAULT_PORT", "create_app", "serve"]

DEFAULT_PORT = 8791

_STATIC = Path(__file__).parent / "static"


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
    app.include_router(api)
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
