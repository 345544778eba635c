"""From predicted to measured: the best policies are exported and timed before one is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from automc import progress
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.search import Search
from automc.compression import Compressed
from automc.costs import Cost, Projection
from automc.devices import Timing, time_models
from automc.errors import BudgetError, SearchError, lacking, one_line
from automc.latency_tables import Accelerator
from automc.recipes.deployed import feeds
from automc.recipes.export import export_onnx
from automc.search_spaces import Policy
from automc.tasks.training import Trained

_ROUNDS = 4  # the first, and three that are tighter
_CONTROL_FINALISTS = 3
_RESERVES = 3  # evaluations looked at for each place: where exporting never works, not all are tried
_MARGIN = 0.99  # a budget corrected by what was measured is aimed at a little below


@dataclass(frozen=True)
class TunedNetwork:
    """A finalist's network after fine-tuning.

    Attributes:
        compressed: the network.
        file: its ONNX file.
        search_score: its score on search images.
        trained: what the training took.
    """

    compressed: Compressed
    file: Path
    search_score: float
    trained: Trained


@dataclass(frozen=True)
class Finalist:
    """An exported and measured policy.

    Attributes:
        done: its evaluation.
        compressed: the network.
        file: its ONNX file.
        timing: its latency, interleaved with the original's.
        tuned: the network after fine-tuning, if it had any; its operators, and so its latency, are the same.
    """

    done: Evaluated
    compressed: Compressed
    file: Path
    timing: Timing
    tuned: TunedNetwork | None = None

    @property
    def policy(self) -> Policy:
        """The policy."""
        return self.done.policy

    @property
    def search_score(self) -> float:
        """Its score on search images, before fine-tuning."""
        return self.done.value

    @property
    def final(self) -> Finalist | TunedNetwork:
        """What has the network, file and score as they are in the end."""
        return self.tuned or self


Chosen = dict[str, list[Finalist]]
"""Each agent's measured finalists, best first: those that keep the budgets, or else the nearest to it alone."""


