"""The command line's entry point. Heavy imports are left to the commands, so that help comes at once."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import typer

from automc.cli import campaign, catalog, demo, device, inspect, latency, recipe, search, sensitivity, serve, token
from automc.errors import AutoMCError, ClusterLost

BAD_INPUT, LOST, INTERRUPTED = 2, 75, 130

# Typer brings its own Click and exports few of its exceptions: BadParameter -> UsageError -> ClickException
_ClickException: Any = typer.BadParameter.__mro__[2]

# Threads that spin while they wait make a busy machine slower still: training the demo's network beside two other
# processes on two cores took 59 s with spinning and 5 s without. It must be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    name="automc",
    help="Finds, layer by layer, how far a trained network can shrink within a budget on your device.",
    epilog="Exit codes: 0 done, 1 a bug in AutoMC, 2 bad input (one line says what to do), "
    "3 a recipe's claim was found false, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("search")(search.search)
app.command("inspect")(inspect.inspect)
app.command("sensitivity")(sensitivity.sensitivity)
app.add_typer(campaign.app, name="campaign")
app.add_typer(latency.app, name="latency")
app.add_typer(device.app, name="device")
app.add_typer(recipe.app, name="recipe")
app.command("serve")(serve.serve)
app.add_typer(token.app, name="token")
app.command("tasks")(catalog.tasks)
app.command("agents")(catalog.agents)
app.command("rewards")(catalog.rewards)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        import automc

        typer.echo(automc.__version__)
        raise typer.Exit


def main() -> None:
    """Runs the command line; turns what a user can mend into one line and an exit code."""
    try:
        code = app(standalone_mode=False)
    except ClusterLost as error:
        _fail(str(error), LOST)
    except AutoMCError as error:
        _fail(str(error), BAD_INPUT)
    except _ClickException as error:
        _fail(getattr(error, "format_message", error.__str__)(), BAD_INPUT)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        sys.exit(0)
    if code == INTERRUPTED:  # some versions of Typer return it, others raise
        _fail("interrupted; nothing was written that is not whole", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"automc: {' '.join(message.split())}", err=True)
    sys.exit(code)
