"""The code in the documentation of environments runs, block after block, and the page names them all."""

import re
from pathlib import Path

import pytest

from automc.envs import ENVS, Episode
from automc.tasks import Task

PAGE = (Path(__file__).parent.parent / "docs" / "environments.md").read_text()


def test_the_blocks_run_in_their_order(digits: Task, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "environments.md", "exec"), scope)
    assert isinstance(scope["env"].unwrapped.replay(scope["info"]["policy"]), Episode)
    assert scope["earned"] == scope["reward"](scope["info"]["policy"], scope["score"]([scope["info"]["policy"]])[0])
    assert scope["agent"].num_timesteps == 128
    assert capsys.readouterr().out


def test_all_environments_are_named() -> None:
    for name in ENVS:
        assert f"| `{name}` |" in PAGE
