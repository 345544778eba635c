"""A search killed with -9 at random moments, five times over, and resumed each time, against an undisturbed one.

The task is tiny and about half of all policies fail on it. Moments differ from repetition to repetition: how many
evaluations are committed, and how long after the last of them.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' task, and their way to kill

import torch

from automc.campaigns import run_search
from tests.killing import committed, configure, kill_again_and_again, searched

EVALUATIONS, KILLS, SEEDS = 40, 5, range(4)

if __name__ == "__main__":
    torch.set_num_threads(1)
    total = 2 * EVALUATIONS + 1
    with tempfile.TemporaryDirectory() as name:
        os.environ["AUTOMC_HOME"] = name  # one latency table for all

        def run(folder: Path, resume: bool) -> tuple[list, object, int]:
            result = run_search(config, folder, folder / "out", resume)
            return searched(result), result.row("best").policy, len((folder / "log").read_text().splitlines())

        answer = {}
        for seed in ("undisturbed", *SEEDS):
            folder = Path(name) / str(seed)
            folder.mkdir()
            config = configure(EVALUATIONS, folder=folder)
            os.environ["FAILING_LOG"] = str(folder / "log")
            if seed == "undisturbed":
                expected, best, scorings = run(folder, resume=False)
                answer["undisturbed"] = {
                    "evaluations": len(expected),
                    "of which failed": sum(error is not None for *_, error in expected),
                    "policies scored": scorings,
                }
                continue
            seen = kill_again_and_again(folder, KILLS, total, seed)
            found, found_best, scored = run(folder, resume=True)
            answer[f"kill moments {seed}"] = {
                "evaluations committed at each kill": seen,
                "in the journal at the end": committed(folder / "out"),
                "distinct of tpe": len({number for agent, number, *_ in found if agent == "tpe"}),
                "scored again, because a kill came amid": scored - scorings,
                "same policies, scores and errors": found == expected,
                "same best policy": found_best == best,
            }
    print(json.dumps(answer, indent=1))
