"""What everything promises that prices operators."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest

from automc.errors import TableError
from automc.latency_tables import Hardware, Signature

NEVER_SEEN = Signature.of("roll", (7,), n=(3,))
"""An operator that no hardware here has."""


class HardwareSuite(ABC):
    """Subclass it as ``TestMyHardware`` and give `make` and `known`; pytest runs the rest."""

    frees_others = False
    """Whether operators that are no products cost nothing, as on an accelerator, instead of being unknown."""

    @abstractmethod
    def make(self) -> Hardware:
        """Returns the hardware under test."""

    @abstractmethod
    def known(self) -> Sequence[Signature]:
        """Returns some operators that it knows."""

    @pytest.fixture(scope="class")
    def hardware(self) -> Hardware:
        """The hardware, made once."""
        return self.make()

    def test_the_device_says_what_it_runs(self, hardware: Hardware) -> None:
        """A search space is intersected with it."""
        assert hardware.device.name
        assert hardware.device.precisions
        assert hardware.device.mismatch(self.make().device) is None

    def test_a_run_costs_a_finite_time(self, hardware: Hardware) -> None:
        """Below zero it may be where operators' own times hold too much."""
        assert math.isfinite(hardware.run_us)

    def test_answers_lie_within_their_intervals(self, hardware: Hardware) -> None:
        """No latency is negative or without bounds."""
        for signature in self.known():
            found = hardware.lookup(signature)
            assert 0 <= found.low <= found.us <= found.high < math.inf
            assert found.how

    def test_what_an_operator_adds_is_finite_and_not_negative(self, hardware: Hardware) -> None:
        """The cost model adds these up, and a budget needs them ordered."""
        for signature in self.known():
            assert 0 <= hardware.cost(signature) < math.inf

    def test_the_same_question_has_the_same_answer(self, hardware: Hardware) -> None:
        """Two of the same hardware agree."""
        other = self.make()
        for signature in self.known():
            assert hardware.lookup(signature) == hardware.lookup(signature) == other.lookup(signature)
            assert hardware.cost(signature) == other.cost(signature)

    def test_energy_is_given_for_all_or_for_none(self, hardware: Hardware) -> None:
        """Whoever gives it says where it is from."""
        for signature in self.known():
            energy = hardware.energy(signature)
            assert (energy is None) == (hardware.energy_from is None)
            assert energy is None or 0 <= energy < math.inf

    def test_what_was_never_seen_is_refused(self, hardware: Hardware) -> None:
        """Nothing is guessed that nobody asked to be."""
        if self.frees_others:
            assert hardware.cost(NEVER_SEEN) == 0
            return
        for ask in (hardware.lookup, hardware.cost):
            with pytest.raises(TableError, match="roll 7") as caught:
                ask(NEVER_SEEN)
            assert "\n" not in str(caught.value)
