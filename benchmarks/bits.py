"""ResNet-56 on CIFAR-10 at fewer bits, in simulation: without training (ptq) and with (qat). Prints Markdown tables.

The test set is read for the rows that ``--test`` prints and for what qat has trained; everything else is scored on the
search split. What takes long is kept in a folder (``--out``) and not done again: rows of ptq, checkpoints of qat.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _cifar import cifar_task

from automc import files
from automc.compression import Learned, Methods, Quantized, quantize
from automc.graph import build_graph
from automc.tasks import examples
from automc.tasks.loops import score
from automc.tasks.training import Training, train

NETWORK, CALIBRATION = "resnet56", 512
PAIRS = [(8, 8), (4, 32), (4, 8), (4, 4), (3, 3)]
CLIPPINGS = ["minmax", "percentile", "mse", "kl"]
Bits = tuple[int, int]


def layers_at(names: list[str], bits: Bits, ends: Bits | None) -> dict[str, Bits]:
    """All layers at the same bits, or the first and the last at others."""
    return dict.fromkeys(names, bits) | (dict.fromkeys((names[0], names[-1]), ends) if ends else {})


def rows(pairs: list[Bits], everything: bool) -> Iterator[tuple[Bits, Bits | None, Methods]]:
    """Yields what is compared: each method in turn against the defaults, or all of them with one another."""
    for bits in pairs:
        for ends in (None,) if bits == (8, 8) else (None, (8, 8)):
            yield bits, ends, Methods()
    for bits in pairs:
        if everything:
            choices = itertools.product(CLIPPINGS, ["minmax", "mse"], ["nearest", "second-order"], [False, True])
            keys = ("clipping", "weight_clipping", "rounding", "equalization")
            changes: list[dict[str, Any]] = [dict(zip(keys, chosen, strict=True)) for chosen in choices]
        else:
            changes = [{"rounding": "nearest"}, {"rounding": "second-order"}, {"equalization": True}]
            changes += [{"rounding": "nearest", "equalization": True}]
            changes += [{"clipping": clipping} for clipping in CLIPPINGS]
            changes += [{"weight_clipping": clipping} for clipping in ("minmax", "mse")]
        for change in changes:
            yield bits, None, Methods.model_validate(change)


def ptq(out: Path, pairs: list[Bits], everything: bool, test: bool) -> None:
    task = cifar_task(NETWORK)
    model, inputs = task.model(), examples(task, CALIBRATION)[0]
    names = [layer.name for layer in build_graph(model, inputs[:1]).weighted]
    known = out / ("ptq-test.json" if test else "ptq.json")
    done = json.loads(known.read_text()) if known.exists() else {}
    print("| bits | first and last | clipping | weights | rounding | equalized | top-1 | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for bits, ends, methods in rows(pairs, everything):
        if test and methods != Methods():
            continue
        settings = f"{methods.clipping} | {methods.weight_clipping} | {methods.rounding} | {methods.equalization}"
        row = f"W{bits[0]}A{bits[1]} | {'W{}A{}'.format(*ends) if ends else 'same'} | {settings}"
        if row not in done:
            start = time.perf_counter()
            network = quantize(model, inputs, layers_at(names, bits, ends), methods)
            seconds = time.perf_counter() - start
            done[row] = 100 * score(network, task, "test" if test else "search"), seconds
            files.write_text(known, json.dumps(done, indent=1))
        print("| {} | {:.2f} | {:.1f} |".format(row, *done[row]), flush=True)


def qat(out: Path, bits: Bits, ends: Bits | None, training: Training) -> None:
    task = cifar_task(NETWORK)
    model, inputs = task.model(), examples(task, CALIBRATION)[0]
    names = [layer.name for layer in build_graph(model, inputs[:1]).weighted]
    learned = Learned(model, inputs, layers_at(names, bits, ends))
    before = score(learned.settled(), task, "search")
    name = "W{}A{}{}".format(*bits, "" if ends is None else "-ends")
    folder = out / f"{name}-{training.epochs:g}-{training.rate:g}"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "training.pt"
    trained = train(learned, task, training, seed=0, description=name, teacher=model, checkpoint=checkpoint)
    network: Quantized = learned.settled()
    top1 = {split: 100 * score(network, task, split) for split in ("search", "test")}
    print(f"| {name} | {training.epochs:g} epochs at {training.rate:g} | search {100 * before:.2f} before |", end=" ")
    print(f"search {top1['search']:.2f} | test {top1['test']:.2f} | {trained.seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ptq", "qat"])
    parser.add_argument("--out", type=Path, default=Path("bits-results"))
    parser.add_argument("--all", action="store_true", help="ptq: every clipping with every rounding")
    parser.add_argument("--test", action="store_true", help="ptq: the defaults alone, on the test set")
    parser.add_argument("--bits", type=int, nargs=2, help="of weights and activations")
    parser.add_argument("--ends", action="store_true", help="qat: the first and the last layer at 8 bits")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.what == "ptq":
        ptq(arguments.out, [tuple(arguments.bits)] if arguments.bits else PAIRS, arguments.all, arguments.test)
    else:
        settings = Training(epochs=arguments.epochs, rate=arguments.rate)
        qat(arguments.out, tuple(arguments.bits or (4, 4)), (8, 8) if arguments.ends else None, settings)
