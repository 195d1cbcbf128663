"""Log out, here or everywhere."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from untaught.studio.queue import RefusedError
from untaught.studio.security import Access

__all__ = ["routes"]

routes = APIRouter()


@routes.post("/logout", status_code=204, summary="End the session of this browser")
async def _log_out(request: Request) -> Response:
    access: Access = request.app.state.access
    access.sessions.end(request.cookies.get(access.cookie, ""))
    answer = Response(status_code=204)
    answer.delete_cookie(access.cookie, path="/")
    return answer


@routes.post("/logout/everywhere", status_code=204, summary="End all sessions, and make a new token")
async def _log_out_everywhere(request: Request) -> Response:
    access: Access = request.app.state.access
    if access.renew is None:
        raise RefusedError("the token was given at the start of the studio: start it with another one")
    access.sessions.end_all()
    access.token = access.renew()
    answer = Response(status_code=204)
    answer.delete_cookie(access.cookie, path="/")
    return answer
