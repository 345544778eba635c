"""Agents that learn find better policies than random ones do, because they learn: frozen ones do not."""

from __future__ import annotations

import itertools

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


def beats(found: list[float], others: list[float]) -> bool:
    """Says whether one is ahead with every seed; of equals one in 32 would be."""
    return all(own > other for own, other in zip(found, others, strict=True))


@pytest.fixture(scope="module")
def nine() -> PlantedProblem:
    return PlantedProblem(layers=9, options=8)


@pytest.fixture(scope="module")
def by_random(nine: PlantedProblem) -> list[float]:
    return [best(nine, make_agent("random", nine.problem, seed), EPISODES) for seed in SEEDS]


@pytest.mark.parametrize("name", FROZEN)
def test_an_agent_that_learns_beats_random(nine: PlantedProblem, by_random: list[float], name: str) -> None:
    found = [best(nine, make_agent(name, nine.problem, seed), EPISODES) for seed in SEEDS]
    assert beats(found, by_random), (found, by_random)


@pytest.mark.parametrize("name", FROZEN)
def test_an_agent_that_is_frozen_does_not(nine: PlantedProblem, by_random: list[float], name: str) -> None:
    found = [best(nine, make_agent(name, nine.problem, seed, **FROZEN[name]), EPISODES) for seed in SEEDS]
    assert not beats(found, by_random), (found, by_random)


def test_ddpg_finds_the_best_of_all_policies() -> None:
    planted = PlantedProblem(layers=6, options=8)
    space, projection = planted.problem.space, planted.problem.projection
    everything = np.array(list(itertools.product(*(range(size) for size in space.sizes))))
    kept = np.concatenate([part[projection.fits(part)] for part in np.array_split(everything, 64)])
    optimum = max(planted.scores(kept))
    assert optimum == planted.score(planted.best) == 1
    found = [best(planted, make_agent("ddpg", planted.problem, seed), 300) for seed in SEEDS]
    assert sum(score == optimum for score in found) >= 4, found
