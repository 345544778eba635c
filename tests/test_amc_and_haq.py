"""The environments of AMC and HAQ: what they show, what they allow, and how they come back to a budget."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from automc.costs import Budget, CostModel, Projection
from automc.envs import AssignBitsEnv, PolicyEnv, PruneChannelsEnv
from automc.errors import ConfigError
from automc.graph import ModelGraph, build_graph
from automc.latency_tables.simulated import make_accelerator
from automc.search_spaces import Policy, SpaceConfig, build_space
from automc.testing import toy_problem
from tests.foreign import foreign

WIDTHS = SpaceConfig(channel_multiple=1, depth=False)
BITS = SpaceConfig(width=False, depth=False, bits=(2, 3, 4, 5, 6, 7, 8))


def by_hand() -> ModelGraph:
    """Two convolutions and a linear layer: 6912, 4608 and 40 MACs."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    return build_graph(model.eval(), torch.randn(1, 3, 8, 8))


def projected(graph: ModelGraph, config: SpaceConfig, *budgets: str) -> Projection:
    """Policies of a network on HAQ's cloud device."""
    device = make_accelerator("bismo-cloud")
    space = build_space(graph, config, 1, device.device.precisions)
    return Projection(CostModel(graph, space, device), [Budget.parse(text) for text in budgets])


def take(env: PolicyEnv, action: float) -> tuple[np.ndarray, dict[str, object]]:
    observation, _, _, _, info = env.step(np.array([action], dtype=np.float32))
    return observation, info


def finish(env: PolicyEnv, actions: list[float]) -> Policy:
    """Takes actions from the start; returns the policy that they make."""
    env.reset()
    for action in actions:
        _, info = take(env, action)
    policy = info["policy"]
    assert isinstance(policy, Policy)
    return policy


def test_amc_sees_what_a_hand_computes() -> None:
    env = PruneChannelsEnv(projected(by_hand(), WIDTHS, "macs<=100%"))
    first, _ = env.reset()
    # layer, n, c, h, w, stride, k, cost, reduced, rest, last
    np.testing.assert_allclose(first, [0, 0, 0, 0, 0, 0, 0, 1, 0, 4648 / 11560, 1], rtol=1e-6)
    second, _ = take(env, 0.5)  # half of the first convolution's channels halve both
    np.testing.assert_allclose(second, [1, 1, 1, 0, 0, 1, 0, 0, 5760 / 11560, 40 / 11560, 0.5], rtol=1e-6)
    last, info = take(env, 0.3)  # of 8 channels, 2 are nearest
    np.testing.assert_allclose(last[-3:], [1 - (3456 + 2304 / 4 + 10) / 11560, 0, 0.25], rtol=1e-6)
    assert info["policy"] == env.space.decode([1, 1])
    np.testing.assert_array_equal(env.reset()[0], first)
    np.testing.assert_array_equal(take(env, 0.5)[0], second)


def test_haq_sees_what_a_hand_computes() -> None:
    env = AssignBitsEnv(projected(by_hand(), BITS, "size<=100%"))
    first, _ = env.reset()
    # depthwise, c, n, stride, kernel, weights, map, layer, last, kind; weights are 108, 288 and 40
    np.testing.assert_allclose(first, [0, 0, 0, 0.5, 1, 68 / 248, 1, 0, 1, 1], rtol=1e-6)
    activations, _ = take(env, 0.0)
    np.testing.assert_allclose(activations, [0, 0, 0, 0.5, 1, 68 / 248, 1, 0, 0.5 / 7, 0], rtol=1e-6)
    seen = [take(env, 1.0)[0] for _ in range(3)]
    np.testing.assert_allclose(seen[0], [0, 1 / 5, 1, 1, 1, 1, 1, 0.5, 6.5 / 7, 1], rtol=1e-6)
    np.testing.assert_allclose(seen[2], [0, 1, 1 / 4, 0, 0, 0, 0, 1, 6.5 / 7, 1], rtol=1e-6)


