"""Whoever asks a server waits for no library that searches: fresh processes, and what they have loaded."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archives import finished
from tests.serving import Served, serving

HEAVY = ("torch", "scipy", "sklearn", "optuna", "sqlalchemy", "ray", "onnx", "onnxruntime")
AT_THE_END = f"""
import atexit, json, sys
atexit.register(lambda: json.dump([one for one in {HEAVY} if one in sys.modules], sys.stderr))
"""
LAZY = ("campaigns", "costs", "evaluation", "latency_tables", "search_spaces", "tasks", "workspace")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("light")
    with serving(folder) as found:
        finished(found.workspace.storage, folder / "done", "done")
        yield found


def loaded(code: str, **environment: str) -> list[str]:
    """Returns which of the heavy libraries a program has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END + code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stderr)
    return found


@pytest.mark.parametrize("code", ["import automc.client", "from automc import Client"])
def test_the_client_loads_nothing_that_searches(code: str) -> None:
    assert loaded(code) == []


def test_what_is_asked_of_a_server_needs_nothing_that_searches(served: Served) -> None:
    code = f"""
import automc
from automc.workspace.answers import CampaignRequest

with automc.Client({served.url!r}) as client:
    name = client.campaigns.start(CampaignRequest(task="digits", config={{"budget": "macs<=40%"}})).name
    client.campaigns.cancel(name)
    assert [one.state for one in client.campaigns.watch(name)] == ["cancelled"]
    assert client.campaigns.evaluation("done", "random", 0).evaluation.score is not None
    assert client.tables.all() is not None and client.catalog.agents()
"""
    assert loaded(code) == []


@pytest.mark.parametrize(
    "command", ["campaign list", "campaign show done", "campaign watch done --once", "recipe list", "tasks", "agents"]
)
def test_commands_that_ask_a_server_need_nothing_that_searches(served: Served, command: str) -> None:
    code = f"from automc.cli.app import main; sys.argv = ['automc', *{command.split()!r}]; main()"
    assert loaded(code, AUTOMC_SERVER=served.url) == []


@pytest.mark.parametrize("package", LAZY)
def test_every_public_name_is_there_whatever_was_imported_before(package: str) -> None:
    found = importlib.import_module(f"automc.{package}")
    modules = {one.name for one in pkgutil.iter_modules([str(Path(str(found.__file__)).parent)])}
    assert not modules & set(found.__all__)  # a module would stand in the way of a name
    assert all(getattr(found, name) is not None for name in found.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = found.no_such_name
