"""``automc latency query``: what one operator or a whole network will take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json, print_table
from automc.cli.tables import (
    Batch,
    DeviceName,
    Force,
    Guess,
    Source,
    TablePath,
    Threads,
    open_source,
    read_source,
    say_device,
    table_there,
    with_estimates,
)
from automc.cli.workspaces import ServerOption, open_tables

if TYPE_CHECKING:
    from automc.workspace.answers import NetworkAnswer, OperatorAnswer

_LABELS = {"macs": "MACs", "params": "parameters"}


def query(
    signature: Annotated[
        str | None, typer.Argument(help="An operator as `automc latency show` writes it, in quotes.")
    ] = None,
    model: Annotated[str | None, typer.Option(help=f"A whole network instead. {SUBJECT_HELP}")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="With --model: the network as this recipe makes it.", metavar="RECIPE.yaml")
    ] = None,
    breakdown: Annotated[bool, typer.Option("--breakdown", help="With --model: every operator too.")] = False,
    table: TablePath = None,
    device: DeviceName = None,
    threads: Threads = None,
    batch: Batch = None,
    force: Force = False,
    estimate: Guess = False,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask for one operator or a whole network: latency, how far to trust it, and where it comes from."""
    from automc.errors import ConfigError
    from automc.workspace.answers import OperatorAnswer

    if (signature is None) == (model is None):
        raise ConfigError("ask either for an operator, in quotes, or for a network: --model TASK")
    if signature is not None and (policy is not None or breakdown):
        raise ConfigError("--policy and --breakdown are about a network: say which, --model TASK")
    options = {"device": device, "threads": threads, "batch": batch, "force": force}
    if server is not None:
        answer, about = _there(server, table_there(table, **options), signature, model, policy, breakdown, estimate)
    elif signature is not None:
        answer, about = _operator(signature, read_source(table, device, threads, batch, force), estimate)
    else:
        answer, about = _network(str(model), policy, breakdown, table, device, threads, batch, force, estimate)
    if isinstance(answer, OperatorAnswer):
        _tell_operator(answer, about, as_json)
    elif as_json:
        asked = {"model": model, "policy": None if policy is None else str(policy)}
        print_json(asked | about.data | _data(answer, breakdown))
    else:
        _print(f"{model}{'' if policy is None else f' by {policy}'}", about, answer, breakdown)


@dataclass(frozen=True)
class _About:
    """What an answer is from: lines for people, data for scripts, and what energy is from."""

    lines: list[str]
    data: dict[str, object]
    energy_from: str | None = None

    @classmethod
    def of(cls, source: Source) -> _About:
        lines = [say_device(source.hardware.device), *source.lines()]
        return cls(lines, source.data(), source.hardware.energy_from)


def _operator(line: str, source: Source, estimate: bool) -> tuple[OperatorAnswer, _About]:
    from automc.workspace.tables import operator_answer

    source = with_estimates(source) if estimate else source
    return operator_answer(source.hardware, line), _About.of(source)


def _network(
    model: str,
    policy: Path | None,
    breakdown: bool,
    table: Path | None,
    device: str | None,
    threads: int | None,
    batch: int | None,
    force: bool,
    estimate: bool,
) -> tuple[NetworkAnswer, _About]:
    from automc.cli.inspect import load_subject
    from automc.costs import forecast
    from automc.recipes import check_original, load_recipe
    from automc.search_spaces import Policy
    from automc.workspace.tables import network_answer

    recipe = None if policy is None else load_recipe(policy)
    read, _ = load_subject(model, target=device, threads=threads, batch=batch)
    source = open_source(table, read.target, force)
    source = with_estimates(source) if estimate else source
    if recipe is not None and policy is not None:
        check_original(recipe, policy, read.digest)
    found = forecast(read.graph, source.hardware, None if recipe is None else Policy.from_dict(recipe.policy))
    return network_answer(found, breakdown), _About.of(source)


