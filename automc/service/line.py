"""The line: campaigns that wait are started when there is room, each in a process that outlives the service."""

from __future__ import annotations

import subprocess
import threading

from automc import progress
from automc.campaigns.launch import pursue
from automc.errors import AutoMCError, one_line
from automc.workspace import LocalWorkspace

_LOOK = 1.0  # seconds between two looks


class Line:
    """Starts what waits.

    Args:
        workspace: whose campaigns.
        url: its storage's, for the processes that drive them.
    """

    def __init__(self, workspace: LocalWorkspace, url: str) -> None:
        self._workspace, self._url = workspace, url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends looking; what runs goes on."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except AutoMCError as error:  # the database may be away for a minute
                progress.say(f"the line: {one_line(error)}")
            self._stop.wait(_LOOK)

    def _look(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]  # so that none stays a zombie
        campaigns = self._workspace.campaigns
        room = self._workspace.registry.at_once - campaigns.going()
        for campaign in campaigns.in_line()[: max(room, 0)]:
            campaign.wait(False)  # first, so that it is never started twice; see `LocalCampaigns.left_behind`
            self._children.append(pursue(campaign, self._url))
            campaigns.look(campaign.name).forget()
