"""What works on which network, from the trace to the file that runs: one row a network, in Markdown.

Weights are random; what a network is trained for does not matter here. A cell is a figure, or why there is none.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' networks

import numpy as np
import torch
from _handwritten import densenet, resnext, squeeze_excite
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from automc.compression import Calibration, Compressed, Compressor, quantize, rebuild
from automc.costs import CostModel
from automc.devices import Device
from automc.errors import AutoMCError, one_line
from automc.graph import Group, ModelGraph, build_graph
from automc.graph.probe import largest_difference
from automc.latency_tables.micro import side_by_side
from automc.models import VGG16, CifarResNet, MobileNetV1, MobileNetV2
from automc.recipes import export_onnx
from automc.recipes.deployed import deployed_outputs
from automc.recipes.onnx_file import int8_layers
from automc.search_spaces import Policy, SearchSpace, SpaceConfig, build_space
from automc.search_spaces.policy import INT8_BITS
from automc.tasks import Inputs, call
from tests.foreign import FOREIGN, foreign
from tests.networks import randomize

INPUTS, KEPT = 64, 0.7

OWN: dict[str, Callable[[], nn.Module]] = {
    "VGG-16": VGG16,
    "Plain-20": partial(CifarResNet, 3, option="none"),
    "ResNet-20": partial(CifarResNet, 3),
    "ResNet-56": partial(CifarResNet, 9),
    "MobileNetV1": partial(MobileNetV1, classes=10, stride=8),
    "MobileNetV2": partial(MobileNetV2, classes=10, stride=8),
    "concatenation (DenseNet)": densenet,
    "squeeze and excitation": squeeze_excite,
    "grouped convolutions (ResNeXt)": resnext,
}


def own(name: str) -> tuple[nn.Module, Inputs]:
    images = torch.randn(INPUTS, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return randomize(OWN[name](), seed=0), images


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Inputs]]] = {
    **{name: partial(own, name) for name in OWN},
    **{f"{name} (transformers)": partial(foreign, name, INPUTS) for name in FOREIGN},
}


class EarlierError(Exception):
    """What a cell needs has failed in an earlier one, which says why."""


class Step:
    """An attribute that is made once; where that fails, the first who asks gets the error."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make, self._name = make, make.__name__

    def __get__(self, row: Any, _: Any = None) -> Any:
        if self._name not in row.made:
            row.made[self._name] = EarlierError()
            row.made[self._name] = self._make(row)
        if isinstance(row.made[self._name], EarlierError):
            raise row.made[self._name]
        return row.made[self._name]


