"""``automc demo``: the whole job on a small network, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

TASK = "digits"
DEMO: dict[str, Any] = {"budget": "latency<=20%", "evaluations": 60}
"""What is asked of it, here and by ``automc serve --demo``."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("runs/demo"),
) -> None:
    """Compress a network for hand-written digits on this machine, from latency table to verified ONNX file."""
    from automc import progress

    progress.say(f"Task {TASK}, budget {DEMO['budget']} of the original's")
    from automc.campaigns import SearchConfig, run_search, unfinished
    from automc.cli.recipe import verify
    from automc.cli.search import show

    config = SearchConfig(task=TASK, **DEMO)
    result = run_search(config, Path(), out, resume=unfinished(out))
    progress.say("Verifying the exported file in a process that has no AutoMC")
    verify(out / "recipe.yaml")
    show(result, out)
