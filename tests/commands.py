"""Running a command of the command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from automc.cli import main


class Done(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    output: str
    errors: str

    @property
    def line(self) -> str:
        """The last line on standard error."""
        return self.errors.strip().splitlines()[-1] if self.errors.strip() else ""


Command = Callable[..., Done]


def run_command(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Done:
    """Runs ``automc`` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["automc", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    return Done(int(ended.value.code or 0), *capsys.readouterr())
