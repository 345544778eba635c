"""A campaign in one file, to be taken to another machine or kept: exported, and imported where nothing of it runs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from automc import files
from automc.campaigns import archive_file
from automc.campaigns.archive_file import CAMPAIGN, RESULTS, ROWS, Reader
from automc.campaigns.campaign import Campaign, add
from automc.campaigns.evaluated import Evaluated, PolicyField
from automc.campaigns.journal import Begun, Entry, Journal
from automc.campaigns.record import Record
from automc.campaigns.reports import render_html
from automc.campaigns.result import SearchResult
from automc.campaigns.sensing import COPY
from automc.campaigns.session import sessions
from automc.campaigns.states import State
from automc.campaigns.storage import Storage, set_times, times
from automc.campaigns.units_file import write_units
from automc.devices.server.onnx_bytes import check_model
from automc.errors import AutoMCError, ConfigError, lacking
from automc.recipes import load_recipe
from automc.sensitivities import load_sensitivities
from automc.versions import versions

VERSION = 1

_WEIGHTS = "model.safetensors"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Sat(_Strict):
    """A process that drove the campaign."""

    started: AwareDatetime
    ended: AwareDatetime
    clean: bool
    host: str
    pid: int


class _Whole(_Strict):
    """All of a campaign but its evaluations."""

    version: Literal[1] = 1
    name: str
    record: Record
    state: State
    reason: str | None
    about: dict[str, Any] | None
    ahead: int | None
    total: int | None
    limits: dict[str, float] | None
    ended: str | None
    sessions: list[_Sat]
    evaluations: dict[str, int]
    versions: dict[str, str]


class _Row(_Strict):
    """An evaluation, and when it began and ended; `done` has its measured latency."""

    agent: str = Field(pattern=r"^[A-Za-z0-9._+-]{1,80}$")
    number: int = Field(ge=0, le=2**31)
    policy: PolicyField
    extra: bool
    rung: int = Field(default=0, ge=0)
    deaths: int = Field(ge=0)
    started: AwareDatetime
    ended: AwareDatetime | None
    done: Evaluated | None


def export_campaign(campaign: Campaign, path: Path) -> None:
    """Writes a campaign to one file: what it was begun with, all evaluations, and its results where it has finished.

    Not in it: checkpoints, ``model.pt2`` (a program), and parameters that only Optuna's own tools read.

    Raises:
        ConfigError: the file cannot be written.
    """
    record, status, journal = campaign.record, campaign.status(), campaign.journal
    attributes = campaign.attributes()
    ran = status.state == "running"
    agents = {agent: journal.entries(agent) for agent in journal.agents()}
    whole = _Whole(
        name=campaign.name,
        record=record,
        state="paused" if ran else status.state,
        reason="it was running when it was exported" if ran else status.reason,
        about=attributes.get("about"),
        ahead=attributes.get("ahead"),
        total=attributes.get("total"),
        limits=attributes.get("limits"),
        ended=attributes.get("ended"),
        sessions=list(_sat(campaign)),
        evaluations={agent: len(entries) for agent, entries in agents.items()},
        versions=versions(),
    )
    rows = (_row(agent, entry).model_dump_json() for agent, entries in agents.items() for entry in entries)
    archive_file.write(path, whole.model_dump_json(indent=1), rows, record.out)


def import_campaign(storage: Storage, path: Path, name: str | None = None, out: Path | None = None) -> Campaign:
    """Adds a campaign from a file, whole or not at all. Nothing of the file is executed.

    It is looked at and compared like any other. Whoever resumes it runs the task that its configuration names, from
    their own disk: its relative paths start in the current folder from now on.

    Args:
        storage: where to.
        path: the file.
        name: what to call it; None for as it was called.
        out: where its results go; None for ``runs/NAME``.

    Raises:
        ConfigError: the file is missing, damaged, newer than this AutoMC or has what no campaign has; the name is
            taken; there are results in ``out`` already.
    """
    with archive_file.reading(path) as archive:
        whole = _whole(path, archive)
        name = name or whole.name
        count = Counter(row.agent for row in _rows(path, archive))
        if dict(count) != {agent: number for agent, number in whole.evaluations.items() if number}:
            raise ConfigError(f"{path}: damaged: {ROWS} has not the evaluations that there should be")
        out = (out or Path("runs") / name).resolve()
        there = next((out / file for file in (*RESULTS, "report.html") if (out / file).exists()), None)
        if there is not None:
            raise ConfigError(f"{there}: exists already; choose another folder for the results: --out")
        record = whole.record.model_copy(update={"out": out, "folder": Path.cwd(), "source": None})
        attributes = whole.model_dump(
            include={"state", "reason", "about", "ahead", "total", "limits", "ended"}, exclude_none=True
        )
        attributes["campaign"] = record.model_dump(mode="json")
        moved: list[Path] = []

        def fill(study: int) -> None:
            for sat in whole.sessions:
                storage.add_row(study, _session(sat), "claim")
            journal = Journal(storage, name)
            for row in _rows(path, archive):
                begun = Begun(row.number, row.policy, row.extra, row.rung, row.deaths)
                journal.add(row.agent, Entry(begun, row.started, row.ended, row.done))
            moved.extend(_place(path, archive, out))

        try:
            return add(storage, name, attributes, fill)
        except BaseException:
            for file in moved:
                file.unlink(missing_ok=True)
            raise


def _whole(path: Path, archive: Reader) -> _Whole:
    text = archive.text(CAMPAIGN)
    try:
        version = _Version.model_validate_json(text).version
        if version > VERSION:
            raise ConfigError(f"{path}: version {version} is newer than this AutoMC reads ({VERSION}); upgrade automc")
        whole = _Whole.model_validate_json(text)
    except ValidationError as error:
        raise _damaged(path, CAMPAIGN, error) from None
    return whole


class _Version(BaseModel):
    version: int


def _rows(path: Path, archive: Reader) -> Iterator[_Row]:
    seen: set[tuple[str, int]] = set()
    for line in archive.rows():
        try:
            row = _Row.model_validate_json(line)
        except (ValidationError, AutoMCError) as error:
            raise _damaged(path, ROWS, error) from None
        done = row.done
        named = row.agent, row.number, row.extra, row.rung
        fits = done is None or (done.agent, done.number, done.extra, done.rung) == named
        if (row.agent, row.number) in seen or not fits or (done is None) != (row.ended is None):
            raise ConfigError(f"{path}: damaged: {ROWS} contradicts itself about number {row.number} of {row.agent}")
        seen.add((row.agent, row.number))
        yield row


def _place(path: Path, archive: Reader, out: Path) -> list[Path]:
    """Puts the results into their folder, once all of them are seen to be what they should be; returns the files."""
    there = [name for name in RESULTS if name in archive.names]
    if not there:
        return []
    files.ensure_writable(out)
    with tempfile.TemporaryDirectory(prefix=".automc-", dir=out) as folder:
        staging = Path(folder)
        for name in there:
            archive.copy(name, staging)
        try:
            if "result.json" in there:
                result = SearchResult.model_validate_json((staging / "result.json").read_bytes())
                files.write_text(staging / "report.html", render_html(result))
                write_units(staging, result.units)
            if COPY in there:
                load_sensitivities(staging / COPY)
            if "recipe.yaml" in there:
                weights = load_recipe(staging / "recipe.yaml").weights
                if (weights.file, weights.sha256) != (_WEIGHTS, files.digest(staging / _WEIGHTS)):
                    raise ValueError("the weights are not the recipe's")
            if "model.onnx" in there:
                check_model(staging / "model.onnx")
        except Exception as error:  # a page from made-up figures may fail in any way
            if lacking(error):
                raise
            raise _damaged(path, "its results", error) from None
        placed = [out / file.name for file in staging.iterdir()]
        for file in list(staging.iterdir()):
            file.replace(out / file.name)
    return placed


def _damaged(path: Path, what: str, error: Exception) -> ConfigError:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        said = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    else:
        said = str(error)
    return ConfigError(f"{path}: damaged: {what}: {' '.join(said.split())[:200]}")


def _sat(campaign: Campaign) -> Iterator[_Sat]:
    study = campaign.storage.do(lambda there: there.get_study_id_from_name(campaign.name))
    for one in sessions(campaign.storage, study):
        started, ended = times(one)
        seen = datetime.fromisoformat(one.user_attrs["seen"])
        clean = one.state == TrialState.COMPLETE
        yield _Sat(
            started=started, ended=ended or seen, clean=clean, host=one.user_attrs["host"], pid=one.user_attrs["pid"]
        )


def _session(sat: _Sat) -> FrozenTrial:
    attributes = {"host": sat.host, "pid": sat.pid, "seen": sat.ended.isoformat(), "claim": uuid4().hex}
    state = TrialState.COMPLETE if sat.clean else TrialState.FAIL
    trial = create_trial(state=state, value=0.0 if sat.clean else None, user_attrs=attributes)
    set_times(trial, sat.started, sat.ended)
    return trial


def _row(agent: str, entry: Entry) -> _Row:
    begun = entry.begun
    return _Row(
        agent=agent,
        number=begun.number,
        policy=begun.policy,
        extra=begun.extra,
        rung=begun.rung,
        deaths=begun.deaths,
        started=entry.started,
        ended=entry.ended,
        done=entry.done,
    )
