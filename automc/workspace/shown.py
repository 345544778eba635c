"""What others are shown of campaigns: not what is their operator's own, how tasks are made and where things lie.

A service hides here whatever it hides; files that a campaign has written are given as they are (docs/security.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from automc.campaigns.record import Record
from automc.campaigns.result import SearchResult
from automc.recipes import Recipe
from automc.workspace.answers import CampaignDetail
from automc.workspace.registry import Registry


class Shown:
    """What is shown.

    Args:
        registry: the operator's; addresses of its devices are shown by their names.
        served: whether others ask. If not, whoever asks is at home here, and is shown everything.
    """

    def __init__(self, registry: Registry, served: bool) -> None:
        self._served = served
        self._devices = {address: name for name, address in registry.devices.items()}

    def task(self, record: Record) -> str:
        """Returns what a campaign compresses: to others the name that its task is registered by, or else the task."""
        return record.registered or record.config.task if self._served else record.config.subject

    def detail(self, found: CampaignDetail, record: Record) -> CampaignDetail:
        """Returns a campaign as it is shown."""
        if not self._served:
            return found
        log = [line.replace(f"{record.out}/", "") for line in found.log]
        return found.model_copy(
            update={"config": self._config(found.config, record), "folder": None, "source": None, "log": log}
        )

    def _config(self, config: dict[str, Any], record: Record) -> dict[str, Any]:
        left = {key: value for key, value in config.items() if key != "task_args"}
        target = config["device"]["target"]
        return left | {
            "task": self.task(record),
            "device": config["device"] | {"target": self._devices.get(target, target)},
            "compute": config["compute"] | {"ray_address": None},
            "latency_table": _name(config["latency_table"]),
            "sensitivities": _name(config["sensitivities"]),
        }

    def result(self, found: SearchResult, record: Record) -> SearchResult:
        """Returns a result as it is shown."""
        if not self._served:
            return found
        table, known = found.table, found.sensitivities
        return found.model_copy(
            update={
                "task": self.task(record),
                "table": table and table.model_copy(update={"path": _name(table.path)}),
                "sensitivities": known and known.model_copy(update={"path": _name(known.path)}),
            }
        )

    def recipe(self, found: Recipe, record: Record) -> Recipe:
        """Returns a recipe as it is shown."""
        return found.model_copy(update={"task": self.task(record), "task_args": {}}) if self._served else found


def _name(path: str | None) -> str | None:
    return path and Path(path).name
