"""The studio as a web server: `create_app` joins the page, the HTTP interface and access control; `serve` runs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mimetypes
import socket
import ssl
import sys
import webbrowser
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

import untaught
from untaught.errors import InputError, SettingError
from untaught.imaging.files import reason
from untaught.studio.feed import Feed
from untaught.studio.folder_lock import FolderLock, InUseError
from untaught.studio.job_checks import FieldError
from untaught.studio.queue import RefusedError
from untaught.studio.routes import api
from untaught.studio.routes.common import all_job_facts
from untaught.studio.security import Access, AccessControl
from untaught.studio.services import Services
from untaught.studio.sessions import Sessions
from untaught.studio.storage import FullError, MissingError, Store, default_folder, is_full, write_private_text

__all__ = ["DEFAULT_PORT", "create_app", "serve"]

DEFAULT_PORT = 8791

_log = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"


def create_app(services: Services, access: Access) -> AccessControl:
    """Return the studio as an ASGI app behind access control."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.readers.open()
        tasks = [asyncio.create_task(services.queue.run()), asyncio.create_task(services.make_examples())]
        yield
        await services.queue.close()
        services.end_helpers()
        await services.readers.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(
        title="untaught studio",
        version=untaught.__version__,
        description="Upload pictures, set masks, queue jobs and follow them. Every request needs the token, as "
        "`Authorization: Bearer TOKEN` or as the page's cookie.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    services.feed = Feed(services.queue, services.masks, lambda: all_job_facts(services))
    app.state.services = services
    app.state.access = access
    app.include_router(api)
    for kind, status in ((MissingError, 404), (RefusedError, 409), (SettingError, 422)):
        app.add_exception_handler(kind, _answer_with(status))
    app.add_exception_handler(OSError, _answer_os_error)
    mimetypes.add_type("image/webp", ".webp")  # Python 3.11 and 3.12 do not know it
    app.mount("/static", StaticFiles(directory=_STATIC))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(_STATIC / "index.html", headers={"cache-control": "no-cache"})

    return AccessControl(app, access)


def _answer_with(status: int) -> Any:
    async def answer(_: Request, error: Exception) -> Response:
        field = {"field": error.field} if isinstance(error, FieldError) else {}
        return JSONResponse({"detail": str(error), **field}, status)

    return answer


async def _answer_os_error(_: Request, error: Exception) -> Response:
    if is_full(error):
        return JSONResponse({"detail": str(FullError())}, 507)
    _log.warning("%s", error)
    return JSONResponse({"detail": f"a file of the studio cannot be used: {reason(error)}"}, 500)


class _Server(uvicorn.Server):
    """Prints the address, and opens it, once the server answers. At the end nobody is waited for."""

    def __init__(
        self, config: uvicorn.Config, services: Services, access: Access, opened: Path, *, browser: bool
    ) -> None:
        super().__init__(config)
        self.services = services
        self.access = access
        self.opened = opened
        self.browser = browser

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _say(self.access)
        _say_line("Ctrl-C ends it; unfinished jobs continue at the next start")
        if self.browser:
            await asyncio.to_thread(_open, self.access.link(), self.opened)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.services.end_helpers()
        logging.getLogger("uvicorn.error").addFilter(_is_no_cut)
        await super().shutdown(sockets)


def _is_no_cut(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn is about anything but a request that the end of the server has cut off."""
    cut = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut and not str(record.msg).startswith("Cancel ")


def _say(access: Access) -> None:
    _say_line(f"untaught studio: {access.link()}")
    if access.is_local:
        _say_line(f"in a browser that does not find this name: {access.link(access.host)}")


def _say_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _open(link: str, path: Path) -> None:
    """Open a link by way of a file: everybody on this machine can read the command line of a browser."""
    write_private_text(path, f'<!doctype html><meta charset=utf-8><meta http-equiv="refresh" content="0;url={link}">')
    webbrowser.open(path.as_uri())


def serve(
    folder: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str = "",
    certificate: tuple[Path, Path] | None = None,
    browser: bool,
    batch: Path | None = None,
) -> None:
    """Serve the studio until it is interrupted.

    Args:
        folder: where pictures and jobs are kept; made if it does not exist; `default_folder` if None.
        host: address to listen on.
        port: port to listen on; if None, `DEFAULT_PORT`, or a free one if that is taken.
        token: the secret that clients need, at least 16 characters; the folder's own if empty.
        certificate: files of a certificate and of its key, in PEM format, for HTTPS.
        browser: whether to open the page.
        batch: folder of the results of a batch, whose summary the page links to; None for none.

    Raises:
        InputError: for an address, folder, token or certificate that cannot be used.
    """
    if batch is not None and not (batch / "summary.html").is_file() and not (batch / ".untaught").is_dir():
        raise InputError(f"{batch} has no results of a batch: name the folder that was the output of untaught batch")
    folder = (folder or default_folder()).absolute()
    if certificate is not None:
        _check_certificate(*certificate)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FolderLock(folder)
    except InUseError as error:
        _join(error.address, token, folder, browser=browser)
        return
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        listening = _listen(host, port)
        try:
            store = Store(folder.resolve())
            access = Access(
                host,
                listening.getsockname()[1],
                token or store.token(),
                Sessions(store.folder / "sessions.json"),
                secure=certificate is not None,
            )
        except OSError as error:
            raise _unusable(folder, error) from error
        if not token:

            def renew() -> str:
                access.token = store.renew_token()
                _say(access)
                return access.token

            access.renew = renew
        if not access.is_local and certificate is None:
            _say_line(
                "note: whoever can listen on the network sees your pictures and the token, because this is plain HTTP: "
                "use --certificate, or leave --host out and go through a tunnel, such as ssh -L"
            )
        lock.tell(access.address() + (" chosen-token" if token else ""))
        services = Services(store, None if batch is None else batch.absolute())
        asyncio.run(_run(services, access, listening, certificate, browser=browser))
    finally:
        (folder / "open.html").unlink(missing_ok=True)
        lock.release()


async def _run(
    services: Services,
    access: Access,
    listening: socket.socket,
    certificate: tuple[Path, Path] | None,
    *,
    browser: bool,
) -> None:
    chain, key = (None, None) if certificate is None else certificate
    config = uvicorn.Config(
        create_app(services, access),
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=3,
        ssl_certfile=chain,
        ssl_keyfile=key,
    )
    await _Server(config, services, access, services.store.folder / "open.html", browser=browser).serve([listening])


def _check_certificate(chain: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"the certificate {chain} cannot be used with the key {key}: {reason(error)}") from error


def _unusable(folder: Path, error: OSError) -> InputError:
    return InputError(f"the folder {folder} cannot be used: {reason(error)}; choose another one")


def _join(address: str, token: str, folder: Path, *, browser: bool) -> None:
    """Point to the server that uses the folder already."""
    if not address:
        raise InputError(f"another studio is starting in the folder {folder}: wait a moment, or choose another folder")
    address, _, chosen = address.partition(" ")
    secret = token or ("" if chosen else Store(folder.resolve()).token())
    link = f"{address}/?token={quote(secret, safe='')}" if secret else address
    _say_line(f"untaught studio: {link}")
    _say_line(
        "it runs already in this folder" + ("" if secret else "; open it with the token that it was started with")
    )
    if browser:
        _open(link, folder / "open.html")


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
                raise InputError(f"cannot listen on {host}:{attempt}: {error.strerror}; choose another port") from error
        else:
            return listening
    raise AssertionError
