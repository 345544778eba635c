"""BISMO, a bit-serial matrix multiplication array, in the two sizes that HAQ searches for.

Umuroglu, Rasnayake and Själander, FPL 2018 (arXiv 1806.08862): operands are stored as planes of single bits. An array
of ``rows x columns`` dot-product units, each ``depth`` bits wide, multiplies one plane of weights by one of
activations, so a product takes ``weight bits x activation bits`` passes. Stages that fetch, execute and write results
run side by side.

Figures, and where each is from:

- edge: 8 x 256 x 8 at 200 MHz is what BISMO's README builds for the PYNQ-Z1, which has HAQ's Zynq-7020. HAQ's table of
  configurations gives 8 x 8 units and four 64-bit ports.
- cloud: HAQ's table gives 16 x 16 units and four 256-bit ports on a VU9P; its depth and clock are not in the paper.
  The array of costs that HAQ released, for that device, is a multiple of 256-bit words, and its sum without first
  and last layer is HAQ's published 189.8 ms at 200 MHz. (Both configurations were written down from memory of the
  paper; the array bears out those of the cloud, nothing here those of the edge.)

Assumptions, none of them in either paper, all of them read off that array (`benchmarks/latency/haq.py` takes each away
in turn):

- a row of an operand is padded to whole words of ``depth`` bits, in memory and in the array;
- images of a batch come one after the other and fetch the weights anew; a linear layer takes the batch as columns;
- as many groups of a grouped convolution as there are rows, and as fit into a word, are multiplied at once, as the
  blocks of one block-diagonal matrix;
- weights, activations and results have a port each. The array works on tiles in the better of two orders, and waits
  for the operand that does not stay;
- results are written at the bits of the activations. (The array never waits for results.)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from automc.latency_tables.products import Product
from automc.latency_tables.simulated._base import EVERY_PAIR, Accelerator, on_paper


@dataclass(frozen=True)
class Array:
    """A BISMO array.

    Attributes:
        rows: dot-product units for rows of the weights (D_m).
        columns: dot-product units for columns of the activations (D_n).
        depth: bits that each multiplies and adds up in a cycle (D_k).
        port_bits: bits that each operand's port moves in a cycle.
        mhz: clock.
        processor: the FPGA.
        energies: name of the energy table.
    """

    rows: int
    columns: int
    depth: int
    port_bits: int
    mhz: float
    processor: str
    energies: str


EDGE = Array(8, 8, 256, 64, 200.0, "BISMO 8x256x8 on Zynq-7020", "bismo-zynq7000")
CLOUD = Array(16, 16, 256, 256, 200.0, "BISMO 16x256x16 on VU9P", "bismo-ultrascale")


class Bismo(Accelerator):
    """A BISMO array with its memory.

    Args:
        name: by which a configuration asks for it.
        array: its dimensions.
        batch: examples in one inference.
    """

    def __init__(self, name: str = "bismo-cloud", array: Array = CLOUD, batch: int = 1) -> None:
        super().__init__(on_paper(name, array.processor, batch, array.rows, EVERY_PAIR), array.energies)
        self.array = array

    def microseconds(self, product: Product, weights: int, activations: int) -> float:
        """Returns cycles over the clock."""
        return self.cycles(product, weights, activations) / self.array.mhz

    def cycles(self, product: Product, weights: int, activations: int) -> float:
        """Returns how many cycles a product takes."""
        array, one, repeats = self.array, self.packed(product), product.images
        words = ceil(one.k / array.depth)
        down, across = ceil(one.m / array.rows), ceil(one.n / array.columns)
        computing = down * across * words * weights * activations
        left, right = self._fetched(one, weights, activations)
        written = one.m * one.n * activations / array.port_bits
        # tiles of weights stay while all activations pass, or the other way; the first tile has nothing to hide behind
        last = computing / (down * across)
        by_rows = max(computing + left / down, left + computing / down, right + computing * (1 - 1 / down) + last)
        by_columns = max(
            computing + right / across, right + computing / across, left + computing * (1 - 1 / across) + last
        )
        return repeats * one.groups * max(written, min(by_rows, by_columns))

    def moved(self, product: Product, weights: int, activations: int) -> float:
        """Returns what the three ports move, padding and im2col included."""
        one = self.packed(product)
        cycles = sum(self._fetched(one, weights, activations))
        bits = cycles * self.array.port_bits + one.m * one.n * activations
        return product.images * one.groups * bits / 8

    def _fetched(self, one: Product, weights: int, activations: int) -> tuple[float, float]:
        """Returns the cycles in which each operand of one image's group is fetched."""
        each = ceil(one.k / self.array.depth) * self.array.depth / self.array.port_bits
        return one.m * each * weights, one.n * each * activations

    def packed(self, product: Product) -> Product:
        """Returns the product of so many groups as run at once."""
        together = min(product.groups, self.array.rows // product.m, self.array.depth // product.k)
        if together < 2:
            return product
        groups = ceil(product.groups / together)
        return Product(product.m * together, product.k * together, product.n, groups, product.images, product.inputs)
