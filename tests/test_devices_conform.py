"""Every bench and all hardware keep what their contracts promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from automc.devices import Bench, LocalBench
from automc.latency_tables import (
    Accelerator,
    Entry,
    Hardware,
    LatencyTable,
    Overhead,
    Signature,
    WithEnergy,
    WithEstimates,
    open_target,
)
from automc.latency_tables.imported import ImportedTable, unknown_device
from automc.testing import BenchSuite, HardwareSuite
from automc.testing.hardware import NEVER_SEEN
from tests.networks import device
from tests.remote import Server

CONV: dict[str, tuple[int, ...]] = {"hw": (8, 8), "k": (3, 3), "s": (1, 1), "p": (1, 1), "d": (1, 1), "g": (1,)}


def conv(inputs: int, outputs: int) -> Signature:
    return Signature.of("conv", (inputs, outputs), n=(1,), **CONV)


def entries() -> dict[Signature, Entry]:
    grid = [conv(i, o) for i in (8, 16, 32, 64) for o in (8, 32, 64)]
    return {s: Entry(us, 0.9 * us, 1.2 * us, runs=60) for s in grid for us in [1 + s.channels[0] * s.channels[1] / 99]}


class TestTable(HardwareSuite):
    def make(self) -> Hardware:
        return LatencyTable(device(), Overhead(4.0, -1.5), entries(), repeatability=0.02)

    def known(self) -> Sequence[Signature]:
        return [conv(8, 8), conv(64, 64), conv(20, 40), conv(9, 64)]


class TestTableWithEnergy(TestTable):
    def make(self) -> Hardware:
        return WithEnergy(super().make())


class TestImported(HardwareSuite):
    def make(self) -> Hardware:
        return ImportedTable(unknown_device("board"), Overhead(0.0, 0.0), entries(), imported="a file")

    def known(self) -> Sequence[Signature]:
        return list(entries())


class TestTableWithEstimates(TestTable):
    def make(self) -> Hardware:
        table = super().make()
        assert isinstance(table, LatencyTable)
        return WithEstimates(table)

    def known(self) -> Sequence[Signature]:
        return [*super().known(), Signature.of("linear", (64, 10), n=(1,))]

    def test_what_was_never_seen_is_refused(self, hardware: Hardware) -> None:
        """It is asked to guess, and marks it."""
        assert hardware.lookup(NEVER_SEEN).how == "roofline"


class _OnPaper(HardwareSuite):
    name, frees_others = "", True
    bits: Sequence[tuple[int, int]] = ((8, 8),)

    def make(self) -> Hardware:
        target = open_target(self.name)
        assert isinstance(target, Accelerator)
        return target

    def known(self) -> Sequence[Signature]:
        plain = [conv(16, 32), Signature.of("linear", (64, 10), n=(1,))]
        return [signature.at_bits(*pair) for signature in plain for pair in self.bits]


class TestBismoEdge(_OnPaper):
    name, bits = "bismo-edge", ((1, 1), (2, 8), (8, 8))


class TestBismoCloud(_OnPaper):
    name, bits = "bismo-cloud", ((1, 1), (4, 6), (8, 8))


class TestBitFusion(_OnPaper):
    name, bits = "bitfusion", ((1, 1), (3, 5), (8, 8))


class TestRoofline(_OnPaper):
    name, bits = "roofline", ((4, 4), (8, 8), (32, 32))


class TestHere(BenchSuite):
    def make(self) -> Bench:
        return LocalBench()


class TestFarAway(BenchSuite):
    @pytest.fixture(scope="class", autouse=True)
    def server(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with Server(tmp_path_factory.mktemp("device")) as server:
            request.cls.url = server
            yield

    def make(self) -> Bench:
        server = self.url  # type: ignore[attr-defined]  # set by the fixture
        assert isinstance(server, Server)
        return server.bench()
