"""Errors as problem+json (RFC 9457): a stable code, one line, and what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException

from automc.campaigns.storage import Away
from automc.docstrings import Described
from automc.errors import AutoMCError, ConfigError, Conflict, Invalid, NotFound, RuntimeFailure, TableError, lacking

MEDIA = "application/problem+json"


class Mistake(Described):
    """One mistake of a request.

    Attributes:
        field: where it is, with dots between keys.
        message: what it is.
    """

    model_config = ConfigDict(extra="forbid")

    field: str
    message: str


class Problem(Described):
    """What every answer of 400 and above is.

    Attributes:
        type: ``about:blank``: ``code`` tells problems apart.
        title: the status in words.
        status: the status.
        code: what went wrong, for programs; it stays the same from version to version.
        detail: what went wrong and what to do, for people.
        fields: each mistake, where there are several.
    """

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    fields: list[Mistake] = Field(default_factory=list)


class Refused(AutoMCError):
    """A request is answered by a problem.

    Args:
        status: the status.
        code: see `Problem`.
        detail: see `Problem`.
        headers: that the answer has.
    """

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.headers = status, code, headers or {}


def problem(
    status: int,
    code: str,
    detail: str,
    fields: list[tuple[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Returns an answer that tells a problem."""
    told = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        fields=[Mistake(field=where, message=what) for where, what in fields or []],
    )
    return JSONResponse(told.model_dump(), status, headers, MEDIA)


def answer(error: Exception) -> JSONResponse:
    """Returns the answer to an error."""
    if isinstance(error, Refused):
        return problem(error.status, error.code, str(error), headers=error.headers)
    if isinstance(error, RequestValidationError):
        fields = [(".".join(str(part) for part in one["loc"]), str(one["msg"])) for one in error.errors()]
        if any(one["type"] == "json_invalid" for one in error.errors()):
            return problem(400, "malformed", "the body is no JSON", fields)
        return problem(422, "invalid", f"{fields[0][0]}: {fields[0][1]}", fields)
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "request")
        return problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))
    if isinstance(error, Invalid):
        return problem(422, "invalid", str(error), error.fields)
    if isinstance(error, NotFound):
        return problem(404, "not_found", str(error))
    if isinstance(error, Conflict):
        return problem(409, "conflict", str(error))
    if isinstance(error, Away):
        return problem(
            503, "database_away", "the database does not answer; try again in a minute", headers={"Retry-After": "10"}
        )
    if lacking(error) == "disk space":
        return problem(507, "disk_full", "the server's disk is full; its operator must free some")
    if isinstance(error, TableError):
        return problem(422, "table", str(error))
    if isinstance(error, RuntimeFailure):
        return problem(502, "device", str(error))
    if isinstance(error, ConfigError | AutoMCError):
        return problem(422, "invalid", str(error))
    return problem(500, "bug", f"a fault of AutoMC: {type(error).__name__}; its operator finds it in the log")


def install(app: FastAPI) -> None:
    """Makes an application answer all errors so."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return answer(error)

    for kind in (AutoMCError, RequestValidationError, HTTPException, OSError, Exception):
        app.add_exception_handler(kind, handle)


def told(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns, for the document, that a route may answer so."""
    described = {"model": Problem, "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return {status: described | {"description": HTTPStatus(status).phrase} for status in statuses}
