"""Lists of what ships: ``automc tasks``, ``automc agents`` and ``automc rewards``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from automc.cli.output import JsonFlag, print_json, print_table
from automc.cli.workspaces import ServerOption, open_catalog


def tasks(server: ServerOption = None, as_json: JsonFlag = False) -> None:
    """List the tasks that ship, where one of your own is path.py:Class; or those that a server offers."""
    if server is None:
        from automc.tasks import BUILTIN

        _print("tasks", {name: text for name, (_, text) in BUILTIN.items()}, as_json)
    else:
        with open_catalog(server) as there:
            _print("tasks", {task.name: task.what for task in there.tasks()}, as_json)


def agents(
    name: Annotated[str | None, typer.Argument(help="List the settings of this one.", show_default=False)] = None,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List the agents that search, the controls of every search among them, or the settings of one."""
    from automc.errors import NotFound, nearest

    if server is None:
        from automc.agents import AGENTS, agent_class
        from automc.docstrings import schema_of

        if name is None:
            _print("agents", {name: text for name, (_, text) in AGENTS.items()}, as_json)
        else:
            settings = agent_class(name).Settings
            _settings(name, schema_of(settings), settings().model_dump(mode="json"), as_json)
        return
    with open_catalog(server) as there:
        found = {agent.name: agent for agent in there.agents()}
    if name is None:
        _print("agents", {name: agent.what for name, agent in found.items()}, as_json)
    elif name not in found:
        raise NotFound(f"unknown agent '{name}'{nearest(name, found)}")
    else:
        schema = found[name].settings
        _settings(name, schema, {key: one.get("default") for key, one in _fields(schema).items()}, as_json)


def _fields(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(schema.get("properties", {}))


def _settings(name: str, schema: dict[str, Any], defaults: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(defaults)
    elif defaults:
        rows = ((key, value, _fields(schema)[key].get("description", "")) for key, value in defaults.items())
        print_table(f"settings of {name}, in agent_args", ["name", "default", "what it is"], rows)
    else:
        typer.echo(f"{name} has no settings")


def rewards(as_json: JsonFlag = False) -> None:
    """List the rewards that agents learn from, each with its source."""
    from automc.envs import REWARDS

    _print("rewards", {name: f"{formula.text}; {formula.source}" for name, formula in REWARDS.items()}, as_json)


def _print(what: str, items: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(items)
    else:
        print_table(what, ["name", "what it is"], items.items())
