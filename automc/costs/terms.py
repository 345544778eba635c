"""What adds up to MACs, parameters or bytes: products of dimensions, exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from automc.costs.cost import EXACT
from automc.costs.factors import Factor, combinations
from automc.costs.macs import mac_terms
from automc.costs.parts import owner_of
from automc.costs.precision import Precisions
from automc.costs.products import Products
from automc.costs.signals import both, chosen
from automc.costs.summands import Summands
from automc.graph import ModelGraph
from automc.graph.quantizers import Placement
from automc.search_spaces import SearchSpace
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS

_QUANTIZER_BYTES = 8  # of an activation's scale and zero point
_WHENS = ("float", "fewer", "bytes")
_BITS = np.arange(FLOAT_BITS + 1)
_FEWER = _BITS < FLOAT_BITS
_TIMES = np.stack([~_FEWER, _FEWER, np.where(_FEWER, _BITS / 8, 0)])
"""How often a term counts, by `_WHENS` and by the bits of its layer's weights."""


class Terms(Summands):
    """The terms of one metric, and for bytes a last one: scales and zero points of activations.

    Args:
        graph: the network.
        space: the space that the policies are from.
        precisions: which weights have how many bits.
        metric: one of `EXACT`.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, precisions: Precisions, metric: str) -> None:
        self._precisions = precisions
        column = EXACT.index(metric)
        terms = [term for term in (*_macs(graph), *_weights(graph, precisions)) if term.costs[column]]
        coefficients = [term.costs[column] for term in terms]
        self._products = Products(graph, space, [term.columns for term in terms], coefficients)
        self._owners = np.array([owner_of(space, term.name) for term in terms], dtype=np.int64)
        # those that depend on a layer's bits, these layers, and for each term which layer and how
        layers = {name: number for number, name in enumerate(precisions.lowered)}
        self._lowered = np.array([number for number, term in enumerate(terms) if term.layer], dtype=np.int64)
        of = np.array([layers[term.layer] for term in terms if term.layer], dtype=np.int64)
        self._layers, places = np.unique(of, return_inverse=True)
        whens = np.array([_WHENS.index(term.when) for term in terms if term.layer], dtype=np.int64)
        self._states = whens * len(self._layers) + places
        self._quantizers = metric == "size"
        self.names = [term.name.removesuffix(".weight") for term in terms] + ["quantizers"] * self._quantizers
        self.depends = self._find_axes(space)
        self.reads_placement = bool(len(self._lowered)) or self._quantizers

    def of(self, indices: np.ndarray, placement: Placement | None) -> np.ndarray:
        """Returns (B, T) what each adds."""
        amounts = self._products.of(indices)
        if (self._owners >= 0).any():
            amounts *= np.where(self._owners >= 0, indices[:, self._owners], 1)
        if len(self._lowered):
            assert placement is not None
            bits = self._precisions.weight_bits(indices, placement, self._layers)
            states = np.concatenate(_TIMES[:, bits], axis=1)
            amounts[:, self._lowered] *= states[:, self._states]
        if self._quantizers:
            assert placement is not None
            behind = _QUANTIZER_BYTES * self._precisions.quantizers(indices, placement)
            amounts = np.concatenate([amounts, behind[:, None]], axis=1)
        return amounts

    def merged(self) -> Terms:
        """Returns the same with terms that only differ in their names as one, named after the first."""
        states = np.full(len(self._owners), -1)
        states[self._lowered] = self._states
        keys = np.stack([self._products.kinds, self._owners, states])
        part = copy(self)
        part._products, examples = self._products.merged(np.unique(keys, axis=1, return_inverse=True)[1].reshape(-1))
        part._owners, part._lowered = self._owners[examples], np.flatnonzero(states[examples] >= 0)
        part._states = states[examples][part._lowered]
        rows = np.append(examples, [len(self._owners)] * self._quantizers).astype(np.int64)
        part.names, part.depends = [self.names[row] for row in rows], self.depends[rows]
        return part

    def only(self, which: np.ndarray) -> Terms:
        """Returns some of the terms (their numbers, ascending) by themselves."""
        part = copy(self)
        count = len(self._owners)
        part._quantizers = self._quantizers and count in which
        terms = which[which < count]
        part._products, part._owners = self._products.only(terms), self._owners[terms]
        known = np.isin(self._lowered, terms)
        part._lowered = np.searchsorted(terms, self._lowered[known])
        whens, places = np.divmod(self._states[known], max(len(self._layers), 1))
        kept, places = np.unique(places, return_inverse=True)
        part._layers, part._states = self._layers[kept], whens * len(kept) + places
        part.names, part.depends = [self.names[number] for number in which], self.depends[which]
        return part

    def factors(self, full: np.ndarray, options: Sequence[np.ndarray], signals: Placement) -> Iterator[Factor]:
        """Yields for each term what it adds, by what runs in int8 and by simulated bits, and for each quantizer."""
        depends = self._products.depends
        states = dict(zip(self._lowered.tolist(), self._states.tolist(), strict=True))
        for term, owner in enumerate(self._owners.tolist()):
            there = [chosen(owner, np.arange(2) > 0)] * (owner >= 0)
            axes = tuple(np.flatnonzero(depends[term]).tolist())
            only, shape = self._products.only(np.array([term])), [len(options[axis]) for axis in axes]
            amounts = only.of(combinations(full, axes, options))[:, 0].reshape(shape)
            if term not in states:
                yield Factor(both(there), axes, amounts)
                continue
            when, place = divmod(states[term], len(self._layers))
            int8, axis, bits = self._precisions.weights_of(self._layers[place], signals)
            yield Factor(both([*there, int8]), axes, amounts * _TIMES[when][INT8_BITS[0]])
            times = _TIMES[when][bits[options[axis]] if len(bits) else FLOAT_BITS]
            within = (*axes, axis) if len(bits) else axes
            order = np.argsort(within)
            table = np.multiply.outer(amounts, times).transpose(order)
            yield Factor(both([*there, ~int8]), tuple(np.array(within, dtype=np.int64)[order].tolist()), table)
        if self._quantizers:
            for placed in signals.placed[:, 0]:
                yield Factor(both([placed]), (), np.array(float(_QUANTIZER_BYTES)))
            for axis, before in self._precisions.read_by_option():
                yield Factor(1, (axis,), _QUANTIZER_BYTES * (before < FLOAT_BITS)[options[axis]].astype(float))

    def _find_axes(self, space: SearchSpace) -> np.ndarray:
        depends = self._products.depends
        owned = np.flatnonzero(self._owners >= 0)
        depends[owned, self._owners[owned]] = True
        if len(self._lowered):
            depends[self._lowered] |= self._precisions.axes_of(self._layers)[self._states % len(self._layers)]
        return np.vstack([depends, space.is_bits | self._precisions.moving]) if self._quantizers else depends


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
