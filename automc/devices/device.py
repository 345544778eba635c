"""What a model will run on."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from pydantic import ConfigDict, Field

from automc.docstrings import Described

_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm")


class Device(Described):
    """A processor with a runtime and its settings: what a latency table is measured on and valid for.

    Attributes:
        name: the name by which a configuration asks for it.
        processor: the processor's own name.
        instructions: the instruction sets that matter for speed.
        runtime: runtime and version.
        threads: threads that one inference uses.
        batch: examples in one inference.
        channel_multiple: widths that are not a multiple of it waste the device's vectors.
        precisions: (weight bits, activation bits) that it really runs; 32 is float.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    processor: str
    instructions: tuple[str, ...]
    runtime: str
    threads: int = Field(default=1, ge=1)
    batch: int = Field(default=1, ge=1)
    channel_multiple: int = Field(default=8, ge=1)
    precisions: tuple[tuple[int, int], ...] = ((8, 8), (32, 32))

    @classmethod
    def local(cls, threads: int = 1, batch: int = 1) -> Device:
        """Returns this machine's processor under ONNX Runtime."""
        from importlib.metadata import version

        info = _cpuinfo()
        flags = info.get("flags", info.get("features", "")).split()
        processor = info.get("model name") or platform.processor() or "unknown"
        return cls(
            name="cpu",
            # virtual machines hide the model's name; family and stepping still tell processors apart
            processor=" ".join(
                [platform.machine(), processor, *(f"{k[0]}{info[k]}" for k in ("cpu family", "model") if k in info)]
            ),
            instructions=tuple(flag for flag in _FLAGS if flag in flags),
            runtime=f"onnxruntime {version('onnxruntime')}",
            threads=threads,
            batch=batch,
        )

    @property
    def key(self) -> str:
        """A short file name, different for devices whose tables must not be mixed."""
        text = "|".join(str(getattr(self, field)) for field in self._identity())
        return f"{self.name}-t{self.threads}-b{self.batch}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def mismatch(self, other: Device) -> str | None:
        """Returns what makes the other device's measurements useless here, or None."""
        differences = [
            f"{field} is {getattr(other, field)!r}, here {getattr(self, field)!r}"
            for field in self._identity()
            if getattr(self, field) != getattr(other, field)
        ]
        return "; ".join(differences) or None

    @staticmethod
    def _identity() -> tuple[str, ...]:
        return ("name", "processor", "instructions", "runtime", "threads", "batch")


def _cpuinfo() -> dict[str, str]:
    """Returns the first processor's fields of /proc/cpuinfo, empty where there is none."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip().lower(): value.strip() for key, value in pairs}