def _there(
    server: str, table: str, line: str | None, model: str | None, policy: Path | None, breakdown: bool, estimate: bool
) -> tuple[OperatorAnswer | NetworkAnswer, _About]:
    """Asks a server about one of its tables, and a network that is registered there."""
    from automc.errors import TableError
    from automc.recipes import load_recipe
    from automc.workspace.answers import NetworkRequest

    chosen = None if policy is None else load_recipe(policy).policy
    with open_tables(server) as there:
        about = there.show(table)
        lines = [say_device(about.device)]
        lines += [f"imported from {about.imported}; not measured by AutoMC"] if about.imported else []
        data: dict[str, object] = {"device": about.device.model_dump(mode="json"), "table": table, "forced": None}
        said = _About(lines, data | {"imported": about.imported})
        if line is None:
            request = NetworkRequest(task=str(model), policy=chosen, estimate=estimate, breakdown=breakdown)
            return there.network(table, request), said
        (answer,) = there.query(table, [line], estimate)
    if answer.error is not None:
        raise TableError(answer.error)
    return answer, said


def _tell_operator(answer: OperatorAnswer, about: _About, as_json: bool) -> None:
    if as_json:
        left_out = {"error"} | ({"energy_uj"} if answer.energy_uj is None else set())
        print_json(answer.model_dump(exclude=left_out) | about.data)
        return
    joules = "" if answer.energy_uj is None else f", {answer.energy_uj:.4g} µJ"
    typer.echo(f"{answer.operator}: {answer.us} us ({answer.low} to {answer.high}), {answer.how}{joules}")
    for said in about.lines:
        typer.echo(f"  {said}")


def _data(found: NetworkAnswer, breakdown: bool) -> dict[str, Any]:
    from dataclasses import asdict

    latency = {
        "us": found.cost.latency,
        "low": found.low,
        "high": found.high,
        "interval": found.interval,
        "run_us": found.run_us,
        "shares": found.shares,
        "operators": found.counts,
    }
    costs = {name: value for name, value in asdict(found.cost).items() if name != "latency" and value is not None}
    lines = [dict(zip(("name", "signature", "us", "low", "high", "how"), line, strict=True)) for line in _lines(found)]
    return {"latency": latency} | costs | ({"breakdown": lines} if breakdown else {})


def _lines(found: NetworkAnswer) -> list[tuple[str, str, float, float, float, str]]:
    """Returns the operators of a network: where, what, microseconds with their interval, and how they are known."""
    lines = []
    for one in found.breakdown:
        where, _, signature = one.operator.rpartition(": ")
        lines.append((where, signature, one.us or 0.0, one.low or 0.0, one.high or 0.0, str(one.how)))
    return lines


def _print(subject: str, about: _About, found: NetworkAnswer, breakdown: bool) -> None:
    from automc.costs.units import format_cost

    def latency(us: float) -> str:
        return format_cost("latency", us)

    device, *others = about.lines
    typer.echo(f"{subject}\n  on {device}")
    for said in others:
        typer.echo(f"  {said}")
    typer.echo(f"latency     {latency(found.cost.get('latency'))} ({latency(found.low)} to {latency(found.high)})")
    typer.echo(f"            {found.interval}")
    origin = ", ".join(
        f"{100 * share:.1f}% {how} ({found.counts[how]} operators)" for how, share in found.shares.items()
    )
    typer.echo(f"            {origin or 'no operators'}; {found.run_us:g} µs of it are no operator's")
    data = _data(found, False)
    for metric in (name for name in data if name != "latency"):
        by = f" ({about.energy_from})" if metric == "energy" and about.energy_from else ""
        typer.echo(f"{_LABELS.get(metric, metric):<11} {format_cost(metric, data[metric])}{by}")
    if breakdown:
        print_table(
            f"{len(found.breakdown)} operators",
            ["where", "operator", "µs", "nine of ten", "how"],
            [
                (where, signature, f"{us:.2f}", f"{low:.2f} to {high:.2f}", how)
                for where, signature, us, low, high, how in sorted(_lines(found), key=lambda line: -line[2])
            ],
        )
