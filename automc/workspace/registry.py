"""What an operator lets a team use: tasks by name, agents, devices, and how much at once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from automc import files
from automc.agents import AGENTS, CONTROLS
from automc.devices import LOCAL
from automc.errors import ConfigError, Invalid, NotFound, nearest
from automc.tasks.registry import BUILTIN


class RegisteredTask(BaseModel):
    """A task that campaigns may name.

    Attributes:
        task: a built-in task, or ``path.py:Class``, relative to the registry's file.
        args: keyword arguments of the task's class.
        what: what it is, in a line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    args: dict[str, Any] = Field(default_factory=dict)
    what: str = ""


class Registry(BaseModel):
    """The operator's file.

    Attributes:
        tasks: what may be compressed, by name.
        agents: who may search; all by default.
        devices: devices beside this machine and the accelerators on paper, by name: their addresses.
        at_once: campaigns that run at a time; others wait in line.
        workers: workers of one campaign at most.
        ray_address: the cluster that campaigns of more than one worker run on; None for one of this machine's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: dict[str, RegisteredTask] = Field(
        default_factory=lambda: {"digits": RegisteredTask(task="digits", what=BUILTIN["digits"][1])}
    )
    agents: tuple[str, ...] = tuple(name for name in AGENTS if name not in CONTROLS or name == "random")
    devices: dict[str, str] = Field(default_factory=dict)
    at_once: int = Field(default=1, ge=1, le=256)
    workers: int = Field(default=1, ge=1)
    ray_address: str | None = None

    _folder: Path = Path()

    @field_validator("agents")
    @classmethod
    def _are_agents(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in AGENTS:
                raise ValueError(f"unknown agent '{name}'{nearest(name, AGENTS)}")
        return value

    @cached_property
    def folder(self) -> Path:
        """Where relative paths start: the folder of its file."""
        return self._folder.resolve()

    def task(self, name: str) -> RegisteredTask:
        """Returns a task; raises NotFound where none of that name is registered."""
        if name not in self.tasks:
            raise NotFound(f"no task '{name}' is registered here{nearest(name, self.tasks)}")
        return self.tasks[name]

    def check(self, agent: str, target: str, workers: int) -> None:
        """Raises Invalid where a campaign asks for what is not offered here."""
        wrong = []
        if agent not in self.agents:
            wrong.append(("config.agent", f"{agent} is not offered here{nearest(agent, self.agents)}"))
        if "://" in target:
            known = [LOCAL, *self.devices]
            wrong.append(("config.device.target", f"name a device of this server's{nearest(target, known)}"))
        if workers > self.workers:
            wrong.append(("config.compute.workers", f"{workers} are asked for, {self.workers} offered at most"))
        if wrong:
            raise Invalid(wrong)


def load_registry(path: Path) -> Registry:
    """Reads a registry's file; raises ConfigError when it is missing or makes no sense."""
    registry = files.read_yaml(path, Registry, ConfigError)
    registry._folder = path.parent
    return registry
