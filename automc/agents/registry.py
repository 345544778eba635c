"""The agents that ship, by name."""

from __future__ import annotations

import importlib

from automc.agents._base import Agent, Problem
from automc.errors import ConfigError, nearest

AGENTS = {
    "int8": (
        "automc.agents.uniform:Int8",
        "control: every layer in int8 that can, whatever the budget; one evaluation",
    ),
    "uniform": ("automc.agents.uniform:Uniform", "control: all widths shrunk alike, in float; one evaluation"),
    "uniform+int8": (
        "automc.agents.uniform:UniformInt8",
        "control: int8, then all widths shrunk alike; one evaluation",
    ),
    "uniform-bits": (
        "automc.agents.uniform:UniformBits",
        "control: all layers at the same bits, the most that fit; one evaluation",
    ),
    "random": ("automc.agents.random:Random", "control: independent random policies on the budget"),
    "tpe": ("automc.agents.tpe:TPE", "Optuna's tree-structured Parzen estimator, uniform proposed first"),
}

CONTROLS = ("int8", "uniform", "uniform+int8", "uniform-bits", "random")
"""Run beside every search, whatever was asked for."""


def make_agent(name: str, problem: Problem, seed: int) -> Agent:
    """Returns an agent by its name; raises ConfigError when there is none."""
    if name not in AGENTS:
        raise ConfigError(f"unknown agent '{name}'{nearest(name, AGENTS)}")
    module, attribute = AGENTS[name][0].split(":")
    cls: type[Agent] = getattr(importlib.import_module(module), attribute)
    return cls(problem, seed)
