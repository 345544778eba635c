"""Latencies asked for per second of one core, in batches: of operators, and of whole networks (ResNet-56).

The table is made up: as large as a measured one, with values that grow with what there is to multiply; how fast it
answers does not depend on them. Operators are asked for as they are in the table, and at every width in between.
Policies are random and priced for the first time, all four metrics; what a cost model remembers between batches are
latencies of single operators.
"""

import json
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from automc.costs import CostModel
from automc.devices import LocalBench
from automc.graph import build_graph
from automc.latency_tables import Entry, LatencyTable, Overhead, Signature
from automc.models import CifarResNet
from automc.search_spaces import SearchSpace, build_space, load_preset, spread

OPERATORS, POLICIES, REPEATS = 20_000, 2_000, 15


def made_up(model: CostModel) -> LatencyTable:
    table = LatencyTable(LocalBench().device, Overhead(run=5.0, kernel=0.5, int8=0.5))
    for signature in model.all_signatures():
        us = 1 + 1e-3 * math.prod(signature.channels) * math.prod(dict(signature.rest).get("hw", (1,))) ** 0.5
        table.entries[signature] = Entry(us, 0.98 * us, 1.03 * us, runs=60)
    return table


def between(signatures: list[Signature], generator: np.random.Generator) -> list[Signature]:
    """Returns signatures of random widths between those that each operator has."""
    ranges: dict[object, list[tuple[int, ...]]] = {}
    for signature in signatures:
        ranges.setdefault((signature.family, len(signature.channels)), []).append(signature.channels)
    found = []
    for number in generator.integers(0, len(signatures), OPERATORS):
        one = signatures[number]
        known = ranges[one.family, len(one.channels)]
        other = known[generator.integers(len(known))]
        share = generator.random()
        channels = tuple(round(a + share * (b - a)) for a, b in zip(one.channels, other, strict=True))
        found.append(Signature(one.op, channels, one.rest))
    return found


def rates(count: int, ask: Callable[[int], object]) -> dict[str, int]:
    """Returns answers a second: of the first batch, and of those after it."""
    found = []
    for number in range(REPEATS + 1):
        start = time.process_time()
        ask(number)
        found.append(count / (time.process_time() - start))
    return {
        "first batch": round(found[0]),
        "median of the others": round(statistics.median(found[1:])),
        "slowest of the others": round(min(found[1:])),
    }


def policies(space: SearchSpace) -> list[np.ndarray]:
    return [spread(space, np.random.default_rng(number), POLICIES) for number in range(REPEATS + 1)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    device = LocalBench().device
    graph = build_graph(CifarResNet(9).eval(), torch.randn(1, 3, 32, 32))
    space = build_space(graph, load_preset("all"), device.channel_multiple, device.precisions)
    table = made_up(CostModel(graph, space))
    generator = np.random.default_rng(0)
    entries = list(table.entries)
    measured = [
        [entries[i] for i in generator.integers(0, len(entries), OPERATORS)] for _ in range(REPEATS + 1)
    ]  # fmt: skip
    others = [between(entries, generator) for _ in range(REPEATS + 1)]
    batches, model = policies(space), CostModel(graph, space, table)
    print(
        json.dumps(
            {
                "operators in the table": len(entries),
                "decisions of a policy": len(space.axes),
                "operators a second, measured": rates(OPERATORS, lambda number: table.lookup_many(measured[number])),
                "operators a second, any width": rates(OPERATORS, lambda number: table.lookup_many(others[number])),
                "networks a second": rates(POLICIES, lambda number: model.prices(batches[number])),
            },
            indent=1,
        )
    )
