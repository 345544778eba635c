"""Environments side by side, scored together, in Stable-Baselines3's own training."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from automc.agents import Problem
from automc.envs import ENVS, CompressEnv, PolicyEnv, Reward
from automc.envs.vector import PolicyVecEnv
from automc.errors import ConfigError
from automc.search_spaces import Policy, SpaceConfig, build_space
from automc.testing import toy_problem, toy_score

Score = Callable[[Sequence[Policy]], Iterable[float]]
COUNT = 3


class Batches:
    """Scores as the toy problem does and notes what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[Policy]] = []

    def __call__(self, policies: Sequence[Policy]) -> list[float]:
        self.batches.append(list(policies))
        return [toy_score(policy) for policy in policies]


def flat() -> Problem:
    """A problem without blocks to drop, so that episodes are equally long."""
    problem = toy_problem()
    graph = problem.projection.model.graph
    space = build_space(graph, SpaceConfig(channel_multiple=4, depth=False), 4)
    model = type(problem.projection.model)(graph, space)
    return Problem(space, type(problem.projection)(model, problem.projection.budgets))


FLAT, BLOCKS = flat(), toy_problem("macs<=40%")


def vector(problem: Problem, score: Score, count: int = COUNT, kind: type[PolicyEnv] = CompressEnv) -> PolicyVecEnv:
    return PolicyVecEnv([kind(problem.projection) for _ in range(count)], score)


def ppo(env: PolicyVecEnv | VecMonitor, seed: int = 0) -> PPO:
    return PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=2, seed=seed, device="cpu")


def test_policies_that_are_finished_together_are_scored_together() -> None:
    score = Batches()
    env = vector(FLAT, score)
    ppo(env).learn(200)
    assert score.batches
    assert {len(batch) for batch in score.batches} == {COUNT}
    projection = FLAT.projection
    indices = [projection.model.space.encode(policy) for batch in score.batches for policy in batch]
    assert projection.fits(np.stack(indices)).all()


@pytest.mark.parametrize("kind", ENVS.values())
def test_episodes_end_as_those_of_single_environments(kind: type[PolicyEnv]) -> None:
    score = Batches()
    env, singles = vector(BLOCKS, score, kind=kind), [kind(BLOCKS.projection) for _ in range(COUNT)]
    generator = np.random.default_rng(0)
    seen = np.asarray(env.reset())
    for single, observation in zip(singles, seen, strict=True):
        np.testing.assert_array_equal(single.reset()[0], observation)
    lengths, length = set(), np.zeros(COUNT, int)
    for _ in range(150):
        actions = generator.random((COUNT, 1), dtype=np.float32)
        before = len(score.batches)
        after, rewards, dones, infos = env.step(actions)
        seen = np.asarray(after)
        length += 1
        ended = []
        for number, single in enumerate(singles):
            observation, _, done, _, info = single.step(actions[number])
            assert dones[number] == done
            assert not infos[number]["TimeLimit.truncated"]
            if done:
                ended.append(info["policy"])
                lengths.add(length[number])
                length[number] = 0
                np.testing.assert_array_equal(infos[number]["terminal_observation"], observation)
                assert infos[number]["policy"] == info["policy"]
                assert infos[number]["score"] == toy_score(info["policy"])
                assert rewards[number] == np.float32(toy_score(info["policy"]))
                observation, _ = single.reset()
            else:
                assert rewards[number] == 0
            np.testing.assert_array_equal(seen[number], observation)
        assert score.batches[before:] == ([ended] if ended else [])
    assert kind is not CompressEnv or len(lengths) > 1  # blocks were dropped


def test_a_reward_is_made_of_each_score() -> None:
    reward = Reward("-error", FLAT.projection)
    env = PolicyVecEnv([CompressEnv(FLAT.projection) for _ in range(2)], lambda policies: [0.25, 0.75], reward)
    assert finish(env).tolist() == [-0.75, -0.25]


