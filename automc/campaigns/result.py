"""What a search found: everything that its report shows, as plain data."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from automc.campaigns.evaluated import Evaluated, Plain, Unit
from automc.costs import Cost
from automc.devices import Device, Timing
from automc.latency_tables import Validation
from automc.sensitivities import SensitivityFile


class Learned(Plain):
    """What the agent took from one of its evaluations.

    Attributes:
        number: the evaluation's; what was chosen for each layer is in its policy.
        reward: what it earned.
        figures: what else there is to see, by name, such as ``noise`` and ``critic_loss``; finite.
    """

    number: int
    reward: float
    figures: dict[str, float] = Field(default_factory=dict)


class Tuned(Plain):
    """What fine-tuning made of a network.

    Attributes:
        epochs: passes over the training split; not whole where the time limit came first.
        seconds: how long it took.
        search_score: on search images, afterwards.
        test_score: on the test set, by the ONNX file of the tuned network.
    """

    epochs: float
    seconds: float
    search_score: float
    test_score: float


class Int8(Plain):
    """What of a network's ONNX file runs in int8.

    Attributes:
        layers: how many layers with weights the file has.
        asked: those that it has in int8. A float layer between two of them is too: the runtime makes it so.
        run: those of them that the runtime runs in int8, by its own optimized graph.
    """

    layers: int
    asked: list[str]
    run: list[str]


class Row(Plain):
    """One network of the comparison.

    Attributes:
        name: ``original``, a control's name, or ``best``.
        agent: who proposed it; None for the original.
        policy: what was chosen; None for the original.
        predicted: its costs; MACs, parameters, bytes and memory are those of the built model.
        measured: its latency.
        file_size: bytes of the ONNX file.
        search_score: on search images, before any fine-tuning.
        test_score: on the test set, by the ONNX file in the serving runtime, before any fine-tuning.
        keeps_budget: whether it does, latency as measured.
        tuned: its scores after fine-tuning; None where it had none.
        int8: its layers in int8; None where nobody looked.
        model: the accelerator on paper whose model gives what stands for measured latency; None where it was measured.
    """

    name: str
    agent: str | None
    policy: dict[str, dict[str, Any]] | None
    predicted: Cost
    measured: Timing
    file_size: int
    search_score: float
    test_score: float
    keeps_budget: bool
    tuned: Tuned | None = None
    int8: Int8 | None = None
    model: str | None = None

    @property
    def latency_is(self) -> str:
        """What its latency is: measured, or by which model."""
        return f"latency by the model of {self.model}, not measured" if self.model else "measured latency"

    @property
    def final(self) -> Row | Tuned:
        """What has the scores of the network as it was in the end."""
        return self.tuned or self


class TableInfo(Plain):
    """The latency table that was used.

    Attributes:
        path: where it lies.
        measured_at: when it was measured.
        method: how.
        operators: how many it has.
        reused: whether nothing had to be measured.
        validations: how far it was off for whole networks.
        forced: what differs between the device that it is of and the one it was used for, where that was forced.
    """

    path: str
    measured_at: str
    method: str
    operators: int
    reused: bool
    validations: list[Validation] = Field(default_factory=list)
    forced: str | None = None


class SensitivityInfo(Plain):
    """The sensitivities that the agents had.

    Attributes:
        path: where the search's copy lies.
        spent: seconds that this search measured for; 0 where they were there already.
        found: the sensitivities.
    """

    path: str
    spent: float
    found: SensitivityFile


class SearchResult(Plain):
    """A finished search.

    Attributes:
        task: as configured.
        metric: name of the score.
        higher_is_better: its direction.
        agent: the agent that was asked for.
        budgets: as written.
        limits: the largest value allowed for each budgeted metric, in its own unit.
        device: what it was measured on, or modelled for.
        table: the latency table, or None when it could not be measured; `table_missing` says why.
        table_missing: why there is no latency table.
        rows: the comparison: original, each control that has a result, best.
        evaluations: all of them, those that failed too.
        front: which of the agent's evaluations none of its own beats in score and in `front_over`, by their numbers,
            best score first.
        front_over: metrics of the front: those that the agent was to make small, or the first budget's.
        lessons: what the agent learned from its evaluations, in order; empty where there is nothing to watch.
        units: all units of the network.
        sensitivities: what the agents knew of how much each option hurts; None where none of them asked.
        verdict: in plain sentences, what the search brought.
        brought: whether the verdict is that it brought something beyond its controls.
        claims: what was measured, and on what; what was only predicted.
        seed: of the search.
        seconds: how long it all took.
        created_at: ISO 8601, UTC.
        versions: of AutoMC and of the libraries that matter.
    """

    task: str
    metric: str
    higher_is_better: bool
    agent: str
    budgets: list[str]
    limits: dict[str, float]
    device: Device
    table: TableInfo | None
    table_missing: str | None = None
    rows: list[Row]
    evaluations: list[Evaluated]
    front: list[int] = Field(default_factory=list)
    front_over: list[str] = Field(default_factory=list)
    lessons: list[Learned] = Field(default_factory=list)
    units: list[Unit]
    sensitivities: SensitivityInfo | None = None
    verdict: str
    brought: bool
    claims: list[str]
    seed: int
    seconds: float
    created_at: str
    versions: dict[str, str]

    @property
    def controls(self) -> list[str]:
        """Names of the controls."""
        return [row.name for row in self.rows if row.name not in ("original", "best")]

    @property
    def has_bits(self) -> bool:
        """Whether the layers' precision was searched."""
        found = any("weight_bits" in choice for row in self.rows for choice in (row.policy or {}).values())
        return found or any(
            choice.weight_bits is not None for done in self.evaluations for choice in done.policy.values()
        )

    @property
    def scored(self) -> list[Evaluated]:
        """The evaluations that did not fail."""
        return [done for done in self.evaluations if done.score is not None]

    @property
    def compared(self) -> list[Evaluated]:
        """Those that did not fail at the highest rung that any reached: scores of two rungs cannot be compared."""
        top = max((done.rung for done in self.scored), default=0)
        return [done for done in self.scored if done.rung == top]

    @property
    def forced(self) -> str | None:
        """What every report has to say where the table is another device's; None where it is not."""
        if self.table is None or self.table.forced is None:
            return None
        return f"Predicted latency is that of another device, whose table was forced: {self.table.forced}."

    def row(self, name: str) -> Row:
        """Returns one network of the comparison; raises KeyError when it is not there."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)
