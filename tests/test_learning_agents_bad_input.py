"""Agents that learn, where there is hardly anything to choose, or nothing that they could do."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from gymnasium import spaces

from automc.agents import Problem, make_agent
from automc.costs import Budget, Projection
from automc.envs import ENVS, CompressEnv
from automc.errors import ConfigError
from automc.testing import PlantedProblem, toy_problem, toy_score

LEARNING = ["amc", "ddpg", "haq", "ppo", "sac", "td3"]
WIDTHS = [name for name in LEARNING if name != "haq"]


@pytest.mark.parametrize("name", WIDTHS)
def test_a_space_with_one_decision_is_learned(name: str) -> None:
    planted = PlantedProblem(layers=1, options=4)
    agent = make_agent(name, planted.problem, 0, warmup=3)
    for _ in range(25):
        policy = agent.propose()
        assert policy is not None
        agent.learn(policy, planted.score(policy))
    assert max(lesson.reward for lesson in agent.lessons) == 0, "the best of four policies is found"


@pytest.mark.parametrize("name", WIDTHS)
def test_a_budget_that_one_policy_keeps_leaves_one_proposal(name: str) -> None:
    model = PlantedProblem(layers=2, options=4).problem.projection.model
    least = model.prices(np.zeros((1, len(model.space.axes)), dtype=int))["macs"][0]
    problem = Problem(model.space, Projection(model, [Budget.parse(f"macs<={least:.0f}")]))
    agent = make_agent(name, problem, 0, warmup=2)
    for number in range(12):
        policy = agent.propose()
        assert policy == problem.space.decode(np.zeros(len(model.space.axes), dtype=int))
        agent.learn(policy, 0.5)
        assert len(agent.lessons) == number + 1


@pytest.mark.parametrize("name", LEARNING)
def test_failures_alone_teach_nothing(name: str) -> None:
    agent = make_agent(name, toy_problem(), 0, warmup=2)
    for _ in range(5):
        policy = agent.propose()
        assert policy is not None
        agent.learn(policy, None)
    assert not agent.lessons


def test_an_action_space_that_agents_do_not_handle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pairs(CompressEnv):
        """Asks for two numbers."""

        def __init__(self, projection: Projection) -> None:
            super().__init__(projection)
            self.action_space = spaces.Box(0.0, 1.0, (2,), np.float32)

    monkeypatch.setitem(ENVS, "automc/Pairs-v0", Pairs)
    with pytest.raises(ConfigError, match=r"agent_args.env: automc/Pairs-v0 asks for Box.*automc/Compress-v0"):
        make_agent("ddpg", toy_problem(), 0, env="Pairs")


def test_an_environment_with_nothing_to_decide_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no bits.*space\.bits"):
        make_agent("haq", toy_problem(bits=False), 0)


def test_a_policy_of_another_process_is_the_same_policy() -> None:
    script = "import pickle, sys; from automc.search_spaces import Choice, Policy\n"
    script += "sys.stdout.buffer.write(pickle.dumps(Policy({'conv': Choice(channels=3)})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env={"PYTHONHASHSEED": "7"})
    policy = pickle.loads(done.stdout)
    assert policy in {type(policy)(dict(policy))}
    assert toy_score(policy) == toy_score(type(policy)(dict(policy)))
