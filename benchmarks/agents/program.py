"""How long an integer program takes on the problems of the papers, with made-up sensitivities; no data is read.

``python benchmarks/agents/program.py [resnet56|bits|resnet20|vgg16]``, all of them by default:

- ``resnet56``: every number of channels of its 27 inner widths, half of the MACs;
- ``bits``: 54 layers with any of 49 pairs of bits, the latency of 4/4 bits on the BISMO cloud model;
- ``resnet20``: every width, block and int8 at 40% of the latency of a made-up processor, on which widths have steps,
  int8 is three times as fast, tensors that change their precision take time, and an addition is free in a convolution;
- ``vgg16``: a quarter of its width, any multiple of 8, on the same processor: tables over pairs of neighbours.

A program is written once and solved ``SOLVES`` times, each for other harms around the first ones, as whoever learns
from scores would.
"""

import json
import sys
import time
import zlib

import numpy as np
import torch

from automc.agents.program import Program
from automc.costs import Budget, CostModel, Projection
from automc.devices import Device
from automc.errors import TableError
from automc.graph import ModelGraph, build_graph
from automc.latency_tables import Hardware, Signature
from automc.latency_tables.hardware import Estimate
from automc.latency_tables.products import products_of
from automc.latency_tables.simulated import make_accelerator
from automc.models import VGG16, CifarResNet
from automc.search_spaces import SearchSpace, SpaceConfig, build_space

SOLVES = 20


class Processor(Hardware):
    """A processor that nobody has: 20 GMAC/s in float and 60 in int8, 8 GB/s, blocks of 8 channels, 2 us a kernel."""

    device = Device(
        name="made-up",
        processor="made-up",
        instructions=(),
        runtime="a model",
        channel_multiple=8,
        precisions=((8, 8), (32, 32)),
    )

    @property
    def run_us(self) -> float:
        """What an inference costs beyond its operators."""
        return 5.0

    def lookup(self, signature: Signature) -> Estimate:
        """Returns the latency as if it were known exactly."""
        us = self.cost(signature)
        return Estimate(us, us, us, "model")

    def cost(self, signature: Signature) -> float:
        """Returns time for products and for what moves, and up to 5% that follow no rule."""
        blocks = tuple(-(-width // 8) * 8 if width > 4 else width for width in signature.channels)
        whole = Signature(signature.op, blocks, signature.rest)
        int8 = signature.bits != (32, 32)
        try:
            macs = sum(product.macs for product in products_of(whole))
        except TableError:
            macs = 0
        points = float(np.prod(dict(signature.rest).get("hw", (1,))))
        moved = sum(blocks) * points * (1 if int8 else 4)
        us = 2 + macs / (60e3 if int8 else 20e3) + moved / 8e3
        return us * (1 + 0.05 * zlib.crc32(str(signature).encode()) / 2**32)


def made_up(space: SearchSpace, generator: np.random.Generator) -> list[np.ndarray]:
    """Returns harms that fall with what is kept, other for each axis by a factor of about three up or down."""
    harms = []
    for axis, size in zip(space.axes, space.sizes.tolist(), strict=True):
        scale = np.exp(generator.normal())
        if axis.field == "bits":
            pairs = np.minimum(np.array(axis.options, dtype=float), 16)
            harm = scale * (4.0 ** -pairs[:, 0] + 4.0 ** -pairs[:, 1])
            harm -= harm[-1]
        elif axis.field == "keep":
            harm = np.array([scale * 0.3, 0.0])
        else:
            harm = scale * 0.2 * (1 - np.arange(1, size + 1) / size) ** 1.5
        harms.append(np.maximum(harm, 0.0) * np.append(generator.uniform(0.9, 1.1, size - 1), 0.0))
    return harms


def graph_of(job: str) -> ModelGraph:
    """Returns the network, whose weights do not matter."""
    torch.manual_seed(0)
    if job == "vgg16":
        return build_graph(VGG16(width=0.25).eval(), torch.randn(1, 3, 32, 32))
    return build_graph(
        CifarResNet(blocks=3 if job == "resnet20" else 9).eval(), torch.randn(16 if job == "bits" else 1, 3, 32, 32)
    )


def problem(job: str) -> Projection:
    """Returns what is searched."""
    graph = graph_of(job)
    if job == "resnet56":
        space = build_space(graph, SpaceConfig(depth=False, channel_multiple=1, min_keep=1e-3), 1)
        return Projection(CostModel(graph, space), [Budget.parse("macs<=50%")])
    if job == "bits":
        paper = make_accelerator("bismo-cloud", 16)
        config = SpaceConfig(width=False, depth=False, bits=tuple(range(2, 9)), exclude=("conv1", "linear"))
        space = build_space(graph, config, 1, paper.device.precisions)
        costs = CostModel(graph, space, paper)
        four = np.array([axis.options.index((4, 4)) for axis in space.axes])
        return Projection(costs, [Budget.parse(f"latency<={costs.prices(four[None])['latency'][0]:.9f}us")])
    processor = Processor()
    config = SpaceConfig(channel_multiple=1, bits=(8,)) if job == "resnet20" else SpaceConfig(channel_multiple=8)
    space = build_space(graph, config, 8, processor.device.precisions)
    return Projection(CostModel(graph, space, processor), [Budget.parse("latency<=40%")])


if __name__ == "__main__":
    torch.set_num_threads(1)
    for job in sys.argv[1:] or ("resnet56", "bits", "resnet20", "vgg16"):
        projection = problem(job)
        space = projection.model.space
        began = time.perf_counter()
        program = Program(projection)
        built = time.perf_counter() - began
        first = made_up(space, np.random.default_rng(0))
        found = []
        for number in range(SOLVES):
            noise = np.random.default_rng([1, number])
            found.append(program.solve([each * noise.uniform(0.7, 1.4) for each in first]))
        seconds = np.array([each.seconds for each in found])
        answer = {
            "axes": len(space.axes),
            "options": int(space.sizes.sum()),
            "all looked at": program.exact,
            "columns": program.shape[1],
            "rows": program.shape[0],
            "seconds to write it": round(built, 3),
            "seconds to solve it, median": round(float(np.median(seconds)), 3),
            "longest": round(float(seconds.max()), 3),
            "largest gap": max((each.gap for each in found if each.gap is not None), default=None),
            "solved": sum(each.status == "optimal" for each in found),
            "of": SOLVES,
        }
        print(json.dumps({job: answer}, indent=1), flush=True)
