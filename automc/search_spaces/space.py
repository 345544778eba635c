"""The search space: axes of options, and policies as vectors of option numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from automc.errors import ConfigError, TraceError, nearest
from automc.graph import Group, ModelGraph
from automc.search_spaces.config import SpaceConfig
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS, KNOWN_BITS, Choice, Policy, reference_bits


@dataclass(frozen=True)
class Axis:
    """One decision.

    Attributes:
        unit: the unit it is about.
        field: which field of the unit's `Choice` it sets; ``bits`` stands for weight and activation bits, a pair.
        options: what may be chosen, ascending; the last leaves the network as it is.
    """

    unit: str
    field: str
    options: tuple[Any, ...]

    @property
    def name(self) -> str:
        """A name that no other axis of a space has."""
        return f"{self.unit}.{self.field}"

    def fields(self, option: Any) -> dict[str, Any]:
        """Returns what one of the axis's options sets in a `Choice`."""
        return (
            {"weight_bits": option[0], "activation_bits": option[1]} if self.field == "bits" else {self.field: option}
        )

    def choose(self, choice: Choice, option: Any) -> Choice:
        """Returns the choice with one of the axis's options taken."""
        return replace(choice, **self.fields(option))

    def chosen(self, choice: Choice) -> Any:
        """Returns the option that a choice takes; None where it takes none."""
        if self.field == "bits":
            return None if choice.weight_bits is None else (choice.weight_bits, choice.activation_bits)
        return getattr(choice, self.field)


@dataclass(frozen=True)
class SearchSpace:
    """All decisions of a search.

    Attributes:
        axes: the decisions; the columns of an index matrix.
        owners: for each axis, the axis of the block that it lies in, or -1. When that block is dropped the
            axis decides nothing, and `canonical` sets it to its last option, so that equal networks have
            equal policies.
    """

    axes: tuple[Axis, ...]
    owners: tuple[int, ...]

    @cached_property
    def sizes(self) -> np.ndarray:
        """(A,) number of options of each axis."""
        return np.array([len(axis.options) for axis in self.axes], dtype=np.int64)

    @cached_property
    def is_depth(self) -> np.ndarray:
        """(A,) whether an axis drops a block."""
        return np.array([axis.field == "keep" for axis in self.axes], dtype=bool)

    @cached_property
    def is_width(self) -> np.ndarray:
        """(A,) whether an axis sets a number of channels."""
        return np.array([axis.field == "channels" for axis in self.axes], dtype=bool)

    @cached_property
    def is_bits(self) -> np.ndarray:
        """(A,) whether an axis sets a layer's precision."""
        return np.array([axis.field == "bits" for axis in self.axes], dtype=bool)

    @cached_property
    def _owned(self) -> tuple[np.ndarray, np.ndarray]:
        """The axes that lie in a block that can be dropped, and those blocks' axes."""
        owners = np.array(self.owners, dtype=np.int64)
        return np.flatnonzero(owners >= 0), owners[owners >= 0]

    @property
    def full(self) -> np.ndarray:
        """(A,) the option numbers that leave the network as it is."""
        return self.sizes - 1

    def canonical(self, indices: np.ndarray) -> np.ndarray:
        """Returns option numbers (..., A) with axes inside dropped blocks set to their last option."""
        indices = np.array(indices, dtype=np.int64)
        owned, owners = self._owned
        if len(owned):
            indices[..., owned] = np.where(indices[..., owners] == 0, self.full[owned], indices[..., owned])
        return indices

    def decode(self, indices: Sequence[int] | np.ndarray) -> Policy:
        """Returns the policy of one vector of option numbers (A,)."""
        fields: dict[str, dict[str, Any]] = {}
        for axis, index in zip(self.axes, self.canonical(np.asarray(indices)).tolist(), strict=True):
            fields.setdefault(axis.unit, {}).update(axis.fields(axis.options[index]))
        return Policy.from_dict(fields)

    def encode(self, policy: Policy) -> np.ndarray:
        """Returns the option numbers (A,) of a policy.

        Raises:
            ConfigError: the policy lacks a unit, has one that the space lacks, or chooses what it does not offer.
        """
        unknown = set(policy) - {axis.unit for axis in self.axes}
        if unknown:
            name = min(unknown)
            raise ConfigError(f"the policy has unit '{name}', the space has not{nearest(name, self.units)}")
        indices = []
        for axis in self.axes:
            value = axis.chosen(policy.get(axis.unit, Choice()))
            if value not in axis.options:
                raise ConfigError(f"the policy chooses {axis.field}={value} for {axis.unit}; options: {axis.options}")
            indices.append(axis.options.index(value))
        return self.canonical(np.array(indices))

    @property
    def units(self) -> list[str]:
        """Names of all units, in order."""
        return list(dict.fromkeys(axis.unit for axis in self.axes))

    @property
    def size(self) -> float:
        """How many policies there are."""
        return float(np.prod(self.sizes.astype(float)))

    def sample(self, generator: np.random.Generator, n: int) -> np.ndarray:
        """Returns (n, A) option numbers, uniform and independent on every axis."""
        return self.canonical(generator.integers(0, self.sizes, size=(n, len(self.axes))))


