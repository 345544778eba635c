"""What simulated accelerators have in common: operators become matrix products, which each of them prices."""

from __future__ import annotations

from abc import abstractmethod

from automc.devices.device import Device
from automc.errors import TableError
from automc.latency_tables.energy import energy_table
from automc.latency_tables.hardware import Estimate, Hardware
from automc.latency_tables.products import Product, products_of
from automc.latency_tables.signature import Signature

BITS = range(1, 9)
"""What the bit-flexible accelerators run, weights and activations each."""
EVERY_PAIR = tuple((weights, activations) for weights in BITS for activations in BITS)


class Accelerator(Hardware):
    """A model of an accelerator: nothing of it was measured here.

    Convolutions, linear layers, matrix products and attention are priced, one after the other. All other operators
    (BatchNorm, activations, additions, pooling, normalisation, softmax) are free, in time and in energy: BISMO leaves
    them to the host, Bit Fusion has units for pooling and activations behind its array, and HAQ, whose figures are
    what such a model is held against, counts convolutions and linear layers alone. Tensors change their precision
    for nothing, and an inference costs nothing beyond its operators.

    Args:
        device: its name, batch and precisions.
        energies: the name of its energy table.
    """

    per_layer = True

    def __init__(self, device: Device, energies: str) -> None:
        self.device, self._energies = device, energy_table(energies)
        self.energy_from: str | None = f"the model of {device.name}, not measured"

    @property
    def run_us(self) -> float:
        """Nothing."""
        return 0.0

    def lookup(self, signature: Signature) -> Estimate:
        """Returns the latency of an operator by the model.

        Raises:
            TableError: it has products at bits that the device does not run.
        """
        us = self.cost(signature)
        return Estimate(us, us, us, "model")

    def cost(self, signature: Signature) -> float:
        """Returns the latency of an operator in microseconds, 0 without products; raises TableError like `lookup`."""
        return sum(self.microseconds(each, *self._bits(signature, each)) for each in products_of(signature))

    def energy(self, signature: Signature) -> float:
        """Returns the energy of an operator in microjoules: its multiply-accumulates, and what moves.

        Nothing is counted for a part of the array that has nothing to do, nor for leakage.

        Raises:
            TableError: as `lookup`.
        """
        return sum(self._microjoules(each, *self._bits(signature, each)) for each in products_of(signature))

    @abstractmethod
    def microseconds(self, product: Product, weights: int, activations: int) -> float:
        """Returns how long a product takes at bits that the device runs."""

    @abstractmethod
    def moved(self, product: Product, weights: int, activations: int) -> float:
        """Returns the bytes that go from and to main memory for a product."""

    def stored(self, bits: int) -> int:
        """Returns the bits that the device really computes with when asked for so many."""
        return bits

    def _microjoules(self, product: Product, weights: int, activations: int) -> float:
        moved = self.moved(product, weights, activations)
        return self._energies.microjoules(product.macs, moved, self.stored(weights), self.stored(activations))

    def _bits(self, signature: Signature, product: Product) -> tuple[int, int]:
        bits = signature.bits if product.weighted else signature.bits[1:] * 2
        if bits not in self.device.precisions:
            raise TableError(f"{self.device.name} does not run '{signature}'; it runs {_told(self.device)}")
        return bits


def on_paper(
    name: str, processor: str, batch: int, channel_multiple: int, precisions: tuple[tuple[int, int], ...]
) -> Device:
    """Returns the description of an accelerator.

    Args:
        name: by which a configuration asks for it.
        processor: what is modelled.
        batch: examples in one inference.
        channel_multiple: widths that leave nothing of the array unused.
        precisions: (weight bits, activation bits) that it runs.
    """
    return Device(
        name=name,
        processor=processor,
        instructions=(),
        runtime="a model",
        batch=batch,
        channel_multiple=channel_multiple,
        precisions=precisions,
    )


def _told(device: Device) -> str:
    pairs = sorted(set(device.precisions))
    if pairs == sorted(EVERY_PAIR):
        return f"weights and activations of {BITS[0]} to {BITS[-1]} bits each, no float"
    return ", ".join("float" if pair == (32, 32) else "{}/{} bits".format(*pair) for pair in pairs)
