"""``automc campaign list|show|compare``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automc.cli.campaign_drive import LOG, Name, StorageOption, opened
from automc.cli.output import JsonFlag, print_facts, print_json, print_table

if TYPE_CHECKING:
    from automc.campaigns import SearchResult
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.front import Point
    from automc.campaigns.record import Status
    from automc.campaigns.standing import Standing


def list_campaigns(storage: StorageOption = None, as_json: JsonFlag = False) -> None:
    """List all campaigns of a storage."""
    from automc import files
    from automc.campaigns.campaign import Campaign, names
    from automc.campaigns.storage import default_storage, sqlite_url

    rows: list[Figures] = []
    own = files.home() / "campaigns.db"
    if storage is not None or default_storage() != sqlite_url(own) or own.exists():  # else nobody has begun one yet
        with opened(storage) as there:
            rows = [Figures(Campaign(there, name)) for name in names(there)]
    if as_json:
        print_json([row.plain() for row in rows])
    elif not rows:
        typer.echo("no campaigns yet; begin one: automc campaign start CONFIG.yaml")
    else:
        columns = ["name", "state", "owner", "evaluations", "best", "cost", "age"]
        print_table("campaigns", columns, [row.line() for row in rows], only_first_folds=True)


def show(
    name: Name,
    storage: StorageOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show all there is to know of a campaign."""
    from automc.campaigns.campaign import Campaign
    from automc.progress import duration

    with opened(storage) as there:
        figures = Figures(Campaign(there, name))
    status, standing = figures.status, figures.standing
    record, config = status.record, status.record.config
    if as_json:
        print_json(figures.plain() | {"record": record.model_dump(mode="json"), "files": figures.files()})
        return
    counts = ", ".join(f"{agent} {count}" for agent, count in standing.counts.items())
    rows: list[tuple[str, object]] = [
        ("state", status.state + (f": {status.reason}" if status.reason else "")),
        ("driver", status.driver or "none"),
        ("owner", record.owner),
        ("configuration", record.source or "given by a program"),
        ("searches", f"{config.subject}, {', '.join(config.budget)}, {config.agent}, seed {config.seed}"),
        ("workers", f"{config.compute.workers}" + (f" on {config.compute.ray_address}" if asked_ray(status) else "")),
        ("created", _moment(record.created)),
        ("first ran", _moment(status.started)),
        ("ended", _moment(status.ended)),
        ("evaluations", f"{figures.progress}" + (f" ({counts})" if counts else "")),
        ("under way", status.under_way),
        ("failed", status.failed),
        ("best", figures.best),
        ("time", f"{duration(status.seconds)} driven, {duration(status.worker_seconds)} of workers"),
        ("folder", record.out),
        ("files", ", ".join(figures.files()) or "none yet"),
    ]
    print_facts(name, rows)
    if standing.front.points:
        print_table("front", figures.front_columns, [figures.front_line(one) for one in standing.front.points])
    for why in standing.failures:
        typer.echo(f"failed: {why}")


