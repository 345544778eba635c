"""What tests of recovery share: how far off a network is, and one that can make up for channels it lost."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automc.models import CifarResNet
from tests.networks import randomize


@torch.no_grad()
def error(model: nn.Module, other: nn.Module, inputs: Tensor) -> float:
    return float((model(inputs) - other(inputs)).square().mean())


@torch.no_grad()
def relative_error(model: nn.Module, other: nn.Module, inputs: Tensor) -> float:
    return error(model, other, inputs) / float(other(inputs).square().mean())


def alike(seed: int) -> nn.Module:
    """A network whose channels say nearly the same: each layer mixes few patterns."""
    model = randomize(CifarResNet(1, widths=(16, 16, 16), option="B"), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                patterns = module.weight[:4]
                mix = torch.randn(len(module.weight), 4, generator=generator) / 2
                module.weight.copy_(torch.einsum("op,pikl->oikl", mix, patterns) + 0.1 * module.weight)
    return model