def test_an_action_is_rounded_to_bits_as_in_haq() -> None:
    env = AssignBitsEnv(projected(by_hand(), BITS, "size<=100%"))
    for action in np.random.default_rng(0).random(50).tolist():
        bits = round(1.5 + 7 * action)
        assert {choice.precision for choice in finish(env, [action] * 6).values()} == {
            "int8" if bits == 8 else f"{bits}/{bits} bits"
        }


@pytest.mark.parametrize("budgets", [["macs<=40%"], ["macs<=60%", "params<=45%"], ["size<=50%", "memory<=80%"]])
def test_what_a_layer_may_keep_is_what_the_later_ones_can_make_up_for(budgets: list[str]) -> None:
    projection = toy_problem(*budgets).projection
    env = PruneChannelsEnv(projection)
    smallest = np.where(env.space.is_width, 0, env.space.full)
    finish(env, [1.0] * len(env.decisions))  # leaves nothing behind
    generator = np.random.default_rng(0)
    decided: list[float] = []
    for decision in env.decisions:
        candidates = np.repeat(smallest[None], len(decision.values), axis=0)
        candidates[:, decision.axis] = np.arange(len(decision.values))
        expected = projection.fits(candidates)
        taken = []
        for position in decision.positions:
            env.reset()
            for action in decided:
                take(env, action)
            taken.append(take(env, position)[1]["action"] == position)
        assert taken == expected.tolist()
        option = int(generator.choice(np.flatnonzero(expected)))
        decided.append(decision.positions[option])
        smallest[decision.axis] = option


@pytest.mark.parametrize("budgets", [["macs<=50%"], ["macs<=70%", "size<=60%"]])
def test_keeping_all_that_is_allowed_uses_up_the_budget(budgets: list[str]) -> None:
    projection = toy_problem(*budgets).projection
    policy = finish(env := PruneChannelsEnv(projection), [1.0] * 9)
    index = env.space.encode(policy)
    wider = np.repeat(index[None], len(env.decisions), axis=0)
    for row, decision in enumerate(env.decisions):
        wider[row, decision.axis] = min(index[decision.axis] + 1, len(decision.values) - 1)
    assert projection.fits(index[None])[0]
    assert not projection.fits(wider[(wider != index).any(axis=1)]).any()


def lowered(bits: list[list[int]], fits: Callable[[list[list[int]]], bool]) -> list[list[int]]:
    """HAQ's rollback, with nothing clever about it."""
    while not fits(bits):
        for layer in reversed(bits):
            for column in (1, 0):
                layer[column] = max(layer[column] - 1, 2)
                if fits(bits):
                    return bits
    return bits


@pytest.mark.parametrize("budgets", [["size<=60%"], ["latency<=35%"], ["latency<=60%", "size<=65%", "energy<=50%"]])
def test_a_policy_over_the_budget_is_rolled_back_as_by_haq(budgets: list[str]) -> None:
    projection = projected(by_hand(), BITS, *budgets)
    env = AssignBitsEnv(projection)
    names = [decision.unit for decision in env.decisions[::2]]

    def policy_of(bits: list[list[int]]) -> Policy:
        layers = dict(zip(names, bits, strict=True))
        return Policy.from_dict({name: {"weight_bits": w, "activation_bits": a} for name, (w, a) in layers.items()})

    def fits(bits: list[list[int]]) -> bool:
        return bool(projection.fits(env.space.encode(policy_of(bits))[None])[0])

    generator = np.random.default_rng(0)
    for _ in range(5):
        bits = generator.integers(2, 9, size=(3, 2))
        bits = np.maximum(bits, 8 - generator.integers(3))  # most are over the budget
        actions = ((bits.ravel() - 1.5) / 7).tolist()
        assert finish(env, actions) == policy_of(lowered(bits.tolist(), fits))
    assert not fits(bits.tolist())


