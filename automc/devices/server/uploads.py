"""Files as they come: within their size, and no model kept that could read or run more than a model should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from automc import files
from automc.devices.server.jobs import Job, JobQueue, Problem
from automc.devices.server.onnx_bytes import Refused, check_model

_SMALL = 1 << 20  # bytes of a request that is no file


async def read_small(request: Request, silence: float) -> bytes:
    """Returns a body; raises `Problem` for a large one."""
    return b"".join([part async for part in _parts(request, _SMALL, silence)])


async def take_file(request: Request, queue: JobQueue, job: Job, name: str) -> None:
    """Puts one file of a job into its folder; the last one lets the job wait for its turn.

    Raises:
        Problem: the job has no such file, it is too large, or it is a model that is not run here; then the job is
            forgotten.
    """
    if name not in job.request.files:
        raise Problem(404, "unknown_file", f"the job has no file {name[:40]!r}")
    if job.state != "uploading":
        raise Problem(409, "complete", "all files of the job have come")
    room = queue.limits.size - sum(size for other, size in job.sizes.items() if other != name)
    # under a name of its own: a workbench whose connection broke sends the file again, beside what came of the first
    with files.replacing(job.folder / name) as temporary:
        size = 0
        with temporary.open("wb") as file:
            async for part in _parts(request, room, queue.limits.silence):
                queue.find(job.name)  # neither cancelled meanwhile nor silent
                size += file.write(part)
        if name.endswith(".onnx"):
            try:
                await asyncio.to_thread(check_model, temporary)
            except Refused as error:
                queue.forget(job)
                number = name.removeprefix("model").removesuffix(".onnx")
                raise Problem(422, "model", f"model {number} is refused: {error}") from None
        queue.find(job.name)
    job.sizes[name] = size
    if job.state == "uploading" and len(job.sizes) == len(job.request.files):
        queue.complete(job)


async def _parts(request: Request, room: int, silence: float) -> AsyncIterator[bytes]:
    """Yields a body as it comes; raises `Problem` when it is larger than there is room, or stops coming."""
    too_large = Problem(413, "too_large", f"it is too large: this device takes {room} more bytes (--max-mb)")
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > room:
        raise too_large
    stream, size = request.stream(), 0
    while True:
        try:
            part = await asyncio.wait_for(anext(stream), silence)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem(408, "silence", "the rest of it did not come") from None
        size += len(part)
        if size > room:
            raise too_large
        yield part
