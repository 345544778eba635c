"""A campaign from its configuration to a process that drives it, and from there to its end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal, Unpack

from automc import files
from automc.campaigns.campaign import Beginning, Campaign, difference
from automc.campaigns.config import SearchConfig, load_config
from automc.campaigns.journal import unfinished
from automc.campaigns.sensing import COPY
from automc.campaigns.storage import Storage
from automc.campaigns.studies import names
from automc.campaigns.units_file import FILE as UNITS
from automc.campaigns.workers import check_compute
from automc.errors import ConfigError, SearchError
from automc.tasks import load_task

AUTOMC = (sys.executable, "-P", "-m", "automc.cli")
"""Begins a command of AutoMC. Without the folder one is in: a file there could be taken for one of Python's modules."""

LOG = "campaign.log"
"""What supervisor and driver say, in the folder that the campaign writes to."""

FILES = ("report.html", "result.json", "recipe.yaml", "model.safetensors", "model.onnx", "model.pt2", "original.onnx")
"""What a campaign that has finished leaves in its folder."""

_FOLDERS = ("checkpoints", "tensorboard")
_BEGINS = 60.0  # seconds in which a driver has usually begun
_LOOK = 0.2  # seconds between two looks


def with_compute(settings: SearchConfig, asked: dict[str, Any]) -> SearchConfig:
    """Returns a configuration with what the command line asks of `compute` in place of what it says itself."""
    return settings.model_copy(update={"compute": settings.compute.model_copy(update=asked)})


def output_folder(config_path: Path) -> Path:
    """Returns where a search writes when it is not told: ``runs/`` and the configuration's name."""
    return Path("runs") / config_path.stem


def free_name(wanted: str, storage: Storage) -> str:
    """Returns a name for a campaign that no other has: letters, digits, '.', '_' and '-' of what is wanted."""
    base, taken = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._")[:70] or "campaign", names(storage)
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def create(
    storage: Storage, name: str, config: SearchConfig, folder: Path, out: Path, **more: Unpack[Beginning]
) -> Campaign:
    """As `Campaign.create`, after looking at all that can be wrong and is quick to find out.

    Raises:
        ConfigError: the name is taken or none, or another search writes to that folder.
        TaskError: the task cannot be loaded.
        AutoMCError: there is no such device or cluster.
    """
    load_task(config.task, config.task_args, folder)
    config.device.open()
    check_compute(config.compute)
    for other in names(storage):
        if other != name and Campaign(storage, other).record.out == out.resolve():
            raise ConfigError(f"{out} is where {other} writes to; choose another folder: --out")
    if unfinished(out):
        raise ConfigError(f"{out} has a search that has not ended; choose another folder: --out")
    files.ensure_writable(out)
    return Campaign.create(storage, name, config, folder, out, **more)


def queue_again(campaign: Campaign, asked: dict[str, Any], as_started: bool = False, waiting: bool = False) -> None:
    """Makes a campaign ``queued`` that was paused, that failed, or whose machine went down.

    Args:
        campaign: the campaign.
        asked: what is asked of `compute` now.
        as_started: whatever its configuration file says by now.
        waiting: whether a service is to start it.

    Raises:
        ConfigError: it is running, or has ended for good, or its file asks for other evaluations by now.
    """
    name, status = campaign.name, campaign.status()
    if status.state == "running":
        raise ConfigError(
            f"{name} is running (driver: {status.driver or 'starting'}); watch it: automc campaign watch {name}"
        )
    if status.state in ("finished", "cancelled"):
        raise ConfigError(f"{name} is {status.state}; begin another one: automc campaign start")
    record = status.record
    settings = record.config
    if record.source is not None and record.source.exists() and not as_started:
        settings = _unchanged(name, settings, record.source)
    asked = record.asked | asked
    settings = with_compute(settings, asked)
    check_compute(settings.compute)
    campaign.change(settings, asked)
    campaign.queue(waiting)


def _unchanged(name: str, there: SearchConfig, source: Path) -> SearchConfig:
    """Reads a campaign's file again; refuses one whose evaluations would differ."""
    rest = f"go on with what {name} was started with: --as-started; or start another campaign"
    try:
        here = load_config(source)
    except ConfigError as error:
        raise ConfigError(f"{error}; mend it, or {rest}") from None
    if here.deciding() != there.deciding():
        what = difference(there.deciding(), here.deciding())
        raise ConfigError(f"{source} has changed since {name} was started ({what}); change it back, or {rest}")
    return here


def pursue(campaign: Campaign, url: str) -> subprocess.Popen[bytes]:
    """Starts what drives a queued campaign: a supervisor in a session of its own, which outlives this process.

    Args:
        campaign: the campaign.
        url: its storage's, password and all.
    """
    out = campaign.record.out
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOG).open("ab") as log:
        return subprocess.Popen(
            [*AUTOMC, "campaign", "supervise", campaign.name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"AUTOMC_STORAGE": url},  # the URL may have a password, and arguments can be seen
            start_new_session=True,
        )


def await_driver(campaign: Campaign, process: subprocess.Popen[bytes]) -> None:
    """Waits until a supervisor's driver has begun; raises SearchError where it ended before that."""
    until = time.monotonic() + _BEGINS
    while campaign.noted[0] == "queued" and process.poll() is None and time.monotonic() < until:
        time.sleep(_LOOK)
    state, reason = campaign.noted
    if state == "failed":
        raise SearchError(f"{campaign.name} failed: {reason}; its log: {campaign.record.out / LOG}")


def check_stop(campaign: Campaign, what: Literal["pause", "cancel"]) -> bool:
    """Says whether a campaign is to be asked to stop; not where it has stopped so already.

    Raises:
        ConfigError: it has ended, and there is nothing to stop.
    """
    state = campaign.status().state
    if state == ("paused" if what == "pause" else "cancelled"):
        return False
    if state in ("finished", "cancelled") or (what == "pause" and state == "failed"):
        raise ConfigError(f"{campaign.name} is {state}; there is nothing to {what}")
    return True


def delete_files(out: Path) -> None:
    """Deletes what a campaign writes, and its folder if nothing else is in it."""
    for name in (*FILES, LOG, UNITS, COPY):
        (out / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
