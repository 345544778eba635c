"""Recovery without training: each layer's weights refitted to what the original layer put out.

As in AMC, after channel pruning by He et al. (ICCV 2017): minimise ‖Y − X Wᵀ − b‖² over sampled positions, where Y is
the original's output and X the compressed network's input of the layer, here with a ridge towards the weights that
the layer has. The last layer before a residual addition is fitted to the original's sum less what the compressed
network adds, as in section 3.3 there, so that the error of the residual stream does not pile up.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from automc.compression.apply import Compressed
from automc.compression.calibration import count, say_once, take
from automc.compression.recovery.refit import Refit, Target
from automc.compression.recovery.sites import find_sites
from automc.compression.recovery.sums import Sums
from automc.compression.rows import Sampler, is_matrix, positions_of, sampled_outputs
from automc.errors import SearchError, TaskError, lacking
from automc.graph import ModelGraph
from automc.tasks import Inputs, call
from automc.tasks.checks import check_model

_POSITIONS = 16
_BYTES = 2**25  # of the largest activation of a batch: some of that size are alive at a time


class LeastSquares:
    """Refits compressed copies of one network.

    What the original puts out is computed once; a refit is then one forward pass of the compressed network in which
    every layer is refitted just before it is used, so that each sees what the layers before it really give. Layers that
    run before anything has changed see what they saw in the original: they are left exactly as they are.

    All examples go through the compressed network at once, since each layer needs all of them before the next may run;
    only their rows are taken in parts. Where memory does not suffice, half of the examples are left out.

    Args:
        model: the original network.
        graph: its graph.
        inputs: calibration inputs, all in one batch.
        seed: seeds the sampled positions.
        bias_correction: also refit intercepts: a layer's bias, or the mean of the BatchNorm behind it.
        sum_correction: fit what goes into a residual addition to the original's sum.

    Raises:
        TaskError: weights or outputs of the original are not finite.
        SearchError: there is too little memory for a single example.
    """

    def __init__(
        self,
        model: nn.Module,
        graph: ModelGraph,
        inputs: Inputs,
        seed: int = 0,
        bias_correction: bool = True,
        sum_correction: bool = True,
    ) -> None:
        self._graph, self._inputs, self._bias_correction = graph, inputs, bias_correction
        self._examples = count(inputs)
        self._batch = min(self._examples, _batch_size(graph))
        self._used = self._examples
        self._sampler = Sampler(self._examples, _POSITIONS, seed)
        self._sites = find_sites(model, graph)
        self._summed = {name: site for name, site in self._sites.items() if site.summed and sum_correction}
        self._order: list[str] = []
        self._targets: dict[str, Target] = {}
        check_model(model)
        while True:
            try:
                self._observe(copy.deepcopy(model).eval())
                break
            except Exception as error:
                self._batch = _half(self._batch, error)
        self._say_if_few(model)

    @torch.no_grad()
    def refit(self, compressed: Compressed) -> None:
        """Refits the layers of a compressed network, in place.

        The forward pass may run under autocast without its cache; sampled rows are refitted in float32.

        Raises:
            TaskError: what the compressed network computes is not finite.
            SearchError: there is too little memory for a single example.
        """
        outputs = _kept_outputs(self._graph, compressed.kept)
        as_it_was = self._before(_changed(self._graph, compressed))
        targets = {
            name: target.of_outputs(outputs[name]) if name in outputs else target
            for name, target in self._targets.items()
            if name not in as_it_was
        }
        before = {name: tensor.clone() for name, tensor in compressed.model.state_dict().items()}
        while True:
            used = {name: target.of_examples(self._used) for name, target in targets.items()}
            try:
                Refit(compressed.model, used, self._bias_correction).run(take(self._inputs, 0, self._used))
                return
            except Exception as error:
                self._used = _half(self._used, error)
            say_once(f"Least squares: memory does not suffice; going on with {self._used} calibration examples")
            compressed.model.load_state_dict(before)

    def _before(self, changed: set[str]) -> set[str]:
        """Returns the modules that run before the first of those that changed."""
        return set(itertools.takewhile(lambda name: name not in changed, self._order))

    @torch.no_grad()
    def _observe(self, original: nn.Module) -> None:
        """Notes, at sampled positions, what the layers of the original put out."""
        order: list[str] = []
        rows: dict[str, list[Tensor]] = {}
        counts: dict[str, int] = {}
        summed: set[str] = set()
        twice: set[str] = _shared(original)
        start = 0

        def note(name: str, layer: nn.Module, output: Tensor) -> None:
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            if len(rows.get(name, [])) > start // self._batch:
                twice.add(name)
                return
            counts[name] = positions_of(layer, output)
            rows.setdefault(name, []).append(sampled_outputs(layer, output, self._positions(counts[name], start)))

        def note_sum(name: str, result: Tensor) -> None:
            layer = original.get_submodule(name)
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            rows[name][-1] = sampled_outputs(layer, result, self._positions(counts[name], start))
            summed.add(name)

        for name, layer in original.named_modules():
            layer.register_forward_pre_hook(lambda *_, name=name: order.append(name))
            if is_matrix(layer):
                layer.register_forward_hook(lambda layer, _, output, name=name: note(name, layer, output))
        sums = Sums(original, self._summed)
        for start in range(0, self._examples, self._batch):
            with sums.watch(after=note_sum):
                call(original, take(self._inputs, start, self._batch))
        self._order = order
        # a layer that runs twice, or shares its weights, has two targets: it is left alone
        for name in [name for name in rows if name not in twice]:
            joined = torch.cat(rows.pop(name))
            if not joined.isfinite().all():
                raise TaskError(f"layer '{name}' puts out values that are not finite on calibration examples")
            positions = self._sampler.positions(counts[name])
            self._targets[name] = Target(joined, positions, name in summed, self._sites.get(name))

    def _positions(self, of: int, start: int) -> Tensor:
        return self._sampler.positions(of)[start : start + self._batch]

    def _say_if_few(self, model: nn.Module) -> None:
        fewest, rows, worst = 1.0, 0, ""
        for name, target in self._targets.items():
            weight = model.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            if (share := len(target.rows) / weight[0].numel()) < fewest:
                fewest, rows, worst = share, len(target.rows), name
        if worst:
            say_once(
                f"Least squares: {self._examples} calibration examples give {rows} rows for '{worst}', fewer than it "
                "has inputs; what they do not determine stays as it is. More calibration_images would help"
            )


def _half(examples: int, error: Exception) -> int:
    """Returns half as many examples where memory did not suffice; raises any other error again."""
    if lacking(error) != "memory":
        raise error
    if examples == 1:
        raise SearchError(
            "recovery: not enough memory for a single calibration example; free some, or choose methods.recovery: []"
        ) from error
    return (examples + 1) // 2


def _batch_size(graph: ModelGraph) -> int:
    """Returns how many examples make the largest activation as large as it may be."""
    largest = max(torch.Size(op.output).numel() for op in graph.ops)
    return max(1, _BYTES * graph.batch // (4 * largest))


def _shared(model: nn.Module) -> set[str]:
    """Returns the modules whose weight another module has too."""
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for tensor in module.parameters(recurse=False):
            owners.setdefault(id(tensor), []).append(name)
    return {name for names in owners.values() if len(names) > 1 for name in names}


def _changed(graph: ModelGraph, compressed: Compressed) -> set[str]:
    """Returns the modules that a policy changed themselves."""
    groups = (group for group in graph.groups if group.name in compressed.kept)
    return {member.module for group in groups for member in group.members} | set(compressed.dropped)


def _kept_outputs(graph: ModelGraph, kept: Mapping[str, tuple[int, ...]]) -> dict[str, list[int]]:
    """Returns, for each layer that loses outputs, the positions of those that stay."""
    removed: dict[str, set[int]] = {}
    sizes: dict[str, int] = {}
    for group in graph.groups:
        if group.name not in kept:
            continue
        gone = set(range(group.channels)) - set(kept[group.name])
        for member in group.members:
            if member.role == "out" and member.tensor is None:
                removed.setdefault(member.module, set()).update(member.of(gone))
    for weight in graph.weights:
        if weight.name.endswith("weight"):
            sizes[weight.name.rpartition(".")[0]] = weight.shape[0] if weight.shape else 0
    return {
        name: [position for position in range(sizes[name]) if position not in positions]
        for name, positions in removed.items()
        if name in sizes
    }
