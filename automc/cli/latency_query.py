"""``automc latency query``: what one operator or a whole network will take."""

from __future__ import annotations

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
    with_estimates,
)

if TYPE_CHECKING:
    from automc.costs import Forecast

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
    as_json: JsonFlag = False,
) -> None:
    """Ask for one operator or a whole network: latency, how far to trust it, and where it comes from."""
    from automc.errors import ConfigError

    if (signature is None) == (model is None):
        raise ConfigError("ask either for an operator, in quotes, or for a network: --model TASK")
    if signature is not None:
        if policy is not None or breakdown:
            raise ConfigError("--policy and --breakdown are about a network: say which, --model TASK")
        source = read_source(table, device, threads, batch, force)
        _operator(signature, with_estimates(source) if estimate else source, as_json)
    elif model is not None:
        _network(model, policy, breakdown, table, device, threads, batch, force, estimate, as_json)


def _operator(line: str, source: Source, as_json: bool) -> None:
    from automc.latency_tables import Signature

    wanted = Signature.parse(line)
    found, energy = source.hardware.lookup(wanted), source.hardware.energy(wanted)
    if as_json:
        answer = {"operator": str(wanted), "us": found.us, "low": found.low, "high": found.high, "how": found.how}
        answer |= {} if energy is None else {"energy_uj": energy}
        print_json(answer | source.data())
        return
    joules = "" if energy is None else f", {energy:.4g} µJ"
    typer.echo(f"{wanted}: {found.us} us ({found.low} to {found.high}), {found.how}{joules}")
    for said in (say_device(source.hardware.device), *source.lines()):
        typer.echo(f"  {said}")


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
    as_json: bool,
) -> None:
    from automc.cli.inspect import load_subject
    from automc.costs import forecast
    from automc.recipes import check_original, load_recipe
    from automc.search_spaces import Policy

    recipe = None if policy is None else load_recipe(policy)
    read, _ = load_subject(model, target=device, threads=threads, batch=batch)
    source = open_source(table, read.target, force)
    source = with_estimates(source) if estimate else source
    if recipe is None or policy is None:
        found = forecast(read.graph, source.hardware)
    else:
        check_original(recipe, policy, read.digest)
        found = forecast(read.graph, source.hardware, Policy.from_dict(recipe.policy))
    if as_json:
        about = {"model": model, "policy": None if policy is None else str(policy)}
        print_json(about | source.data() | _data(found, breakdown))
    else:
        _print(f"{model}{'' if policy is None else f' by {policy}'}", source, found, breakdown)


def _data(found: Forecast, breakdown: bool) -> dict[str, Any]:
    from dataclasses import asdict

    latency = {
        "us": found.us,
        "low": found.low,
        "high": found.high,
        "interval": found.interval,
        "run_us": found.run_us,
        "shares": found.shares,
        "operators": found.counts,
    }
    costs = {name: value for name, value in asdict(found.cost).items() if name != "latency" and value is not None}
    lines = [asdict(each) | {"signature": str(each.signature)} for each in found.operators]
    return {"latency": latency} | costs | ({"breakdown": lines} if breakdown else {})


def _print(subject: str, source: Source, found: Forecast, breakdown: bool) -> None:
    from automc.costs.units import format_cost

    def latency(us: float) -> str:
        return format_cost("latency", us)

    typer.echo(f"{subject}\n  on {say_device(source.hardware.device)}")
    for said in source.lines():
        typer.echo(f"  {said}")
    typer.echo(f"latency     {latency(found.us)} ({latency(found.low)} to {latency(found.high)})")
    typer.echo(f"            {found.interval}")
    origin = ", ".join(
        f"{100 * share:.1f}% {how} ({found.counts[how]} operators)" for how, share in found.shares.items()
    )
    typer.echo(f"            {origin or 'no operators'}; {found.run_us:g} µs of it are no operator's")
    data = _data(found, False)
    for metric in (name for name in data if name != "latency"):
        by = f" ({source.hardware.energy_from})" if metric == "energy" else ""
        typer.echo(f"{_LABELS.get(metric, metric):<11} {format_cost(metric, data[metric])}{by}")
    if breakdown:
        print_table(
            f"{len(found.operators)} operators",
            ["where", "operator", "µs", "nine of ten", "how"],
            [
                (o.name, o.signature, f"{o.us:.2f}", f"{o.low:.2f} to {o.high:.2f}", o.how)
                for o in sorted(found.operators, key=lambda o: -o.us)
            ],
        )
