"""Agents that learn find better policies than random ones do, because they learn: frozen ones do not."""

from __future__ import annotations

import itertools
from statistics import mean

import numpy as np
import pytest

from automc.agents import Agent, make_agent
from automc.testing import PlantedProblem

SEEDS, EPISODES = range(5), 400
FROZEN = {"ddpg": {"updates": 0}, "ppo": {"epochs": 0}}


def best(planted: PlantedProblem, agent: Agent, episodes: int) -> float:
    """Returns the best score of an agent's first episodes."""
    scores = []
    for _ in range(episodes):
        policy = agent.propose()
        assert policy is not None
        scores.append(planted.score(policy))
        agent.learn(policy, scores[-1])
    return max(scores)


@pytest.fixture(scope="module")
def twelve() -> PlantedProblem:
    return PlantedProblem(layers=12, options=8)


@pytest.fixture(scope="module")
def by_random(twelve: PlantedProblem) -> list[float]:
    return [best(twelve, make_agent("random", twelve.problem, seed), EPISODES) for seed in SEEDS]


@pytest.mark.parametrize("name", FROZEN)
def test_an_agent_that_learns_beats_random(twelve: PlantedProblem, by_random: list[float], name: str) -> None:
    found = [best(twelve, make_agent(name, twelve.problem, seed), EPISODES) for seed in SEEDS]
    assert all(own > other for own, other in zip(found, by_random, strict=True)), (found, by_random)


@pytest.mark.parametrize("name", FROZEN)
def test_an_agent_that_is_frozen_does_not(twelve: PlantedProblem, by_random: list[float], name: str) -> None:
    found = [best(twelve, make_agent(name, twelve.problem, seed, **FROZEN[name]), EPISODES) for seed in SEEDS]
    assert mean(found) <= mean(by_random), (found, by_random)


def test_ddpg_finds_the_best_of_all_policies() -> None:
    planted = PlantedProblem(layers=6, options=8)
    space, projection = planted.problem.space, planted.problem.projection
    everything = np.array(list(itertools.product(*(range(size) for size in space.sizes))))
    kept = np.concatenate([part[projection.fits(part)] for part in np.array_split(everything, 64)])
    optimum = max(planted.scores(kept))
    assert optimum == planted.score(planted.best) == 1
    found = [best(planted, make_agent("ddpg", planted.problem, seed), 300) for seed in SEEDS]
    assert sum(score == optimum for score in found) >= 4, found
