"""What one network will cost on a device: latency with how far to trust it, and everything else."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from automc.costs.model import Cost, CostModel
from automc.devices import Device
from automc.errors import ConfigError, TableError
from automc.graph import ModelGraph
from automc.latency_tables import Accelerator, Hardware, Signature
from automc.latency_tables.hardware import NINE_OF_TEN, How
from automc.search_spaces import Choice, Policy, SearchSpace, SpaceConfig, build_space


@dataclass(frozen=True)
class Operator:
    """One operator of a network; microseconds.

    Attributes:
        name: the module that it is in, and its kind.
        signature: what it is.
        us: what it adds to the network's latency.
        low: lower end of the interval in which nine of ten measurements would lie.
        high: upper end.
        how: where that comes from.
    """

    name: str
    signature: Signature
    us: float
    low: float
    high: float
    how: How


@dataclass(frozen=True)
class Forecast:
    """What one network will cost; microseconds.

    Attributes:
        cost: all metrics.
        low: lower end of the interval; where the table was validated, nine of ten measured latencies lie in it.
        high: upper end.
        interval: what it takes into account, and how operators' intervals were added up.
        run_us: what an inference costs beyond its operators.
        operators: what the network runs, in order.
    """

    cost: Cost
    low: float
    high: float
    interval: str
    run_us: float
    operators: tuple[Operator, ...]

    @property
    def us(self) -> float:
        """Predicted latency."""
        return self.cost.get("latency")

    @property
    def shares(self) -> dict[How, float]:
        """Which share of the operators' latency comes from where, largest first; 1 in all."""
        parts: dict[How, float] = defaultdict(float)
        for operator in self.operators:
            parts[operator.how] += operator.us
        whole = sum(parts.values()) or 1.0
        return {how: part / whole for how, part in sorted(parts.items(), key=lambda item: -item[1])}

    @property
    def counts(self) -> dict[How, int]:
        """How many operators come from where."""
        return {how: sum(operator.how == how for operator in self.operators) for how in self.shares}


def forecast(graph: ModelGraph, hardware: Hardware, policy: Policy | None = None) -> Forecast:
    """Predicts what a network costs under a policy.

    Args:
        graph: the network, read with as many examples as one inference of the device has.
        hardware: a latency table, or an accelerator on paper.
        policy: what is chosen; units that it does not speak of stay as they are. None for the network as it is.

    Raises:
        TableError: operators are not in the table and cannot be interpolated, or the device does not run these bits.
        ConfigError: the policy is of another network.
    """
    chosen = Policy({}) if policy is None else policy
    _refuse_bits(chosen, hardware.device)
    model = CostModel(graph, space_of(graph, chosen, hardware.device), hardware)
    index = model.space.encode(_filled(model.space, chosen))
    operators, unknown = [], []
    for name, signature in model.operators(index):
        try:
            estimate, us = hardware.lookup(signature), hardware.cost(signature)
        except TableError as error:
            unknown.append(error)
            continue
        # a mean may lie outside of its own quartiles, which the clock's ticks make coarse
        low = max(us - max(estimate.us - estimate.low, 0.0), 0.0)
        high = us + max(estimate.high - estimate.us, 0.0)
        operators.append(Operator(name, signature, us, low, high, estimate.how))
    if unknown:
        total = len(unknown) + len(operators)
        raise TableError(f"{len(unknown)} of the network's {total} operators are not known: {unknown[0]}")
    cost = model.cost(model.space.decode(index))
    us = cost.get("latency")
    common, said = _common_error(hardware)
    down, up = add_up(operators, us, common)
    return Forecast(cost, max(us - down, 0.0), us + up, said, hardware.run_us, tuple(operators))


def add_up(operators: Sequence[Operator], us: float, common: float | None) -> tuple[float, float]:
    """Returns how far below and above its prediction a network's latency may lie, in microseconds.

    Operators of one signature have one entry of the table, so that their errors are the same and add up. Those of
    different signatures are taken as independent, beside an error that all have in common: the root of the sum of
    squares. Where nothing is known of a common error, all are added up as if they had the same sign: the widest that
    the intervals allow.

    Args:
        operators: with their own intervals.
        us: the network's predicted latency.
        common: half of the interval of the common error, as a share of it; None if unknown.
    """
    sums: dict[Signature, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for operator in operators:
        sums[operator.signature][0] += operator.us - operator.low
        sums[operator.signature][1] += operator.high - operator.us
    sides = [[side[number] for side in sums.values()] for number in (0, 1)]
    if common is None:
        return sum(sides[0]), sum(sides[1])
    return math.hypot(common * us, *sides[0]), math.hypot(common * us, *sides[1])


def space_of(graph: ModelGraph, policy: Policy, device: Device) -> SearchSpace:
    """Returns the smallest space that has a policy: every unit as the policy has it, or as it is in the original.

    Raises:
        ConfigError: the policy has a unit or a choice that the network or the device does not offer.
        TraceError: nothing of the network can be chosen.
    """
    pairs = [(choice.weight_bits, choice.activation_bits) for choice in policy.values()]
    bits = tuple(sorted({width for pair in pairs for width in pair if width is not None}))
    config = SpaceConfig(channel_multiple=1, min_keep=1e-9, bits=bits)
    whole = build_space(graph, config, 1, device.precisions)
    chosen = whole.encode(_filled(whole, policy))
    offered = {(axis.unit, axis.field) for axis in whole.axes}
    for unit, choice in policy.items():
        for field in choice.to_dict():
            if (unit, "bits" if field.endswith("_bits") else field) not in offered:
                raise ConfigError(f"the policy chooses {field} for {unit}, which is nothing to choose there")
    axes = [  # a block's first option is to go, wherever it is looked at
        axis if axis.field == "keep" else replace(axis, options=(*{axis.options[index]: 0, axis.options[-1]: 0},))
        for axis, index in zip(whole.axes, chosen, strict=True)
    ]
    return replace(whole, axes=tuple(axes))


def _filled(space: SearchSpace, policy: Policy) -> Policy:
    """Returns a policy with the units that it does not speak of as they are."""
    choices = dict(policy)
    for axis in space.axes:
        choice = choices.get(axis.unit, Choice())
        choices[axis.unit] = choice if axis.chosen(choice) is not None else axis.choose(choice, axis.options[-1])
    return Policy(choices)


def _refuse_bits(policy: Policy, device: Device) -> None:
    for unit, choice in policy.items():
        bits = (choice.weight_bits, choice.activation_bits)
        if bits != (None, None) and bits not in device.precisions:
            raise TableError(f"{unit}: {device.name} does not run {choice.precision}, which so have no latency on it")


def _common_error(hardware: Hardware) -> tuple[float | None, str]:
    """Returns half the interval of the error that all operators have in common, as a share, and what that makes."""
    if isinstance(hardware, Accelerator):
        return 0.0, "by its model alone; how far a real one would be off is not known"
    if not hardware.validations:
        return None, (
            "by operators' own errors, as if all had the same sign; how far off it is for whole networks was never "
            "validated"
        )
    worst = max(hardware.validations, key=lambda validation: validation.rmspe)
    return NINE_OF_TEN * worst.rmspe, (
        f"nine of ten measurements, by operators' errors, independent, and a common one of {100 * worst.rmspe:.1f}%: "
        f"RMSPE of {worst.subject}, the worst of the table's validations"
    )