def compare(
    campaigns: Annotated[list[str], typer.Argument(help="Their names.", metavar="NAME...")],
    storage: StorageOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Put campaigns side by side."""
    from automc.campaigns.campaign import Campaign

    with opened(storage) as there:
        figures = [Figures(campaign) for campaign in [Campaign(there, name) for name in campaigns]]
    if as_json:
        print_json([one.compared() for one in figures])
        return
    rows = [one.compared_texts() for one in figures]
    lines = [(key, *("" if row[key] is None else row[key] for row in rows)) for key in rows[0]]
    print_table("campaigns", ["", *campaigns], lines)


class Figures:
    """What is shown of one campaign.

    Attributes:
        status: how it stands.
        standing: figures of its evaluations.

    Args:
        campaign: the campaign.
        before: figures of its evaluations from an earlier look, which has read most of them already.
    """

    def __init__(self, campaign: Campaign, before: Standing | None = None) -> None:
        from automc.campaigns.standing import Standing

        self.status: Status = campaign.status()
        self.standing = before or Standing()
        self.standing.front.metric, *more = self.status.record.config.objectives
        self.standing.front.more = tuple(more)
        self.standing.front.higher_is_better = self.status.higher_is_better
        self.standing.front.limits = self.status.limits
        self.standing.read(campaign.journal)

    @property
    def progress(self) -> str:
        """How many evaluations have ended, of how many."""
        done, total = self.status.evaluations, self.status.total
        return f"{done}/{max(total, done)}" if total else f"{done}"

    @property
    def best(self) -> str:
        """The best score with its cost."""
        from automc.costs.units import format_cost

        best = self.standing.front.best
        if best is None:
            return ""
        return f"{self.score(best)} at {format_cost(self.standing.front.metric, best.cost)}"

    def score(self, point: Point | None) -> str:
        """A score for people."""
        from automc.tasks.metrics import format_score

        return "" if point is None else format_score(point.score, self.status.metric or "")

    @property
    def front_columns(self) -> list[str]:
        """Headings of the front's table."""
        return ["score", self.standing.front.metric, *self.standing.front.more, "found by"]

    def front_line(self, point: Point) -> tuple[str, ...]:
        """A point's line in the front's table."""
        from automc.costs.units import format_cost

        front = self.standing.front
        more = (format_cost(metric, getattr(point.predicted, metric) or 0.0) for metric in front.more)
        return self.score(point), format_cost(front.metric, point.cost), *more, f"{point.agent} {point.number}"

    def line(self) -> tuple[str, ...]:
        """Its line in the list."""
        status = self.status
        age = (datetime.now(UTC) - status.record.created).total_seconds()
        best, cost = self.score(self.standing.front.best), _roughly(status.worker_seconds)
        return status.name, status.state, status.record.owner, self.progress, best, cost, _roughly(age)

    def plain(self) -> dict[str, Any]:
        """All figures as plain data."""
        standing = self.standing
        return self.status.model_dump(mode="json", exclude={"record"}) | {
            "owner": self.status.record.owner,
            "created": self.status.record.created.isoformat(),
            "best": standing.front.best and asdict(standing.front.best),
            "front": [asdict(one) for one in standing.front.points],
            "cost_is": standing.front.metric,
            "front_over": [standing.front.metric, *standing.front.more],
            "failures": standing.failures,
        }

    def files(self) -> list[str]:
        """What it has written for people."""
        out = self.status.record.out
        names = ("report.html", "result.json", "recipe.yaml", "model.onnx", "model.pt2", LOG)
        return [name for name in names if (out / name).exists()]

    def compared(self) -> dict[str, Any]:
        """What is compared, as plain data."""
        status, config, best = self.status, self.status.record.config, self.standing.front.best
        row = {
            "name": status.name,
            "state": status.state,
            "task": config.subject,
            "budget": list(config.budget),
            "agent": config.agent,
            "seed": config.seed,
            "evaluations": status.evaluations,
            "search_score": best and best.score,
            "test_score": None,
            "latency": None,
            "predicted_latency": best and best.predicted.latency,
            "macs": best and best.predicted.macs,
            "worker_hours": round(status.worker_seconds / 3600, 4),
        }
        result = self._result()
        if result is not None:
            chosen = result.row("best")
            row |= {"search_score": chosen.final.search_score, "test_score": chosen.final.test_score}
            row |= {"latency": chosen.measured.us, "predicted_latency": chosen.predicted.latency}
            row["macs"] = chosen.predicted.macs
        return row

    def compared_texts(self) -> dict[str, str | None]:
        """What is compared, for people."""
        from automc.costs.units import format_cost, number
        from automc.tasks.metrics import format_score

        row = self.compared()
        metric = self.status.metric or ""
        for key in ("search_score", "test_score"):
            row[key] = None if row[key] is None else format_score(row[key], metric)
        for key, kind in (("latency", "latency"), ("predicted_latency", "latency"), ("macs", "macs")):
            row[key] = None if row[key] is None else format_cost(kind, row[key])
        row |= {"budget": ", ".join(row["budget"]), "evaluations": self.progress}
        row["worker_hours"] = number(row["worker_hours"])
        return {key.replace("_", " "): value for key, value in row.items() if key != "name"}

    def _result(self) -> SearchResult | None:
        from pydantic import ValidationError

        from automc.campaigns import SearchResult

        if self.status.state != "finished":
            return None
        try:
            return SearchResult.model_validate_json((self.status.record.out / "result.json").read_bytes())
        except (OSError, ValidationError):
            return None


def asked_ray(status: Status) -> bool:
    """Says whether a cluster was named."""
    return status.record.config.compute.ray_address is not None


def _moment(when: datetime | None) -> str:
    return "" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M}"


def _roughly(seconds: float) -> str:
    """Returns a time in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