class Finals:
    """Measures the best policies of each agent and chooses one for each.

    Where all finalists of an agent are measured over a latency budget, the budget is tightened by how much they
    were over, the finalists are projected onto that, evaluated and measured anew, up to three times, each time tighter.
    A finalist that cannot be built or exported is passed by, and the next best takes its place. On an accelerator on
    paper nothing can be measured: the model's latencies stand for what would be.

    Args:
        search: the finished search.
        folder: where ONNX files go.

    Attributes:
        passed_by: what could not be built or exported, and why, a sentence each.
        untuned: whose fine-tuning was given up before its end, and why, a sentence each.
        model: the accelerator on paper that latencies are by; None where they are measured.
    """

    def __init__(self, search: Search, folder: Path) -> None:
        self._search, self._folder = search, folder
        subject = search.setup.subject
        self._target, self._inputs = subject.target, subject.inputs
        self.original = folder / "original.onnx"
        export_onnx(subject.model, subject.inputs, self.original)
        self.model = subject.device.name if isinstance(subject.target, Accelerator) else None
        self.original_timing: Timing | None = None
        self.passed_by: dict[Policy, str] = {}
        self.untuned: dict[Policy, str] = {}
        self._exported: dict[Policy, tuple[Compressed, Path]] = {}
        self._measured: dict[Policy, Timing] = {}
        self._share: dict[str, float] = {}  # of the latency budgets, that an agent's policies are projected onto

    def choose(self) -> Chosen:
        """Returns the finalists of each agent that proposed something.

        All that are returned were measured in the same run, the last. A control without a result is left out.

        Raises:
            SearchError: nothing of the agent that was asked for could be built and exported.
        """
        asked = self._search.config.agent
        places = {agent: self._places(agent) for agent in self._search.agents}
        fields = self._export({agent: self._search.ranked(agent) for agent in places}, places)
        if asked not in fields:
            raise SearchError(f"no policy of {asked} can be exported: {next(iter(self.passed_by.values()))}")
        for _ in range(_ROUNDS):
            self._measure([done for field in fields.values() for done in field])
            chosen = {agent: self._that_fit(field) for agent, field in fields.items()}
            # what an agent proposed over the budget, as a control may, is meant to be so
            tighter = {
                agent: self._tightened(agent, fields[agent])
                for agent, (first, *_) in chosen.items()
                if self._excess(first.timing, cautious=True) > 1 and self._fits(first.done.predicted)
            }
            if not any(tighter.values()):
                break
            tighter = self._export(tighter, places)
            fields = {
                agent: tighter.get(agent) or [one.done for one in finalists[: self._kept(agent)]]
                for agent, finalists in chosen.items()
            }
        return chosen

    def best(self, chosen: Chosen) -> Finalist:
        """Returns the best of all that keep the budgets, as they are in the end; the asked agent wins a tie."""
        return self._in_order(chosen)[0]

    def ahead_of_next(self, chosen: Chosen) -> tuple[Finalist, Finalist, float] | None:
        """Returns the best finalist, the next, and how often the best scores better on resampled search images.

        None where there is no other policy at the same rung that keeps the budgets, or nothing can be resampled.
        """
        first, *others = self._in_order(chosen)
        for other in others:
            if other.policy != first.policy and self._kind(other) == self._kind(first):
                networks = first.final.compressed.model, other.final.compressed.model
                share = self._search.evaluator.last.ahead(*networks)
                return None if share is None else (first, other, share)
        return None

    def _in_order(self, chosen: Chosen) -> list[Finalist]:
        """Returns all finalists, best first: those that keep the budgets, by rung, the trained ones, by final score.

        Trained and untrained ones are not compared by their scores: see `FineTune.tolerance`.
        """
        asked_first = [*chosen.get(self._search.config.agent, []), *(one for field in chosen.values() for one in field)]
        merit = self._search.problem.merit
        return sorted(
            asked_first,
            key=lambda one: (*self._kind(one), merit(one.final.search_score)),
            reverse=True,
        )

    def _kind(self, finalist: Finalist) -> tuple[bool, int, bool]:
        """Returns what comes before a finalist's score; only scores of one kind are compared."""
        return self.keeps_budget(finalist), finalist.done.rung, finalist.tuned is not None

    def keeps_budget(self, finalist: Finalist) -> bool:
        """Says whether a finalist keeps the budgets, latency as measured."""
        return self.within_budget(finalist.timing, finalist.done.predicted)

    def within_budget(self, timing: Timing, costs: Cost) -> bool:
        """Says whether measured medians keep the budgets on latency, and exact costs all others."""
        return self._excess(timing) <= 1 and self._fits(costs, except_latency=True)

    def _places(self, agent: str) -> int:
        places = self._search.config.finalists
        return min(_CONTROL_FINALISTS, places) if agent in self._search.controls else places

    def _kept(self, agent: str) -> int:
        """Returns how many of an agent's finalists are of use later."""
        settings = self._search.config.finetune
        return settings.finalists if settings.epochs and agent == self._search.config.agent else 1

    def _that_fit(self, field: list[Evaluated]) -> list[Finalist]:
        finalists = [self._finalist(done) for done in field]
        fitting = [finalist for finalist in finalists if self._excess(finalist.timing, cautious=True) <= 1]
        return fitting or [min(finalists, key=lambda finalist: self._excess(finalist.timing))]

    def _fits(self, costs: Cost, except_latency: bool = False) -> bool:
        """Says whether costs keep the budgets as predicted."""
        limits = self._search.setup.projection.limits.items()
        return all(costs.get(metric) <= limit for metric, limit in limits if metric != "latency" or not except_latency)

    def _excess(self, timing: Timing, cautious: bool = False) -> float:
        """Returns by what factor a latency is over budget; cautious takes the upper quartile, not the median."""
        relative, absolute = (timing.ratio_high, timing.high) if cautious else (timing.ratio, timing.us)
        budgets = [budget for budget in self._search.config.budgets if budget.metric == "latency"]
        return max(((relative if b.relative else absolute) / b.value for b in budgets), default=0.0)

    def _tightened(self, agent: str, field: list[Evaluated]) -> list[Evaluated]:
        """Projects an agent's finalists onto tighter latency budgets; returns none if these cannot be reached."""
        over = min(self._excess(self._finalist(done).timing, cautious=True) for done in field)
        share = self._share[agent] = self._share.get(agent, 1.0) * _MARGIN / over
        budgets = [b.tightened(share) if b.metric == "latency" else b for b in self._search.config.budgets]
        try:
            projection = Projection(self._search.setup.costs, budgets)
        except BudgetError:
            return []
        progress.say(f"{agent}: measured over the budget; trying again at {100 * share:.1f}% of it")
        policies = dict.fromkeys(self._search.tightened(done.policy, agent, projection) for done in field)
        done = [self._search.evaluate_extra(policy, agent) for policy in policies]
        scored = [one for one in done if one.score is not None]
        return sorted(scored, key=lambda one: -self._search.problem.merit(one.value))

    def _export(self, ranked: dict[str, list[Evaluated]], places: dict[str, int]) -> dict[str, list[Evaluated]]:
        """Exports the first of each agent's evaluations, as many as it has places; agents without any are left out."""
        fields: dict[str, list[Evaluated]] = {}
        total = sum(min(places[agent], len(field)) for agent, field in ranked.items())
        with progress.bar("Exporting finalists", total) as line:
            for agent, field in ranked.items():
                for done in field[: _RESERVES * places[agent]]:
                    if len(fields.get(agent, ())) < places[agent] and self._can_be_exported(done):
                        fields.setdefault(agent, []).append(done)
                        line.advance()
        return fields

    def _can_be_exported(self, done: Evaluated) -> bool:
        policy = done.policy
        if policy in self._exported or policy in self.passed_by:
            return policy in self._exported
        file = self._folder / f"finalist{len(self._exported)}.onnx"
        try:
            compressed = self._search.evaluator.last.compress(policy)
            export_onnx(compressed.model, self._inputs, file)
        except Exception as error:
            if lacking(error):
                raise
            problem = f"number {done.number} of {done.agent} was passed by: {one_line(error).removeprefix(f'{file}: ')}"
            self.passed_by[policy] = problem
            progress.say(f"A finalist cannot be built or exported; {problem}")
            return False
        self._exported[policy] = (compressed, file)
        return True

    def _measure(self, field: list[Evaluated]) -> None:
        policies = list(dict.fromkeys(done.policy for done in field))
        if isinstance(self._target, Accelerator):
            self.original_timing, *timings = self._by_model(policies)
            self._measured |= dict(zip(policies, timings, strict=True))
            return
        models = [self.original, *(self._exported[policy][1] for policy in policies)]
        inputs = [feeds(self._inputs)] * len(models)
        self.original_timing, *timings = time_models(self._target, models, inputs, "Measuring original and finalists")
        self._measured |= dict(zip(policies, timings, strict=True))
        for done in field:
            self._search.measured(done, self._measured[done.policy])

    def _by_model(self, policies: list[Policy]) -> list[Timing]:
        """Returns what stands for measurements on a device that is none: of the original, and of these."""
        costs, space = self._search.setup.costs, self._search.setup.space
        us = [costs.cost(policy).get("latency") for policy in (space.decode(space.full), *policies)]
        shares = [one / us[0] for one in us]
        return [Timing(one, one, one, share, share, share, runs=0) for one, share in zip(us, shares, strict=True)]

    def _finalist(self, done: Evaluated) -> Finalist:
        policy = done.policy
        return Finalist(done, *self._exported[policy], self._measured[policy])
