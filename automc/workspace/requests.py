"""From what is asked for to a configuration, mistakes told field by field."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationError

from automc.campaigns.config import SearchConfig
from automc.errors import Invalid, nearest
from automc.workspace.answers import CampaignRequest
from automc.workspace.registry import Registry

NOT_ASKED = ("task", "task_args", "latency_table", "force_table", "sensitivities")
"""Keys of a configuration that name code or files; nobody gives them from afar."""

_LARGEST = 2**53  # beyond it a browser's numbers are no longer exact
_MOST, _DEEPEST, _LONGEST = 5000, 20, 200


def settings_of(request: CampaignRequest, registry: Registry) -> SearchConfig:
    """Returns the configuration that a request asks for.

    Raises:
        NotFound: no such task is registered.
        Invalid: anything else of it makes no sense, or is not offered here.
    """
    registered = registry.task(request.task)
    if wrong := _unreasonable(request.config):
        raise Invalid([wrong])
    config = _with_device(request.config, registry)
    refused = [(f"config.{key}", "this cannot be chosen from afar") for key in NOT_ASKED if key in config]
    if refused:
        raise Invalid(refused)
    try:
        settings = SearchConfig.model_validate(config | {"task": registered.task, "task_args": registered.args})
    except ValidationError as error:
        raise Invalid(mistakes(error, "config")) from None
    target, compute = request.config.get("device"), settings.compute
    named = target.get("target", "local") if isinstance(target, dict) else "local"
    registry.check(settings.agent, named, compute.workers)
    if compute.ray_address is not None:
        raise Invalid([("config.compute.ray_address", "the operator names the cluster")])
    if compute.workers > 1 and registry.ray_address is not None:
        compute = compute.model_copy(update={"ray_address": registry.ray_address})
    return settings.model_copy(update={"compute": compute})


def _unreasonable(config: dict[str, Any]) -> tuple[str, str] | None:
    """Returns where something is that no configuration has, and what; None where there is nothing."""
    left, count = [("config", config, 0)], 0
    while left:
        where, value, depth = left.pop()
        count += 1
        if count > _MOST or depth > _DEEPEST:
            return where[:_LONGEST], f"more than {_MOST} values, or nested more than {_DEEPEST} deep"
        if isinstance(value, float) and not math.isfinite(value):
            return where, "must be a finite number"
        if isinstance(value, int | float) and abs(value) > _LARGEST:
            return where, f"must not be beyond {_LARGEST}"
        if isinstance(value, dict):
            left += [(f"{where}.{key}", inner, depth + 1) for key, inner in value.items()]
        elif isinstance(value, list):
            left += [(f"{where}.{number}", inner, depth + 1) for number, inner in enumerate(value)]
    return None


def _with_device(config: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """Returns a configuration with the address of a registered device in place of its name."""
    device = config.get("device")
    if not isinstance(device, dict) or (name := device.get("target")) not in registry.devices:
        return config
    return config | {"device": device | {"target": registry.devices[name]}}


def mistakes(error: ValidationError, above: str = "") -> list[tuple[str, str]]:
    """Returns where each mistake is, with dots between keys, and what it is.

    Args:
        error: as pydantic tells it.
        above: the key that all of it is below.
    """
    found = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in ((above,) if above else ()) + one["loc"])
        if one["type"] == "extra_forbidden":
            key = str(one["loc"][-1])
            known = SearchConfig.model_fields if len(one["loc"]) == 1 else ()
            what = f"unknown key{nearest(key, known) if known else ''}"
        else:
            what = one["msg"].removeprefix("Value error, ")
        found.append((where, what[:500]))
    return found
