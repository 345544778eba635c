"""Starting what drives a campaign: a supervisor, in the background or here, and under it the driver."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.storage import Storage

Name = Annotated[str, typer.Argument(help="The campaign's name.", metavar="NAME")]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Where campaigns are kept: sqlite:///FILE, postgresql://... or grpc://HOST:PORT.  "
        "[default: AUTOMC_STORAGE, else a file among your data]",
    ),
]


@contextlib.contextmanager
def opened(url: str | None, begin: bool = False, patient: bool = False) -> Iterator[Storage]:
    """Opens the storage that a command names.

    Args:
        url: as it was given; None for the default.
        begin: whether a file that is not there is made.
        patient: whether a database that does not answer is waited for.

    Raises:
        ConfigError: there is none.
    """
    from automc.campaigns.storage import Storage, default_storage

    storage = Storage(url or default_storage(), create=begin, patient=patient)
    try:
        yield storage
    finally:
        storage.close()


def go_on(campaign: Campaign, storage: str | None, foreground: bool) -> None:
    """Starts what drives a queued campaign, and says how to watch it.

    Args:
        campaign: the campaign.
        storage: its storage, as it was given.
        foreground: whether to stay and supervise it in this process; it does not come back then.

    Raises:
        SearchError: its driver ended before it began.
    """
    from automc.campaigns.launch import await_driver, pursue
    from automc.campaigns.storage import default_storage

    name, out = campaign.name, campaign.record.out
    if foreground:
        supervise(name, storage)
    await_driver(campaign, pursue(campaign, storage or default_storage()))
    option = f" --storage {storage}" if storage else ""
    typer.echo(f"{name} runs in the background and writes to {out}")
    typer.echo(f"watch it:  automc campaign watch {name}{option}")
    typer.echo(f"pause it:  automc campaign pause {name}{option}")


def supervise(name: str, storage: StorageOption = None) -> None:
    """Drive a campaign in a process that is started again when it is killed."""
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.launch import AUTOMC
    from automc.campaigns.storage import default_storage
    from automc.campaigns.supervisor import Supervisor

    url = storage or default_storage()

    @contextlib.contextmanager
    def campaign() -> Iterator[Campaign]:
        with opened(url, patient=True) as there:
            yield Campaign(there, name)

    command = [*AUTOMC, "campaign", "drive", name]
    # the URL may have a password, which everybody could read among the arguments
    sys.exit(Supervisor(lambda again: command, campaign, {"AUTOMC_STORAGE": url}).run())


def drive(name: str, storage: StorageOption = None) -> None:
    """Drive a campaign in this process."""
    from automc import progress
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.drive import drive as run
    from automc.cli.search import show
    from automc.errors import AutoMCError, one_line

    # it may have been started where Ctrl-C is ignored; whoever stops it does so by these signals
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with opened(storage, patient=True) as there:
        campaign = Campaign(there, name)
        if campaign.noted[0] not in ("queued", "running"):  # stopped while this process began, or driven by another one
            raise KeyboardInterrupt
        try:
            result = run(campaign)
        except KeyboardInterrupt:
            progress.say(f"{name} is {campaign.noted[0]}; what has finished is kept")
            raise
        except AutoMCError as error:
            if campaign.noted[0] == "queued" and campaign.driver is None:  # it noted nothing itself
                campaign.end("failed", one_line(error))
            raise
        show(result, campaign.record.out)
