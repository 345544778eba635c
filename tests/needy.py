"""An agent that needs sensitivities, and a count of the networks that are built."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from torch import nn

from automc.agents import AGENTS, Agent
from automc.evaluation import Evaluator
from automc.search_spaces import Policy


class Needy(Agent):
    """Of a few random policies it proposes the one that is expected to hurt least."""

    needs_sensitivities: ClassVar[bool] = True
    learns: ClassVar[bool] = False
    told: ClassVar[list[tuple[np.ndarray, ...]]] = []

    def _propose(self, number: int, attempt: int) -> Policy | None:
        sensitivities = self.problem.sensitivities
        assert sensitivities is not None
        self.told.append(sensitivities.harms)
        drawn = [self.problem.sample(self.generator(number, attempt + 100 * place)) for place in range(5)]
        return min(drawn, key=lambda policy: float(sensitivities.of(self.problem.space.encode(policy))))


@pytest.fixture
def needy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The agent, by its name in configurations; what it is told begins anew."""
    monkeypatch.setitem(AGENTS, "needy", (f"{__name__}:Needy", "needs sensitivities"))
    monkeypatch.setattr(Needy, "told", [])
    return "needy"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Policy]]:
    """Begins to note the networks that evaluators build; ``stop`` of them later, Ctrl-C comes."""

    original = Evaluator.build

    def begin(stop: int | None = None) -> list[Policy]:
        built: list[Policy] = []

        def build(evaluator: Evaluator, policy: Policy) -> nn.Module:
            if stop is not None and len(built) == stop:
                raise KeyboardInterrupt
            built.append(policy)
            return original(evaluator, policy)

        monkeypatch.setattr(Evaluator, "build", build)
        return built

    return begin
