"""The contracts: what can be asked of a workspace, wherever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from automc.campaigns.states import State
from automc.workspace.answers import (
    AgentInfo,
    CampaignDetail,
    CampaignRequest,
    CampaignSummary,
    DeviceInfo,
    EvaluationDetail,
    EvaluationRow,
    Named,
    NetworkAnswer,
    NetworkRequest,
    OperatorAnswer,
    OperatorRow,
    Page,
    PresetInfo,
    RecipeSummary,
    TableComparison,
    TableDetail,
    TableSummary,
)

if TYPE_CHECKING:  # what only one question needs brings torch with it
    from automc.campaigns.result import SearchResult
    from automc.recipes import Recipe

Sort = Literal["created", "-created", "name", "-name", "state"]
"""By what lists of campaigns are sorted; with a minus the last first."""


class Campaigns(ABC):
    """Campaigns: made, watched, stopped.

    Every method that is given a name raises `NotFound` where there is no such campaign, and `Conflict` where what is
    asked for is not possible as it stands.
    """

    @abstractmethod
    def find(
        self,
        *,
        state: State | None = None,
        search: str = "",
        sort: Sort = "-created",
        offset: int = 0,
        limit: int = 50,
    ) -> Page[CampaignSummary]:
        """Returns some of the campaigns.

        Args:
            state: only those in this state.
            search: only those whose name, task, agent or owner contain this.
            sort: by what.
            offset: how many to leave out.
            limit: how many at most.
        """

    @abstractmethod
    def show(self, name: str) -> CampaignDetail:
        """Returns all there is to know of one but its evaluations."""

    @abstractmethod
    def start(self, request: CampaignRequest, key: str | None = None) -> CampaignDetail:
        """Makes a campaign, which begins when there is room for it.

        Args:
            request: what is asked for.
            key: names the request: the same one again, with the same key, makes nothing and returns what it made.

        Raises:
            ConfigError: it makes no sense; `Invalid` where that can be said field by field.
            Conflict: the name is taken, or the key was used for another request.
        """

    @abstractmethod
    def pause(self, name: str) -> CampaignDetail:
        """Asks for a pause: what is being evaluated ends first."""

    @abstractmethod
    def resume(self, name: str, workers: int | None = None) -> CampaignDetail:
        """Goes on with one that was paused or has failed, on so many workers from now on."""

    @abstractmethod
    def cancel(self, name: str) -> CampaignDetail:
        """Asks for its end, for good: what has been evaluated is kept."""

    @abstractmethod
    def delete(self, name: str, with_files: bool = False) -> None:
        """Deletes it with all its evaluations; raises `Conflict` where it is running."""

    @abstractmethod
    def evaluations(
        self, name: str, *, agent: str | None = None, failed: bool | None = None, offset: int = 0, limit: int = 50
    ) -> Page[EvaluationRow]:
        """Returns some of its evaluations, in the order in which they ended."""

    @abstractmethod
    def evaluation(self, name: str, agent: str, number: int) -> EvaluationDetail:
        """Returns one evaluation with its policy."""

    @abstractmethod
    def watch(self, name: str) -> Iterator[CampaignDetail]:
        """Yields it whenever it has changed, until it has ended, failed or paused; at once for the first time."""

    @abstractmethod
    def result(self, name: str) -> SearchResult:
        """Returns what it found; raises `Conflict` where it has not finished."""

    @abstractmethod
    def recipe(self, name: str) -> Recipe:
        """Returns what it decided; raises `Conflict` where it has not finished.

        On a server, its task is the name that it is registered by, without arguments; `download` gives the file, which
        can be applied.
        """

    @abstractmethod
    def recipes(self, *, offset: int = 0, limit: int = 50) -> Page[RecipeSummary]:
        """Returns some of the recipes of finished campaigns, those of the last campaigns first.

        Args:
            offset: how many campaigns to leave out.
            limit: how many at most; those whose files are gone are left out, though the total counts them.
        """

    @abstractmethod
    def download(self, name: str, file: str, to: Path) -> Path:
        """Writes one of its files, or ``NAME.campaign`` with all of it, to a path; returns the path.

        Raises:
            NotFound: it has no such file.
        """


class Tables(ABC):
    """Latency tables: found, asked, compared. Raises `NotFound` where there is no table of that identifier."""

    @abstractmethod
    def all(self) -> list[TableSummary]:
        """Returns all tables."""

    @abstractmethod
    def show(self, table: str) -> TableDetail:
        """Returns one without its operators."""

    @abstractmethod
    def operators(
        self, table: str, *, contains: str = "", kind: str | None = None, offset: int = 0, limit: int = 50
    ) -> Page[OperatorRow]:
        """Returns some of its measured operators, by signature."""

    @abstractmethod
    def query(self, table: str, operators: Sequence[str], estimate: bool = False) -> list[OperatorAnswer]:
        """Returns what operators will take, one answer for each."""

    @abstractmethod
    def network(self, table: str, request: NetworkRequest) -> NetworkAnswer:
        """Returns what a whole network will take."""

    @abstractmethod
    def add(self, text: str, replace: bool = False) -> TableSummary:
        """Adds a table, the text of its file.

        Raises:
            TableError: it is no table, a damaged one, or one of a device that cannot be.
            Conflict: there is one of this device already, and it is not to be replaced.
        """

    @abstractmethod
    def text(self, table: str) -> str:
        """Returns the text of its file, as `add` takes it."""

    @abstractmethod
    def compare(self, first: str, second: str) -> TableComparison:
        """Puts two side by side."""


class Catalog(ABC):
    """What there is to choose from."""

    @abstractmethod
    def tasks(self) -> list[Named]:
        """Returns the tasks that the operator registered."""

    @abstractmethod
    def agents(self) -> list[AgentInfo]:
        """Returns the agents."""

    @abstractmethod
    def presets(self) -> list[PresetInfo]:
        """Returns the presets of search spaces."""

    @abstractmethod
    def devices(self) -> list[DeviceInfo]:
        """Returns the devices that campaigns may name."""


class Workspace(ABC):
    """All of it.

    Attributes:
        campaigns: its campaigns.
        tables: its latency tables.
        catalog: what there is to choose from.
    """

    campaigns: Campaigns
    tables: Tables
    catalog: Catalog

    @abstractmethod
    def close(self) -> None:
        """Lets go of what it holds open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
