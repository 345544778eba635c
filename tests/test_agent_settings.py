"""An agent's settings: given in the configuration, checked there, and listed."""

import json
from pathlib import Path
from typing import Any

import pytest

from automc.agents import AGENTS, make_agent
from automc.campaigns import load_config
from automc.errors import ConfigError
from automc.testing import toy_problem
from tests.commands import run_command
from tests.learners import Drifter, register


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AGENTS, "drifter", ("", ""))  # is taken back
    register()


def configured(folder: Path, **values: Any) -> Path:
    path = folder / "search.yaml"
    path.write_text(json.dumps({"task": "digits", "budget": "macs<=50%", "agent": "drifter", **values}))
    return path


def test_an_agent_gets_what_was_set_and_defaults_for_the_rest() -> None:
    agent = make_agent("drifter", toy_problem("macs<=40%"), 0, noise=0.1)
    assert isinstance(agent, Drifter)
    assert (agent.set.noise, agent.set.rate) == (0.1, 0.5)


def test_a_configuration_takes_settings_of_its_agent(tmp_path: Path) -> None:
    assert load_config(configured(tmp_path, agent_args={"noise": 0.25})).agent_args == {"noise": 0.25}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"agent_args": {"nois": 1}},
            "search.yaml: agent_args.nois: drifter has no such setting .*mean 'noise'",
        ),
        ({"agent_args": {"noise": "much"}}, "search.yaml: agent_args.noise: .*valid number"),
        ({"agent_args": {"noise": -1}}, "search.yaml: agent_args.noise: .*greater than 0"),
        ({"agent": "random", "agent_args": {"noise": 1}}, "agent_args.noise: random has no such setting$"),
        ({"agent": "drifterr", "agent_args": {"noise": 1}}, "agent: unknown agent 'drifterr' .did you mean 'drifter'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_key(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        load_config(configured(tmp_path, **values))
    assert "\n" not in str(refused.value)


def test_making_an_agent_refuses_them_too() -> None:
    with pytest.raises(ConfigError, match=r"settings of drifter: unknown key 'nois' .did you mean 'noise'"):
        make_agent("drifter", toy_problem("macs<=40%"), 0, nois=1)


def test_settings_are_listed_with_what_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        done = run_command(("agents", *arguments), monkeypatch, capsys)
        return " ".join((done.output + done.errors).split())

    assert "noise │ 0.4 │ how far it looks around, in shares of an axis." in said("drifter")
    assert json.loads(said("drifter", "--json")) == {"noise": 0.4, "rate": 0.5}
    assert said("uniform") == "uniform has no settings"
    assert "did you mean 'uniform'" in said("unifrom")


def test_no_agent_is_imported_but_the_one_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AGENTS, "missing", ("no.such.module:Agent", ""))
    assert load_config(configured(tmp_path, agent_args={"rate": 1})).agent_args == {"rate": 1}
