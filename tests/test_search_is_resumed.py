"""Nothing that finished is lost: a search goes on where it was killed, and ends as an undisturbed one."""

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

import pytest

from automc.campaigns import SearchConfig, SearchResult, run_search, unfinished
from automc.campaigns.journal import FILE, Journal
from automc.campaigns.result import Evaluated
from automc.campaigns.search import Search
from automc.costs import Cost
from automc.errors import ConfigError
from automc.evaluation import forward
from automc.search_spaces import Policy, SpaceConfig

HERE = Path(__file__).parent
CONFIG = SearchConfig(
    task="trained.py:Blobs", budget=("macs<=50%",), evaluations=10, finalists=1, space=SpaceConfig(channel_multiple=4)
)
YAML = """
task: trained.py:Blobs
budget: macs<=50%
evaluations: 10
finalists: 1
space: {channel_multiple: 4}
"""
COMMAND = [sys.executable, "-c", "from automc.cli import main; main()", "search"]


def evaluated(number: int, agent: str = "random", extra: bool = False) -> Evaluated:
    policy = {"conv1": {"channels": number + 1}}
    return Evaluated(
        agent=agent,
        number=number,
        policy=policy,
        score=number / 7,
        predicted=Cost(1, 2, 3, 4),
        seconds=0.1,
        extra=extra,
    )


def searched(result: SearchResult) -> list[tuple[str, int, str, float]]:
    return [(e.agent, e.number, str(e.policy), round(e.score, 9)) for e in result.evaluations]


def rows(path: Path) -> int:
    """Counts committed evaluations, as another process sees them."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are being made
        return 0


def test_a_search_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = run_search(CONFIG, HERE, tmp_path / "undisturbed")
    (tmp_path / "search.yaml").write_text(YAML.replace("trained.py", str(HERE / "trained.py")))
    journal = tmp_path / "out" / FILE
    moments = random.Random(0)
    seen = 0
    for _ in range(3):
        process = subprocess.Popen(
            [*COMMAND, "search.yaml", "--out", "out", "--resume"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # as here: the network that it trains depends on it
        )
        until = seen + moments.randint(1, 6)
        deadline = time.monotonic() + 120
        while rows(journal) < until and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert rows(journal) >= until  # nothing that was committed went with the process
        seen = rows(journal)
    assert unfinished(tmp_path / "out")
    config = CONFIG.model_copy(update={"task": f"{HERE / 'trained.py'}:Blobs"})
    resumed = run_search(config, tmp_path, tmp_path / "out", resume=True)
    assert searched(resumed) == searched(undisturbed)
    assert resumed.row("best").policy == undisturbed.row("best").policy
    assert rows(journal) == len(undisturbed.evaluations) == 21
    assert not unfinished(tmp_path / "out")


def test_scores_of_two_precisions_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Search.evaluate

    def killed(search: Search, policy: Policy, agent: str, number: int, **more: Any) -> Evaluated:
        if agent == "random" and number == 2:
            raise KeyboardInterrupt
        return evaluate(search, policy, agent, number, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Search, "evaluate", killed)
        patch.setattr(forward, "has_bfloat16", lambda: True)
        with pytest.raises(KeyboardInterrupt):
            run_search(CONFIG, HERE, tmp_path)
    assert rows(tmp_path / FILE) == 3
    monkeypatch.setattr(forward, "has_bfloat16", lambda: False)  # as on another machine
    with pytest.raises(ConfigError, match="of another search \\(precision is 'bfloat16' there, 'float32' here\\)"):
        run_search(CONFIG, HERE, tmp_path, resume=True)


def test_a_search_that_has_ended_is_begun_anew(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"evaluations": 1})
    first = run_search(config, HERE, tmp_path)
    second = run_search(config, HERE, tmp_path)
    assert searched(first) == searched(second)
    assert rows(tmp_path / FILE) == 3


@pytest.mark.parametrize(
    ("about", "resume", "message"),
    [
        ({"seed": 0}, False, "has not ended, with 2 finished evaluations.*--resume.*--out"),
        ({"seed": 1}, True, "of another search \\(seed is 0 there, 1 here\\)"),
        ({"seed": 0, "task": "x"}, True, "task is None there, 'x' here"),
    ],
)
def test_a_journal_that_is_not_to_be_continued_is_refused(
    tmp_path: Path, about: dict[str, Any], resume: bool, message: str
) -> None:
    journal = Journal(tmp_path, {"seed": 0}, resume=False)
    journal.append(evaluated(0))
    journal.append(evaluated(1))
    journal.close()
    for _ in range(2):  # refusing changes nothing
        with pytest.raises(ConfigError, match=message) as refused:
            Journal(tmp_path, about, resume)
        assert "\n" not in str(refused.value)
    again = Journal(tmp_path, {"seed": 0}, resume=True)
    assert again.evaluations("random") == [evaluated(0), evaluated(1)]
    again.close()


def test_a_second_search_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, resume=False)
    code = "from automc.campaigns.journal import Journal; from pathlib import Path; Journal(Path(), {}, True)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "another search is writing to it" in done.stderr
    journal.close()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("damage", [b"no database at all" * 99, b""])
@pytest.mark.parametrize("resume", [True, False])
def test_a_damaged_journal_is_refused_or_begun_where_it_is_empty(tmp_path: Path, damage: bytes, resume: bool) -> None:
    (tmp_path / FILE).write_bytes(damage)
    if not damage:
        Journal(tmp_path, {}, resume).close()
        return
    with pytest.raises(ConfigError, match="journal is damaged") as refused:
        Journal(tmp_path, {}, resume)
    assert "\n" not in str(refused.value)
    assert (tmp_path / FILE).read_bytes() == damage


def test_agents_have_studies_of_their_own_and_extra_evaluations_come_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, resume=False)
    for done in (evaluated(0), evaluated(0, "tpe"), evaluated(1, extra=True)):
        journal.append(done)
    journal.finish()
    journal.close()
    again = Journal(tmp_path, {}, resume=True)
    assert again.evaluations("random") == [evaluated(0), evaluated(1, extra=True)]
    assert again.evaluations("tpe") == [evaluated(0, "tpe")]
    assert again.evaluations("uniform") == []
    again.close()
