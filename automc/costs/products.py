"""Products of a network's dimensions, of many policies at once."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

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
        coefficients: what each product is multiplied by; 1 by default.
    """

    def __init__(
        self,
        graph: ModelGraph,
        space: SearchSpace,
        terms: Sequence[Columns],
        coefficients: Sequence[float] | None = None,
    ) -> None:
        rank = {group.name: row for row, group in enumerate(graph.prunable)}
        axes = [axis for axis, a in enumerate(space.axes) if a.field == "channels"]
        slopes = graph.slopes[[rank[space.axes[axis].unit] for axis in axes]]
        # (W, most options) how many channels fewer each option of each width has
        fewer = np.zeros((len(axes), int(space.sizes[axes].max(initial=1))))
        for row, axis in zip(fewer, axes, strict=True):
            options = np.array(space.axes[axis].options)
            row[: len(options)] = options[-1] - options
        varies = np.any(slopes, axis=0)
        assert isinstance(varies, np.ndarray)
        constant = [[column for column in term if not varies[column]] for term in terms]
        self._constant = np.array([graph.dims[columns].astype(float).prod() for columns in constant])
        if coefficients is not None:
            self._constant *= coefficients
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
        self._widths, self._fewer = np.array(axes, dtype=np.int64), fewer
        self._slopes = np.pad(slopes[:, columns], ((0, 0), (0, 1))).astype(float)
        self._count = len(space.axes)

    @property
    def depends(self) -> np.ndarray:
        """(T, A) whether each product depends on each axis."""
        found = np.zeros((len(self._product_of), self._count), dtype=bool)
        found[:, self._widths] = (self._slopes.T != 0)[self._factors].any(axis=1)[self._product_of]
        return found

    def only(self, which: np.ndarray) -> Products:
        """Returns some of the products (their numbers) by themselves."""
        part = copy(self)
        unique, part._product_of = np.unique(self._product_of[which], return_inverse=True)
        part._constant = self._constant[which]
        kinds, factors = np.unique(self._factors[unique], return_inverse=True)
        part._factors = factors.reshape(len(unique), self._factors.shape[1])
        widths = np.flatnonzero(self._slopes[:, kinds].any(axis=1))
        part._dims, part._slopes = self._dims[kinds], self._slopes[np.ix_(widths, kinds)]
        part._widths, part._fewer = self._widths[widths], self._fewer[widths]
        return part

    def merged(self, groups: np.ndarray) -> tuple[Products, np.ndarray]:
        """Returns the sums of products, by the group (T,) that each is in, and a product of each group as an example.

        Products of one group have to be alike: `kinds` are, and so they only differ in what they are multiplied by.
        """
        part = copy(self)
        _, examples = np.unique(groups, return_index=True)
        part._product_of = self._product_of[examples]
        part._constant = np.bincount(groups, weights=self._constant)
        return part, examples

    @property
    def kinds(self) -> np.ndarray:
        """(T,) numbers that are the same for products of the same dimensions."""
        return self._product_of

    def of(self, indices: np.ndarray) -> np.ndarray:
        """Returns the products (B, T) under policies given as option numbers (B, A)."""
        removed = self._fewer[np.arange(len(self._widths)), indices[:, self._widths]]
        dims = self._dims - removed @ self._slopes
        products = np.ones((len(indices), len(self._factors)))
        for factors in self._factors.T:
            products *= dims[:, factors]
        return products.take(self._product_of, axis=1) * self._constant
