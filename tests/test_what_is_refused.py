"""Networks with something odd about them: read all the same, or refused in one line that names the module."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import Tensor, nn

from automc.compression import rebuild
from automc.errors import AutoMCError, TaskError, TraceError
from automc.graph import build_graph
from tests.networks import Mean, randomize, state_of

IMAGES = torch.ones(1, 3, 8, 8)


def plain(*middle: nn.Module) -> nn.Sequential:
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), *middle, nn.Conv2d(8, 4, 1), Mean(), nn.Linear(4, 3)]
    model = randomize(nn.Sequential(*layers), seed=0)
    assert isinstance(model, nn.Sequential)
    return model


def refused(
    model: nn.Module,
    inputs: Tensor = IMAGES,
    limit_s: float = 60,
    error: type[AutoMCError] = TraceError,
) -> str:
    with pytest.raises(error) as caught:
        build_graph(model, inputs, limit_s)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_another_precision_are_refused(dtype: torch.dtype) -> None:
    model = plain()
    model[2].to(dtype)
    kind = str(dtype).removeprefix("torch.")
    assert f"'2.weight' (Conv2d) is in {kind}; return the model in float32" in refused(model, error=TaskError)


def test_weights_on_another_device_are_refused() -> None:
    model = plain()
    model[2].to("meta")
    assert "'2.weight' (Conv2d) is on meta; return the model on the CPU" in refused(model, error=TaskError)
    assert "inputs are on meta" in refused(plain(), IMAGES.to("meta"), error=TaskError)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    model = plain()
    with torch.no_grad():
        model.get_parameter("2.weight")[1, 2] = value
    assert "'2.weight' (Conv2d) has values that are not finite" in refused(model, error=TaskError)


def test_weights_without_a_shape_are_refused() -> None:
    model = nn.Sequential(*plain(), nn.LazyLinear(3))
    assert "'5.weight' (LazyLinear) has no shape yet" in refused(model, error=TaskError)


def test_a_network_without_batch_norm_is_pruned() -> None:
    assert [group.name for group in build_graph(plain(), IMAGES).prunable] == ["2", "0"]


class Tied(nn.Module):
    """Embeds symbols and scores them with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.hidden, self.score = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.score.weight = self.embed.weight

    def forward(self, symbols: Tensor) -> Tensor:
        x = self.embed(symbols)
        return self.score(x + self.hidden(x).relu())


def test_weights_that_layers_share_stay_shared() -> None:
    torch.manual_seed(0)
    model = Tied().eval()
    graph = build_graph(model, torch.arange(6)[None])
    assert [group.name for group in graph.prunable] == ["hidden"]
    smaller = rebuild(model, graph.groups, {"hidden": [0, 3, 4]}, ())
    assert smaller.get_parameter("embed.weight") is smaller.get_submodule("score").weight
    assert smaller.get_parameter("embed.weight").shape == (20, 3)


def test_a_layer_that_runs_twice_is_pruned_with_both() -> None:
    twice = nn.Conv2d(8, 8, 1)
    model = plain(twice, nn.ReLU(), twice)
    graph = build_graph(model, IMAGES)
    assert {"2", "5"} == {group.name for group in graph.prunable}
    smaller = rebuild(model, graph.groups, {"2": [0, 5]}, ())
    assert smaller.get_parameter("2.weight").shape == (2, 2, 1, 1)
    assert smaller.get_submodule("2") is smaller.get_submodule("4")


class Spare(nn.Module):
    """Has a layer that never runs, and a parameter that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.spare, self.unread = plain(), nn.Linear(8, 8), nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def test_what_never_runs_stays() -> None:
    model = Spare()
    graph = build_graph(model, IMAGES)
    assert {group.name for group in graph.prunable} == {"body.0", "body.2"}
    smaller = rebuild(model, graph.groups, {"body.0": [1, 2]}, ())
    assert smaller.get_parameter("spare.weight").shape == (8, 8)
    assert {weight.name for weight in graph.weights} == set(model.state_dict())


class Deeper(nn.Module):
    """Does more to what is wide."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid() if x.shape[1] > 6 else x


def test_a_network_that_branches_on_its_width_is_frozen_there() -> None:
    graph = build_graph(plain(Deeper()), IMAGES)
    assert [group.name for group in graph.prunable] == ["3"]
    reason = next(group.frozen for group in graph.groups if group.name == "0")
    assert reason and ("shapes do not follow" in reason or "not the same as" in reason)


class Endless(nn.Module):
    """Never comes back, in torch operators or in Python."""

    def __init__(self, python: bool, wide: int = 0) -> None:
        super().__init__()
        self.python, self.wide, self.linear = python, wide, nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        while x.shape[1] > self.wide:
            if not self.python:
                x = x + 1
        return x


@pytest.mark.parametrize("python", [False, True])
def test_a_network_that_never_ends_is_stopped_and_says_where(python: bool) -> None:
    model = plain(Endless(python))
    before = state_of(model)
    said = refused(model, limit_s=0.5)
    assert "took longer than 0.5 s and was stopped while running it, in module '2' (Endless)" in said
    assert state_of(model) == before
    time.sleep(0.3)  # nothing rings afterwards
    assert build_graph(plain(), IMAGES).prunable


def test_it_is_stopped_in_a_thread_too() -> None:
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(refused(plain(Endless(False)), limit_s=0.5)))
    thread.start()
    thread.join(60)
    assert "in module '2' (Endless)" in said[0]


class EndlessWhenNarrow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.shape[1] == 4:
            x = x + 0
        return x


def test_a_probe_that_never_ends_freezes_its_group() -> None:
    graph = build_graph(plain(EndlessWhenNarrow()), IMAGES, limit_s=2)
    reasons = {group.name: group.frozen or "" for group in graph.groups}
    assert "the limit of 2 s was used up" in reasons["0"]
    assert "module '2' (EndlessWhenNarrow)" in reasons["0"]
