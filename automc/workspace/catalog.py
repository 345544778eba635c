"""What there is to choose from: what ships, as far as the operator offers it."""

from __future__ import annotations

from automc.agents import AGENTS, CONTROLS, agent_class
from automc.devices import LOCAL, Device
from automc.docstrings import schema_of
from automc.latency_tables import table_path
from automc.latency_tables.simulated import ACCELERATORS
from automc.search_spaces import load_preset, presets
from automc.tasks import BUILTIN
from automc.workspace._base import Catalog
from automc.workspace.answers import AgentInfo, DeviceInfo, Named, PresetInfo
from automc.workspace.registry import Registry


class LocalCatalog(Catalog):
    """What a registry offers.

    Args:
        registry: the operator's.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def tasks(self) -> list[Named]:
        """See `Catalog.tasks`."""
        shipped = {name: what for name, (_, what) in BUILTIN.items()}
        return [
            Named(name=name, what=task.what or shipped.get(task.task, ""))
            for name, task in self._registry.tasks.items()
        ]

    def agents(self) -> list[AgentInfo]:
        """See `Catalog.agents`."""
        return [
            AgentInfo(
                name=name,
                what=AGENTS[name][1],
                control=name in CONTROLS,
                metrics=list(agent_class(name).metrics),
                settings=schema_of(agent_class(name).Settings),
            )
            for name in self._registry.agents
        ]

    def presets(self) -> list[PresetInfo]:
        """See `Catalog.presets`."""
        found = {name: load_preset(name) for name in presets()}
        return [PresetInfo(name=name, what=_told(one.width, one.depth, one.bits), config=one.model_dump(mode="json"))
                for name, one in found.items()]  # fmt: skip

    def devices(self) -> list[DeviceInfo]:
        """See `Catalog.devices`."""
        own = Device.local()
        there = table_path(own)
        found = [
            DeviceInfo(
                name=LOCAL,
                what=f"the machine that this runs on: {own.processor}",
                kind="local",
                table=there.stem if there.exists() else None,
            )
        ]
        found += [
            DeviceInfo(name=name, what="a device far away", kind="remote") for name in sorted(self._registry.devices)
        ]
        found += [
            DeviceInfo(name=name, what="a model of an accelerator: latency is computed, not measured", kind="paper")
            for name in sorted(ACCELERATORS)
        ]
        return found


def _told(width: bool, depth: bool, bits: tuple[int, ...]) -> str:
    axes = [name for name, there in (("width", width), ("depth", depth)) if there]
    return ", ".join([*axes, *([f"{', '.join(map(str, bits))} bits"] if bits else [])])
