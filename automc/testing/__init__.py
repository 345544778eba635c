"""Conformance suites: subclass one in your own tests and pytest runs it on your agent, environment, task or device."""

from automc.testing.agents import AgentSuite
from automc.testing.benches import BenchSuite
from automc.testing.environments import EnvSuite
from automc.testing.hardware import HardwareSuite
from automc.testing.problems import PlantedProblem, toy_problem, toy_score, toy_sensitivities
from automc.testing.tasks import TaskSuite
from automc.testing.workers import WorkersSuite
from automc.testing.workspaces import WorkspaceConformance

__all__ = [
    "AgentSuite",
    "BenchSuite",
    "EnvSuite",
    "HardwareSuite",
    "PlantedProblem",
    "TaskSuite",
    "WorkersSuite",
    "WorkspaceConformance",
    "toy_problem",
    "toy_score",
    "toy_sensitivities",
]
