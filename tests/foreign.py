"""Networks that nobody here wrote: small ones of the transformers package, built from configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn

_TEN: dict[str, Any] = {"num_labels": 10}  # transformers takes it, and declares it nowhere


class Foreign(NamedTuple):
    """A network in evaluation mode and a batch of inputs for it."""

    model: nn.Module
    inputs: Tensor | dict[str, Tensor]


def _images(batch: int, size: int) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def _resnet(batch: int, layer: str) -> tuple[nn.Module, Any]:
    config = transformers.ResNetConfig(
        **_TEN, embedding_size=16, hidden_sizes=[16, 32, 64], depths=[2, 2, 2], layer_type=layer
    )
    return transformers.ResNetForImageClassification(config), _images(batch, 32)


def _mobilenet(batch: int) -> tuple[nn.Module, Any]:
    config = transformers.MobileNetV2Config(**_TEN, image_size=64, depth_multiplier=0.35)
    return transformers.MobileNetV2ForImageClassification(config), _images(batch, 64)


def _convnext(batch: int) -> tuple[nn.Module, Any]:
    config = transformers.ConvNextConfig(**_TEN, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1])
    return transformers.ConvNextForImageClassification(config), _images(batch, 64)


def _vit(batch: int) -> tuple[nn.Module, Any]:
    config = transformers.ViTConfig(
        **_TEN,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=32,
        patch_size=8,
    )
    return transformers.ViTForImageClassification(config), _images(batch, 32)


def _bert(batch: int) -> tuple[nn.Module, Any]:
    config = transformers.BertConfig(
        **_TEN,
        vocab_size=100,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=32,
    )
    tokens = torch.randint(0, 100, (batch, 16), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(tokens)
    mask[:, 12:] = 0
    return transformers.BertForSequenceClassification(config), {"input_ids": tokens, "attention_mask": mask}


_BUILDERS: dict[str, Callable[[int], tuple[nn.Module, Any]]] = {
    "ResNet": lambda batch: _resnet(batch, "basic"),
    "ResNet, bottlenecks": lambda batch: _resnet(batch, "bottleneck"),
    "MobileNetV2": _mobilenet,
    "ConvNeXt": _convnext,
    "ViT": _vit,
    "BERT": _bert,
}
FOREIGN = tuple(_BUILDERS)


def foreign(name: str, batch: int = 1) -> Foreign:
    """Returns a network by its name; its weights are random, large enough that a wrong index shows."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, inputs = _BUILDERS[name](batch)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim < 2:
                    parameter.add_(0.2 * torch.randn(parameter.shape))
                elif parameter.std() < 0.05:  # transformers starts small
                    parameter.mul_(4)
    return Foreign(model.eval(), inputs)
