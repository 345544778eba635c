"""One call from a policy to the network that it describes: pruned, recovered and quantized."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from automc.compression.apply import Compressed, compress
from automc.compression.calibration import Calibration
from automc.compression.methods import Methods
from automc.compression.quantization import Learned, quantize
from automc.compression.recovery import LeastSquares, recalibrate
from automc.compression.selection import make_selector
from automc.graph import ModelGraph
from automc.search_spaces import Policy
from automc.tasks.checks import check_model


class Compressor:
    """Compresses one network, always in the same way.

    Args:
        model: the original; it is not changed.
        graph: its graph.
        calibration: what may be looked at.
        methods: how it is done.

    Raises:
        TaskError: weights or activations of the original are not finite.
        ConfigError: the selector needs what the task does not give.
    """

    def __init__(
        self, model: nn.Module, graph: ModelGraph, calibration: Calibration, methods: Methods | None = None
    ) -> None:
        self._model, self._graph, self._calibration = model, graph, calibration
        self.methods = methods or Methods()
        check_model(model)
        selector = make_selector(self.methods.selection)
        self._scores, self._cumulative = selector.scores(model, graph, calibration), selector.cumulative
        self._least_squares = None
        if "least_squares" in self.methods.recovery:
            self._least_squares = LeastSquares(
                model,
                graph,
                calibration.inputs,
                calibration.seed,
                self.methods.bias_correction,
                self.methods.sum_correction,
            )

    def build(self, policy: Policy) -> Compressed:
        """Returns the compressed and recovered network of a policy, with quantizers where it asks for fewer bits.

        Raises:
            ConfigError: the policy asks for what this network does not have.
        """
        return self.quantize(self.prune(policy))

    def lost(self, group: str) -> Tensor:
        """Returns, for a prunable group, (channels + 1,) what is lost without 0, 1, ... of its channels.

        It is the selector's own estimate, before recovery, and only its ratios say something: for ``second_order`` it
        is a share of the readers' output energy. It never falls, and the first is 0.
        """
        scores = self._scores[group].double().sort().values
        return torch.cat([torch.zeros(1, dtype=torch.float64), scores if self._cumulative else scores.cumsum(0)])

    def prune(self, policy: Policy) -> Compressed:
        """Returns the compressed and recovered network of a policy, all of it still in float."""
        compressed = compress(self._model, self._graph, policy, self._scores)
        if compressed.kept or compressed.dropped:
            for step in self.methods.recovery:
                self._recover(step, compressed)
        return compressed

    def _recover(self, step: str, compressed: Compressed) -> None:
        with self._calibration.context():
            if step == "batchnorm":
                recalibrate(compressed.model, self._calibration)
            else:
                assert self._least_squares is not None
                self._least_squares.refit(compressed)

    def quantize(self, compressed: Compressed) -> Compressed:
        """Puts quantizers where a policy asked for fewer bits; the network may have been trained since `prune`."""
        if not compressed.bits:
            return compressed
        with self._calibration.context():
            model = quantize(
                compressed.model, self._calibration.inputs, compressed.bits, self.methods, self._calibration.seed
            )
        return replace(compressed, model=model)

    def learned(self, compressed: Compressed) -> Learned:
        """Returns a network that trains through its quantizers, for a policy that asks for fewer bits."""
        with self._calibration.context():
            return Learned(compressed.model, self._calibration.inputs, compressed.bits, self.methods)
