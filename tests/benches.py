"""A device that is not there: it answers at once, by a formula of the operators' weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from automc.devices import Bench
from automc.latency_tables import Signature
from automc.latency_tables.measure import REFERENCE
from tests.networks import device

Formula = Callable[[int, int], float]
REFERENCE_US = 10.0


def linear(inputs: int, outputs: int) -> Signature:
    """A layer that the device knows."""
    return Signature.of("linear", (inputs, outputs), n=(1,))


class FormulaBench(Bench):
    """Takes ``us(inputs, outputs)`` for linear layers, 10 µs for the reference; counts the layers it is asked for.

    Args:
        us: the formula.
        disturb: what a pass of a model is multiplied with, by (how often anything was asked before, model, pass).
    """

    def __init__(self, us: Formula, disturb: Callable[[int, int, int], float] = lambda *_: 1.0) -> None:
        self.device = device()
        self.asked: list[int] = []
        self._us, self._disturb = us, disturb

    def run(
        self, action: str, description: str, steps: int, models: Sequence[Path], inputs: Any = (), **arguments: Any
    ) -> Any:
        if action == "clock":
            return {"us": [[[100.0] * arguments["runs"]] * arguments["passes"] for _ in models], "uj": None}
        answer: list[dict[str, Any]] = []
        asked: set[tuple[int, ...]] = set()
        for number, path in enumerate(models):
            graph = onnx.load(path).graph
            shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
            us: dict[str, float] = {}
            for node in graph.node:
                if node.name.endswith(".op"):
                    weight = next((shapes[name] for name in node.input if name.endswith(".w")), None)
                    known = node.op_type == "Gemm" and weight is not None
                    asked |= {weight} if known and weight else set()
                    us[node.name] = self._us(weight[1], weight[0]) if known and weight else REFERENCE_US
            factors = [self._disturb(len(self.asked), number, turn) for turn in range(arguments["passes"])]
            passes = [{name: [value * f] * arguments["runs"] for name, value in us.items()} for f in factors]
            answer.append({"passes": passes, "graph": None})
        self.asked.append(len(asked))
        return answer


assert REFERENCE.op.startswith("conv")  # which the formula is not asked for
