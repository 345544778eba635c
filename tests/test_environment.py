"""Every environment that ships keeps the contract, and is registered with Gymnasium."""

from collections.abc import Callable

import gymnasium
import numpy as np

from automc.costs import Projection
from automc.envs import ENVS, CompressEnv, PolicyEnv
from automc.search_spaces import Policy
from automc.testing import EnvSuite, toy_problem


class Registered(EnvSuite):
    """The suite, on what Gymnasium makes of a name."""

    name: str

    def make(self, projection: Projection, reward: Callable[[Policy], float]) -> PolicyEnv:
        made = gymnasium.make(self.name, projection=projection, reward=reward).unwrapped
        assert isinstance(made, PolicyEnv)
        return made


class TestPruneChannels(Registered):
    name = "automc/PruneChannels-v0"


class TestAssignBits(Registered):
    name = "automc/AssignBits-v0"


class TestCompress(Registered):
    name = "automc/Compress-v0"


def test_every_environment_has_its_suite() -> None:
    assert {suite.name for suite in Registered.__subclasses__()} == set(ENVS), "a new environment needs a class above"


def test_actions_pick_options_evenly() -> None:
    problem = toy_problem("macs<=100%")
    env = CompressEnv(problem.projection)
    for action, expected in ((1.0, problem.space.full), (0.0, np.zeros_like(problem.space.full))):
        env.reset()
        done, info = False, dict[str, object]()
        while not done:
            *_, done, _, info = env.step(np.array([action], dtype=np.float32))
        assert info["policy"] == problem.space.decode(expected)
