"""Who starts a campaign's driver, and starts it again where it was killed or lost its cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

from automc import progress
from automc.campaigns.campaign import Campaign
from automc.campaigns.checkpoints import FOLDER
from automc.campaigns.session import SUPERVISOR
from automc.errors import SearchError

DONE, BAD_INPUT, LOST, INTERRUPTED = 0, 2, 75, 130
"""Exit codes of a driver; that of a lost cluster is sysexits' for what may work if tried again."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each restart in a row in which nothing was committed; after as many of them it is given up."""

Open = Callable[[], AbstractContextManager[Campaign | None]]
Progress = tuple[int, frozenset[tuple[str, int]]]


class Supervisor:
    """Runs a driver in a process of its own until it has ended with a word.

    It is started again when a signal ended it, when it exited with `LOST`, and when it went while the campaign was
    still running, as Ray's libraries end a process that lost its cluster. It is not where it says itself that it has
    ended: finished, paused, cancelled, refused or failed. A restarted driver that is refused before anything was
    committed may have come before its cluster did, so it is tried again too.

    SIGINT, SIGTERM and SIGHUP reach the driver as SIGINT, which pauses the campaign. The driver is in a process group
    of its own, so that Ctrl-C reaches it once. A driver whose supervisor is killed goes on by itself.

    Args:
        command: what starts a driver; asked with whether it is a restart.
        campaign: opens the campaign, for as long as it is looked at, and waits for a database that is away: it may have
            been killed with the driver. None where the driver has yet to begin it.
        environment: added to that of the driver.
        pauses: as `PAUSES`.
    """

    def __init__(
        self,
        command: Callable[[bool], Sequence[str]],
        campaign: Open,
        environment: dict[str, str] | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._command, self._campaign, self._pauses = command, campaign, pauses
        self._environment = os.environ | (environment or {}) | {SUPERVISOR: str(os.getpid())}
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> int:
        """Runs the driver; returns the exit code of the last one.

        Raises:
            SearchError: it ended too often without having committed anything; the campaign has failed.
        """
        before, failures, again = self._progress(), 0, False
        with self._signals():
            while True:
                code = self._drive(again)
                after = self._progress()
                failures = 0 if after != before else failures + 1
                end, reason = self._ended(code, again and failures > 0)
                if end is not None:
                    return end
                if failures > len(self._pauses):
                    self._give_up(failures, reason)
                pause = self._pauses[max(failures - 1, 0)]
                progress.say(f"The driver ended ({reason}); it is started again in {pause:g} s")
                if not self._wait(pause):
                    self._settle()
                    return INTERRUPTED
                before, again = after, True

    def _drive(self, again: bool) -> int:
        self._process = subprocess.Popen(
            self._command(again), stdin=subprocess.DEVNULL, env=self._environment, process_group=0
        )
        if self._stopping:  # the signal came before there was whom to hand it to
            self._process.send_signal(signal.SIGINT)
        return self._process.wait()

    def _ended(self, code: int, for_nothing: bool) -> tuple[int | None, str]:
        """Returns the exit code to end with, None where the driver is to be started again; and why it ended.

        Args:
            code: the driver's.
            for_nothing: whether it was started again and committed nothing.
        """
        reason = _how(code)
        if code == DONE:
            return code, reason
        if self._stopping or code == INTERRUPTED:
            self._settle()
            return (code if code > 0 and code != LOST else INTERRUPTED), reason
        with self._campaign() as campaign:
            if campaign is None:
                return (None if code < 0 or code == LOST else code), reason
            state, noted = campaign.noted
            if campaign.driver is not None:  # another process drives it, and this one was refused
                return code, reason
            if state in ("paused", "cancelled", "finished"):
                return (DONE if state == "finished" else INTERRUPTED), reason
            if (wish := campaign.wished) is not None:
                campaign.end("cancelled" if wish == "cancel" else "paused")
                return INTERRUPTED, reason
            if state == "failed" and code > 0 and noted:
                reason = noted
            if code < 0 or code == LOST or state == "running" or (code == BAD_INPUT and for_nothing):
                campaign.end("running", reason)
                return None, reason
            if state == "queued":
                campaign.end("failed", f"its driver ended before it began ({reason})")
        return code, reason

    def _settle(self) -> None:
        """Notes that the campaign is paused, where the driver could not do so itself."""
        with self._campaign() as campaign:
            if campaign is None or campaign.driver is not None or campaign.waiting:  # somebody else goes on with it
                return
            if campaign.noted[0] in ("queued", "running"):
                campaign.end("paused")

    def _give_up(self, failures: int, why: str) -> None:
        reason = f"given up: {failures} drivers in a row ended before an evaluation had; the last: {why}"
        with self._campaign() as campaign:
            if campaign is not None:
                campaign.end("failed", reason)
        raise SearchError(reason)

    def _progress(self) -> Progress:
        """Returns something that changes with each evaluation, and with each epoch of fine-tuning."""
        with self._campaign() as campaign:
            if campaign is None:
                return 0, frozenset()
            epochs = (campaign.record.out / FOLDER).glob("*/*")
            return campaign.status().evaluations, frozenset((str(path), _written(path)) for path in epochs)

    def _wait(self, seconds: float) -> bool:
        """Waits; says whether nobody asked to stop meanwhile."""
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.05)
        return not self._stopping

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self._stopping = True
            if self._process is not None:
                self._process.send_signal(signal.SIGINT)

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
