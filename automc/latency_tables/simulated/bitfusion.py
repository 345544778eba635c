"""Bit Fusion: a systolic array whose multipliers split up into smaller ones.

Sharma et al., ISCA 2018 (arXiv 1712.01507). Each fusion unit has 16 BitBricks of 2 x 2 bits and makes, in a cycle, one
product of 8 x 8 bits, or 4 of 4 x 4, or 16 of 2 x 2; bits are rounded up to 2, 4 or 8 (the paper's 16 takes several
cycles and is left out here).

Figures are those of ``bf_e_conf.ini`` in the simulator that its authors released (github.com/hsharma35/bitfusion): 16
rows (inputs) by 32 columns (outputs) of fusion units at 500 MHz, 192 bits a cycle to memory, buffers of 64, 32 and
16 KB for weights, inputs and results. Cycles are those of its ``Accelerator.get_compute_cycles`` with im2col::

    n x images x ceil(m / 32) x ceil(k / (16 x (8 // weight bits) x (8 // activation bits)))

Assumptions of ours: half of a buffer is in use while the other half fills; of the two orders in which an operand stays
in its buffer, the one that moves less is taken (their simulator searches tilings exhaustively); inputs are read without
im2col, results written once, all at the rounded bits; memory and array work side by side; groups of a convolution
follow one another, so that a depthwise one has a single column of 32 at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from automc.latency_tables.products import Product
from automc.latency_tables.simulated._base import EVERY_PAIR, Accelerator, on_paper

_MOST = 8


@dataclass(frozen=True)
class Fusion:
    """A Bit Fusion array.

    Attributes:
        rows: fusion units for what is summed over.
        columns: fusion units for outputs.
        port_bits: bits to or from memory in a cycle.
        mhz: clock.
        weight_kb: buffer of the weights.
        input_kb: buffer of the inputs.
    """

    rows: int = 16
    columns: int = 32
    port_bits: int = 192
    mhz: float = 500.0
    weight_kb: float = 64.0
    input_kb: float = 32.0


class BitFusion(Accelerator):
    """A Bit Fusion array with its buffers and memory.

    Args:
        name: by which a configuration asks for it.
        fusion: its dimensions.
        batch: examples in one inference.
    """

    def __init__(self, name: str = "bitfusion", fusion: Fusion | None = None, batch: int = 1) -> None:
        self.fusion = fusion or Fusion()
        processor = f"Bit Fusion {self.fusion.rows}x{self.fusion.columns}, 45 nm"
        super().__init__(on_paper(name, processor, batch, self.fusion.rows, EVERY_PAIR), "bitfusion")

    def microseconds(self, product: Product, weights: int, activations: int) -> float:
        """Returns the longer of computing and moving."""
        fusion = self.fusion
        together = (_MOST // self.stored(weights)) * (_MOST // self.stored(activations))
        steps = ceil(product.m / fusion.columns) * ceil(product.k / (fusion.rows * together))
        computing = product.groups * product.images * product.n * steps
        moving = 8 * self.moved(product, weights, activations) / fusion.port_bits
        return max(computing, moving) / fusion.mhz

    def moved(self, product: Product, weights: int, activations: int) -> float:
        """Returns the bytes moved in the better of the two orders."""
        w, a = self.stored(weights) / 8, self.stored(activations) / 8
        left, right, results = product.weights * w, product.inputs * a, product.outputs * a
        passes = (ceil(left / (512 * self.fusion.weight_kb)), ceil(right / (512 * self.fusion.input_kb)))
        return min(left + right * passes[0], right + left * passes[1]) + results

    def stored(self, bits: int) -> int:
        """Returns the power of two that bits are rounded up to, at least 2."""
        return max(2, 1 << (bits - 1).bit_length())
