"""How far predicted latency is off for whole networks: three of them, 100 random policies each, float and int8 mixed.

For each network a table is measured from nothing, then random policies are exported and measured whole (`validate`); no
measurement of theirs was used for the table. One thread, batch 1, random weights. With ``--cache DIR`` exported files
and results are kept there: a second run exports nothing, and goes on with the networks that have no result yet for the
same seed and number of policies (``--again`` measures them anew, on a new table).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from automc.campaigns import calibrate, read_subject, validate
from automc.costs import CostModel
from automc.devices import LocalBench
from automc.latency_tables import extend_table, new_table
from automc.models import CifarResNet, MobileNetV2
from automc.search_spaces import build_space, load_preset
from automc.tasks import Task

RESULTS = "results.jsonl"
MINUTES, FITTED_ON = 1, 24  # for operators, and networks measured whole to fit what operators add up to
COLUMNS = (
    "network",
    "operators",
    "table, s",
    "policies",
    "RMSPE",
    "median",
    "±5%",
    "±10%",
    "Spearman",
    "bias",
    "repeats",
)


class RandomNetwork(Task):
    """A network with random weights, on random images."""

    def __init__(self, build: Callable[[], nn.Module], size: int) -> None:
        self.build, self.size = build, size

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.build().eval()

    def batches(self, split: str, n: int | None = None, seed: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(0)
        yield torch.randn(n or 64, 3, self.size, self.size, generator=generator), torch.zeros(n or 64, dtype=torch.long)


def vit() -> nn.Module:
    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 1024}
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=64, patch_size=8, num_labels=10, **sizes)
    )


NETWORKS = {
    "ResNet-56, 32x32": RandomNetwork(lambda: CifarResNet(9), 32),
    "MobileNetV2 0.5, 96x96": RandomNetwork(lambda: MobileNetV2(width=0.5), 96),
    "ViT, 4 layers of 256, 64x64": RandomNetwork(vit, 64),
}


def measure(name: str, policies: int, seed: int, folder: Path) -> dict[str, Any]:
    """Returns one network's figures, and predicted and measured latency of each policy."""
    subject = read_subject(NETWORKS[name], LocalBench())
    space = build_space(subject.graph, load_preset("all"), subject.device.channel_multiple, subject.device.precisions)
    costs = CostModel(subject.graph, space)
    start = time.monotonic()
    table = new_table(subject.target)
    table = extend_table(subject.target, table, costs.all_signatures(4), costs.all_signatures(32), 60 * MINUTES)
    table = calibrate(subject, space, table, FITTED_ON, seed, name)
    seconds = time.monotonic() - start
    validation, points = validate(subject, space, table, policies, seed, name, folder)
    return {
        "asked": policies,
        "table_seconds": round(seconds, 1),
        "operators": len(table.entries),
        "device": subject.device.model_dump(mode="json"),
        "validation": validation.model_dump(mode="json"),
        "predicted_us": [round(point.predicted, 2) for point in points],
        "measured_us": [point.measured.us for point in points],
        "fewer_bits": [round(point.fewer_bits, 3) for point in points],
    }


def line(result: dict[str, Any]) -> str:
    found = result["validation"]
    percent = [f"{100 * found[key]:.1f}%" for key in ("rmspe", "median")]
    shares = [f"{100 * found[key]:.0f}%" for key in ("within5", "within10")]
    ends = [f"{found['spearman']:.3f}", f"{100 * found['bias']:+.1f}%", f"{100 * found['repeatability']:.1f}%"]
    start = [found["subject"], result["operators"], f"{result['table_seconds']:.0f}", found["policies"]]
    return f"| {' | '.join(map(str, [*start, *percent, *shares, *ends]))} |"


def known(path: Path) -> list[dict[str, Any]]:
    """Returns the results of earlier runs; a line that was cut short is none."""
    results = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            results.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return results


def run(cache: Path, names: list[str], policies: int, seed: int, again: bool) -> None:
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name in names:
        done = [
            result
            for result in known(cache / RESULTS)
            if (result["validation"]["subject"], result["asked"], result["validation"]["seed"])
            == (name, policies, seed)
        ]
        if again or not done:
            done = [measure(name, policies, seed, cache)]
            with (cache / RESULTS).open("a") as file:
                file.write(f"{json.dumps(done[0])}\n")
        print(line(done[-1]), flush=True)
    print(f"\nseed {seed}; no policy of these had a part in the table")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder of exported files and results")
    parser.add_argument("--policies", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--network", choices=list(NETWORKS), action="append", help="only this; may be repeated")
    parser.add_argument("--again", action="store_true", help="measure what has a result too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.cache or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, given.network or list(NETWORKS), given.policies, given.seed, given.again)
