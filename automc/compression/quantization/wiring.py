"""A network some of whose layers run on fewer levels: which calls are changed, for scoring, export and training alike.

A layer at 8 and 8 bits runs in int8 as `automc.graph.quantizers` says, with quantizers behind operators. At any other
bits it is simulated: its weights are on levels, and what it reads goes through a quantizer of the layer's own.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils import _pytree as pytree

from automc.compression.bits import Bits, is_simulated
from automc.compression.methods import Methods
from automc.compression.quantization.quantizer import Quantizer
from automc.graph.fusion import BATCH_NORMS
from automc.graph.layers import find_layers, find_weighted
from automc.graph.ops import Call, Calls, Op, record
from automc.graph.quantizers import Quantizers
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS
from automc.tasks import Inputs, call

INPUT: Call = ("input", 0)
"""Stands for the network's input where a quantizer stands behind that."""

INPUT_QUANTIZER = "input_quantizer"
"""The child of a simulated layer that quantizes what the layer reads."""


class Wired(nn.Module, ABC):
    """A network and its quantizers.

    Args:
        model: the network in float; it is not changed.
        inputs: example inputs.
        bits: (weight bits, activation bits) of the layers that are not to stay in float.
        methods: how ranges are chosen.
        fold: whether BatchNorm is folded into layers whose weights are on levels.

    Attributes:
        model: the network itself.
        layers: the changed layers, by the calls in which they run.
        bits: bits of each of them; of those too that run in int8 because their neighbours do.
        norms: the BatchNorm module of those that have one.
        quantizers: those that stand behind operators.
    """

    def __init__(
        self, model: nn.Module, inputs: Inputs, bits: Mapping[str, Bits], methods: Methods | None, fold: bool
    ) -> None:
        super().__init__()
        self.methods = methods or Methods()
        self.model = copy.deepcopy(model).eval()
        ops = _operators(self.model, inputs)
        found = find_layers(self.model, ops, tuple(inputs.shape) if torch.is_tensor(inputs) else ())
        weighted = {layer.name: layer for layer in find_weighted(self.model, ops)}
        apart = {name: pair for name, pair in bits.items() if is_simulated(pair)}
        _refuse_missing({name for name, pair in bits.items() if pair == INT8_BITS}, {layer.name for layer in found})
        _refuse_missing(set(apart), set(weighted), "be simulated")
        placement = Quantizers(ops, found).place(
            {layer.name: np.array([bits.get(layer.name) == INT8_BITS]) for layer in found},
            apart={name: np.array([True]) for name in apart},
        )
        runs = [layer for layer in found if placement.int8[layer.ops[0], 0]]
        self.bits = {layer.name: INT8_BITS for layer in runs} | apart
        heads = {layer.name: layer.result for layer in runs} | {name: weighted[name].op for name in apart}
        norms = {layer.name: layer.norm for layer in runs} | {name: weighted[name].norm for name in apart}
        self.norms = {name: norm for name, norm in norms.items() if norm is not None}
        # folding takes operators away, and with them the numbers of calls change
        behind = {op.module: index for index, op in enumerate(ops) if op.kind in BATCH_NORMS}
        folded = {
            behind[norm]: heads[name] for name, norm in self.norms.items() if fold and self.bits[name][0] < FLOAT_BITS
        }
        for name, norm in self.norms.items():
            if behind[norm] in folded:
                _fold(self.model, name, norm)
        stay = [index for index in range(len(ops)) if index not in folded]
        now = _operators(self.model, inputs) if folded else ops
        calls = {index: op.call for index, op in zip(stay, now, strict=True)} | {len(ops): INPUT}
        calls |= {norm: calls[layer] for norm, layer in folded.items()}
        self.layers = {calls[heads[name]]: name for name in self.bits}
        placed = [calls[index] for index in np.flatnonzero(placement.placed[:, 0]).tolist()]
        self._names = {made: "{}_{}".format(*made) for made in placed if made is not None}
        self.quantizers = nn.ModuleDict({name: self.quantizer(8) for name in self._names.values()})
        self._reads = {}
        for layer in runs:
            source = layer.source
            while not placement.placed[source, 0]:  # moved since it was quantized
                source = ops[source].sources[0]
            made = calls[source % len(calls)]
            assert made is not None
            self._reads[layer.name] = self._names[made]
        for name, (_, activation_bits) in apart.items():
            if activation_bits < FLOAT_BITS:
                self.model.get_submodule(name).add_module(INPUT_QUANTIZER, self.quantizer(activation_bits))
        self._adjust: Callable[[str, Tensor], None] | None = None

    @abstractmethod
    def _weight(self, layer: nn.Module, weight: Tensor, bits: int) -> Tensor:
        """Returns a layer's weights, every element on a level."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Takes and returns what the network does."""
        if INPUT in self._names:
            args, kwargs = pytree.tree_map_only(Tensor, self.quantizers[self._names[INPUT]], (args, kwargs))
        with Calls(self._after, self._before):
            return self.model(*args, **kwargs)

    @torch.no_grad()
    def calibrate(self, inputs: Inputs) -> None:
        """Sets the scales of all quantizers from what the network does with these inputs."""
        quantizers = [module for module in self.modules() if isinstance(module, Quantizer)]
        for quantizer in quantizers:
            quantizer.observing = True
        call(self, inputs)
        for quantizer in quantizers:
            quantizer.settle()

    @torch.no_grad()
    def run(self, inputs: Inputs, adjust: Callable[[str, Tensor], None]) -> None:
        """Runs the network; ``adjust`` is told each changed layer's name and what it reads, just before it runs."""
        self._adjust = adjust
        try:
            call(self, inputs)
        finally:
            self._adjust = None

    def quantizer(self, bits: int) -> Quantizer:
        """Returns a new quantizer of activations."""
        return Quantizer(bits, _automatic(self.methods.clipping, bits))

    def weight_clipping(self, bits: int) -> str:
        """Returns how the steps of weights of so many bits are chosen."""
        return _automatic(self.methods.weight_clipping, bits)

    def float_weight(self, model: nn.Module, name: str) -> Tensor:
        """Returns a layer's weight in a float network, BatchNorm folded in."""
        layer = model.get_submodule(name)
        if name in self.norms:
            batch_norm = model.get_submodule(self.norms[name])
            assert isinstance(layer, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d)
            layer = fuse_conv_bn_eval(layer, batch_norm)
        assert isinstance(layer.weight, Tensor)
        return layer.weight.detach()

    def _before(self, made: Call, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if made not in self.layers:
            return args
        name = self.layers[made]
        layer, bits = self.model.get_submodule(name), self.bits[name]
        x, weight = args[0], args[1]
        if self._adjust is not None:
            self._adjust(name, x)
            weight = layer.weight
        if isinstance(quantizer := getattr(layer, INPUT_QUANTIZER, None), Quantizer):
            x = quantizer(x)
        if bits[0] < FLOAT_BITS:
            weight = self._weight(layer, weight, bits[0])
        return (x, weight, *args[2:])

    def _after(self, made: Call, result: Any) -> Any:
        return self.quantizers[self._names[made]](result) if made in self._names else result


def _automatic(method: str, bits: int) -> str:
    """Eight bits cover the whole range finely enough; fewer are better spent on its middle."""
    return ("minmax" if bits == 8 else "mse") if method == "auto" else method


def _refuse_missing(asked: set[str], found: set[str], what: str = "run in int8") -> None:
    if missing := asked - found:
        raise ValueError(f"layer '{min(missing)}' cannot {what}")


def _operators(model: nn.Module, inputs: Inputs) -> list[Op]:
    with torch.autocast("cpu", enabled=False):  # casts are no operators of the network
        return record(model, inputs)[0]


def _fold(model: nn.Module, name: str, norm: str) -> None:
    layer, batch_norm = model.get_submodule(name), model.get_submodule(norm)
    assert isinstance(layer, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d)
    model.set_submodule(name, fuse_conv_bn_eval(layer, batch_norm))
    model.set_submodule(norm, nn.Identity())