def build_space(
    graph: ModelGraph,
    config: SpaceConfig,
    channel_multiple: int,
    precisions: Sequence[tuple[int, int]] = ((FLOAT_BITS, FLOAT_BITS),),
) -> SearchSpace:
    """Returns the axes that a network offers under a configuration.

    Args:
        graph: the network.
        config: what may be chosen.
        channel_multiple: the device's, used where the configuration names none.
        precisions: (weight bits, activation bits) that the device runs.

    Raises:
        ConfigError: an excluded unit does not exist, or the device runs no such bits.
        TraceError: nothing is left to choose; the reasons are named.
    """
    names = [unit.name for units in (graph.groups, graph.blocks, graph.layers) for unit in units]
    names += [layer.name for layer in graph.weighted]
    for pattern in config.exclude:
        if not any(_matches(name, pattern) for name in names):
            raise ConfigError(f"space.exclude: no unit '{pattern}'{nearest(pattern, names)}")
    multiple = config.channel_multiple or channel_multiple
    axes = []
    if config.depth:
        axes += [Axis(block.name, "keep", (False, True)) for block in graph.blocks]
    if config.width:
        for group in graph.prunable:
            options = _widths(group.channels, _step(group, multiple), config.min_keep)
            if len(options) > 1:
                axes.append(Axis(group.name, "channels", options))
    if config.bits:
        axes += _bits_axes(graph, config, precisions)
    axes = [axis for axis in axes if not any(_matches(axis.unit, pattern) for pattern in config.exclude)]
    if not axes:
        raise TraceError(_nothing(graph, config, multiple))
    position = {axis.unit: index for index, axis in enumerate(axes) if axis.field == "keep"}
    owner_of = {
        (unit, field): position[block.name]
        for block in graph.blocks
        if block.name in position
        for field, units in (
            ("channels", [group.name for group in graph.inside(block)]),
            ("bits", [axis.unit for axis in axes if axis.field == "bits" and axis.unit.startswith(block.name + ".")]),
        )
        for unit in units
    }
    return SearchSpace(tuple(axes), tuple(owner_of.get((axis.unit, axis.field), -1) for axis in axes))


def _bits_axes(graph: ModelGraph, config: SpaceConfig, run: Sequence[tuple[int, int]]) -> list[Axis]:
    """Returns an axis for every layer that can have fewer bits; its last option is what the device runs as it is."""
    reference, int8 = reference_bits(run), {layer.name for layer in graph.layers}
    few = set(run) - {INT8_BITS, (FLOAT_BITS, FLOAT_BITS)}  # what is simulated here, a device on paper may run
    if not config.simulate and not few:
        offered = _precisions(config.bits, run)
        return [Axis(layer.name, "bits", offered) for layer in graph.layers]
    unknown = [width for width in config.bits if width not in KNOWN_BITS]
    if unknown:
        raise ConfigError(f"space.bits: no simulation of {unknown[0]} bits; known are 2 to 8, or 32 for float")
    pairs = set(_precisions(config.bits, run)) if few else set(itertools.product(config.bits, repeat=2))
    fewer = sorted(pairs - {reference}, key=lambda pair: (sum(pair), pair))
    offers = {  # int8 follows the runtime's rules even here
        layer.name: [pair for pair in (*fewer, reference) if pair != INT8_BITS or layer.name in int8]
        for layer in graph.weighted
    }
    return [
        Axis(name, "bits", tuple(options))
        for name, options in offers.items()
        if len(options) > 1 and options[-1] == reference
    ]


def _precisions(bits: Sequence[int], run: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Returns the precisions of layers that a configuration and a device have in common, the device's own last."""
    reference = reference_bits(run)
    offered = sorted(pair for pair in run if set(pair) <= set(bits) and pair != reference)
    missing = [width for width in bits if not any(width in pair for pair in (*offered, reference))]
    if missing:
        known = ", ".join(str(width) for width in sorted({width for pair in run for width in pair} - {FLOAT_BITS}))
        raise ConfigError(f"space.bits: the device does not run {missing[0]} bits; it runs: {known or 'float only'}")
    return (*offered, reference)


def _step(group: Group, multiple: int) -> int:
    """Returns the number of a group's channels by which its widths differ: as many outputs as the multiple says."""
    return 1 if group.unit == "heads" else max(1, multiple // group.size)


def _widths(channels: int, multiple: int, min_keep: float) -> tuple[int, ...]:
    smallest = min_keep * channels
    return (*(width for width in range(multiple, channels, multiple) if width >= smallest), channels)


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _nothing(graph: ModelGraph, config: SpaceConfig, multiple: int) -> str:
    reasons = _distinct(f"{group.name}: {group.frozen}" for group in graph.groups if group.frozen)
    small = [group.name for group in graph.prunable if group.channels <= _step(group, multiple)]
    if small and config.width:
        reasons.append(f"{', '.join(small)}: not wider than the channel multiple {multiple}")
    if not graph.groups:
        reasons.append("it has no convolution or linear layer that feeds another")
    return f"the model has nothing to compress ({'; '.join(reasons) or 'all units are excluded'})"


def _distinct(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
