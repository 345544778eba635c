"""Driving a campaign, in this process: from its configuration to its files."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from automc import files
from automc.campaigns.campaign import Campaign
from automc.campaigns.checkpoints import FOLDER
from automc.campaigns.config import SearchConfig
from automc.campaigns.finish import finish
from automc.campaigns.journal import FILE
from automc.campaigns.result import SearchResult
from automc.campaigns.search import NothingFound, Search
from automc.campaigns.session import Session
from automc.campaigns.setup import Setup, set_up
from automc.campaigns.states import State
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.studies import names
from automc.campaigns.units_file import write_units
from automc.campaigns.workers import Work, check_compute, open_workers
from automc.errors import AutoMCError, SearchError, lacking, one_line
from automc.evaluation import Forward

FOREGROUND = "search"
"""The name of a campaign that has a storage of its own, in the folder it writes to."""


def run_search(config: SearchConfig, folder: Path, out: Path, resume: bool = False) -> SearchResult:
    """Runs a search from its configuration to its files: a campaign in this process, kept in its own folder.

    Args:
        config: the search.
        folder: where relative paths of the configuration start.
        out: where ``report.html``, ``result.json``, ``recipe.yaml``, the recipe's weights, ``model.onnx``,
            ``model.pt2`` and ``original.onnx`` go. They appear together at the end, or not at all; the journal,
            ``journal.db``, has every finished evaluation from the first on, and ``checkpoints``, until the end, what
            agents have learned and each epoch of fine-tuning; ``units.json`` is what policies decide about, for
            pictures; ``tensorboard`` has events where they are asked for.
        resume: go on with the search whose journal is in ``out``, if there is one.

    Raises:
        AutoMCError: anything of it cannot be done, or the machine is out of memory or disk space; ``out`` has nothing
            new but journal, checkpoints and ``units.json`` then.
    """
    files.ensure_writable(out)
    check_compute(config.compute)
    with _what_lacks():
        setup = set_up(config, folder)  # what is wrong is said before there is a journal
        storage = Storage(sqlite_url(out / FILE))
        try:
            there = FOREGROUND in names(storage)
            campaign = (
                Campaign(storage, FOREGROUND) if there else Campaign.create(storage, FOREGROUND, config, folder, out)
            )
            return drive(campaign, resume, setup, config, out)
        finally:
            storage.close()


def drive(
    campaign: Campaign,
    resume: bool = True,
    setup: Setup | None = None,
    config: SearchConfig | None = None,
    out: Path | None = None,
) -> SearchResult:
    """Drives a campaign from where it stands to its files, in this process.

    Args:
        campaign: the campaign.
        resume: go on with the evaluations that are there; see `Campaign.begin`.
        setup: what it stands on, where that is there already.
        config: what is asked for now; refused where evaluations would differ. None for what it was begun with.
        out: where files go, if the folder has moved; None for where they went at first.

    Raises:
        AutoMCError: anything of it cannot be done; the campaign has failed then, and may be resumed.
        KeyboardInterrupt: it was interrupted, paused or cancelled.
    """
    record = campaign.record
    config, out = config or record.config, out or record.out
    files.ensure_writable(out)
    if setup is None:
        check_compute(config.compute)
    session = campaign.drive(local=not config.compute.on_ray)
    try:
        with _what_lacks():
            result = _run(campaign, session, resume, setup or set_up(config, record.folder), config, out)
    except BaseException as error:
        if not session.lost:
            stopped = isinstance(error, KeyboardInterrupt)
            state: State = "cancelled" if session.wish == "cancel" else "paused" if stopped else "failed"
            with contextlib.suppress(AutoMCError):  # a full disk may be what ended it
                campaign.end(state, None if stopped else one_line(error), isinstance(error, NothingFound))
        raise
    else:
        campaign.end("finished")
    finally:
        session.close()
    return result


@contextlib.contextmanager
def _what_lacks() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if (what := lacking(error)) is None or isinstance(error, SearchError):
            raise
        rest = f"out of {what}: free some, then go on with --resume, nothing that has finished is lost"
        raise SearchError(f"{one_line(error)}; {rest}") from error


def _run(
    campaign: Campaign, session: Session, resume: bool, setup: Setup, config: SearchConfig, out: Path
) -> SearchResult:
    start = time.monotonic()
    precision = Forward(setup.subject.task, setup.subject.model, config.fidelity.precision).precision
    task = setup.subject.task
    about = config.deciding() | {"model": setup.subject.digest, "precision": precision}
    about |= {"metric": task.metric, "higher_is_better": task.higher_is_better}
    workers_there = config.compute.workers
    ahead = campaign.begin(about, resume, config.evaluations, 1 if workers_there == 1 else 2 * workers_there)
    write_units(out, setup.subject.units())
    before = campaign.seconds()
    began = time.monotonic()
    search = Search(config, setup, campaign.journal, out, campaign.digest, ahead)
    before += time.monotonic() - began  # sensitivities may have been measured
    campaign.expect(search.total(), setup.projection.limits)
    work = Work(config.task, config.task_args, str(campaign.record.folder), search.evaluator, config.seed)
    with open_workers(config.compute, work) as workers:
        session.patient = True
        ended = search.run(workers, before, session.orphaned, lambda: session.lost or session.wish is not None)
        session.patient = False
    if not ended:
        raise KeyboardInterrupt
    with tempfile.TemporaryDirectory(prefix=".automc-", dir=out) as name:
        staging = Path(name)
        result = finish(search, work, staging, out / FOLDER, start)
        for file in sorted(staging.iterdir()):
            if not file.name.startswith("finalist"):
                file.replace(out / file.name)
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    return result
