"""Verifying that an exported file does what its recipe says, on the machine in front of us."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn
from torch.utils import _pytree as pytree

from automc.costs import Budget
from automc.devices import LocalBench, time_models
from automc.errors import RuntimeFailure
from automc.graph.probe import largest_difference
from automc.recipes.deployed import deployed_outputs, deployed_score, feeds
from automc.recipes.export import FORMATS, export_onnx
from automc.recipes.onnx_file import int8_layers
from automc.recipes.recipe import Recipe
from automc.tasks import Task, call, example

AGREEMENT = 1e-3
"""Largest difference between the file's outputs and the model's that is forgiven, relative to the largest or 1."""
INT8_AGREEMENT = 0.05
"""The same where layers have fewer bits: a sum in another order may round to the next level, and that others."""
SCORE_TOLERANCE = 0.005
"""Largest drop of the score, relative to the recorded one, that is forgiven."""
_EXAMPLES = 32


class Verification(BaseModel):
    """What a verification found.

    Attributes:
        difference: largest difference of outputs between the file and the model that the recipe makes.
        outputs_agree: whether it is small enough.
        score: of the file on the test set.
        recorded_score: what the recipe says.
        score_holds: whether the score is the recorded one, up to a small tolerance.
        us: median latency of the file here, microseconds.
        ratio: its latency divided by the original's, interleaved: [first quartile, median, third quartile].
        same_device: whether this is the device that the recipe was measured on; if not, why.
        keeps_latency_budget: for a latency budget on the same device, whether the median keeps it; else None.
        int8_asked: layers that the file has in int8; None for a ``.pt2`` file, which has the same numbers in float.
        int8_run: how many of them the runtime runs in int8 here.
        energy_uj: microjoules of one inference, as `Timing` has them; None where the machine does not say.
    """

    model_config = ConfigDict(extra="forbid")

    difference: float
    outputs_agree: bool
    score: float
    recorded_score: float | None
    score_holds: bool
    us: float
    ratio: tuple[float, float, float]
    same_device: str
    keeps_latency_budget: bool | None
    int8_asked: int | None = None
    int8_run: int | None = None
    energy_uj: float | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing that the recipe claims was found false."""
        return self.outputs_agree and self.score_holds and self.keeps_latency_budget is not False


def verify(recipe: Recipe, file: Path, task: Task, model: nn.Module) -> Verification:
    """Runs an exported file in a process without AutoMC and compares with the recipe.

    Args:
        recipe: what is claimed.
        file: the exported file.
        task: gives data and the original model.
        model: what the recipe makes; see `apply_recipe`.

    Raises:
        RuntimeFailure: the file cannot be run, or is that of another model.
    """
    bench = LocalBench(recipe.device.threads, recipe.device.batch)
    device = bench.device
    inputs = example(task, _EXAMPLES)
    with torch.no_grad():
        expected = call(model, inputs)
    got = deployed_outputs(file, [inputs], device)
    tensors = [leaf for leaf in pytree.tree_leaves(expected) if torch.is_tensor(leaf)]
    if [array.shape for array in got] != [tuple(tensor.shape) for tensor in tensors]:
        raise RuntimeFailure(f"{file}: its outputs have other shapes than those of the model that the recipe makes")
    difference = largest_difference([torch.from_numpy(array) for array in got], tensors)
    score = deployed_score(file, task, "test", expected, device)
    one = example(task, device.batch)
    with tempfile.TemporaryDirectory(prefix="automc-") as folder:
        original = Path(folder) / "original.onnx"
        export_onnx(task.model(), one, original)
        timing = time_models(bench, [original, file], [feeds(one)] * 2, "Measuring original and file")[1]
    recorded = recipe.figures.test_score
    worse = 0.0 if recorded is None else (recorded - score if task.higher_is_better else score - recorded)
    mismatch = device.mismatch(recipe.device)
    found = None if file.suffix == FORMATS["torch"] else int8_layers(file)
    if file.suffix == FORMATS["torch"]:
        mismatch = f"a .pt2 file runs in torch, the recipe's latency is that of {recipe.device.runtime}"
    return Verification(
        difference=difference,
        outputs_agree=difference <= (INT8_AGREEMENT if recipe.bits else AGREEMENT),
        score=score,
        recorded_score=recorded,
        score_holds=worse <= SCORE_TOLERANCE * abs(recorded or 1.0),
        us=timing.us,
        ratio=(timing.ratio_low, timing.ratio, timing.ratio_high),
        same_device=mismatch or "yes",
        keeps_latency_budget=None if mismatch else _keeps(recipe, timing.us, timing.ratio_low),
        int8_asked=None if found is None else len(found.asked),
        int8_run=None if found is None else len(found.run),
        energy_uj=timing.energy_uj,
    )


def _keeps(recipe: Recipe, us: float, ratio: float) -> bool | None:
    """Says whether the latency budgets hold; the favourable quartile decides, since machines are noisy."""
    budgets = [budget for budget in map(Budget.parse, recipe.budgets) if budget.metric == "latency"]
    if not budgets:
        return None
    return all((ratio if budget.relative else us) <= budget.value for budget in budgets)
