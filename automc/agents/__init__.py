"""Every way to search, behind one contract."""

from automc.agents._base import Agent, Lesson, Problem
from automc.agents.registry import AGENTS, CONTROLS, agent_class, check_metrics, make_agent

__all__ = ["AGENTS", "CONTROLS", "Agent", "Lesson", "Problem", "agent_class", "check_metrics", "make_agent"]
