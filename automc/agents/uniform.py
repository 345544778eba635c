"""All layers alike: controls."""

from __future__ import annotations

from typing import ClassVar

from automc.agents._base import Agent
from automc.search_spaces import Policy


class Uniform(Agent):
    """Proposes one policy: every width scaled down alike until the budgets are kept, all in float."""

    float_only: ClassVar[bool] = True
    proposals: ClassVar[int | None] = 1
    learns: ClassVar[bool] = False

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self.problem.uniform() if number == 0 else None


class UniformInt8(Agent):
    """Proposes one policy: every layer in int8 that can, and every width scaled down alike if that is not enough."""

    proposals: ClassVar[int | None] = 1
    learns: ClassVar[bool] = False

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self.problem.uniform_int8() if number == 0 else None


class UniformBits(Agent):
    """Proposes one policy: all layers at the same bits, the most that keep the budgets, as HAQ's baseline."""

    proposals: ClassVar[int | None] = 1
    learns: ClassVar[bool] = False

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self.problem.uniform_bits() if number == 0 else None


class Int8(Agent):
    """Proposes one policy: every layer in int8 that can, and nothing else."""

    proposals: ClassVar[int | None] = 1
    learns: ClassVar[bool] = False
    reference: ClassVar[bool] = True

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self.problem.int8() if number == 0 else None
