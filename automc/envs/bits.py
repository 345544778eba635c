"""HAQ's environment: how many bits each layer gets (Wang et al., CVPR 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from automc.costs import Projection
from automc.envs._base import PolicyEnv
from automc.envs.decisions import Decision, decisions
from automc.envs.layers import scaled, view
from automc.errors import ConfigError
from automc.search_spaces import Policy

_BATCH = 128  # policies of the way back that are priced at once: most ways are shorter
_KINDS = {"weight_bits": 1.0, "bits": 0.5, "activation_bits": 0.0}


class AssignBitsEnv(PolicyEnv):
    """Walks over the layers in the order in which they run: bits of the weights, then of the activations.

    Where one choice is about both, as with int8 or float, a layer has one step. The action picks bits evenly: of 2 to
    8 bits, ``round(1.5 + 7 a)``. All other axes stay as they are.

    A policy over a budget is rolled back as HAQ does: bits are lowered to the next fewer, layer by layer from the last
    to the first, activations before weights, round after round, until all budgets are kept. The projection comes in
    where even the fewest bits do not keep them.

    The observation has HAQ's ten numbers, in the order of its code: whether the layer is depthwise; its inputs,
    outputs, stride, kernel, number of weights, size of the feature map that it reads; number of the layer; last action;
    1 before weights are decided, 0 before activations, 0.5 before both. All but the last two are scaled to [0, 1] over
    all layers.

    Args:
        projection: see `PolicyEnv`.
        reward: likewise.
    """

    features = ("depthwise", "c", "n", "stride", "kernel", "weights", "map", "layer", "last", "kind")

    def __init__(self, projection: Projection, reward: Callable[[Policy], float] | None = None) -> None:
        super().__init__(projection, reward)
        layers = {decision.axis: view(self.model.graph, {decision.unit}) for decision in self.decisions}
        rows = [
            (at.depthwise, at.c, at.n, at.stride, at.k, at.weights, at.h * at.w, number)
            for number, at in enumerate(layers.values())
        ]
        of_layer = dict(zip(layers, scaled(np.array(rows, dtype=float)), strict=True))
        still = [[*of_layer[decision.axis], 0.0, _KINDS[decision.kind]] for decision in self.decisions]
        self._static = np.array([*still, still[-1]])  # after the last step, what was there before
        self._fewer = [_fewer(self.space.axes[decision.axis].options, decision.kind) for decision in self.decisions]

    def _decide_about(self) -> Sequence[Decision]:
        found = [decision for decision in decisions(self.space) if decision.kind in _KINDS]
        if not found:
            raise ConfigError("the space has no bits, which is all that is decided here: name some under space.bits")
        graph = self.model.graph
        return sorted(found, key=lambda decision: view(graph, {decision.unit}).order)  # weights stay first

    def _observe(self) -> np.ndarray:
        seen = self._static[self._step].copy()
        seen[8] = self._last
        return seen.astype(np.float32)

    def _finish(self, index: np.ndarray) -> np.ndarray:
        way = [index, *self._back(index)]
        for start in range(0, len(way), _BATCH):
            batch = np.stack(way[start : start + _BATCH])
            fits = self.projection.fits(batch)
            if fits.any():
                return self.space.canonical(batch[fits.argmax()])
        return self.projection.project(index)

    def _back(self, index: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the policies (A,) of the rollback, one after the other."""
        lowered, index = True, index.copy()
        while lowered:
            lowered = False
            for decision, fewer in zip(reversed(self.decisions), reversed(self._fewer), strict=True):
                option = fewer[index[decision.axis]]
                if option >= 0:
                    index[decision.axis] = option
                    lowered = True
                    yield index.copy()


def _fewer(options: Sequence[tuple[int, int]], kind: str) -> list[int]:
    """Returns, for each pair of bits, the one with the next fewer weights' or activations' bits; -1 where none is.

    What is not lowered stays as it is, or gets the most bits that go with it and are not more than it had.
    """
    column = int(kind == "activation_bits")
    found = []
    for pair in options:
        below = [o for o in options if o[column] < pair[column] and o[1 - column] <= pair[1 - column]]
        best = max(below, key=lambda o: (o[column], o[1 - column]), default=None)
        found.append(-1 if best is None else options.index(best))
    return found
