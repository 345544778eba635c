"""Conformance suites: subclass one in your own tests and pytest runs it on your agent or task."""

from automc.testing.agents import AgentSuite
from automc.testing.problems import toy_problem, toy_score
from automc.testing.tasks import TaskSuite

__all__ = ["AgentSuite", "TaskSuite", "toy_problem", "toy_score"]
