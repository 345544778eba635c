"""Conformance suites: subclass one in your own tests and pytest runs it on your agent, task, bench or hardware."""

from automc.testing.agents import AgentSuite
from automc.testing.benches import BenchSuite
from automc.testing.hardware import HardwareSuite
from automc.testing.problems import PlantedProblem, toy_problem, toy_score
from automc.testing.tasks import TaskSuite

__all__ = ["AgentSuite", "BenchSuite", "HardwareSuite", "PlantedProblem", "TaskSuite", "toy_problem", "toy_score"]
