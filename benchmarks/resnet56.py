"""The main job on ResNet-56 and CIFAR-10: half of the MACs by width, and 35% of the latency by width, depth and int8.

``python benchmarks/resnet56.py macs OUT`` or ``latency OUT``; OUT keeps the search, which goes on where it was stopped.
Each network's test score is that of its ONNX file; the test set is read once for it.
"""

import json
import sys
from pathlib import Path

from _cifar import cifar_arguments

from automc.campaigns import SearchConfig, run_search, unfinished
from automc.evaluation import Fidelity

JOBS = {
    "macs": {"budget": "macs<=50%", "space": {"depth": False, "channel_multiple": 4}, "evaluations": 60},
    "latency": {
        "budget": "latency<=35%",
        "space": "all",
        "evaluations": 60,
        "finetune": {"epochs": 5, "finalists": 1},
        "fidelity": Fidelity(search_images=2000),
    },
}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in JOBS:
        print("skipped: it takes half an hour; say which: python benchmarks/resnet56.py macs OUT, or latency OUT")
        raise SystemExit(0)
    job, out = sys.argv[1], Path(sys.argv[2])
    config = SearchConfig(task="cifar10", task_args=cifar_arguments("resnet56"), agent="tpe", **JOBS[job])
    result = run_search(config, Path(), out, resume=unfinished(out))
    full = result.row("original").predicted
    answer = {
        row.name: {
            "agent": row.agent,
            "share of MACs": round(row.predicted.macs / full.macs, 4),
            "share of latency, measured (quartiles)": [
                row.measured.ratio_low,
                row.measured.ratio,
                row.measured.ratio_high,
            ],
            "share of latency, predicted": round((row.predicted.latency or 0) / (full.latency or 1), 4),
            "search": row.search_score,
            "test": row.test_score,
            "test after fine-tuning": row.tuned and row.tuned.test_score,
            "epochs": row.tuned and row.tuned.epochs,
            "keeps the budget": row.keeps_budget,
        }
        for row in result.rows
    }
    print(json.dumps(answer | {"verdict": result.verdict, "seconds": result.seconds}, indent=1))
