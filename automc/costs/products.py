"""Products of a network's dimensions, of many policies at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automc.costs.macs import Columns
from automc.graph import ModelGraph
from automc.search_spaces import SearchSpace


class Products:
    """Products of dimensions under the policies of a space; exact below 2^53.

    Args:
        graph: the network.
        space: the space that the policies are from.
        terms: for each of the T products, the positions of its factors among the graph's dimensions.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, terms: Sequence[Columns]) -> None:
        rank = {group.name: row for row, group in enumerate(graph.prunable)}
        self._widths = [
            (axis, np.array(a.options[-1] - np.array(a.options), dtype=float), rank[a.unit])
            for axis, a in enumerate(space.axes)
            if a.field == "channels"
        ]
        self._groups = len(graph.slopes)
        varies = np.any(graph.slopes[[row for _, _, row in self._widths]], axis=0)
        assert isinstance(varies, np.ndarray)
        constant = [[column for column in term if not varies[column]] for term in terms]
        self._constant = np.array([graph.dims[columns].astype(float).prod() for columns in constant])
        # dimensions that change alike are one, and so are products of the same dimensions
        kinds: dict[tuple[int, bytes], int] = {}
        kind = {
            column: kinds.setdefault((int(graph.dims[column]), graph.slopes[:, column].tobytes()), len(kinds))
            for term in terms
            for column in term
            if varies[column]
        }
        of_kind = dict(zip(kind.values(), kind, strict=True))
        columns = [of_kind[number] for number in range(len(kinds))]
        varying = [tuple(sorted(kind[c] for c in term if varies[c])) for term in terms]
        unique = list(dict.fromkeys(varying))
        self._product_of = np.array([unique.index(factors) for factors in varying], dtype=np.int64)
        # a last column of ones fills up products of fewer factors
        longest = max(map(len, unique), default=0)
        padded = [[*factors, *[len(columns)] * (longest - len(factors))] for factors in unique]
        self._factors = np.array(padded, dtype=np.int64).reshape(len(unique), longest)
        self._dims = np.append(graph.dims[columns], 1).astype(float)
        self._slopes = np.pad(graph.slopes[:, columns], ((0, 0), (0, 1))).astype(float)

    def of(self, indices: np.ndarray) -> np.ndarray:
        """Returns the products (B, T) under policies given as option numbers (B, A)."""
        removed = np.zeros((len(indices), self._groups))
        for axis, fewer, row in self._widths:
            removed[:, row] = fewer[indices[:, axis]]
        dims = self._dims - removed @ self._slopes
        products = np.ones((len(indices), len(self._factors)))
        for factors in self._factors.T:
            products *= dims[:, factors]
        return products[:, self._product_of] * self._constant
