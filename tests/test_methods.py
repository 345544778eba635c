"""What a configuration's methods do to the network that is built."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from automc.compression import Calibration, Compressor, Methods
from automc.errors import TaskError
from automc.graph import build_graph
from automc.models import CifarResNet
from tests.networks import halved, randomize, smooth_images

INPUTS = smooth_images(64, seed=1)


def built(**methods: Any) -> dict[str, torch.Tensor]:
    model = randomize(CifarResNet(1, widths=(8, 8, 8), option="B"), seed=0)
    graph = build_graph(model, INPUTS[:1])
    compressor = Compressor(model, graph, Calibration(INPUTS), Methods(selection="magnitude", **methods))
    return compressor.build(halved(graph)).model.state_dict()


def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    assert {name: tensor.shape for name, tensor in one.items()} == {name: t.shape for name, t in other.items()}
    return {name.rpartition(".")[2] for name, tensor in one.items() if not torch.equal(tensor, other[name])}


def test_each_step_of_recovery_changes_what_it_says() -> None:
    none = built(recovery=())
    assert changed(built(recovery=("batchnorm",)), none) == {"running_mean", "running_var", "num_batches_tracked"}
    plain = built(bias_correction=False, sum_correction=False)
    assert changed(plain, none) == {"weight"}
    assert changed(built(sum_correction=False), none) == {"weight", "running_mean", "bias"}
    assert changed(built(), built(sum_correction=False)) >= {"weight", "running_mean"}
    assert "running_var" in changed(built(recovery=("least_squares", "batchnorm")), built())


def test_another_step_is_refused() -> None:
    with pytest.raises(ValueError, match="recovery"):
        Methods.model_validate({"recovery": ["prayer"]})


def test_a_model_whose_weights_are_not_finite_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3))
    graph = build_graph(model, INPUTS[:1])
    with torch.no_grad():
        next(model.get_submodule("1").parameters()).fill_(torch.inf)
    with pytest.raises(TaskError, match=r"parameter '1\.weight' \(Conv2d\) has values that are not finite"):
        Compressor(model, graph, Calibration(INPUTS), Methods(selection="magnitude", recovery=()))
