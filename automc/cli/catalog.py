"""Lists of what ships: ``automc tasks``, ``automc agents`` and ``automc rewards``."""

from __future__ import annotations

from automc.cli.output import JsonFlag, print_json, print_table


def tasks(as_json: JsonFlag = False) -> None:
    """List the tasks that ship; a task of your own is path.py:Class."""
    from automc.tasks.registry import BUILTIN

    _print("tasks", {name: text for name, (_, text) in BUILTIN.items()}, as_json)


def agents(as_json: JsonFlag = False) -> None:
    """List the agents that search; the controls run beside every search."""
    from automc.agents.registry import AGENTS

    _print("agents", {name: text for name, (_, text) in AGENTS.items()}, as_json)


def rewards(as_json: JsonFlag = False) -> None:
    """List the rewards that agents learn from, each with its source."""
    from automc.envs import REWARDS

    _print("rewards", {name: f"{formula.text}; {formula.source}" for name, formula in REWARDS.items()}, as_json)


def _print(what: str, items: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(items)
    else:
        print_table(what, ["name", "what it is"], items.items())
