"""How scores and training are written for people."""

from __future__ import annotations


def in_percent(metric: str) -> bool:
    """Says whether a score is a share, written in %: top-1, top-5."""
    return metric.startswith("top-")


def format_score(score: float, metric: str) -> str:
    """Returns a score for people."""
    return f"{100 * score:.2f}%" if in_percent(metric) else f"{score:.4g}"


def format_epochs(epochs: float) -> str:
    """Returns a number of epochs for people."""
    return f"{epochs:g} epoch" if epochs == 1 else f"{epochs:g} epochs"
