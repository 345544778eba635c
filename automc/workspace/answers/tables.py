"""Latency tables, and what they are asked."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from automc.costs import Cost
from automc.devices import Device
from automc.docstrings import Described
from automc.latency_tables import Validation
from automc.latency_tables.hardware import How
from automc.workspace.answers.shared import Answer


class TableSummary(Answer):
    """A latency table in a list.

    Attributes:
        id: names it: a digest of its device.
        device: what it was measured on.
        operators: how many were measured.
        measured_at: when that began.
        imported: from what file of another program it is, or None.
        validations: how far it was off for whole networks, newest last.
        trust: the same in a line.
    """

    id: str
    device: Device
    operators: int
    measured_at: str
    imported: str | None = None
    validations: list[Validation]
    trust: str


class OperatorRow(Answer):
    """A measured operator; microseconds.

    Attributes:
        operator: its signature.
        us: mean of undisturbed runs.
        low: first quartile.
        high: third quartile.
        runs: how many runs.
        drifted: whether the device's speed changed while it was measured.
    """

    operator: str
    us: float
    low: float
    high: float
    runs: int
    drifted: bool = False


class TableDetail(TableSummary):
    """A latency table without its operators.

    Attributes:
        method: how it was measured.
        repeatability: RMS relative difference of an operator measured again.
        overhead_us: what a network costs beyond its operators: a run, a kernel, a kernel in int8.
        kinds: measured operators of each kind.
        fitted_on: how many whole networks of each subject it was fitted on.
    """

    method: str
    repeatability: float
    overhead_us: dict[str, float]
    kinds: dict[str, int]
    fitted_on: dict[str, int]


class OperatorAnswer(Answer):
    """What one operator will take, or why that is not known; microseconds.

    Attributes:
        operator: as it was asked for.
        us: its latency; None where it is not known.
        low: lower end of the interval in which nine of ten measurements would lie.
        high: upper end.
        how: where that comes from.
        energy_uj: microjoules, where the hardware has them.
        error: why it is not known.
    """

    operator: str
    us: float | None = None
    low: float | None = None
    high: float | None = None
    how: How | None = None
    energy_uj: float | None = None
    error: str | None = None


class NetworkRequest(Described):
    """A whole network whose latency is asked for.

    Attributes:
        task: a registered task.
        policy: what is chosen; None for the network as it is.
        estimate: whether operators never measured are estimated by a roofline.
        breakdown: whether every operator is wanted too.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"task": "digits", "estimate": True}, {"task": "digits", "breakdown": True}]},
    )

    task: str = Field(max_length=80)
    policy: dict[str, dict[str, Any]] | None = None
    estimate: bool = False
    breakdown: bool = False


class NetworkAnswer(Answer):
    """What a whole network will cost.

    Attributes:
        cost: all metrics; latency in microseconds for one inference.
        low: lower end of the interval of the latency.
        high: upper end.
        interval: what the interval takes into account.
        run_us: what an inference costs beyond its operators.
        shares: which share of the operators' latency comes from where.
        counts: how many operators come from where.
        breakdown: every operator in order, where it was asked for.
    """

    cost: Cost
    low: float
    high: float
    interval: str
    run_us: float
    shares: dict[How, float]
    counts: dict[How, int]
    breakdown: list[OperatorAnswer] = Field(default_factory=list)


class TableComparison(Answer):
    """Two tables side by side: second over first.

    Attributes:
        device: what differs between their devices, or None.
        operators: how many are in both.
        median: of the ratio; None where none is in both.
        quantiles: of the ratio, by the share that lies below.
        by_kind: median ratio and number of operators of each kind.
        largest: operators whose ratio differs most from the median, with both latencies in microseconds.
        only_first: how many are in the first only.
        only_second: how many are in the second only.
    """

    device: str | None
    operators: int
    median: float | None
    quantiles: dict[str, float]
    by_kind: dict[str, tuple[float | None, int]]
    largest: list[tuple[str, float, float]]
    only_first: int
    only_second: int
