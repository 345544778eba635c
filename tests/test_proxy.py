"""Optuna's proxy in front of a storage: neighbours only; it may be killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from automc.campaigns import storage as storage_module
from automc.campaigns.campaign import Campaign
from automc.campaigns.proxy import serve_proxy
from automc.campaigns.storage import Storage, sqlite_url
from automc.errors import ConfigError
from tests import storages
from tests.storages import add, begun, evaluated

CODE = "import sys, typer; from automc.cli.campaign_proxy import proxy; typer.run(proxy)"


def start(url: str, port: int) -> tuple[subprocess.Popen[str], str]:
    """Starts a proxy by its command; returns it and the URL that it says."""
    command = [sys.executable, "-c", CODE, "--storage", url, "--port", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[1]
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.mark.slow
def test_a_proxy_that_is_killed_and_started_again_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "PAUSE", 0.2)
    url = sqlite_url(tmp_path / "campaigns.db")
    process, address = start(url, 0)
    campaign = begun(Storage(address), "killed")
    add(campaign, evaluated(0))
    process.kill()
    process.wait()
    process, again = start(url, int(address.rpartition(":")[2]))
    assert again == address
    add(campaign, evaluated(1))
    assert Campaign(Storage(url), "killed").journal.evaluations("random") == [evaluated(0), evaluated(1)]
    process.send_signal(signal.SIGINT)
    process.wait(30)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "8.8.8.8", "1.1.1.1", "2606:4700::1", "100.64.0.1"])
def test_public_addresses_are_refused(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no authentication, and listens on loopback or an address of a private"):
        serve_proxy(sqlite_url(tmp_path / "campaigns.db"), host, 0)
    assert not (tmp_path / "campaigns.db").exists()


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "campaigns.db")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"cannot be listened on; it is taken, or of another machine"):
            serve_proxy(url, "127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConfigError, match="cannot be listened on"):
        serve_proxy(url, "10.255.255.254", 0)
    with pytest.raises(ConfigError, match="no address of this machine"):
        serve_proxy(url, "no.such.host.invalid", 0)
    with pytest.raises(ConfigError, match="is a proxy already"):
        serve_proxy("grpc://127.0.0.1:1", "127.0.0.1", 0)


def test_what_the_database_behind_says_comes_through(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "campaigns.db")
    storage = Storage(storages.proxied(url))
    begun(storage, "there")
    with Storage(url).optuna._backend.engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("DROP TABLE trial_user_attributes")
    with pytest.raises(ConfigError, match=r"grpc://.*no such table: trial_user_attributes"):
        add(Campaign(storage, "there"), evaluated(0))
