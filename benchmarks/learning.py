"""Agents that learn, beside random and uniform policies, at 400 evaluations each, on networks and CIFAR-10.

``python benchmarks/learning.py JOB SEED OUT``: ``resnet56`` and ``plain20`` with half of their MACs by width, ``bits``:
ResNet-56 with 2 to 8 bits on the BISMO cloud model, at the latency of 4 bits everywhere but in the first and the last
layer, which stay at 8 and are scored in float.

A run goes on where it was stopped, from the journal in OUT. Searches look at 1,000 search images and 256 images for
recovery, without fine-tuning; each agent's best policy is then built with 512 images and reads the test set once. With
``plain20`` it is fine-tuned after that. ``bits`` rounds weights to the nearest level in the search, as HAQ does, from
64 images; the best are built with second-order rounding too. What was found is in ``OUT/found.json``.
"""

import json
import sys
from pathlib import Path

import numpy as np
from _cifar import cifar_arguments

from automc import files
from automc.campaigns import SearchConfig
from automc.campaigns.campaign import Campaign, names
from automc.campaigns.journal import FILE
from automc.campaigns.search import Search
from automc.campaigns.setup import Setup, read_subject
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.workers import LocalWorkers
from automc.compression import Methods
from automc.costs import Budget, CostModel, Projection
from automc.evaluation import Evaluator, Fidelity
from automc.latency_tables import Accelerator, open_target
from automc.search_spaces import SpaceConfig, build_space
from automc.tasks import load_task
from automc.tasks.loops import score
from automc.tasks.training import Training, train

JOBS = {
    "resnet56": ("resnet56", ("uniform", "random", "amc", "ddpg")),
    "plain20": ("plain20", ("uniform", "random", "amc", "ddpg")),
    "bits": ("resnet56", ("uniform-bits", "random", "haq", "ddpg")),
}
EVALUATIONS, EPOCHS = 400, 4
CHEAP = Fidelity(search_images=1000, calibration_images=256)
CHEAPER = Fidelity(search_images=1000, calibration_images=64)  # ranges of activations need no more
NEAREST = Methods(rounding="nearest")


def prepared(job: str, config: SearchConfig) -> Setup:
    """Returns what the search stands on; nothing is measured for it."""
    target = open_target("bismo-cloud", 1, 16) if job == "bits" else None
    subject = read_subject(load_task(config.task, config.task_args), target)
    device = subject.device
    space = build_space(subject.graph, config.space, device.channel_multiple, device.precisions)
    costs = CostModel(subject.graph, space, target if isinstance(target, Accelerator) else None)
    budgets = config.budgets
    if job == "bits":
        four = np.array([axis.options.index((4, 4)) for axis in space.axes])
        budgets = [Budget.parse(f"latency<={costs.prices(four[None])['latency'][0]:.9f}us")]
    return Setup(subject, space, costs, costs.table, None, "not asked for", Projection(costs, budgets))


def found(search: Search, job: str, name: str, out: Path) -> dict[str, object]:
    """Returns how an agent's best policy fares, and how its scores went."""
    best = search.ranked(name)[0]
    subject, policy = search.setup.subject, best.policy
    task = subject.task
    evaluator = Evaluator(task, subject.model, subject.graph, methods=search.config.methods)
    compressor = evaluator.compressor
    full = search.setup.costs.cost(search.setup.space.decode(search.setup.space.full))
    scores = [done.score for done in search.evaluations if done.agent == name and done.score is not None]
    model = compressor.build(policy).model
    answer = {
        "evaluations": len(scores),
        "share of MACs": round(best.predicted.macs / full.macs, 5),
        "latency, us": best.predicted.latency,
        "search": best.score,
        "found at evaluation": best.number,
        "search, all images": evaluator.score(model),
        "test": score(model, task, "test"),
        "best so far at 100, 200, 300, 400": [max(scores[:n]) for n in (100, 200, 300, 400)],
        "mean of every 50": [round(float(np.mean(scores[n : n + 50])), 4) for n in range(0, len(scores), 50)],
    }
    if job == "bits":
        better = Evaluator(task, subject.model, subject.graph).compressor
        answer["test, second-order rounding"] = score(better.build(policy).model, task, "test")
    if job == "plain20":
        pruned = compressor.prune(policy)  # in float, as `model` is, which is another copy
        checkpoint = out / name / "training.pt"
        settings = Training(epochs=EPOCHS, rate=0.02)
        bfloat16 = evaluator.precision == "bfloat16"
        train(
            pruned.model,
            task,
            settings,
            seed=0,
            description=f"Fine-tuning {name}",
            teacher=subject.model,
            checkpoint=checkpoint,
            bfloat16=bfloat16,
        )
        answer[f"test after {EPOCHS} epochs"] = score(pruned.model, task, "test")
    return answer


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in JOBS:
        print(f"skipped: it takes an hour; say what: python benchmarks/learning.py {'|'.join(JOBS)} SEED OUT")
        raise SystemExit(0)
    job, seed, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    network, agents = JOBS[job]
    bits = SpaceConfig(width=False, depth=False, bits=tuple(range(2, 9)), exclude=("conv1", "linear"))
    config = SearchConfig(
        task="cifar10",
        task_args=cifar_arguments(network),
        budget="macs<=50%",
        space=bits if job == "bits" else SpaceConfig(depth=False, channel_multiple=1),
        evaluations=EVALUATIONS,
        fidelity=CHEAPER if job == "bits" else CHEAP,
        methods=NEAREST if job == "bits" else Methods(),
        seed=seed,
    )
    files.ensure_writable(out)
    setup = prepared(job, config)
    storage = Storage(sqlite_url(out / FILE))
    there = names(storage)
    campaign = Campaign(storage, job) if job in there else Campaign.create(storage, job, config, Path(), out)
    campaign.begin(config.model_dump(mode="json"), resume=True, total=config.evaluations, ahead=1)
    session = campaign.drive()
    try:
        search = Search(config, setup, campaign.journal, out, campaign.digest)
        search.agents = agents
        search.config = config.model_copy(update={"agent": agents[-1]})
        search.run(LocalWorkers(search.evaluator))
        answer = {name: found(search, job, name, out) for name in agents}
        answer["original"] = {
            "search": search.original_score,
            "test": score(setup.subject.model, setup.subject.task, "test"),
        }
    finally:
        session.close()
        storage.close()
    files.write_text(out / "found.json", json.dumps(answer, indent=1))
    print(json.dumps(answer, indent=1))
