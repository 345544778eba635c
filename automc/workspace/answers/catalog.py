"""What there is to choose from."""

from __future__ import annotations

from typing import Any, Literal

from automc.workspace.answers.shared import Named


class AgentInfo(Named):
    """An agent.

    Attributes:
        control: whether it runs beside every search anyway.
        metrics: budgets that it can keep.
        settings: JSON schema of its settings.
    """

    control: bool
    metrics: list[str]
    settings: dict[str, Any]


class PresetInfo(Named):
    """A preset of a search space.

    Attributes:
        config: its keys.
    """

    config: dict[str, Any]


class DeviceInfo(Named):
    """A device that campaigns may name.

    Attributes:
        kind: this machine, one far away, or an accelerator on paper.
        table: the identifier of its latency table, where there is one.
    """

    kind: Literal["local", "remote", "paper"]
    table: str | None = None
