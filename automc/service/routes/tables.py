"""Latency tables over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import ConfigDict, Field

from automc.docstrings import Described
from automc.service.problems import Refused, told
from automc.service.routes.shared import Here, Limit, Offset, Routes
from automc.workspace.answers import (
    NetworkAnswer,
    NetworkRequest,
    OperatorAnswer,
    OperatorRow,
    Page,
    TableComparison,
    TableDetail,
    TableSummary,
)

router = Routes(prefix="/tables", tags=["tables"])

Table = Annotated[str, Path(max_length=120, description="The table's identifier.")]
Line = Annotated[str, Field(max_length=400)]

_YAML = ("application/yaml", "text/plain", "application/x-yaml", "text/yaml")
_PARSED = {"schema": {"type": "object"}}  # what a media type is a serialization of, as OpenAPI has it
_TEXT = {"schema": {"type": "string"}, "example": """\
version: 2
device: {name: board, processor: aarch64 Cortex-A76, instructions: [asimd], runtime: onnxruntime 1.31.0}
measured_at: '2026-01-31T12:00:00+00:00'
method: by hand
overhead_us: {run: 8.0, kernel: 0.2, int8: 0.1}
operators:
  linear 64,10 n=1: {us: 3.2, low: 3.1, high: 3.4, runs: 60}
"""}  # fmt: skip


class OperatorRequest(Described):
    """Operators that are asked for.

    Attributes:
        operators: as a table writes them.
        estimate: whether those never measured are estimated by a roofline.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"operators": ["linear 64,10 n=1"], "estimate": True}]}
    )

    operators: list[Line] = Field(min_length=1, max_length=1000)
    estimate: bool = False


@router.get("", summary="List latency tables")
def every(here: Here) -> list[TableSummary]:
    """All tables."""
    return here.tables.all()


async def sent(request: Request) -> str:
    """Returns the text that a request has for its body; raises Refused where it has none."""
    kind = request.headers.get("content-type", "application/yaml").partition(";")[0].strip().lower()
    if kind not in _YAML:
        raise Refused(415, "media_type", f"a table is sent as {_YAML[0]} or {_YAML[1]}, not as {kind[:80]}")
    try:
        return (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(400, "malformed", "the body is no UTF-8 text") from None


@router.post(
    "",
    status_code=201,
    summary="Upload a table",
    responses=told(400, 409, 413, 415, 422),
    openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(_YAML[:2], _TEXT)}},
)
def add(
    here: Here,
    text: Annotated[str, Depends(sent)],
    replace: Annotated[bool, Query(description="Whether it takes the place of one of this device.")] = False,
) -> TableSummary:
    """Adds a table: the text of the file that ``automc latency measure --out`` writes."""
    return here.tables.add(text, replace)


@router.get(
    "/{table}/file",
    summary="Download a table",
    response_class=PlainTextResponse,
    responses=told(404) | {200: {"description": "The table's file.", "content": {_YAML[0]: _PARSED}}},
)
def file(here: Here, table: Table) -> PlainTextResponse:
    """The table's file, YAML."""
    name = {"Content-Disposition": f'attachment; filename="{table}.yaml"'}
    return PlainTextResponse(here.tables.text(table), headers=name, media_type=_YAML[0])


@router.get("/{table}", summary="Show a table", responses=told(404))
def show(here: Here, table: Table) -> TableDetail:
    """One table without its operators."""
    return here.tables.show(table)


@router.get("/{table}/operators", summary="List a table's operators", responses=told(404))
def operators(
    here: Here,
    table: Table,
    contains: Annotated[str, Query(max_length=200)] = "",
    kind: Annotated[str | None, Query(max_length=80)] = None,
    offset: Offset = 0,
    limit: Limit = 50,
) -> Page[OperatorRow]:
    """Some of its measured operators, by signature."""
    return here.tables.operators(table, contains=contains, kind=kind, offset=offset, limit=limit)


@router.post("/{table}/query", summary="Ask for operators", responses=told(404))
def query(here: Here, table: Table, request: OperatorRequest) -> list[OperatorAnswer]:
    """What operators will take, one answer for each."""
    return here.tables.query(table, request.operators, request.estimate)


@router.post("/{table}/network", summary="Ask for a whole network", responses=told(404, 422))
def network(here: Here, table: Table, request: NetworkRequest) -> NetworkAnswer:
    """What a whole network will take."""
    return here.tables.network(table, request)


@router.get("/{first}/compare/{second}", summary="Compare two tables", responses=told(404))
def compare(here: Here, first: Table, second: Table) -> TableComparison:
    """Two tables side by side."""
    return here.tables.compare(first, second)
