"""The main jobs on ResNet-56 and CIFAR-10: half of the MACs by width, and measured speed-ups by width, depth and int8.

``python benchmarks/resnet56.py macs OUT`` does the first, ``2x``, ``3x``, ``4x`` or ``5x`` one of the others, and
``front`` all of these, each in a folder of its own in OUT; it goes on where it was stopped. Each network's test score
is that of its ONNX file; the test set is read once for it. ``OUT/front.html`` has the plot. In the end its files
are timed once more beside the original, all of them taking turns in one process: this wants an idle machine, and
``timed OUT`` does it again.
"""

import json
import sys
from pathlib import Path
from typing import Any

from _cifar import cifar_arguments

from automc import files
from automc.campaigns import SearchConfig, SearchResult, run_search, unfinished
from automc.devices import LocalBench, time_models
from automc.evaluation import Fidelity
from automc.recipes.deployed import feeds
from automc.tasks import example, load_task

SPEEDUPS = ("2x", "3x", "4x", "5x")
FIDELITY = Fidelity(search_images=2000)
LAST = [{"fidelity": {"search_images": 2000, "calibration_images": 2000}, "keep": 5}]
SHARED: dict[str, Any] = {"fidelity": FIDELITY, "rungs": LAST}
JOBS: dict[str, dict[str, Any]] = {
    # sensitivities take as long as 20 evaluations, the last rung as 10: together with these 60
    "macs": {"budget": "macs<=50%", "space": {"depth": False, "channel_multiple": 1}, "evaluations": 30},
}
for one in SPEEDUPS:
    JOBS[one] = {
        "budget": f"latency<={100 / int(one[0]):.2f}%",
        "space": "all",
        "evaluations": 30,
        # int8 everywhere is more than twice as fast
        "finetune": {"epochs": 0 if one == "2x" else 8, "finalists": 1},
    }


def run(job: str, out: Path) -> SearchResult:
    """Does a job, or what is missing of it."""
    done = out / "result.json"
    if done.exists():
        return SearchResult.model_validate_json(done.read_text())
    config = SearchConfig(task="cifar10", task_args=cifar_arguments("resnet56"), **SHARED, **JOBS[job])
    return run_search(config, Path(), out, resume=unfinished(out))


def told(result: SearchResult) -> dict[str, Any]:
    """Returns what is said of a job's networks."""
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
    return answer | {"verdict": result.verdict, "seconds": result.seconds}


def plot(results: list[SearchResult], path: Path) -> None:
    """Writes test accuracy against measured speed-up: what was found, before and after training, and the controls."""
    import plotly.graph_objects as go

    points: dict[str, list[tuple[float, float]]] = {}
    for result in results:
        for row in result.rows:
            tuned = row.tuned
            name = row.name if row.name != "best" else "auto" if tuned is None else "auto, not trained"
            points.setdefault(name, []).append((1 / row.measured.ratio, 100 * row.test_score))
            if row.name == "best":
                points.setdefault("auto, trained", []).append(
                    (1 / row.measured.ratio, 100 * (tuned.test_score if tuned else row.test_score))
                )
    points.pop("auto", None)
    figure = go.Figure()
    for name, found in points.items():
        x, y = zip(*sorted(found), strict=True)
        mode = "lines+markers" if name == "auto, trained" else "markers"
        figure.add_scatter(x=x, y=y, name=name, mode=mode, marker_size=10)
    figure.update_layout(
        title="ResNet-56, CIFAR-10: test accuracy against measured speed-up",
        xaxis_title="measured speed-up",
        yaxis_title="top-1 on the test set, %",
        yaxis_range=[80, 94],
        template="plotly_white",
    )
    with files.replacing(path) as temporary:
        figure.write_html(temporary, include_plotlyjs=True)


def timed(out: Path) -> dict[str, list[float]]:
    """Returns each speed-up's latency as a share of the original's: lower quartile, median, upper quartile."""
    paths = [out / SPEEDUPS[0] / "original.onnx", *(out / one / "model.onnx" for one in SPEEDUPS)]
    inputs = [feeds(example(load_task("cifar10", cifar_arguments("resnet56")), 1))] * len(paths)
    timings = time_models(LocalBench(1, 1), paths, inputs, "Timing the front", passes=60)
    return {
        one: [round(share, 4) for share in (timing.ratio_low, timing.ratio, timing.ratio_high)]
        for one, timing in zip(SPEEDUPS, timings[1:], strict=True)
    }


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in (*JOBS, "front", "timed"):
        print(f"skipped: it takes up to two hours; python benchmarks/resnet56.py {'|'.join(JOBS)}|front|timed OUT")
        raise SystemExit(0)
    job, out = sys.argv[1], Path(sys.argv[2])
    if job == "timed":
        print(json.dumps(timed(out), indent=1))
    elif job == "front":
        found = [run(speedup, out / speedup) for speedup in SPEEDUPS]
        plot(found, out / "front.html")
        answer = {name: told(result) for name, result in zip(SPEEDUPS, found, strict=True)}
        print(json.dumps(answer | {"timed together": timed(out)}, indent=1))
    else:
        print(json.dumps(told(run(job, out)), indent=1))
