"""Measures the latency tables of problems that need one, each fitted on 24 of its networks; wants an idle machine.

``python benchmarks/agents/tables.py [PROBLEM ...] --out DIR``, about 3 minutes a problem. A table lies beside the
problem's results, since these are of use only with the table that they were got with; one that is there is left as it
is. Says what share of the latency the controls would have, by which a budget can be chosen.
"""

import argparse
from pathlib import Path

import numpy as np
from ground import Ground
from problems import PROBLEMS

from automc import progress
from automc.agents import Problem
from automc.campaigns import calibrate
from automc.costs import CostModel, Projection
from automc.errors import AutoMCError
from automc.latency_tables import ensure_table, save_table

FEW, MANY = 4, 32  # options taken of each width, at first and where they are least sure: as `automc latency measure`


def measure(ground: Ground, minutes: float, networks: int) -> None:
    """Measures a problem's table; where it was stopped, it goes on."""
    if ground.table_file.exists():
        return
    partial = ground.table_file.with_suffix(".partial.yaml")  # not to be taken for one that is whole
    subject, costs = ground.subject, CostModel(ground.subject.graph, ground.space)
    few, many = costs.all_signatures(FEW), costs.all_signatures(MANY)
    table, _ = ensure_table(subject.bench, few, many, 60 * minutes, partial)
    table, _ = ensure_table(subject.bench, few, path=partial)  # whatever the minutes, these it must have
    if networks:
        table = calibrate(subject, ground.space, table, networks, name=ground.name)
    save_table(table, partial)
    partial.replace(ground.table_file)


def shares(ground: Ground) -> str:
    """Returns what the narrowest network and int8 everywhere would cost."""
    costs, space = ground.costs, ground.space
    problem = Problem(space, Projection(costs, []))
    full = costs.cost(space.decode(space.full)).get("latency")
    answer = {"smallest": space.decode(np.zeros(len(space.axes), dtype=np.int64)), "int8": problem.int8()}
    told = [f"{name} {costs.cost(policy).get('latency') / full:.1%}" for name, policy in answer.items() if policy]
    return f"{ground.name}: original {full:.0f} us, {', '.join(told)}; budget {ground.case.budget}"


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measured = [name for name, case in PROBLEMS.items() if case.measured]
    parser.add_argument("problems", nargs="*", default=measured, help=", ".join(measured))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--networks", type=int, default=24)
    arguments = parser.parse_args(words)
    try:
        for name in arguments.problems:
            ground = Ground(name, arguments.out)
            if not ground.case.measured:
                progress.say(f"{name}: its latency is not measured, it needs no table")
                continue
            measure(ground, arguments.minutes, arguments.networks)
            print(shares(ground))
    except AutoMCError as error:
        progress.say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
