"""``automc demo``: the whole job on a small network, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("runs/demo"),
) -> None:
    """Compress a network for hand-written digits on this machine, from latency table to verified ONNX file."""
    from automc import progress
    from automc.campaigns import SearchConfig, run_search
    from automc.cli.recipe import verify
    from automc.cli.search import show

    config = SearchConfig(task="digits", budget=("latency<=40%",), agent="tpe", evaluations=60)
    progress.say(f"Task {config.task}, budget {config.budget[0]} of the original's, agent {config.agent}")
    result = run_search(config, Path(), out)
    progress.say("Verifying the exported file in a process that has no AutoMC")
    verify(out / "recipe.yaml")
    show(result, out)
