"""Latency tables of a server, and what there is to choose from there."""

from __future__ import annotations

from collections.abc import Sequence

from automc.client.campaigns import given
from automc.client.connection import Connection
from automc.workspace import Catalog, Tables
from automc.workspace.answers import (
    AgentInfo,
    DeviceInfo,
    Named,
    NetworkAnswer,
    NetworkRequest,
    OperatorAnswer,
    OperatorRow,
    Page,
    PresetInfo,
    TableComparison,
    TableDetail,
    TableSummary,
)

_AT_ONCE = 1000  # operators of one request at most


class RemoteTables(Tables):
    """See `Tables`.

    Args:
        connection: to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> list[TableSummary]:
        """See `Tables.all`."""
        return self._connection.ask(list[TableSummary], "GET", "tables")

    def show(self, table: str) -> TableDetail:
        """See `Tables.show`."""
        return self._connection.ask(TableDetail, "GET", "tables", table)

    def operators(
        self, table: str, *, contains: str = "", kind: str | None = None, offset: int = 0, limit: int = 50
    ) -> Page[OperatorRow]:
        """See `Tables.operators`."""
        asked = given(contains=contains, kind=kind, offset=offset, limit=limit)
        return self._connection.ask(Page[OperatorRow], "GET", "tables", table, "operators", params=asked)

    def query(self, table: str, operators: Sequence[str], estimate: bool = False) -> list[OperatorAnswer]:
        """See `Tables.query`."""
        found: list[OperatorAnswer] = []
        for start in range(0, len(operators), _AT_ONCE):
            asked = {"operators": list(operators[start : start + _AT_ONCE]), "estimate": estimate}
            found += self._connection.ask(
                list[OperatorAnswer], "POST", "tables", table, "query", again=True, json=asked
            )
        return found

    def network(self, table: str, request: NetworkRequest) -> NetworkAnswer:
        """See `Tables.network`."""
        asked = request.model_dump(mode="json")
        return self._connection.ask(NetworkAnswer, "POST", "tables", table, "network", again=True, json=asked)

    def add(self, text: str, replace: bool = False) -> TableSummary:
        """See `Tables.add`."""
        return self._connection.ask(
            TableSummary,
            "POST",
            "tables",
            again=replace,
            params=given(replace=replace),
            content=text.encode(),
            headers={"Content-Type": "application/yaml"},
        )

    def text(self, table: str) -> str:
        """See `Tables.text`."""
        with self._connection.stream("GET", "tables", table, "file") as response:
            return response.read().decode()

    def compare(self, first: str, second: str) -> TableComparison:
        """See `Tables.compare`."""
        return self._connection.ask(TableComparison, "GET", "tables", first, "compare", second)


class RemoteCatalog(Catalog):
    """See `Catalog`.

    Args:
        connection: to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tasks(self) -> list[Named]:
        """See `Catalog.tasks`."""
        return self._connection.ask(list[Named], "GET", "tasks")

    def agents(self) -> list[AgentInfo]:
        """See `Catalog.agents`."""
        return self._connection.ask(list[AgentInfo], "GET", "agents")

    def presets(self) -> list[PresetInfo]:
        """See `Catalog.presets`."""
        return self._connection.ask(list[PresetInfo], "GET", "presets")

    def devices(self) -> list[DeviceInfo]:
        """See `Catalog.devices`."""
        return self._connection.ask(list[DeviceInfo], "GET", "devices")
