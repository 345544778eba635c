"""Logging in and out with a browser, and who one is."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from automc.service.problems import Refused, told
from automc.service.security import Security
from automc.service.security.gate import too_many
from automc.service.security.sessions import COOKIE
from automc.service.security.who import EVERYBODY, Who, address_of, who_of
from automc.service.tokens import Damaged, Role
from automc.workspace.answers import Answer

pages = APIRouter(include_in_schema=False)
router = APIRouter(prefix="/session", tags=["session"])


class SessionInfo(Answer):
    """Who asks.

    Attributes:
        name: the token's; ``local`` where none is needed.
        role: what is allowed.
        by: how the service knows.
    """

    name: str
    role: Role
    by: Literal["token", "cookie", "nothing"]


@router.get("", summary="Show who one is", responses=told(401))
def session(request: Request) -> SessionInfo:
    """Who asks, and what they may do."""
    return _info(who_of(request) or EVERYBODY)


@pages.post("/login")
async def login(request: Request) -> Response:
    """Takes the form field ``token``; answers by a cookie, to a page's form also by the way to the dashboard."""
    security: Security = request.app.state.security
    if not security.gate.needs_token:
        return _welcome(request, EVERYBODY)
    address = address_of(request.scope)
    wait = security.failures.wait(address)
    if wait > 0:
        raise too_many("too many failed logins", wait)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Refused(415, "media_type", "log in by a form: application/x-www-form-urlencoded, field 'token'")
    try:
        given = parse_qs((await request.body()).decode(), max_num_fields=8).get("token", [""])
        token = security.tokens.find(given[0].strip())
    except ValueError:
        token = None
    except Damaged:
        raise Refused(
            503, "tokens_damaged", "the file of tokens is damaged; the server's operator must mend it"
        ) from None
    if token is None:
        security.failures.take(address)
        raise Refused(
            401, "token", "the token is wrong, revoked or expired", {"WWW-Authenticate": 'Bearer realm="automc"'}
        )
    value, seconds = security.sessions.make(token)
    who = Who(token.name, token.role, token.sha256)
    request.state.who = who  # for the audit log
    answer = _welcome(request, who, "cookie")
    answer.set_cookie(COOKIE, value, seconds, secure=request.url.scheme == "https", httponly=True, samesite="strict")
    return answer


@pages.post("/logout")
async def logout(request: Request) -> Response:
    """Takes the cookie back."""
    answer = RedirectResponse("/login", 303) if _is_form(request) else Response(status_code=204)
    answer.delete_cookie(COOKIE, secure=request.url.scheme == "https", httponly=True, samesite="strict")
    return answer


def _welcome(request: Request, who: Who, by: Literal["cookie"] | None = None) -> Response:
    if _is_form(request):
        return RedirectResponse("/", 303)
    return JSONResponse(_info(who, by).model_dump())


def _info(who: Who, by: Literal["cookie"] | None = None) -> SessionInfo:
    how: Literal["token", "cookie", "nothing"] = "token" if who.digest else "nothing"
    return SessionInfo(name=who.name, role=who.role, by=by or ("cookie" if who.ends else how))


def _is_form(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
