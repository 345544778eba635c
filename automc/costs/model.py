"""The cost model: MACs, parameters, bytes, latency, memory and energy of policies, many at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from automc.costs.cost import EXACT, METRICS, MISSING, Cost
from automc.costs.factors import Factors
from automc.costs.latency import LatencyModel, ProductModel
from automc.costs.memory import MemoryModel
from automc.costs.parts import PartPrices, Parts, spread
from automc.costs.precision import Precisions
from automc.costs.summands import Summands
from automc.costs.terms import Terms
from automc.graph import ModelGraph
from automc.latency_tables import Hardware, Signature
from automc.search_spaces import Policy, SearchSpace
from automc.search_spaces.policy import reference_bits


class CostModel:
    """Prices policies of a space without building them.

    MACs, parameters and bytes are exact; latency is the sum over the operators' latencies plus the runtime's overhead,
    energy the sum over theirs; memory is what an allocator needs, see `MemoryModel`.

    Args:
        graph: the network.
        space: the space that the policies are from.
        table: a latency table or other hardware; without it, `metrics` has neither latency nor energy.

    Attributes:
        metrics: those that it knows.
        precisions: which operators run in int8.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, table: Hardware | None = None) -> None:
        self.graph, self.space, self.table = graph, space, table
        has = {"latency": table is not None, "energy": table is not None and table.energy_from is not None}
        self.metrics = tuple(metric for metric in METRICS if has.get(metric, True))
        self.precisions = Precisions(graph, space)
        self._parts: Parts
        if table is not None and table.per_layer:
            self._parts = ProductModel(graph, space, reference_bits(table.device.precisions))
        else:
            self._parts = LatencyModel(graph, space, self.precisions)
        self._memory = MemoryModel(graph, space, self.precisions)
        self._summands: dict[str, Summands] = {}

    def cost(self, policy: Policy) -> Cost:
        """Returns the cost of one policy."""
        prices = self.prices(self.space.encode(policy)[None])
        return Cost(**{metric: float(values[0]) for metric, values in prices.items()})

    def prices(self, indices: np.ndarray, metrics: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Returns, for each metric, the costs (B,) of policies given as option numbers (B, A).

        Args:
            indices: the policies.
            metrics: those that are asked for; all there are by default.
        """
        metrics = self.metrics if metrics is None else metrics
        indices = self.space.canonical(indices)
        reads = any(metric == "memory" or self.summands(metric).reads_placement for metric in metrics)
        placement = self.precisions.of(indices) if reads else None
        prices = {}
        for metric in metrics:
            if metric == "memory":
                assert placement is not None
                prices[metric] = self._memory.prices(indices, placement)
            else:
                prices[metric] = self.summands(metric).prices(indices, placement)
        return prices

    def summands(self, metric: str) -> Summands:
        """Returns what adds up to a metric other than memory, which is no sum.

        Raises:
            ValueError: the metric is not known, as latency without a table.
        """
        if metric not in self._summands:
            self._summands[metric] = self._make_summands(metric)
        return self._summands[metric]

    def factors(self, metric: str, options: Sequence[np.ndarray] | None = None) -> Factors:
        """Returns a metric other than memory as a sum of small tables.

        Args:
            metric: which.
            options: for each axis, the numbers of the options that are looked at, ascending; None for all.

        Raises:
            TableError: the price of an operator is not known.
            ValueError: the metric is not known, as latency without a table.
        """
        options = [np.arange(size) for size in self.space.sizes] if options is None else options
        summands = self.summands(metric)
        found = summands.factors(self.space.full, options, self.precisions.signals())
        return Factors(found, options, summands.constant)

    def _make_summands(self, metric: str) -> Summands:
        if metric in EXACT:
            return Terms(self.graph, self.space, self.precisions, metric).merged()
        if self.table is None or metric not in self.metrics or metric == "memory":
            raise ValueError(MISSING[metric])
        return PartPrices(self._parts, self.table, metric)

    def breakdown(self, index: np.ndarray, metric: str) -> dict[str, float]:
        """Returns how much of one policy's cost each module, kernel or tensor at the peak has, largest first."""
        index = self.space.canonical(index)[None]
        placement = self.precisions.of(index)
        if metric == "memory":
            pairs = self._memory.at_peak(index, placement)
        else:
            exact = metric in EXACT  # whose summands have names of their own before they are merged
            summands = Terms(self.graph, self.space, self.precisions, metric) if exact else self.summands(metric)
            pairs = list(zip(summands.names, summands.of(index, placement)[0].tolist(), strict=True))
        parts: dict[str, float] = {}
        for name, value in pairs:
            if value:
                parts[name] = parts.get(name, 0.0) + float(value)
        return dict(sorted(parts.items(), key=lambda item: -item[1]))

    def operators(self, index: np.ndarray) -> list[tuple[str, Signature]]:
        """Returns the operators that the network runs under one policy (A,), in order, each with its name."""
        index = self.space.canonical(index)
        return self._parts.operators(index, self.precisions.of(index[None]))

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
