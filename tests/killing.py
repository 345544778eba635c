"""Killing a search with -9 at random moments and starting it again, over and over."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from automc.campaigns import SearchConfig, SearchResult
from automc.campaigns.journal import FILE

# the agent of tests/learners.py is known to it
CODE = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); from tests.learners import register"
CODE += "; register(); from automc.cli import main; main()"
COMMAND = [sys.executable, "-c", CODE, "search", "search.yaml", "--out", "out"]


def configure(evaluations: int, task: str = "Sometimes", folder: Path | None = None, **more: Any) -> SearchConfig:
    """Returns the configuration of a search with one of the tasks of ``failing.py``; also as a file where asked for."""
    data: dict[str, Any] = {
        "task": f"{Path(__file__).with_name('failing.py')}:{task}",
        "agent": "tpe",
        "budget": "macs<=50%",
        "evaluations": evaluations,
        "finalists": 1,
        "space": {"channel_multiple": 2},
        **more,
    }
    if folder is not None:
        (folder / "search.yaml").write_text(json.dumps(data))  # which is YAML too
    return SearchConfig.model_validate(data)


def searched(result: SearchResult) -> list[tuple[str, int, str, float | None, str | None]]:
    """Returns what must be the same however often a search was killed."""
    asked = [done for done in result.evaluations if not done.extra]
    return [(e.agent, e.number, str(e.policy), e.score and round(e.score, 9), e.error) for e in asked]


def committed(out: Path) -> int:
    """Counts evaluations in the journal, as another process sees them."""
    if not (out / FILE).exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{out / FILE}?mode=ro", uri=True)) as connection:
            query = "SELECT COUNT(*) FROM trials NATURAL JOIN studies WHERE state IN ('COMPLETE', 'FAIL')"
            query += " AND study_name LIKE '%/%'"  # the others are the campaign's own
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # its tables are being made
        return 0


def kill_again_and_again(folder: Path, kills: int, total: int, seed: int, earliest: int = 1) -> list[int]:
    """Runs the search of ``search.yaml`` and kills it, each time a random moment later.

    Args:
        folder: where the configuration lies, and ``out`` appears.
        kills: how often.
        total: evaluations that the search has.
        seed: of the moments: how many evaluations are committed, and how long after the last of them.
        earliest: how many are committed at least before the first kill.

    Returns:
        For each kill, how many evaluations were committed when it came.
    """
    moments = random.Random(seed)
    seen: list[int] = []
    for until in sorted(moments.sample(range(earliest, total - 2 * kills), kills)):
        before = committed(folder / "out")
        process = subprocess.Popen(
            [*COMMAND, "--resume"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        deadline = time.monotonic() + 120
        while (
            committed(folder / "out") < max(until, before + 1)
            and process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))  # an evaluation with its commit takes about as long
        at_least = committed(folder / "out")
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the search ended before it was killed"
        seen.append(committed(folder / "out"))
        assert seen[-1] >= at_least >= before  # nothing that was committed went with the process
    return seen