@pytest.mark.parametrize("budget", ["latency<=30%", "energy<=50%"])
def test_widths_keep_what_hardware_says(budget: str) -> None:
    layers = [nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 96, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    graph = build_graph(nn.Sequential(*layers, nn.Linear(96, 5)).eval(), torch.randn(1, 3, 8, 8))
    projection = projected(graph, WIDTHS.model_copy(update={"bits": BITS.bits}), budget)
    env = PruneChannelsEnv(projection)
    policy = finish(env, [1.0, 1.0])
    index = env.space.encode(policy)
    assert projection.fits(index[None])[0]
    assert (index == env.space.full)[~env.space.is_width].all()


def test_where_widths_do_not_reach_the_budget_bits_are_lowered() -> None:
    config = SpaceConfig(channel_multiple=1, min_keep=0.7, bits=BITS.bits)
    projection = projected(by_hand(), config, "size<=60%")
    env = PruneChannelsEnv(projection)
    smallest = np.where(env.space.is_width, 0, env.space.full)
    assert not projection.fits(smallest[None])[0]
    index = env.space.encode(finish(env, [1.0] * len(env.decisions)))
    assert projection.fits(index[None])[0]
    assert (index != env.space.full)[~env.space.is_width].any()


def test_any_policy_whose_other_axes_are_full_comes_back_from_its_replay() -> None:
    problem = toy_problem("macs<=50%")
    generator = np.random.default_rng(0)
    for env, which in (
        (PruneChannelsEnv(problem.projection), problem.space.is_width),
        (AssignBitsEnv(toy_problem("macs<=100%").projection), problem.space.is_bits),
    ):
        for index in np.where(which, problem.space.sample(generator, 200), problem.space.full):
            if env.projection.fits(index[None])[0]:
                policy = problem.space.decode(index)
                assert finish(env, env.replay(policy).actions[:, 0].tolist()) == policy


def test_one_layer_with_one_choice_that_fits() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    graph = build_graph(model, torch.randn(2, 3, 6, 6))
    prune = PruneChannelsEnv(projected(graph, WIDTHS, "macs<=434"))  # 16 pixels x 27 weights, and 2
    assert finish(prune, [1.0]) == prune.space.decode([0])
    linear = build_graph(nn.Sequential(nn.Flatten(), nn.Linear(27, 2)).eval(), torch.randn(2, 3, 3, 3))
    assign = AssignBitsEnv(projected(linear, BITS, "latency<=100%"))
    fewest = assign.projection.model.cost(assign.space.decode([0])).size
    assign = AssignBitsEnv(projected(linear, BITS, f"size<={fewest}B"))
    assert [choice.weight_bits for choice in finish(assign, [1.0, 1.0]).values()] == [2]


def test_a_space_without_what_is_decided_about_is_refused() -> None:
    graph = by_hand()
    with pytest.raises(ConfigError, match="the space has no widths"):
        PruneChannelsEnv(projected(graph, BITS))
    with pytest.raises(ConfigError, match="the space has no bits"):
        AssignBitsEnv(projected(graph, WIDTHS))


@pytest.mark.parametrize("name", ["ConvNeXt", "BERT"])
def test_grouped_convolutions_and_transformers_have_numbers(name: str) -> None:
    network = foreign(name, batch=2)
    config = SpaceConfig(channel_multiple=2, bits=(4, 8))
    projection = projected(build_graph(network.model, network.inputs), config, "latency<=50%")
    for env in (PruneChannelsEnv(projection), AssignBitsEnv(projection)):
        episode = env.replay(env.space.decode(env.space.full))
        assert len({decision.name for decision in episode.decisions}) == len(env.decisions)
        assert all(env.observation_space.contains(row) for row in episode.observations)
        assert np.ptp(episode.observations[:, env.features.index("n")]) == 1  # layers differ
        numbers = episode.observations[:, env.features.index("layer")]
        assert (np.diff(numbers) >= 0).all()
        assert projection.fits(env.space.encode(finish(env, [0.9] * len(env.decisions)))[None])[0]
    assert any(env.replay(env.space.decode(env.space.full)).observations[:, 0]) == (name == "ConvNeXt")
