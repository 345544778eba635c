"""The cost model: MACs, parameters, bytes, latency, memory and energy of policies, many at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from automc.costs.latency import LatencyModel, Parts, ProductModel, owner_of, spread
from automc.costs.macs import mac_terms
from automc.costs.memory import MemoryModel
from automc.costs.precision import Precisions
from automc.costs.products import Products
from automc.graph import ModelGraph
from automc.graph.quantizers import Placement
from automc.latency_tables import Hardware, Signature
from automc.search_spaces import Policy, SearchSpace
from automc.search_spaces.policy import FLOAT_BITS, reference_bits

_QUANTIZER_BYTES = 8  # of an activation's scale and zero point
_EXACT = ("macs", "params", "size")
METRICS = ("latency", *_EXACT, "memory", "energy")

_MISSING = {
    "latency": "no latency without a latency table",
    "energy": "the hardware gives no energy",
    "memory": "no memory is known",
}


@dataclass(frozen=True)
class Cost:
    """What one policy costs.

    Attributes:
        macs: multiply-accumulates for one example.
        params: parameters.
        size: bytes of parameters and buffers.
        latency: microseconds for one inference of the device's batch; None without a latency table.
        memory: bytes of activations at the peak of one inference of the device's batch; None in what was written
            before they were counted.
        energy: microjoules for one inference of the device's batch; None where the hardware gives none.
    """

    macs: float
    params: float
    size: float
    latency: float | None = None
    memory: float | None = None
    energy: float | None = None

    def get(self, metric: str) -> float:
        """Returns one metric by name; raises ValueError where it is not known, as latency without a table."""
        value = getattr(self, metric)
        if value is None:
            raise ValueError(_MISSING[metric])
        return float(value)


class CostModel:
    """Prices policies of a space without building them.

    MACs, parameters and bytes are exact; latency is the sum over the operators' latencies plus the runtime's overhead,
    energy the sum over theirs; memory is what an allocator needs, see `MemoryModel`.

    Args:
        graph: the network.
        space: the space that the policies are from.
        table: a latency table or other hardware; without it, `metrics` has neither latency nor energy.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, table: Hardware | None = None) -> None:
        self.graph, self.space, self.table = graph, space, table
        has = {"latency": table is not None, "energy": table is not None and table.energy_from is not None}
        self.metrics = tuple(metric for metric in METRICS if has.get(metric, True))
        self._precisions = Precisions(graph, space)
        self._parts: Parts
        if table is not None and table.per_layer:
            self._parts = ProductModel(graph, space, reference_bits(table.device.precisions))
        else:
            self._parts = LatencyModel(graph, space, self._precisions)
        self._memory = MemoryModel(graph, space, self._precisions)
        terms = [*_macs(graph), *_weights(graph, self._precisions)]
        self._products = Products(graph, space, [term.columns for term in terms])
        self._names = [term.name for term in terms]
        self._coefficients = np.array([term.costs for term in terms])  # (terms, [macs, params, size])
        self._owners = np.array([owner_of(space, term.name) for term in terms])
        self._state_of = np.array([_state(term, list(self._precisions.lowered)) for term in terms])

    def cost(self, policy: Policy) -> Cost:
        """Returns the cost of one policy."""
        prices = self.prices(self.space.encode(policy)[None])
        return Cost(**{metric: float(values[0]) for metric, values in prices.items()})

    def prices(self, indices: np.ndarray, metrics: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Returns, for each metric, the costs (B,) of policies given as option numbers (B, A).

        Args:
            indices: the policies.
            metrics: those that are asked for; all there are by default. The others may be left out.
        """
        metrics = self.metrics if metrics is None else metrics
        indices = self.space.canonical(indices)
        placement = self._precisions.of(indices)
        terms = self._terms(indices, placement) @ self._coefficients
        quantizers = _QUANTIZER_BYTES * self._precisions.quantizers(indices, placement)
        prices = {"macs": terms[:, 0], "params": terms[:, 1], "size": terms[:, 2] + quantizers}
        if "memory" in metrics:
            prices["memory"] = self._memory.prices(indices, placement)
        if self.table is not None and "latency" in metrics:
            prices["latency"] = sum(self._parts.prices(indices, placement, self.table), self.table.run_us)
        if self.table is not None and "energy" in metrics and "energy" in self.metrics:
            prices["energy"] = sum(self._parts.prices(indices, placement, self.table, "energy"), np.zeros(len(indices)))
        return prices

    def breakdown(self, index: np.ndarray, metric: str) -> dict[str, float]:
        """Returns how much of one policy's cost each module, kernel or tensor at the peak has, largest first."""
        index = self.space.canonical(index)[None]
        placement = self._precisions.of(index)
        if metric == "memory":
            pairs = self._memory.at_peak(index, placement)
        elif metric not in _EXACT:
            if self.table is None or metric not in self.metrics:
                raise ValueError(_MISSING[metric])
            prices = (float(price[0]) for price in self._parts.prices(index, placement, self.table, metric))
            pairs = list(zip(self._parts.names, prices, strict=True))
        else:
            values = self._terms(index, placement)[0] * self._coefficients[:, _EXACT.index(metric)]
            pairs = list(zip((name.removesuffix(".weight") for name in self._names), values, strict=True))
            if metric == "size":
                quantizers = self._precisions.quantizers(index, placement)[0]
                pairs.append(("quantizers", _QUANTIZER_BYTES * quantizers))
        parts: dict[str, float] = {}
        for name, value in pairs:
            if value:
                parts[name] = parts.get(name, 0.0) + float(value)
        return dict(sorted(parts.items(), key=lambda item: -item[1]))

    def operators(self, index: np.ndarray) -> list[tuple[str, Signature]]:
        """Returns the operators that the network runs under one policy (A,), in order, each with its name."""
        index = self.space.canonical(index)
        return self._parts.operators(index, self._precisions.of(index[None]))

    def signatures(self, index: np.ndarray) -> list[Signature]:
        """Returns the operators that the network runs under one policy, in order."""
        return [signature for _, signature in self.operators(index)]

    def all_signatures(self, most: int = 8) -> list[Signature]:
        """Returns the operators that the space can produce.

        Args:
            most: options taken of each axis, spread evenly, ends included, and of more than two axes at once fewer; a
                table interpolates between them.
        """
        return self._parts.all_signatures([spread(range(size), most) for size in self.space.sizes], most**2)

    def _terms(self, indices: np.ndarray, placement: Placement) -> np.ndarray:
        present = np.where(self._owners >= 0, indices[:, self._owners], 1)
        bits = self._precisions.weight_bits(indices, placement)
        fewer = bits < FLOAT_BITS
        states = np.concatenate([np.ones((len(indices), 1)), ~fewer, fewer, np.where(fewer, bits / 8, 0)], axis=1)
        return self._products.of(indices) * present * states[:, self._state_of]


@dataclass(frozen=True)
class _Term:
    """A product of dimensions (their positions), and what it adds to MACs, parameters and bytes.

    One that depends on a layer's bits names the layer, and how: it is there while the layer's weights are in ``float``
    or while they have ``fewer`` bits, or it counts as often as these bits are ``bytes``.
    """

    name: str
    columns: tuple[int, ...]
    costs: tuple[float, float, float]
    layer: str | None = None
    when: str = "float"


_STATES = ("float", "fewer", "bytes")


def _state(term: _Term, layers: list[str]) -> int:
    """Returns which column of the states of a policy says how often a term counts; the first is always one."""
    if term.layer is None:
        return 0
    return 1 + _STATES.index(term.when) * len(layers) + layers.index(term.layer)


def _macs(graph: ModelGraph) -> Iterator[_Term]:
    for index, op in enumerate(graph.ops):
        for columns in mac_terms(op, graph.op_dims[index]):
            yield _Term(op.module, columns, (1 / graph.batch, 0.0, 0.0))


def _weights(graph: ModelGraph, precisions: Precisions) -> Iterator[_Term]:
    norms = {norm: name for name, norm in precisions.lowered.items() if norm is not None}
    names = {weight.name for weight in graph.weights}
    for weight, part in zip(graph.weights, graph.weight_dims, strict=True):
        columns = tuple(range(part.start, part.stop))
        params, size = float(weight.trainable), float(weight.itemsize)
        module, _, leaf = weight.name.rpartition(".")
        if module in precisions.lowered and leaf == "weight":
            yield _Term(weight.name, columns, (0.0, params, 0.0))
            yield _Term(weight.name, columns, (0.0, 0.0, size), module)
            yield _Term(weight.name, columns, (0.0, 0.0, 1.0), module, "bytes")  # packed: bits / 8 for each weight
            yield _Term(f"{module}.weight_scale", columns[:1], (0.0, 0.0, 4.0), module, "fewer")
            if precisions.lowered[module] and f"{module}.bias" not in names:  # folding makes one
                yield _Term(f"{module}.bias", columns[:1], (0.0, 1.0, 4.0), module, "fewer")
        else:
            yield _Term(weight.name, columns, (0.0, params, size), norms.get(module))
