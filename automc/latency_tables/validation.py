"""How far a table was off for whole networks: figures that stay with the table."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ConfigDict, Field, FiniteFloat

from automc.docstrings import Described


class Validation(Described):
    """Predicted against measured latency of random policies that nothing was fitted on.

    Attributes:
        subject: what network they were policies of.
        space: what was chosen in them, for example ``width, depth, int8``.
        policies: how many.
        seed: by which they were drawn.
        measured_at: when, ISO 8601, UTC.
        rmspe: root of the mean squared relative error.
        median: median of the relative errors' absolute values.
        within5: share of policies whose relative error is at most 5%.
        within10: the same for 10%.
        spearman: rank correlation of predicted and measured latency.
        bias: mean relative error; above zero where predictions are too high.
        repeatability: RMS of what the measurement itself, done again, differs by.
        passed_by: how many more could not be exported.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str
    space: str
    policies: int = Field(ge=1)
    seed: int
    measured_at: str
    rmspe: FiniteFloat
    median: FiniteFloat
    within5: FiniteFloat
    within10: FiniteFloat
    spearman: FiniteFloat
    bias: FiniteFloat
    repeatability: FiniteFloat
    passed_by: int = Field(default=0, ge=0)

    def __str__(self) -> str:
        return (
            f"this table predicted {self.policies} random policies of {self.subject} ({self.space}) to "
            f"{100 * self.rmspe:.1f}% RMSPE, {100 * self.within10:.0f}% within ±10%"
        )


def sentence(words: str) -> str:
    """Returns words with a capital and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def trust(validations: Sequence[Validation], subject: str | None = None) -> str:
    """Says how far a table can be trusted: by its newest validation on a subject, else its newest, else not at all."""
    of_it = [validation for validation in validations if validation.subject == subject]
    newest = (of_it or validations)[-1:]
    return str(newest[0]) if newest else "this table was never validated: automc latency validate"
