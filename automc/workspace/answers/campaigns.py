"""Campaigns, their evaluations and recipes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from automc.campaigns.evaluated import Evaluated, Unit
from automc.campaigns.front import Point
from automc.campaigns.states import State
from automc.costs import Cost
from automc.docstrings import Described
from automc.workspace.answers.shared import Answer


class CampaignSummary(Answer):
    """A campaign in a list.

    Attributes:
        name: of the campaign.
        state: how it stands.
        reason: why it failed, or is being started again, in one line.
        waiting: whether it is in line: the service starts it when another has ended.
        owner: who began it.
        task: what is compressed.
        agent: who searches.
        budget: what is to be kept.
        seed: of everything random.
        evaluations: how many have ended, those that failed too.
        failed: how many of them failed.
        under_way: how many have begun and not ended.
        total: how many there are to be; None before it began.
        metric: name of the score; None before it began.
        higher_is_better: the direction of scores.
        best: what no other evaluation beats in score.
        cost_is: what ``best.cost`` is: a metric of costs.
        seconds: that drivers have run.
        worker_seconds: spent on evaluations, all workers together.
        created: when it was made.
        started: when it first ran.
        ended: when it ended for good.
        driver: host and process that drive it now.
    """

    name: str
    state: State
    reason: str | None = None
    waiting: bool = False
    owner: str
    task: str
    agent: str
    budget: list[str]
    seed: int
    evaluations: int
    failed: int
    under_way: int
    total: int | None = None
    metric: str | None = None
    higher_is_better: bool = True
    best: Point | None = None
    cost_is: str
    seconds: float
    worker_seconds: float
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    driver: str | None = None


class FileInfo(Answer):
    """A file that a campaign has written.

    Attributes:
        name: of the file.
        size: in bytes.
    """

    name: str
    size: int


class CampaignDetail(CampaignSummary):
    """All there is to know of a campaign but its evaluations.

    Attributes:
        config: its configuration; of a server's, without its operator's own: addresses, and the arguments of tasks.
        limits: what the budgets allow, by metric, in its own unit; empty before it began.
        front: what no other evaluation beats in both score and cost, best score first.
        front_over: metrics that the front is over.
        counts: finished evaluations of each agent.
        failures: reasons of the last that failed.
        rate: evaluations a minute of late; None where none has ended in the last minutes.
        workers: who has evaluated in the last minutes, and how much.
        files: what it has written.
        log: the last lines of what its driver said.
        since: when the driver began, or whoever drove it last.
        folder: where its files lie; None where that is on a server.
        source: the file that its configuration is from, if any; None where that is on a server.
    """

    config: dict[str, Any]
    limits: dict[str, float]
    front: list[Point]
    front_over: list[str]
    counts: dict[str, int]
    failures: list[str]
    rate: float | None = None
    workers: dict[str, int] = Field(default_factory=dict)
    files: list[FileInfo] = Field(default_factory=list)
    log: list[str] = Field(default_factory=list)
    since: datetime | None = None
    folder: str | None = None
    source: str | None = None


class RecipeSummary(Answer):
    """The recipe of a finished campaign in a list.

    Attributes:
        campaign: whose it is.
        task: what was compressed.
        agent: who found it.
        budgets: what was to be kept.
        device: what was measured on: its name and its processor's.
        metric: name of the score.
        test_score: of the compressed network's exported file, on the test split; None where it was not computed.
        original_test_score: of the original's.
        ratio: measured latency over the original's: first quartile, median, third quartile; None where it was not
            measured.
        measured_us: the same in microseconds.
        macs: for one example.
        original_macs: the original's.
        size: bytes of parameters and buffers.
        original_size: the original's.
        created: when the recipe was written.
    """

    campaign: str
    task: str
    agent: str
    budgets: list[str]
    device: str
    metric: str
    test_score: float | None
    original_test_score: float | None
    ratio: tuple[float, float, float] | None
    measured_us: tuple[float, float, float] | None
    macs: float
    original_macs: float
    size: float
    original_size: float
    created: datetime


class EvaluationRow(Answer):
    """An evaluation in a list.

    Attributes:
        cursor: its place among all evaluations of its campaign, in the order in which they ended; opaque.
        agent: who proposed it.
        number: which of that agent, from 0.
        score: on search images; None where it failed.
        change: of the outputs from the original's, as a share of their variance; None where it is not known.
        error: why it failed.
        predicted: its costs.
        seconds: how long it took.
        rung: at which fidelity, from 0.
        worker: who evaluated it.
        ended: when.
    """

    cursor: str
    agent: str
    number: int
    score: float | None
    change: float | None = None
    error: str | None = None
    predicted: Cost
    seconds: float
    rung: int = 0
    worker: str = ""
    ended: datetime


class EvaluationDetail(Answer):
    """One evaluation with its policy, and what the policy decides about.

    Attributes:
        evaluation: the evaluation.
        units: what there is to decide about, for a picture; empty where the campaign's folder does not say.
    """

    evaluation: Evaluated
    units: list[Unit]


class CampaignRequest(Described):
    """A campaign that is asked for: a search's configuration without code and without paths.

    Attributes:
        name: what to call it; by default after its task.
        task: a task that the operator registered.
        config: the other keys of a configuration (``docs/guide.md``): budget, agent, evaluations, space and so on.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"task": "digits", "config": {"budget": "latency<=60%", "agent": "auto", "evaluations": 40}},
                {
                    "name": "digits-on-paper",
                    "task": "digits",
                    "config": {
                        "budget": ["macs<=50%", "size<=50%"],
                        "device": {"target": "roofline"},
                        "space": "width",
                    },
                },
            ]
        },
    )

    name: str | None = Field(default=None, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: str = Field(max_length=80)
    config: dict[str, Any] = Field(default_factory=dict)


class ConfigFile(BaseModel):
    """A configuration's file of which only the task is looked at: the server looks at the rest.

    Attributes:
        task: a registered task.
    """

    model_config = ConfigDict(extra="allow")

    task: str
