"""What there is to choose from, over HTTP."""

from __future__ import annotations

from automc.service.routes.shared import Here, Routes
from automc.workspace.answers import AgentInfo, DeviceInfo, Named, PresetInfo

router = Routes(tags=["catalog"])


@router.get("/tasks", summary="List tasks")
def tasks(here: Here) -> list[Named]:
    """The tasks that the operator registered."""
    return here.catalog.tasks()


@router.get("/agents", summary="List agents")
def agents(here: Here) -> list[AgentInfo]:
    """The agents, with their settings."""
    return here.catalog.agents()


@router.get("/presets", summary="List presets of search spaces")
def presets(here: Here) -> list[PresetInfo]:
    """The presets of search spaces."""
    return here.catalog.presets()


@router.get("/devices", summary="List devices")
def devices(here: Here) -> list[DeviceInfo]:
    """The devices that campaigns may name."""
    return here.catalog.devices()
