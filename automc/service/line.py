"""The line: campaigns that wait are started when there is room, each in a process that outlives the service.

A campaign is in line until its driver claims it. So one whose service was killed after it started what drives it is
started once more by the next service; the second driver is refused by the first one's claim, and ends.
"""

from __future__ import annotations

import subprocess
import threading
from collections import Counter

from automc import progress
from automc.campaigns.campaign import Campaign
from automc.campaigns.launch import LOG, pursue
from automc.errors import lacking, one_line
from automc.workspace import LocalWorkspace

_LOOK = 1.0  # seconds between two looks
_TRIES = 3  # times that what drives a campaign may end before it has begun


class Line:
    """Starts what waits.

    Args:
        workspace: whose campaigns.
        url: its storage's, for the processes that drive them.
    """

    def __init__(self, workspace: LocalWorkspace, url: str) -> None:
        self._campaigns, self._at_once, self._url = workspace.campaigns, workspace.registry.at_once, url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._tries: Counter[str] = Counter()

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends looking; what runs goes on."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        said = ""
        while not self._stop.is_set():
            try:
                self._look()
                said = ""
            except Exception as error:  # whatever it is, the next ones wait too: the database is away, the disk full
                if (line := one_line(error)) != said:
                    progress.say(f"the line: {line}")
                    said = line
            self._stop.wait(_LOOK)

    def _look(self) -> None:
        # before the storage is asked: what has ended had noted all there is to note
        ended = [name for name, process in self._started.items() if process.poll() is not None]
        for name in ended:
            del self._started[name]
            self._tries[name] += 1
        waiting, running = self._campaigns.line()
        names = {campaign.name for campaign in waiting}
        self._tries = Counter({name: count for name, count in self._tries.items() if name in names})
        room = self._at_once - running - len(names & self._started.keys())
        for campaign in waiting:
            if campaign.name in self._started:
                continue
            if self._tries[campaign.name] >= _TRIES:
                why = f"what drives it ended {_TRIES} times before it had begun; its log, {LOG}, may say why"
                campaign.end("failed", why)
            elif room > 0:
                room -= 1
                self._begin(campaign)

    def _begin(self, campaign: Campaign) -> None:
        try:
            self._started[campaign.name] = pursue(campaign, self._url)
        except OSError as error:
            if lacking(error):  # it stays in line until there is some
                raise
            campaign.end("failed", f"it cannot be started: {one_line(error)}")
