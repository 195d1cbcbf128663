"""Who may speak to the studio: checked for every request, before anything else looks at it.

A page of another site must not reach the studio through the user's browser. Its requests carry another Origin or are
marked as cross-site; and where a name was bound to this machine to get around that, the Host is not one of ours.
Whoever may connect has to know the token: by the printed address, which turns it into a cookie that only this page's
requests carry, or in a header ``Authorization: Bearer``.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Door", "Guard"]

_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_LARGEST_WORDS = 64 * 2**10
_PATIENCE = 16 * 2**20
_TO_GET_IN = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>untaught studio</title>"
    "<p>Open the address that <code>untaught studio</code> has printed: it has a token at its end.</p></html>"
)


@dataclass(frozen=True)
class Door:
    """Where the studio listens, and for whom.

    Attributes:
        host: the address that it was bound to.
        port: likewise.
        token: what a client has to know.
        largest_upload: bytes.
    """

    host: str
    port: int
    token: str
    largest_upload: int = 512 * 2**20

    @property
    def cookie(self) -> str:
        """The cookie's name; browsers do not keep the cookies of different ports apart."""
        return f"untaught-{self.port}"

    def knows(self, host: str) -> bool:
        """Whether a Host header names this machine in a way that nobody else can have arranged."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("127.0.0.1", "localhost", "::1", self.host):
            return True
        if self.host in ("127.0.0.1", "localhost", "::1"):
            return False
        # Bound to another address by the user's wish: a number cannot be rebound, a name can.
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def accepts(self, token: str) -> bool:
        """Whether a token is the right one."""
        return secrets.compare_digest(token.encode(), self.token.encode())


class Guard:
    """Lets requests through to the app that may be let through.

    Args:
        app: what is guarded.
        door: for whom it is open.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and count what it sends."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self.app(scope, self._counted(scope, receive), send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Why a request is not let through; None if it is."""
        headers, door = Headers(scope=scope), self.door
        host = headers.get("host", "")
        if not door.knows(host):
            return _refuse(421, "this is not the host that the studio answers for")
        opening = scope["path"] == "/" and scope["method"] == "GET"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return _refuse(403, "requests of other pages are not answered")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not opening:
            return _refuse(403, "requests of other pages are not answered")
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if opening and given and door.accepts(given[0]):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(
                door.cookie, door.token, max_age=365 * 24 * 3600, httponly=True, samesite="strict", path="/"
            )
            return answer
        if not self._has_token(headers):
            return HTMLResponse(_TO_GET_IN, 401) if opening else _refuse(401, "the token is missing or wrong")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._largest(scope):
            return _refuse(413, f"more than {self._largest(scope):,} bytes are not taken")
        return None

    def _has_token(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.door.accepts(token.strip())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.door.cookie)
        except CookieError:
            return False
        return cookie is not None and self.door.accepts(cookie.value)

    def _largest(self, scope: Scope) -> int:
        return self.door.largest_upload if scope["path"].startswith("/api/pictures") else _LARGEST_WORDS

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """The same body, until it gets too long; a client may send more than it has said, or not say."""
        left = self._largest(scope)

        async def receive_and_count() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left >= 0:
                return message
            # The rest of a body that soon ends is read, so that the answer reaches who is still sending.
            while message.get("more_body") and left > -_PATIENCE:
                message = await receive()
                left -= len(message.get("body", b""))
            endless = {"connection": "close"} if message.get("more_body") else None
            raise HTTPException(413, "more bytes than are taken", headers=endless)

        return receive_and_count


def _refuse(status: int, message: str) -> Response:
    # The rest of a body that is not wanted is not read either.
    return JSONResponse({"detail": message}, status, headers={"connection": "close"})
