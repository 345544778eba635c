"""Every agent that learns by reinforcement keeps the contract, and its state brings it back."""

from typing import Any, ClassVar

import numpy as np

from automc.agents import Problem
from automc.agents.rl._base import RLAgent
from automc.agents.rl.off_policy import AMC, HAQ, DDPGAgent, SACAgent, TD3Agent
from automc.agents.rl.ppo import PPOAgent
from automc.testing import AgentSuite, toy_score


class LearningAgentSuite(AgentSuite):
    """The suite, with networks that decide early."""

    agent: ClassVar[type[RLAgent]]
    early: ClassVar[dict[str, Any]] = {"warmup": 3, "layers": (16, 16), "batch": 16}

    def make(self, problem: Problem, seed: int) -> RLAgent:
        return self.agent(problem, seed, self.agent.Settings(**self.early))

    def test_its_state_brings_it_back(self, problem: Problem) -> None:
        undisturbed = self.make(problem, 6)
        policies = self.run(undisturbed)
        state = undisturbed.state()
        again = self.make(problem, 6)
        again.restore(state)
        for policy in policies:
            again.skip(policy)
            again.note(policy, toy_score(policy))
        assert again.lessons == undisturbed.lessons
        assert self.run(again) == self.run(undisturbed)
        for name, array in undisturbed.state().items():
            np.testing.assert_array_equal(array, again.state()[name])

    def test_leaves_the_global_generators_alone(self, problem: Problem) -> None:
        np.random.seed(5)
        expected = np.random.random()
        np.random.seed(5)
        self.run(self.make(problem, 0), 5)
        assert np.random.random() == expected

    def test_rewards_are_those_of_its_lessons(self, problem: Problem) -> None:
        agent = self.make(problem, 1)
        policies = self.run(agent)
        assert [lesson.policy for lesson in agent.lessons] == policies
        assert all(np.isfinite([lesson.reward, *lesson.figures.values()]).all() for lesson in agent.lessons)
        rewards = [lesson.reward for lesson in agent.lessons]
        assert np.argsort(rewards).tolist() == np.argsort([toy_score(policy) for policy in policies]).tolist()


class TestAMC(LearningAgentSuite):
    agent = AMC


class TestHAQ(LearningAgentSuite):
    agent = HAQ


class TestDDPG(LearningAgentSuite):
    agent = DDPGAgent

    def test_its_state_brings_back_what_its_memory_still_holds(self, problem: Problem) -> None:
        settings = self.agent.Settings(**self.early | {"memory": 4})
        undisturbed, again = (self.agent(problem, 6, settings) for _ in range(2))
        policies = self.run(undisturbed)
        again.restore(undisturbed.state())
        again.proposed = undisturbed.proposed
        for policy in policies:
            again.note(policy, toy_score(policy))
        buffers = [agent.learner.replay_buffer for agent in (undisturbed, again)]
        assert buffers[0].full
        assert buffers[0].pos == buffers[1].pos
        for name in ("observations", "next_observations", "actions", "rewards", "dones"):
            np.testing.assert_array_equal(getattr(buffers[0], name), getattr(buffers[1], name))
        assert self.run(again, 6) == self.run(undisturbed, 6)
        for name, array in undisturbed.state().items():
            np.testing.assert_array_equal(array, again.state()[name])


class TestTD3(LearningAgentSuite):
    agent = TD3Agent


class TestSAC(LearningAgentSuite):
    agent = SACAgent


class TestPPO(LearningAgentSuite):
    agent = PPOAgent
    early: ClassVar[dict[str, Any]] = {"episodes": 4, "epochs": 3}
