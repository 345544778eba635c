"""Runs agents on problems, one evaluation at a time, each recorded at once; what is recorded is not done again.

``python benchmarks/agents/run.py PROBLEM AGENT SEED --evaluations 60 --out DIR``; PROBLEM, AGENT and SEED may be
several with commas between them: problem after problem and seed after seed, agents taking turns, so that whoever stops
it leaves them even. It goes on where it was stopped, killed or crashed, days later too. One process, one thread;
several of them may work on different problems at once.

A normal evaluation looks at what `problems.py` says; a seed draws proposals, and images and positions for calibration.
Seconds are those of the evaluation, of the agent, and of measuring sensitivities for agents that need them, which come
before their first evaluation. With ``--within`` these count among the evaluations: the agent has so many fewer as could
have been done meanwhile.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from ground import Ground
from problems import PROBLEMS
from recording import Run, parse_settings

from automc import progress
from automc.agents import AGENTS
from automc.errors import AutoMCError, ConfigError, nearest


def run(ground: Ground, agents: list[str], seed: int, arguments: argparse.Namespace) -> list[str]:
    """Lets agents take turns until all are finished; returns why some cannot search this problem."""
    runs, refused = [], []
    settings = parse_settings(arguments.arg)
    try:
        for agent in agents:
            runs.append(Run(ground, agent, settings, seed, arguments.evaluations, arguments.within))
        waiting = [one for one in runs if not one.finished]
        while waiting:
            for one in list(waiting):
                try:
                    one.step()
                except ConfigError as error:
                    if one.rows:
                        raise
                    refused.append(f"{ground.name}: {error}")
                    progress.say(f"{one.name} is left out: {refused[-1]}")
                    waiting.remove(one)
                    continue
                if one.finished:
                    waiting.remove(one)
            known = [f"{one.agent} {one.evaluations}: {one.best:.4f}" for one in runs if one.best is not None]
            progress.say(f"{ground.name}, seed {seed}: {', '.join(known)}")
    finally:
        for one in runs:
            one.close()
    return refused


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", help=", ".join(PROBLEMS))
    parser.add_argument("agent", help=", ".join(AGENTS))
    parser.add_argument("seed", help="whole numbers from 0 on")
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arg", action="append", default=[], metavar="KEY=VALUE", help="a setting of the agent")
    parser.add_argument("--within", action="store_true", help="sensitivities count among the evaluations")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)
    agents, refused = arguments.agent.split(","), []
    try:
        seeds = [int(text) for text in arguments.seed.split(",")]
    except ValueError:
        parser.error(f"SEED {arguments.seed}: expected whole numbers with commas between them")
    if min(seeds) < 0 or arguments.evaluations < 1:
        parser.error("seeds are 0 or more, evaluations 1 or more")
    try:
        for agent in agents:
            if agent not in AGENTS:
                raise ConfigError(f"unknown agent '{agent}'{nearest(agent, AGENTS)}")
        if arguments.arg and len(agents) > 1:
            raise ConfigError("--arg: settings are those of one agent; start the others by themselves")
        for name in arguments.problem.split(","):
            ground = Ground(name, arguments.out)
            ground.check()
            for seed in seeds:
                refused += run(ground, agents, seed, arguments)
    except AutoMCError as error:
        progress.say(str(error))
        return 2
    return 2 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
