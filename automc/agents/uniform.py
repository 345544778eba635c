"""All layers alike: controls."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from automc.agents._base import Agent
from automc.search_spaces import Policy


class _Once(Agent):
    """Proposes one policy, which no score changes."""

    proposals: ClassVar[int | None] = 1
    learns: ClassVar[bool] = False

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self._policy() if number == 0 else None

    @abstractmethod
    def _policy(self) -> Policy | None:
        """Returns it; None where the space has none."""


class Uniform(_Once):
    """Proposes one policy: every width scaled down alike until the budgets are kept, all in float."""

    float_only: ClassVar[bool] = True

    def _policy(self) -> Policy | None:
        return self.problem.uniform()


class UniformInt8(_Once):
    """Proposes one policy: every layer in int8 that can, and every width scaled down alike if that is not enough."""

    def _policy(self) -> Policy | None:
        return self.problem.uniform_int8()


class UniformBits(_Once):
    """Proposes one policy: all layers at the same bits, the most that keep the budgets, as HAQ's baseline."""

    def _policy(self) -> Policy | None:
        return self.problem.uniform_bits()


class Int8(_Once):
    """Proposes one policy: every layer in int8 that can, and nothing else."""

    reference: ClassVar[bool] = True

    def _policy(self) -> Policy | None:
        return self.problem.int8()
