"""``automc campaign list|show|compare``."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automc.cli.campaign_drive import Name, StorageOption
from automc.cli.output import JsonFlag, print_facts, print_json, print_table
from automc.cli.workspaces import ServerOption, has_campaigns, open_workspace

if TYPE_CHECKING:
    from automc.campaigns.front import Point
    from automc.campaigns.result import SearchResult
    from automc.workspace.answers import CampaignDetail, CampaignSummary


def list_campaigns(storage: StorageOption = None, server: ServerOption = None, as_json: JsonFlag = False) -> None:
    """List all campaigns of a storage, or of a server."""
    from automc.workspace.answers import MOST

    found: list[CampaignSummary] = []
    if has_campaigns(storage, server):  # else nobody has begun one yet
        with open_workspace(storage, server) as there:
            while True:
                page = there.campaigns.find(sort="created", offset=len(found), limit=MOST)
                found += page.items
                if not page.items or len(found) >= page.total:
                    break
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    elif not found:
        typer.echo("no campaigns yet; begin one: automc campaign start CONFIG.yaml")
    else:
        columns = ["name", "state", "owner", "evaluations", "best", "cost", "age"]
        print_table("campaigns", columns, [_line(one) for one in found], only_first_folds=True)


def show(name: Name, storage: StorageOption = None, server: ServerOption = None, as_json: JsonFlag = False) -> None:
    """Show all there is to know of a campaign."""
    from automc.progress import duration

    with open_workspace(storage, server) as there:
        found = there.campaigns.show(name)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    compute = found.config["compute"]
    counts = ", ".join(f"{agent} {count}" for agent, count in found.counts.items())
    rows: list[tuple[str, object]] = [
        ("state", found.state + (f": {found.reason}" if found.reason else ", in line" if found.waiting else "")),
        ("driver", found.driver or "none"),
        ("owner", found.owner),
        ("configuration", found.source or "given by a program"),
        ("searches", f"{found.task}, {', '.join(found.budget)}, {found.agent}, seed {found.seed}"),
        ("workers", f"{compute['workers']}" + (f" on {compute['ray_address']}" if compute["ray_address"] else "")),
        ("created", _moment(found.created)),
        ("first ran", _moment(found.started)),
        ("ended", _moment(found.ended)),
        ("evaluations", f"{progress(found)}" + (f" ({counts})" if counts else "")),
        ("under way", found.under_way),
        ("failed", found.failed),
        ("best", best(found)),
        ("time", f"{duration(found.seconds)} driven, {duration(found.worker_seconds)} of workers"),
        ("folder", found.folder or "on the server"),
        ("files", ", ".join(one.name for one in found.files) or "none yet"),
    ]
    print_facts(name, rows)
    if found.front:
        print_table("front", front_columns(found), [front_line(found, one) for one in found.front])
    for why in found.failures:
        typer.echo(f"failed: {why}")


def compare(
    campaigns: Annotated[list[str], typer.Argument(help="Their names.", metavar="NAME...")],
    storage: StorageOption = None,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Put campaigns side by side."""
    from automc.errors import ConfigError

    rows = []
    with open_workspace(storage, server) as there:
        for name in campaigns:
            found, result = there.campaigns.show(name), None
            if found.state == "finished":
                with suppress(ConfigError):  # its files are elsewhere by now
                    result = there.campaigns.result(name)
            rows.append((found, compared(found, result)))
    if as_json:
        print_json([row for _, row in rows])
        return
    texts = [_compared_texts(*row) for row in rows]
    lines = [(key, *("" if text[key] is None else text[key] for text in texts)) for key in texts[0]]
    print_table("campaigns", ["", *campaigns], lines)


def progress(found: CampaignSummary) -> str:
    """Returns how many evaluations have ended, of how many."""
    done, total = found.evaluations, found.total
    return f"{done}/{max(total, done)}" if total else f"{done}"


def best(found: CampaignSummary) -> str:
    """Returns the best score with its cost, for people."""
    from automc.costs.units import format_cost

    return "" if found.best is None else f"{score(found, found.best)} at {format_cost(found.cost_is, found.best.cost)}"


def score(found: CampaignSummary, point: Point | None) -> str:
    """Returns a score for people."""
    from automc.tasks.metrics import format_score

    return "" if point is None else format_score(point.score, found.metric or "")


def front_columns(found: CampaignDetail) -> list[str]:
    """Returns the headings of the front's table."""
    return ["score", *found.front_over, "found by"]


def front_line(found: CampaignDetail, point: Point) -> tuple[str, ...]:
    """Returns a point's line in the front's table."""
    from automc.costs.units import format_cost

    first, *others = found.front_over
    more = (format_cost(metric, getattr(point.predicted, metric) or 0.0) for metric in others)
    return score(found, point), format_cost(first, point.cost), *more, f"{point.agent} {point.number}"


def compared(found: CampaignDetail, result: SearchResult | None) -> dict[str, Any]:
    """Returns what is compared, as plain data."""
    best = found.best
    row = {
        "name": found.name,
        "state": found.state,
        "task": found.task,
        "budget": found.budget,
        "agent": found.agent,
        "seed": found.seed,
        "evaluations": found.evaluations,
        "search_score": best and best.score,
        "test_score": None,
        "latency": None,
        "predicted_latency": best and best.predicted.latency,
        "macs": best and best.predicted.macs,
        "worker_hours": round(found.worker_seconds / 3600, 4),
    }
    if result is not None:
        chosen = result.row("best")
        row |= {"search_score": chosen.final.search_score, "test_score": chosen.final.test_score}
        row |= {"latency": chosen.measured.us, "predicted_latency": chosen.predicted.latency}
        row["macs"] = chosen.predicted.macs
    return row


def _compared_texts(found: CampaignDetail, row: dict[str, Any]) -> dict[str, str | None]:
    """Returns what is compared, for people."""
    from automc.costs.units import format_cost, number
    from automc.tasks.metrics import format_score

    row = dict(row)
    for key in ("search_score", "test_score"):
        row[key] = None if row[key] is None else format_score(row[key], found.metric or "")
    for key, kind in (("latency", "latency"), ("predicted_latency", "latency"), ("macs", "macs")):
        row[key] = None if row[key] is None else format_cost(kind, row[key])
    row |= {"budget": ", ".join(row["budget"]), "evaluations": progress(found)}
    row["worker_hours"] = number(row["worker_hours"])
    return {key.replace("_", " "): value for key, value in row.items() if key != "name"}


def _line(found: CampaignSummary) -> tuple[str, ...]:
    """Returns a campaign's line in the list."""
    age = (datetime.now(UTC) - found.created).total_seconds()
    cost = _roughly(found.worker_seconds)
    return found.name, found.state, found.owner, progress(found), score(found, found.best), cost, _roughly(age)


def _moment(when: datetime | None) -> str:
    return "" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M}"


def _roughly(seconds: float) -> str:
    """Returns a time in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
