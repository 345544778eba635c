"""Evaluations, and what their policies decide about, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from automc.costs import Cost
from automc.devices import Timing
from automc.docstrings import Described
from automc.evaluation import Fidelity
from automc.search_spaces import Policy


def _policy(data: Any) -> Policy:
    """Returns a policy as it is, or from plain data; raises ValueError for what no policy can be."""
    if isinstance(data, Policy):
        return data
    if not isinstance(data, Mapping):
        raise ValueError(f"a policy is a dict of dicts, not {type(data).__name__}")
    try:
        return Policy.from_dict(data)
    except TypeError as error:
        raise ValueError(str(error)) from None


# dicts of dicts are ten times as large, and searches hold thousands
PolicyField = Annotated[
    Policy,
    PlainValidator(_policy),
    PlainSerializer(Policy.to_dict),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "object"}}),
]
"""A policy; in files it is what `Policy.to_dict` gives."""


class Plain(Described):
    """Plain data of a search; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class Unit(Plain):
    """Something that a policy decides about, for the picture of the policy.

    Attributes:
        name: the unit.
        kind: what of a group can go: ``channels``, ``heads`` or ``groups``; ``block``; or ``layer`` for one whose
            channels another unit decides about.
        full: how many of these there are in the original, channels of a layer; 1 for a block.
        block: the droppable block that it lies in.
        frozen: why its channels cannot be chosen, if they cannot.
        group: for a layer, the unit that decides about its channels; None where none does.
        int8: whether it is a layer that can run in int8.
    """

    name: str
    kind: Literal["channels", "heads", "groups", "block", "layer"]
    full: int
    block: str | None = None
    frozen: str | None = None
    group: str | None = None
    int8: bool = False


class Evaluated(Plain):
    """One evaluation of the search, in the order in which they ran.

    Attributes:
        agent: who proposed it.
        number: which evaluation of that agent, from 0; first what it proposed.
        policy: the policy.
        score: on search images; None where the evaluation failed.
        change: of the outputs from the original's, squared, as a share of their variance; None where it is not known.
        spread: standard error of the score over images; None where it is not known.
        predicted: its costs.
        seconds: how long it took.
        extra: whether it was added after the search because measured latency was over the budget.
        rung: at which fidelity, from 0, that of the search; policies are promoted to those above.
        error: why it failed, in one line; None where it did not.
        measured: its latency, where it became a finalist.
        worker: who evaluated it: host and process.
        seed: of the search.
        fidelity: how much the evaluation looked at.
        versions: of what the score depends on, where it was computed.
    """

    agent: str
    number: int
    policy: PolicyField
    score: float | None
    predicted: Cost
    seconds: float
    change: float | None = None
    spread: float | None = None
    extra: bool = False
    rung: int = 0
    error: str | None = None
    measured: Timing | None = None
    worker: str = ""
    seed: int = 0
    fidelity: Fidelity | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def proposal(self) -> bool:
        """Whether its agent proposed it: not what was added or promoted later."""
        return not self.extra and self.rung == 0

    @property
    def value(self) -> float:
        """The score of an evaluation that is known not to have failed; raises ValueError where it did."""
        if self.score is None:
            raise ValueError(f"evaluation {self.number} of {self.agent} failed: {self.error}")
        return self.score


def failures(evaluations: list[Evaluated]) -> str | None:
    """Returns how many evaluations failed and why the first did, as a sentence; None where none did."""
    failed = [done for done in evaluations if done.error is not None]
    if not failed:
        return None
    first = failed[0]
    return (
        f"{len(failed)} of {len(evaluations)} evaluations failed, and count as evaluations; the first (number "
        f"{first.number} of {first.agent}): {first.error}"
    )
