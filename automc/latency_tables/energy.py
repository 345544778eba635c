"""Energy by table: so much for each multiply-accumulate, so much for each byte moved. Estimates, never measured."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from automc.errors import TableError, nearest
from automc.files import read_yaml
from automc.latency_tables.hardware import Hardware, Wrapper
from automc.latency_tables.products import work_of
from automc.latency_tables.signature import Signature

DEFAULT = "horowitz-2014"
_FLOAT = 32


class EnergyTable(BaseModel):
    """What arithmetic and memory take, in picojoules.

    Attributes:
        version: of the file's format.
        source: where the figures are from.
        mac_pj: a multiply-accumulate of integers, whatever its bits.
        bit_product_pj: the same, for each pair of a bit of one operand with one of the other.
        weight_bit_pj: for each bit of the weight, where it is read from a buffer beside the multiplier.
        activation_bit_pj: the same of the activation.
        float_mac_pj: a multiply-accumulate in float32; None where there is none.
        byte_pj: a byte read from or written to main memory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    source: str
    mac_pj: FiniteFloat = Field(ge=0)
    bit_product_pj: FiniteFloat = Field(ge=0)
    weight_bit_pj: FiniteFloat = Field(default=0.0, ge=0)
    activation_bit_pj: FiniteFloat = Field(default=0.0, ge=0)
    float_mac_pj: FiniteFloat | None = Field(default=None, ge=0)
    byte_pj: FiniteFloat = Field(ge=0)

    def microjoules(self, macs: float, moved: float, weights: int, activations: int) -> float:
        """Returns the energy of multiply-accumulates and of bytes moved.

        Args:
            macs: how many.
            moved: bytes.
            weights: bits of one operand.
            activations: bits of the other.

        Raises:
            TableError: they are in float, of which the table has nothing.
        """
        if _FLOAT in (weights, activations):
            if self.float_mac_pj is None:
                raise TableError(f"there is no energy of float in the table from {self.source}")
            each = self.float_mac_pj
        else:
            each = self.mac_pj + self.bit_product_pj * weights * activations
            each += self.weight_bit_pj * weights + self.activation_bit_pj * activations
        return 1e-6 * (macs * each + moved * self.byte_pj)

    def of_operator(self, signature: Signature) -> float:
        """Returns the energy of an operator in microjoules: its products, and its operands moved once each.

        What caches save is not known, so this is more than an operator takes whose operands are still in them.
        """
        return self.microjoules(*work_of(signature), *signature.bits)


class WithEnergy(Wrapper):
    """Hardware whose latencies are known, with energies by table.

    Args:
        hardware: gives latencies.
        table: the name of an energy table that ships.

    Raises:
        TableError: there is no such table.
    """

    def __init__(self, hardware: Hardware, table: str = DEFAULT) -> None:
        super().__init__(hardware)
        self._energies = energy_table(table)
        self.energy_from = f"estimated by the table {table}, not measured"

    def energy(self, signature: Signature) -> float:
        """Returns an operator's energy by table, in microjoules."""
        return self._energies.of_operator(signature)


def energy_tables() -> dict[str, Path]:
    """Returns the energy tables that ship, by name."""
    folder = cast(Path, resources.files("automc.latency_tables") / "energies")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


@cache
def energy_table(name: str = DEFAULT) -> EnergyTable:
    """Returns an energy table by its name; raises TableError when there is none."""
    known = energy_tables()
    if name not in known:
        raise TableError(f"unknown energy table '{name}'{nearest(name, known)}")
    return read_yaml(known[name], EnergyTable, TableError, version=1)