def finish(env: PolicyVecEnv) -> np.ndarray:
    """Takes every environment to its first episode's end; returns the rewards."""
    env.reset()
    while True:
        _, rewards, dones, _ = env.step(np.full((env.num_envs, 1), 0.5, np.float32))
        if dones.any():
            return rewards


def test_the_same_seed_trains_the_same() -> None:
    def train(seed: int) -> tuple[list[list[Policy]], torch.Tensor]:
        score = Batches()
        model = ppo(vector(BLOCKS, score), seed)
        model.learn(200)
        return score.batches, torch.cat([value.flatten() for value in model.policy.state_dict().values()])

    (batches, weights), (same, equal), (other, _) = train(0), train(0), train(1)
    assert batches == same != other
    assert torch.equal(weights, equal)


def test_scores_may_be_made_in_parallel_and_rewards_are_monitored() -> None:
    with ThreadPoolExecutor(COUNT) as pool:
        model = ppo(VecMonitor(vector(FLAT, lambda policies: pool.map(toy_score, policies))))
        model.learn(100)
    assert model.ep_info_buffer
    assert all(0 <= episode["r"] < 1 for episode in model.ep_info_buffer)


def test_it_answers_for_its_environments() -> None:
    made = [gymnasium.make("automc/Compress-v0", projection=BLOCKS.projection) for _ in range(2)]
    env = PolicyVecEnv(made, Batches())
    assert [space is BLOCKS.space for space in env.get_attr("space")] == [True, True]
    policy = BLOCKS.sample(np.random.default_rng(0))
    episodes = env.env_method("replay", policy, indices=[1])
    np.testing.assert_array_equal(episodes[0].actions, CompressEnv(BLOCKS.projection).replay(policy).actions)
    assert env.env_is_wrapped(gymnasium.wrappers.OrderEnforcing) == [True, True]
    assert env.seed(3) == [3, 4]
    env.close()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.5] * (COUNT - 1), "3 policies were to be scored, and there are 2 scores"),
        ([0.5] * (COUNT + 1), "3 policies were to be scored, and there are 4 scores"),
        ([0.5, float("nan"), 0.5], "a score must be a number, not nan"),
        ([0.5, None, 0.5], "a score must be a number, not None"),
    ],
)
def test_scores_that_make_no_sense_are_refused(scores: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        finish(vector(FLAT, lambda policies: scores))


def test_what_a_scorer_raises_is_passed_on_and_training_can_begin_anew() -> None:
    class Broken(Exception):
        pass

    error, score = Broken("no machine answers"), Batches()

    def fail(policies: Sequence[Policy]) -> list[float]:
        if not score.batches:
            score.batches.append([])
            raise error
        return score(policies)

    env = vector(FLAT, fail)
    model = ppo(env)
    with pytest.raises(Broken) as caught:
        model.learn(200)
    assert caught.value is error
    model.learn(200)
    assert len(score.batches) > 1


def test_a_reward_that_is_no_number_is_refused() -> None:
    env = PolicyVecEnv([CompressEnv(FLAT.projection)], lambda policies: [1.0], lambda policy, score: float("inf"))
    with pytest.raises(ValueError, match="a reward must be a number, not inf"):
        finish(env)


def test_environments_that_do_not_go_together_are_refused() -> None:
    one = CompressEnv(FLAT.projection)
    for envs, message in (
        ([], "at least one"),
        ([one, one], "each must be made anew"),
        ([one, CompressEnv(BLOCKS.projection)], "of one kind, with one search space"),
        ([CompressEnv(FLAT.projection, toy_score)], "no reward of their own"),
        ([gymnasium.make("CartPole-v1")], "CartPoleEnv makes no policies"),
    ):
        with pytest.raises(ConfigError, match=message):
            PolicyVecEnv(envs, Batches())


def test_environments_alone_do_not_load_stable_baselines3() -> None:
    code = "import sys, automc.envs; print('stable_baselines3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
