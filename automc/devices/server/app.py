"""What a device answers: routes over its jobs, behind a token."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import automc
from automc.devices.device import Device
from automc.devices.protocol import PROTOCOL, JobRequest, read_json
from automc.devices.server.jobs import Job, JobQueue, Problem
from automc.devices.server.uploads import read_small, take_file
from automc.errors import ConfigError

_NAME = re.compile(r"[0-9a-f]{32}")
_LONGEST = 5.0  # seconds that an answer may be held back for news
_MOST = 4096  # threads, and examples, of one inference


class Guard:
    """Answers 401 to whoever does not know the token, whatever was asked."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is allowed."""
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                answer = _answer(Problem(401, "token", "the token is wrong or missing"))
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def make_app(queue: JobQueue, token: str) -> ASGIApp:
    """Returns the application.

    Args:
        queue: its jobs.
        token: what a workbench must know.
    """
    api = _Api(queue)
    return Starlette(
        routes=[
            Route("/health", api.health),
            Route("/device", api.device),
            Route("/jobs/{name}", api.make, methods=["PUT"]),
            Route("/jobs/{name}", api.ask, methods=["GET"]),
            Route("/jobs/{name}", api.forget, methods=["DELETE"]),
            Route("/jobs/{name}/{file}", api.take, methods=["PUT"]),
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={
            Problem: _problem,
            HTTPException: _problem,
            ConfigError: _problem,
            ClientDisconnect: _problem,
            Exception: _problem,
        },
        lifespan=api.lifespan,
    )


class _Api:
    """The routes."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Works as long as the server does; ends the child with it."""
        tasks = [asyncio.create_task(self._queue.work()), asyncio.create_task(self._queue.watch())]
        try:
            yield
        finally:
            self._queue.drop_all()
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def health(self, request: Request) -> Response:
        """Says that it is there, and what it does."""
        return JSONResponse({"protocol": PROTOCOL, "automc": automc.__version__, "jobs": self._queue.counts()})

    async def device(self, request: Request) -> Response:
        """Describes this machine for so many threads and examples of one inference."""
        limits = self._queue.limits
        return JSONResponse(
            {
                "protocol": PROTOCOL,
                "automc": automc.__version__,
                "device": _local(_number(request, "threads"), _number(request, "batch")).model_dump(mode="json"),
                "limits": {"bytes": limits.size, "seconds": limits.seconds, "memory": limits.memory},
            }
        )

    async def make(self, request: Request) -> Response:
        """Makes a job, or finds the one of this name."""
        body = await read_small(request, self._queue.limits.silence)
        asked, limits = _read_request(body), self._queue.limits
        if asked.size > limits.size:
            raise Problem(
                413,
                "too_large",
                f"it is too large: {asked.size / 2**20:.0f} MB, this device takes {limits.size >> 20} (--max-mb)",
            )
        name = request.path_params["name"]
        if not _NAME.fullmatch(name):
            raise Problem(422, "malformed", "a job's name has 32 hexadecimal digits")
        return self._status(self._queue.make(name, asked))

    async def take(self, request: Request) -> Response:
        """Takes one file of a job."""
        job = self._job(request)
        await take_file(request, self._queue, job, request.path_params["file"])
        return self._status(job)

    async def ask(self, request: Request) -> Response:
        """Says where a job stands; waits for so many seconds for that to change."""
        job = self._job(request)
        if not job.over:
            with suppress(TimeoutError):
                wait = _number(request, "wait", default=0, least=0)
                # well before the workbench, which hears nothing meanwhile, would be taken for a vanished one
                longest = min(_LONGEST, self._queue.limits.silence / 3)
                await asyncio.wait_for(job.changed.wait(), min(wait, longest))
        return self._status(self._job(request))

    async def forget(self, request: Request) -> Response:
        """Cancels a job and removes all there is of it."""
        self._queue.forget(self._job(request))
        return JSONResponse({})

    def _job(self, request: Request) -> Job:
        return self._queue.find(request.path_params["name"])

    def _status(self, job: Job) -> Response:
        return JSONResponse(self._queue.status(job))


def _read_request(body: bytes) -> JobRequest:
    try:
        data = read_json(body)
    except ValueError:
        raise Problem(422, "malformed", "the request is no JSON") from None
    # before all else: another protocol may have other keys
    if not isinstance(data, dict) or data.get("protocol") != PROTOCOL:
        raise Problem(409, "protocol", f"this device speaks protocol {PROTOCOL}: install the same AutoMC on both sides")
    try:
        asked = JobRequest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Problem(422, "malformed", f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    difference = _local(asked.device.threads, asked.device.batch).mismatch(asked.device)
    if difference:
        raise Problem(409, "device", f"this is another device than it was: {difference}")
    return asked


def _local(threads: int, batch: int) -> Device:
    if max(threads, batch) > _MOST:
        raise Problem(422, "malformed", f"at most {_MOST} threads, and examples, in one inference")
    return Device.local(threads, batch)


def _number(request: Request, name: str, default: int = 1, least: int = 1) -> int:
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or int(text) < least:
        raise Problem(422, "malformed", f"{name} is a whole number of at least {least}")
    return int(text)


def _problem(request: Request, error: Exception) -> Response:
    """Answers an error as JSON of a code and one line."""
    if isinstance(error, HTTPException):
        error = Problem(error.status_code, "request", error.detail)
    elif isinstance(error, ConfigError):
        error = Problem(507, "disk", "it cannot write the files: is its disk full?")
    elif isinstance(error, ClientDisconnect):
        error = Problem(400, "disconnect", "the connection ended before the request did")
    elif not isinstance(error, Problem):
        error = Problem(500, "bug", f"a fault of AutoMC on the device: {type(error).__name__}")
    return _answer(error)


def _answer(problem: Problem) -> JSONResponse:
    said: dict[str, Any] = {"code": problem.code, "message": problem.message}
    return JSONResponse(said, status_code=problem.status)
