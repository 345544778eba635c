"""How well what one sees of a network on few images says which of several good policies is better.

``python benchmarks/agents/signals.py [PROBLEM] --out DIR [--policies 36]``, ``macs56`` by default. Policies near the
integer program's optimum: its harms are scattered by a factor of each axis (standard deviations of the logarithm 0.15,
0.4 and 0.8 in turn). For the first 500, 1,000 and 2,000 search images: Spearman's rank correlation of top-1 and of the
change of outputs (`automc.evaluation.change`) with top-1 on all other search images. The test set is not read.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from ground import Ground
from scipy.stats import spearmanr

from automc import progress
from automc.agents.program import Program
from automc.evaluation import Fidelity, change

IMAGES, SCATTER = (500, 1000, 2000), (0.15, 0.4, 0.8)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", nargs="?", default="macs56")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--policies", type=int, default=36)
    arguments = parser.parse_args(words)
    ground = Ground(arguments.problem, arguments.out)
    evaluator = ground.evaluator_at(0, Fidelity())
    targets = torch.cat([targets for _, targets in ground.task.batches("search")])
    original = evaluator.outputs(evaluator.model)
    program, generator = Program(ground.projection), np.random.default_rng(0)
    harms, outputs = ground.sensitivities(0).sensitivities.harms, []
    with progress.bar("Evaluating", arguments.policies) as line:
        for number in range(arguments.policies):
            factors = np.exp(SCATTER[number % len(SCATTER)] * generator.standard_normal(len(harms)))
            drawn = [factor * harm for factor, harm in zip(factors, harms, strict=True)]
            policy = ground.space.decode(program.solve(drawn).index)
            outputs.append(evaluator.outputs(evaluator.build(policy)))
            line.show("Evaluating", number + 1)

    def top1(part: slice) -> list[float]:
        return [ground.task.score(each[part], targets[part]) for each in outputs]

    answer = {}
    for images in IMAGES:
        seen, others = slice(0, images), top1(slice(images, None))
        changes = [-change(original[seen], each[seen]) for each in outputs]
        answer[images] = {
            "top-1": round(float(spearmanr(top1(seen), others)[0]), 2),
            "change": round(float(spearmanr(changes, others)[0]), 2),
            "top-1 of the others, from and to": [round(min(others), 4), round(max(others), 4)],
        }
    print(json.dumps(answer, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
