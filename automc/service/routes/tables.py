"""Latency tables over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from automc.service.problems import told
from automc.service.routes.shared import Here, Limit, Offset
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

router = APIRouter(prefix="/tables", tags=["tables"])

Table = Annotated[str, Path(max_length=120, description="The table's identifier.")]
Line = Annotated[str, Field(max_length=400)]


class OperatorRequest(BaseModel):
    """Operators that are asked for.

    Attributes:
        operators: as a table writes them.
        estimate: whether those never measured are estimated by a roofline.
    """

    model_config = ConfigDict(extra="forbid")

    operators: list[Line] = Field(min_length=1, max_length=1000)
    estimate: bool = False


@router.get("", summary="List latency tables")
def every(here: Here) -> list[TableSummary]:
    """All tables."""
    return here.tables.all()


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
