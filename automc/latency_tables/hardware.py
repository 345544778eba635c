"""The contract of what prices operators: a measured table, or an accelerator on paper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from automc.devices.device import Device
from automc.latency_tables.signature import Signature
from automc.latency_tables.validation import Validation

NINE_OF_TEN = 1.645
"""Standard deviations of a normal distribution within which nine of ten values lie."""

How = Literal["measured", "interpolated", "regressed", "roofline", "model", "imported"]
"""Where an answer comes from; ``model`` is the formula of a simulated accelerator, ``imported`` another's file."""


@dataclass(frozen=True)
class Estimate:
    """The latency of one operator, and how far to trust it.

    Attributes:
        us: microseconds.
        low: lower end of the interval in which nine of ten measurements of it would lie.
        high: upper end.
        how: where it comes from.
    """

    us: float
    low: float
    high: float
    how: How


class Hardware(ABC):
    """Something that a network may run on, as far as its costs go.

    A subclass answers for one operator at a time; the cost model adds up. It has a `device`, and may be asked for any
    signature that the network's kernels give (`automc.latency_tables.kernels`).

    Attributes:
        device: what it is, and which precisions it runs.
        per_layer: whether each operator with multiply-accumulates runs by itself at bits of its own, and nothing else
            costs anything, as on an accelerator; if not, kernels fuse and quantizers stand as in ONNX Runtime.
        energy_from: where its energies come from, for whoever reads them; None where it knows none.
        validations: how far it was off for whole networks.
        imported: from what file of another program it is; None where AutoMC measured or computes it.
    """

    device: Device
    per_layer: bool = False
    energy_from: str | None = None
    validations: tuple[Validation, ...] = ()
    imported: str | None = None

    @property
    @abstractmethod
    def run_us(self) -> float:
        """What each inference costs beyond its operators, in microseconds."""

    @abstractmethod
    def lookup(self, signature: Signature) -> Estimate:
        """Returns the latency of an operator by itself.

        Raises:
            TableError: nothing is known of it.
        """

    @abstractmethod
    def cost(self, signature: Signature) -> float:
        """Returns what an operator adds to a network's latency, in microseconds; raises TableError like `lookup`."""

    def energy(self, signature: Signature) -> float | None:
        """Returns what an operator adds to an inference's energy, in microjoules; None where nothing is known."""
        return None


class Wrapper(Hardware):
    """Hardware that answers as another does, but for what a subclass changes.

    Args:
        hardware: the other.
    """

    def __init__(self, hardware: Hardware) -> None:
        self._hardware, self.device = hardware, hardware.device
        self.per_layer, self.energy_from = hardware.per_layer, hardware.energy_from
        self.validations, self.imported = hardware.validations, hardware.imported

    @property
    def run_us(self) -> float:
        """What each inference costs beyond its operators, in microseconds."""
        return self._hardware.run_us

    def lookup(self, signature: Signature) -> Estimate:
        """Returns the latency of an operator by itself, as the other does."""
        return self._hardware.lookup(signature)

    def cost(self, signature: Signature) -> float:
        """Returns what an operator adds to a network's latency, as the other does."""
        return self._hardware.cost(signature)

    def energy(self, signature: Signature) -> float | None:
        """Returns what an operator adds to an inference's energy, as the other does."""
        return self._hardware.energy(signature)