class Row:
    """One network on its way; a method that returns text is a cell."""

    def __init__(self, make: Callable[[], tuple[nn.Module, Inputs]], folder: Path) -> None:
        self._start, self._folder, self.made = make, folder, {}

    @Step
    def start(self) -> tuple[nn.Module, Inputs]:
        model, inputs = self._start()
        return settled(model, inputs), inputs

    @Step
    def graph(self) -> ModelGraph:
        model, inputs = self.start
        return build_graph(model, first(inputs, 1))

    @Step
    def space(self) -> SearchSpace:
        return build_space(self.graph, SpaceConfig(bits=(8,), min_keep=0.01), 1, Device.local().precisions)

    @Step
    def costs(self) -> CostModel:
        return CostModel(self.graph, self.space)

    @Step
    def compressor(self) -> Compressor:
        model, inputs = self.start
        return Compressor(model, self.graph, Calibration(inputs))

    def policy(self, int8: bool) -> Policy:
        return self.space.decode(self.index(int8))

    def index(self, int8: bool) -> np.ndarray:
        """Returns the policy that keeps about 70% of the channels of all groups, in float or all that can in int8."""
        index = self.space.full.copy()
        for number, axis in enumerate(self.space.axes):
            if self.space.is_width[number]:
                wanted = KEPT * axis.options[-1]
                index[number] = min(range(len(axis.options)), key=lambda i: abs(axis.options[i] - wanted))
            elif int8 and axis.field == "bits" and INT8_BITS in axis.options:
                index[number] = axis.options.index(INT8_BITS)
        return index

    @Step
    def pruned(self) -> Compressed:
        return self.compressor.prune(self.policy(int8=True))

    @Step
    def floating(self) -> nn.Module:
        """Returns the pruned network as it is without its refit, which fits the noise that the inputs are."""
        model, inputs = self.start
        return settled(rebuild(model, self.graph.groups, self.pruned.kept, self.pruned.dropped), inputs)

    @Step
    def quantized(self) -> nn.Module:
        if not self.pruned.bits:
            raise ValueError("no layer can")
        return quantize(self.floating, self.start[1], self.pruned.bits)

    @Step
    def float_file(self) -> Path:
        return self._export(self.floating, "float.onnx")

    @Step
    def int8_file(self) -> Path:
        return self._export(self.quantized, "int8.onnx")

    def _export(self, model: nn.Module, name: str) -> Path:
        export_onnx(model, first(self.start[1], 1), self._folder / name)
        return self._folder / name

    def traced(self) -> str:
        return f"{len(self.graph.ops)} operators"

    def groups(self) -> str:
        return f"{len(self.graph.prunable)} of {len(self.graph.groups)}"

    def blocks(self) -> str:
        return str(len(self.graph.blocks))

    def coupled(self) -> str:
        return str(max((len(layers_of(self.start[0], group)) for group in self.graph.prunable), default=0))

    def left(self) -> str:
        """Returns the share of the parameters that are left."""
        before, after = (sum(p.numel() for p in m.parameters()) for m in (self.start[0], self.floating))
        return f"{100 * after / before:.0f}% left"

    def exact(self) -> str:
        said = []
        for name, int8 in (("float", False), ("int8", True)):
            if int8 and not self.graph.layers:
                continue
            built = self.quantized if int8 else self.floating
            want, found = self.costs.cost(self.policy(int8)), counted(built, first(self.start[1], 1))
            wrong = [f"{name} {m} {want.get(m):.0f}, built {n:.0f}" for m, n in found.items() if want.get(m) != n]
            said += wrong
        return "; ".join(said) or "yes"

    def exported(self) -> str:
        return f"{self.float_file.stat().st_size / 1e3:.0f} kB"

    def int8(self) -> str:
        found = int8_layers(self.int8_file)
        return f"{len(found.run)} of {len(found.asked)} (of {found.layers})"

    def agree_float(self) -> str:
        return agreement(self._deployed(self.float_file), self._simulated(self.floating))

    def agree_int8(self) -> str:
        """Returns the agreement, and beside it what another order of sums alone does to the simulation."""
        simulated = self._simulated(self.quantized)
        with torch.backends.mkldnn.flags(enabled=False):
            other = self._simulated(self.quantized)
        return f"{agreement(self._deployed(self.int8_file), simulated)} ({agreement(other, simulated)})"

    @torch.no_grad()
    def _simulated(self, model: nn.Module) -> list[Tensor]:
        return tensors(call(model, self.start[1]))

    def _deployed(self, file: Path) -> list[Tensor]:
        return [torch.from_numpy(array) for array in deployed_outputs(file, [self.start[1]], Device.local())]

    def latency(self) -> str:
        """Returns which operators have no measurement."""
        missing = set()
        indices = [self.space.full, self.index(int8=False), self.index(int8=True)]
        for signature in {signature for index in indices for signature in self.costs.signatures(index)}:
            try:
                side_by_side([signature])
            except AutoMCError:
                missing.add(signature.op)
        return f"not {', '.join(sorted(missing))}" if missing else "yes"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "traced": Row.traced,
    "groups that can be cut": Row.groups,
    "blocks": Row.blocks,
    "layers in the largest": Row.coupled,
    "all cut by 30%": Row.left,
    "costs as predicted": Row.exact,
    "exported": Row.exported,
    "float: same top-1, difference": Row.agree_float,
    "int8 layers run of asked": Row.int8,
    "int8: same top-1, difference (sums in another order)": Row.agree_int8,
    "latency can be priced": Row.latency,
}


@torch.no_grad()
def settled(model: nn.Module, inputs: Inputs) -> nn.Module:
    """Returns the model with BatchNorms that have seen the inputs: activations are as large as in a trained one."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over all that was seen
        norm.reset_running_stats()
        norm.train()
    call(model, inputs)
    for norm in norms:  # of what is always the same it would make noise 300 times as large
        norm.running_var.clamp_(min=0.05)
    return model.eval()


def first(inputs: Inputs, n: int) -> Inputs:
    return pytree.tree_map(lambda tensor: tensor[:n], inputs)


def agreement(outputs: list[Tensor], expected: list[Tensor]) -> str:
    """Returns for how many inputs the top-1 class is the same, and the largest difference."""
    # with random weights one class is nearly always largest: what all inputs have in common is taken off
    usual = expected[0].mean(0)
    same = ((outputs[0] - usual).argmax(-1) == (expected[0] - usual).argmax(-1)).double().mean().item()
    return f"{100 * same:.0f}%, {largest_difference(outputs, expected):.0e}"


def tensors(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(outputs) if torch.is_tensor(leaf)]


def layers_of(model: nn.Module, group: Group) -> set[str]:
    """Returns the modules with a weight matrix that a group narrows."""
    weights = {member.module: getattr(model.get_submodule(member.module), "weight", None) for member in group.members}
    return {name for name, weight in weights.items() if isinstance(weight, Tensor) and weight.ndim > 1}


def counted(model: nn.Module, inputs: Inputs) -> dict[str, float]:
    """Returns what a network costs as others count it, for one example."""
    # attention as products of matrices: its kernel for the CPU is not counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        call(model, inputs)
    held = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}.values()
    return {
        "macs": counter.get_total_flops() / 2,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "size": sum(tensor.numel() * tensor.element_size() for tensor in held),
    }


def cell(row: Row, fill: Callable[[Row], str]) -> str:
    try:
        return fill(row)
    except EarlierError:
        return "–"
    except Exception as error:  # whatever it is, it is what the cell says
        return one_line(error, 120).replace("|", "/")


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", help="networks whose names contain this")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    print(line(["network", *COLUMNS]))
    print(line(["---"] * (1 + len(COLUMNS))), flush=True)
    for name, make in NETWORKS.items():
        if only and not any(part.lower() in name.lower() for part in only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = Row(make, Path(folder))
            print(line([name, *(cell(row, fill) for fill in COLUMNS.values())]), flush=True)
