"""Lists of what ships: ``automc tasks``, ``automc agents`` and ``automc rewards``."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Annotated

import typer

from automc.cli.output import JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from pydantic import BaseModel

_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def tasks(as_json: JsonFlag = False) -> None:
    """List the tasks that ship; a task of your own is path.py:Class."""
    from automc.tasks.registry import BUILTIN

    _print("tasks", {name: text for name, (_, text) in BUILTIN.items()}, as_json)


def agents(
    name: Annotated[str | None, typer.Argument(help="List the settings of this one.", show_default=False)] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the agents that search, the controls of every search among them, or the settings of one."""
    from automc.agents import AGENTS, agent_class

    if name is None:
        _print("agents", {name: text for name, (_, text) in AGENTS.items()}, as_json)
        return
    settings = agent_class(name).Settings
    defaults, texts = settings().model_dump(mode="json"), _attributes(settings)
    if as_json:
        print_json(defaults)
    elif defaults:
        rows = ((key, value, texts.get(key, "")) for key, value in defaults.items())
        print_table(f"settings of {name}, in agent_args", ["name", "default", "what it is"], rows)
    else:
        typer.echo(f"{name} has no settings")


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """Returns what the docstrings of a model and of those that it extends say of its fields."""
    told: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        text = (inspect.cleandoc(cls.__doc__ or "") + "\n").partition("\nAttributes:\n")[2]
        told |= {key: " ".join(words.split()) for key, words in _ATTRIBUTE.findall(text) if key in model.model_fields}
    return {key: words.replace("``", "") for key, words in told.items()}


def rewards(as_json: JsonFlag = False) -> None:
    """List the rewards that agents learn from, each with its source."""
    from automc.envs import REWARDS

    _print("rewards", {name: f"{formula.text}; {formula.source}" for name, formula in REWARDS.items()}, as_json)


def _print(what: str, items: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(items)
    else:
        print_table(what, ["name", "what it is"], items.items())
