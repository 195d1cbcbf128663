"""Access control: every request is checked here before any other code sees it.

Protections:

* Host: it must name this machine, so that a foreign name bound to it (DNS rebinding) does not reach the studio. Bound
  to an address other than localhost, any numeric address is accepted, because only names can be rebound.
* Origin and Sec-Fetch-Site: a page of another site cannot use the studio through the user's browser.
* Token: a client proves that it may connect. The printed address has the token in it and begins a session, whose secret
  is the page's cookie (see `untaught.studio.sessions`); other clients send ``Authorization: Bearer TOKEN``.
* Size: a body may not be larger than its kind of request needs, also if the client does not say its size.
* Headers: the page may load nothing from elsewhere and cannot be framed.

Paths are no subject here: routes accept only names of 16 hexadecimal digits (see `untaught.studio.storage`).
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from untaught.errors import InputError
from untaught.studio.sessions import Sessions
from untaught.studio.storage import LEAST_TOKEN

__all__ = ["Access", "AccessControl"]

_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_LOCAL = ("127.0.0.1", "localhost", "::1")
_LARGEST_JSON = 64 * 2**10
_UPLOADS = re.compile(r"/api/pictures|/api/jobs/[0-9a-f]{16}/comparison$")
"""Where the body is a file."""
_MOST_DISCARDED = 16 * 2**20
_MOST_DIGITS = 15
_OPENING = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>untaught studio</title>"
    '<meta http-equiv="refresh" content="0;url=/"><p><a href="/">Open the studio</a></p></html>'
)
_HOW_TO_OPEN = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>untaught studio</title>"
    "<p>Open the address that <code>untaught studio</code> printed. It ends with a token.</p></html>"
)


@dataclass
class Access:
    """Where the studio listens, and who may connect.

    Attributes:
        host: the address that it is bound to.
        port: the port that it is bound to.
        token: the secret that a client must know, at least 16 characters without spaces.
        sessions: of the browsers that have opened the printed address.
        renew: makes a new token; None if the user has chosen it.
        secure: whether the studio speaks HTTPS.
        largest_upload: size of the largest upload, in bytes.

    Raises:
        InputError: for a token that is too short, or has spaces in it.
    """

    host: str
    port: int
    token: str
    sessions: Sessions
    renew: Callable[[], str] | None = None
    secure: bool = False
    largest_upload: int = 512 * 2**20

    def __post_init__(self) -> None:
        if len(self.token) < LEAST_TOKEN:
            raise InputError(f"the token has {len(self.token)} characters: use at least {LEAST_TOKEN}")
        if not self.token.isprintable() or any(letter.isspace() for letter in self.token):
            raise InputError("the token has spaces or characters that cannot be typed: use letters, digits and signs")

    @property
    def cookie(self) -> str:
        """The cookie's name. It has the port in it, because browsers share cookies between ports."""
        return f"untaught-{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the studio."""
        return self.host in _LOCAL

    def knows_host(self, host: str) -> bool:
        """Return whether a Host header names this machine in a way that nobody else can arrange."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in (*_LOCAL, self.host, self.sessions.host):
            return True
        if self.is_local:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def accepts_token(self, token: str) -> bool:
        """Return whether a token is the right one."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def address(self, host: str | None = None) -> str:
        """Return the address of the page, without a token.

        Args:
            host: that it names; if None, the studio's own name, or the address that it is bound to if others reach it.
        """
        name = host or (self.sessions.host if self.is_local else self.host)
        return f"http{'s' if self.secure else ''}://{f'[{name}]' if ':' in name else name}:{self.port}"

    def link(self, host: str | None = None) -> str:
        """Return the address that opens the page."""
        return f"{self.address(host)}/?token={quote(self.token, safe='')}"


class AccessControl:
    """ASGI middleware that lets a request through to the app, or refuses it.

    Args:
        app: the app behind it.
        access: who may connect.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, add headers to its answer, and count the bytes of its body."""
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
                    headers.setdefault(name, value)  # a page that is no part of the studio has a policy of its own
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self.app(scope, self._counted(scope, receive), send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not let through, None if it is."""
        headers, access = Headers(scope=scope), self.access
        host = headers.get("host", "")
        if not access.knows_host(host):
            return _refuse(421, "the studio does not answer for this host: use the printed address")
        opens_page = scope["path"] == "/" and scope["method"] == "GET"
        origin = headers.get("origin")
        if origin is not None and origin != f"{scope['scheme']}://{host}":
            return _refuse(403, "the studio does not answer requests of other pages")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not opens_page:
            return _refuse(403, "the studio does not answer requests of other pages")
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if opens_page and given and access.accepts_token(given[0]):
            # No redirect: the cookie is not sent with one that began at another page, such as a file or a mail.
            answer = HTMLResponse(_OPENING)
            answer.set_cookie(
                access.cookie,
                access.sessions.begin(),
                max_age=30 * 24 * 3600,
                httponly=True,
                samesite="strict",
                path="/",
                secure=access.secure,
            )
            return answer
        if not self._has_token(headers):
            message = "the token is missing or wrong: use the printed address"
            return HTMLResponse(_HOW_TO_OPEN, 401) if opens_page else _refuse(401, message)
        length, largest = headers.get("content-length", "0"), self._largest(scope)
        if not length.isdecimal() or len(length) > _MOST_DIGITS or int(length) > largest:
            return _refuse(413, f"the body is too large: at most {largest:,} bytes are accepted")
        return None

    def _has_token(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            # Headers come as Latin-1, whatever the client meant.
            given = token.strip().encode("latin-1").decode(errors="replace")
            return self.access.accepts_token(given)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.access.cookie)
        except CookieError:
            return False
        return cookie is not None and self.access.sessions.knows(cookie.value)

    def _largest(self, scope: Scope) -> int:
        return self.access.largest_upload if _UPLOADS.match(scope["path"]) else _LARGEST_JSON

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """Pass on a body until it gets too long: a client may send more than it says, or not say its size."""
        left = self._largest(scope)

        async def receive_and_count() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left >= 0:
                return message
            # The rest of a body that ends soon is read, so that the answer reaches a client that is still sending.
            while message.get("more_body") and left > -_MOST_DISCARDED:
                message = await receive()
                left -= len(message.get("body", b""))
            endless = {"connection": "close"} if message.get("more_body") else None
            raise HTTPException(413, "the body is too large", headers=endless)

        return receive_and_count


def _refuse(status: int, message: str) -> Response:
    # The rest of a body that is refused is not read.
    return JSONResponse({"detail": message}, status, headers={"connection": "close"})
