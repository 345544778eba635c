"""Databases that go away are waited for and nothing is done twice; those that refuse say so at once, in one line."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from automc import progress
from automc.campaigns import databases
from automc.campaigns import storage as storage_module
from automc.campaigns.campaign import Campaign
from automc.campaigns.storage import Away, Storage, sqlite_url
from automc.campaigns.studies import names
from automc.errors import ConfigError
from tests import storages
from tests.postgres import Postgres
from tests.storages import TIMING, add, begun, evaluated, make, policy


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "PAUSE", 0.01)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(progress, "say", lines.append)
    return lines


def _lost(why: str) -> OperationalError:
    return OperationalError("", {}, psycopg.OperationalError(why))


class LosesAnswers:
    """A storage that fails twice before it does what it is told: once with the answer lost, once with the question."""

    def __init__(self, real: Any) -> None:
        self._real, self._lock = real, threading.Lock()
        self._failures: dict[tuple[str, str], int] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if not name.startswith(("set_", "create_", "delete_")):
            return real

        def call(*arguments: Any, **named: Any) -> Any:
            key = name, repr(arguments[:2])
            with self._lock:
                seen = self._failures[key] = self._failures.get(key, 0) + 1
            if seen % 3 == 2:
                raise _lost("connection refused")
            answer = real(*arguments, **named)
            if seen % 3 == 1:
                raise _lost("server closed the connection unexpectedly")
            return answer

        return call


def test_nothing_is_done_twice_where_only_the_answer_was_lost(tmp_path: Path, said: list[str]) -> None:
    storage = Storage(sqlite_url(tmp_path / "campaigns.db"))
    real, storage.optuna = storage.optuna, LosesAnswers(storage.optuna)  # type: ignore[assignment]
    campaign = begun(storage, "once")
    session = campaign.drive()
    rows = [evaluated(number, failed=number == 2) for number in range(4)]
    for done in rows:
        add(campaign, done)
    campaign.journal.begin("random", 4, policy(4))
    campaign.journal.died("random", 4, 1)
    campaign.journal.measured(rows[0], TIMING)
    session.close()
    make(storage, "gone").delete()
    assert names(storage) == ["once"]
    trials = real.get_all_trials(real.get_study_id_from_name("once/random"))
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "RUNNING"]
    assert len(real.get_all_trials(real.get_study_id_from_name("once"))) == 1  # sessions
    seen = Campaign(Storage(storage.url), "once")
    assert seen.journal.evaluations("random") == [rows[0].model_copy(update={"measured": TIMING}), *rows[1:]]
    assert any("waiting for it" in line for line in said)
    storage.close()


@pytest.mark.parametrize("kind", ["postgresql", "grpc"])
def test_a_database_killed_among_commits_has_each_of_them_once(postgres: Postgres, kind: str, said: list[str]) -> None:
    direct = postgres.database()
    storage = Storage(storages.proxied(direct) if kind == "grpc" else direct)
    campaign, total, failed = begun(storage, "killed"), 40, []

    def stream() -> None:
        try:
            for number in range(total):
                add(campaign, evaluated(number, failed=number % 5 == 0))
                time.sleep(0.01)
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=stream)
    thread.start()
    for until in (5, 20) if kind == "postgresql" else (10,):
        while campaign.status().evaluations < until:
            time.sleep(0.01)
        postgres.kill()
        postgres.start()
    thread.join(120)
    assert not failed
    assert not thread.is_alive()
    seen = Campaign(Storage(direct), "killed")
    assert seen.journal.evaluations("random") == [evaluated(n, failed=n % 5 == 0) for n in range(total)]
    trials = seen.storage.optuna.get_all_trials(seen.storage.optuna.get_study_id_from_name("killed/random"))
    assert [trial.number for trial in trials] == list(range(total))
    assert any("nobody answers" in line for line in said)
    assert any("is back" in line for line in said)
    assert not any(Postgres.password in line or "p%40" in line for line in said)


def test_who_waited_in_vain_does_not_wait_again(
    postgres: Postgres, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    storage = Storage(url)
    campaign = make(storage, "vain")
    monkeypatch.setattr(storage_module, "PATIENCE", 0.3)
    postgres.kill()
    try:
        for _ in range(3):
            with pytest.raises(Away, match="nobody answers"):
                campaign.status()
        assert len(said) == 1
        with pytest.raises(Away, match="nobody answers"):
            Storage(url)
        monkeypatch.setattr(storage_module, "PATIENCE", 60.0)
        opened: list[Storage] = []
        thread = threading.Thread(target=lambda: opened.append(Storage(url, patient=True)))
        thread.start()
    finally:
        postgres.start()
    assert campaign.status().state == "queued"
    thread.join(60)
    assert names(opened[0]) == ["vain"]


def test_a_locked_file_is_waited_for(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "campaigns.db"
    storage = Storage(str(path))
    campaign = begun(storage, "locked")
    storage.close()
    # as after minutes of SQLite's own waiting
    storage.optuna._backend.engine.pool._creator = lambda *_: sqlite3.connect(  # type: ignore[attr-defined]
        path, timeout=0.01, check_same_thread=False
    )
    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.5, other.rollback)
        timer.start()
        add(campaign, evaluated(0))
        timer.join()
    assert campaign.journal.evaluations("random") == [evaluated(0)]
    assert "locked" in said[0]


def refused(url: str) -> str:
    """Opens a storage that is to be refused; returns the line, in which there is no password."""
    began = time.monotonic()
    with pytest.raises(ConfigError) as error:
        Storage(url)
    assert time.monotonic() - began < 10
    line = str(error.value)
    assert "\n" not in line
    assert "secret" not in line
    return line


def test_databases_that_refuse_say_so(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "CONTACT", 1)
    url, free = postgres.database(), _free_port()
    where = f"127.0.0.1:{postgres.port}"
    assert "the database refuses" in refused(f"postgresql://automc:secret@{where}/postgres")
    assert 'database "nowhere" does not exist' in refused(f"{postgres.address}/nowhere")
    assert "nobody answers" in refused(f"postgresql://automc:secret@127.0.0.1:{free}/postgres")
    assert "nobody answers" in refused("postgresql://automc:secret@no.such.host.invalid/x?password=secret")
    assert "nobody answers" in refused(f"grpc://127.0.0.1:{free}")
    storage = Storage(url)
    with storage.optuna._backend.engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("CREATE ROLE guest LOGIN PASSWORD 'secret'")
    guest = url.replace("automc:p%40ss%3Aw%2F rd", "guest:secret")
    assert "permission denied" in refused(guest)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://user:secret@host/x", "no storage that AutoMC knows; it is one of sqlite:///FILE, postgresql"),
        ("campaigns", "no storage that AutoMC knows"),
        ("", "no storage that AutoMC knows"),
        ("sqlite://", "no storage that AutoMC knows"),
        ("grpc://user:secret@host:1", "cannot be read as grpc://HOST:PORT"),
        ("grpc://host:port", "cannot be read as grpc://HOST:PORT"),
        ("postgresql://user:secret@host:port/x", "cannot be read"),
        ("postgresql://user:a@secret@host/x", "write special characters of a password as %XX"),
    ],
)
def test_urls_of_other_kinds_are_refused(url: str, message: str) -> None:
    assert message in refused(url)


@pytest.mark.parametrize(
    ("revision", "message"), [("v9.9.9.a", "newer Optuna .*upgrade automc"), ("v3.0.0.a", "optuna storage upgrade")]
)
def test_another_schema_is_refused(tmp_path: Path, revision: str, message: str) -> None:
    path = tmp_path / "campaigns.db"
    Storage(str(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()
    with pytest.raises(ConfigError, match=message):
        Storage(str(path))


def test_what_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "campaigns.db"
    path.write_bytes(b"no database at all" * 99)
    assert "the journal is damaged or cannot be written" in refused(str(path))
    assert path.read_bytes() == b"no database at all" * 99


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_several_may_come_first(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url, opened, together = storages.storage_url(kind, request, tmp_path), [], threading.Barrier(4)

    def come() -> None:
        together.wait()
        opened.append(Storage(url))

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    make(opened[0], "first")
    assert names(opened[3]) == ["first"]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
