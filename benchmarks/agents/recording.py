"""One agent on one problem with one seed: its evaluations, recorded one by one and taken up where they ended."""

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ground import Ground
from records import Journal, Row, read_rows

from automc.agents import AGENTS, CONTROLS, Agent, agent_class, make_agent
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.ranking import ranked
from automc.costs import Cost
from automc.errors import ConfigError, lacking, one_line
from automc.search_spaces import Policy

RUNS, FINALS, LATENCIES = "runs", "finals.jsonl", "latencies.jsonl"
ORIGINAL = "original"
_LONGEST = 80  # characters of a name

Seeds = list[list[Row]]


def label(agent: str, settings: dict[str, Any]) -> str:
    """Returns an agent's name with what was set, for tables and names of files."""
    text = ",".join([agent, *(f"{key}={value}" for key, value in sorted(settings.items()))])
    plain = re.sub(r"[^\w.,=+-]", "~", text)
    if plain == text and len(text) <= _LONGEST:
        return text
    return f"{plain[:_LONGEST]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class Run:
    """The evaluations of one agent with one seed.

    Args:
        ground: the problem.
        agent: the agent's name.
        settings: of the agent; what is not given has its default.
        seed: draws proposals and images for calibration.
        evaluations: how many there shall be.
        within: whether sensitivities count among them, as many as take as long.

    Attributes:
        name: the run's among those of its problem.

    Raises:
        ConfigError: another process is at it; the agent cannot search this problem, or has no such settings.
    """

    def __init__(
        self, ground: Ground, agent: str, settings: dict[str, Any], seed: int, evaluations: int, within: bool = False
    ) -> None:
        self.ground, self.agent, self.settings, self.seed = ground, agent, settings, seed
        self._asked, self._within = evaluations, within
        self.name = f"{label(agent, settings)}-seed{seed}"
        cls = agent_class(agent)
        self._needs = cls.needs_sensitivities
        self._made: Agent | None = None
        closed = [row["run"] for row in read_rows(ground.folder / FINALS)]
        self.closed = self.name in closed
        self._journal = Journal(ground.folder / RUNS / f"{self.name}.jsonl")

    @property
    def rows(self) -> list[Row]:
        """What it has done."""
        return self._journal.rows

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do; one that has read the test set is not gone on with."""
        return self.closed or finished(self.rows, self.wanted)

    @property
    def wanted(self) -> int:
        """How many evaluations it shall have."""
        return max(1, self._asked - round(self._cost[1])) if self._within else self._asked

    @property
    def evaluations(self) -> int:
        """How many evaluations it has."""
        return len(scored(self.rows))

    @property
    def best(self) -> float | None:
        """The score of the best policy so far."""
        row = best(self.rows, self.ground.task.higher_is_better)
        return None if row is None else row["score"]

    @property
    def _cost(self) -> tuple[float, float]:
        """What was paid before the first proposal: seconds, and evaluations that take as long."""
        if not self._needs:
            return 0.0, 0.0
        measured = self.ground.sensitivities(self.seed)
        return measured.seconds, measured.evaluations

    def step(self) -> None:
        """Has one more policy proposed, evaluated, learned and recorded."""
        agent = self._made = self._made or self._resumed()
        ground, number = self.ground, len(self.rows)
        seconds, evaluations = self._cost
        before = self.rows[-1]["total_s"] if self.rows else seconds
        row: Row = {
            "problem": ground.name,
            "agent": self.agent,
            "settings": self.settings,
            "seed": self.seed,
            "number": number,
            "evaluations": self.wanted,
            "sensitivities_s": seconds,
            "sensitivities_evaluations": evaluations,
        }
        start = time.perf_counter()
        policy = agent.propose()
        thinking = time.perf_counter() - start
        if policy is None:
            row |= {"end": "nothing left to propose", "agent_s": round(thinking, 4)}
            self._journal.append(row | {"total_s": round(before + thinking, 4)})
            return
        found, taken = self._evaluated(policy)
        start = time.perf_counter()
        agent.learn(policy, found["score"], found["change"])
        thinking += time.perf_counter() - start
        index = ground.space.encode(policy)
        costs = dataclasses.asdict(ground.costs.cost(policy))
        self._journal.append(
            row
            | {
                "policy": policy.to_dict(),
                **found,
                "keeps": bool(ground.projection.fits(index[None])[0]),
                "predicted": {metric: value for metric, value in costs.items() if value is not None},
                "evaluation_s": round(taken, 4),
                "agent_s": round(thinking, 4),
                "total_s": round(before + taken + thinking, 4),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )

    def close(self) -> None:
        """Lets another process go on with it."""
        self._journal.close()
        self._made = None

    def _evaluated(self, policy: Policy) -> tuple[Row, float]:
        """Returns what an evaluation says, and its seconds: those it took another run, where that had the same one."""
        start = time.perf_counter()
        try:
            done = self.ground.evaluator(self.seed).evaluate(policy)
        except Exception as error:
            if lacking(error):
                raise
            nothing = {"score": None, "change": None, "spread": None}
            return nothing | {"error": one_line(error)}, time.perf_counter() - start
        return {"score": done.score, "change": done.change, "spread": done.spread, "error": None}, done.seconds

    def _resumed(self) -> Agent:
        """Returns the agent as it was when the last row was written."""
        ground, problem = self.ground, self.ground.problem(self.seed)
        if self._needs:
            problem = dataclasses.replace(problem, sensitivities=ground.sensitivities(self.seed).sensitivities)
        agent = make_agent(self.agent, problem, self.seed, **self.settings)
        for row in scored(self.rows):
            policy = Policy.from_dict(row["policy"])
            agent.skip(policy)
            agent.learn(policy, row["score"], row["change"])
        return agent


def finished(rows: Sequence[Row], wanted: int | None = None) -> bool:
    """Says whether a run has ended: it has as many evaluations as were asked for, or nothing left to propose."""
    return bool(rows) and ("end" in rows[-1] or len(rows) >= (rows[-1]["evaluations"] if wanted is None else wanted))


def best(rows: Sequence[Row], higher_is_better: bool = True) -> Row | None:
    """Returns the best evaluation that keeps the budgets, as a search would choose it.

    What does not keep the budgets is no result: agents that come from above propose some on their way. A reference,
    which keeps none, has its best all the same.
    """
    done = [row for row in scored(rows) if row["score"] is not None]
    if done and not agent_class(done[0]["agent"]).reference:
        done = [row for row in done if row["keeps"]]
    evaluations = [
        Evaluated(
            predicted=Cost(**row["predicted"]),
            seconds=row["evaluation_s"],
            **{key: row[key] for key in ("agent", "number", "policy", "score", "change", "spread")},
        )
        for row in done
    ]
    first = next(iter(ranked(evaluations, lambda score: score if higher_is_better else -score)), None)
    return next((row for row in done if first is not None and row["number"] == first.number), None)


def scored(rows: Sequence[Row]) -> list[Row]:
    """Returns a run's evaluations, without the row that says that it has ended."""
    return [row for row in rows if "policy" in row]


def by_agent(runs: dict[str, list[Row]]) -> dict[str, Seeds]:
    """Returns each agent's runs, controls first, the others as they are listed; settings make another agent."""
    groups: dict[str, Seeds] = {}
    for rows in runs.values():
        groups.setdefault(label(rows[0]["agent"], rows[0]["settings"]), []).append(rows)
    order = [*CONTROLS, *(name for name in AGENTS if name not in CONTROLS)]
    return dict(sorted(groups.items(), key=lambda item: (order.index(item[1][0][0]["agent"]), item[0])))


def recorded(folder: Path) -> dict[str, list[Row]]:
    """Returns the rows of all runs of a problem that have any, by the run's name."""
    found = {file.stem: read_rows(file) for file in sorted((folder / RUNS).glob("*.jsonl"))}
    return {name: rows for name, rows in found.items() if rows}


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Reads ``key=value``, the value as JSON where it is some; raises ConfigError where it is none."""
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"--arg {text}: expected key=value")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings
