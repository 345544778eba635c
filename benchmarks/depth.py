"""ResNet-56 on CIFAR-10 made narrower, shallower and int8: what each costs in accuracy and brings in latency.

``python benchmarks/depth.py OUT``: OUT keeps the networks; a run that was stopped goes on there. Inner widths are those
between the two convolutions of a block. Blocks go three at a time, those whose absence costs least on search images.
Every network is trained after that for the same epochs with distillation, then put into int8; accuracy is that of
the ONNX files on the test set, latency of all files is measured in one run at the end.
"""

import json
import sys
from pathlib import Path

import torch
from _cifar import cifar_task

from automc import files
from automc.devices import LocalBench, time_models
from automc.evaluation import Evaluator, Fidelity
from automc.graph import build_graph
from automc.recipes import export_onnx
from automc.recipes.deployed import deployed_score, feeds
from automc.search_spaces import Choice, Policy
from automc.search_spaces.policy import INT8_BITS
from automc.tasks import example
from automc.tasks.training import Training, train

NETWORKS = {
    "as it is": (27, 1),
    "inner widths halved": (27, 2),
    "inner widths quartered": (27, 4),
    "18 of its 27 blocks": (18, 1),
    "18 blocks, halved": (18, 2),
    "12 blocks": (12, 1),
    "12 blocks, halved": (12, 2),
}
TRAINING = Training(epochs=3, rate=0.05)
PRECISIONS = ("float32", "int8")
STEP = 3


class Bench:
    """One task and what is made of its network."""

    def __init__(self, out: Path) -> None:
        self.out, self.task, self.bench = out, cifar_task("resnet56"), LocalBench()
        self.model, self.one = self.task.model(), example(self.task)
        self.graph = build_graph(self.model, self.one)
        self.evaluator = Evaluator(self.task, self.model, self.graph, Fidelity(search_images=2000))
        self.compressor = self.evaluator.compressor

    def file(self, name: str, suffix: str) -> Path:
        """Returns where something about a network is kept."""
        return self.out / f"{name.replace(' ', '-').replace(',', '')}.{suffix}"

    def order(self) -> list[str]:
        """Returns droppable blocks in the order in which they go, three chosen at a time."""
        file, gone = self.out / "order.json", []
        if file.exists():
            return json.loads(file.read_text())
        while len(gone) < 27 - min(blocks for blocks, _ in NETWORKS.values()):
            scores = {
                block.name: self.evaluator.evaluate(self.policy([*gone, block.name], 1)).score
                for block in self.graph.blocks
                if block.name not in gone
            }
            gone += sorted(scores, key=lambda name: -scores[name])[:STEP]
        files.write_text(file, json.dumps(gone))
        return gone

    def policy(self, gone: list[str], divisor: int, int8: bool = False) -> Policy:
        """Returns the policy without some blocks, with the other inner widths divided, in float or int8."""
        choices = {name: Choice(keep=False) for name in gone}
        inner = [group for group in self.graph.prunable if group.name.endswith(".conv1")]
        for group in inner if divisor > 1 else ():
            if group.name.rpartition(".")[0] not in gone:
                choices[group.name] = Choice(channels=group.channels // divisor)
        if int8:
            bits = dict(zip(("weight_bits", "activation_bits"), INT8_BITS, strict=True))
            for layer in self.graph.layers:
                before = choices.get(layer.name, Choice())
                choices[layer.name] = Choice(before.channels, **bits)
        return Policy(choices)

    def network(self, name: str, gone: list[str], divisor: int) -> dict[str, float]:
        """Makes, trains and scores one network in both precisions; returns top-1 on the test set by precision."""
        note = self.file(name, "json")
        if note.exists():
            return json.loads(note.read_text())
        found = {}
        made = self.compressor.prune(self.policy(gone, divisor, int8=True))
        quantized = self.compressor.quantize(made)
        for key, model in (("float32", made.model), ("int8", quantized.model)):
            found[f"{key}, before"] = self.test(model, self.file(name, f"{key}.onnx"))
        if made.kept or made.dropped:
            train(
                made.model,
                self.task,
                TRAINING,
                seed=0,
                description=name,
                teacher=self.model,
                checkpoint=self.file(name, "pt"),
            )
            for key, model in (("float32", made.model), ("int8", self.compressor.quantize(made).model)):
                found[f"{key}, after"] = self.test(model, self.file(name, f"{key}.onnx"))
        files.write_text(note, json.dumps(found))
        return found

    def test(self, model: torch.nn.Module, file: Path) -> float:
        """Writes the ONNX file of a network and returns its top-1 on the test set in percent."""
        export_onnx(model, self.one, file)
        return round(100 * deployed_score(file, self.task, "test", torch.empty(0), self.bench.device), 2)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("skipped: it takes an hour; say where its networks go: python benchmarks/depth.py OUT")
        raise SystemExit(0)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    bench = Bench(out)
    order = bench.order()
    print("blocks, first to go first:", ", ".join(order))
    accuracy = {name: bench.network(name, order[: 27 - n], divisor) for name, (n, divisor) in NETWORKS.items()}
    cells = [(name, precision) for name in NETWORKS for precision in PRECISIONS]
    paths = [bench.file(name, f"{precision}.onnx") for name, precision in cells]
    timings = time_models(bench.bench, paths, [feeds(bench.one)] * len(paths))
    print("| ResNet-56 | precision | times as fast (quartiles) | top-1 without training | after 3 epochs |")
    print("|---|---|---|---|---|")
    for (name, precision), timing in zip(cells, timings, strict=True):
        before, after = (accuracy[name].get(f"{precision}, {when}", "") for when in ("before", "after"))
        fast = f"{1 / timing.ratio:.2f} ({1 / timing.ratio_high:.2f} to {1 / timing.ratio_low:.2f})"
        print(f"| {name} | {precision} | {fast} | {before} | {after} |")
