"""The agents that ship, by name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from automc import files
from automc.agents._base import Agent, Problem
from automc.errors import ConfigError, nearest

AGENTS = {
    "auto": (
        "automc.agents.auto:Auto",
        "the default: integer programs over sensitivities that are learned, by Thompson sampling",
    ),
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
    "amc": (
        "automc.agents.rl.off_policy:AMC",
        "AMC (He et al., ECCV 2018): DDPG over channels, layer by layer, within what each layer owes the budget",
    ),
    "cmaes": (
        "automc.agents.samplers.cmaes:CMAES",
        "Optuna's covariance matrix adaptation, uniform proposed first",
    ),
    "ddpg": ("automc.agents.rl.off_policy:DDPGAgent", "deep deterministic policy gradient over everything"),
    "evolution": (
        "automc.agents.evolution:Evolution",
        "evolutionary search (MetaPruning: Liu et al., ICCV 2019), uniform proposed first",
    ),
    "greedy": (
        "automc.agents.greedy:Greedy",
        "what hurts least for what it saves goes first, by sensitivities; one evaluation",
    ),
    "gp": ("automc.agents.samplers.gp:GP", "Optuna's Gaussian process, uniform proposed first"),
    "haq": (
        "automc.agents.rl.off_policy:HAQ",
        "HAQ (Wang et al., CVPR 2019): DDPG over bits of weights and activations, rolled back onto the budget",
    ),
    "ilp": (
        "automc.agents.program.agent:IntegerProgram",
        "integer program: the least sum of sensitivities that keeps the budgets, by the cost model; one evaluation",
    ),
    "netadapt": (
        "automc.agents.netadapt:NetAdapt",
        "NetAdapt (Yang et al., ECCV 2018): a little less of one axis at a time, down to the budget",
    ),
    "nsga2": (
        "automc.agents.samplers.nsga2:NSGA2",
        "Optuna's NSGA-II: score and costs at once, a front instead of one policy",
    ),
    "ppo": ("automc.agents.rl.ppo:PPOAgent", "proximal policy optimization over everything"),
    "sac": ("automc.agents.rl.off_policy:SACAgent", "soft actor-critic over everything"),
    "td3": ("automc.agents.rl.off_policy:TD3Agent", "twin delayed DDPG over everything"),
    "tpe": ("automc.agents.samplers.tpe:TPE", "Optuna's tree-structured Parzen estimator, uniform proposed first"),
}

CONTROLS = ("int8", "uniform", "uniform+int8", "uniform-bits", "random")
"""Run beside every search, whatever was asked for."""


def agent_class(name: str) -> type[Agent]:
    """Returns an agent's class by its name, which imports what it needs; raises ConfigError when there is none."""
    if name not in AGENTS:
        raise ConfigError(f"unknown agent '{name}'{nearest(name, AGENTS)}")
    module, attribute = AGENTS[name][0].split(":")
    cls: type[Agent] = getattr(importlib.import_module(module), attribute)
    return cls


def check_metrics(name: str, metrics: Iterable[str]) -> None:
    """Raises ConfigError where an agent cannot keep budgets of these metrics; it names those that can."""
    cannot = [metric for metric in metrics if metric not in agent_class(name).metrics]
    if cannot:
        others = ", ".join(other for other in sorted(AGENTS) if cannot[0] in agent_class(other).metrics)
        raise ConfigError(f"{name} cannot keep a budget of {cannot[0]}; these can: {others}")


def make_agent(name: str, problem: Problem, seed: int, **settings: Any) -> Agent:
    """Returns an agent by its name, with its default settings but for those given.

    Raises:
        ConfigError: there is no such agent, it has no such settings, or it cannot keep such budgets.
        ValueError: it needs sensitivities, and the problem has none.
    """
    cls = agent_class(name)
    check_metrics(name, problem.projection.limits)
    if cls.needs_sensitivities and problem.sensitivities is None:
        raise ValueError(f"{name} needs Problem.sensitivities")
    return cls(problem, seed, files.parse(settings, cls.Settings, ConfigError, f"settings of {name}"))
