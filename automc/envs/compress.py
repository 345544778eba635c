"""Everything at once: blocks, widths, and bits of weights and activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from automc.costs import Projection
from automc.envs._base import PolicyEnv
from automc.envs.decisions import Decision, decisions
from automc.search_spaces import Policy

_OCTAVES = 4
_WAVES = tuple(f"{wave} {2**octave}" for wave in ("sine", "cosine") for octave in range(_OCTAVES))


class CompressEnv(PolicyEnv):
    """Decides about all that a space offers on its device: blocks, then widths, then bits.

    The action picks an option evenly: 0 the smallest, 1 the network as it is. The finished policy is projected onto
    the budgets.

    The observation has 17 numbers: position of the decision, and four sines and cosines of it, by which networks tell
    neighbours apart that a single number makes alike (Vaswani et al., NeurIPS 2017); whether it is about a block, a
    width, weights or activations; how many options it has, against the most; share of the budgeted cost that its
    smallest option saves, all else as it is; share of that cost that all decisions still open can save so; about what
    share of that cost was saved so far; last action.

    Args:
        projection: see `PolicyEnv`.
        reward: likewise.
    """

    features = ("position", *_WAVES, "block", "width", "bits", "options", "share", "open", "saved", "last")

    def __init__(self, projection: Projection, reward: Callable[[Policy], float] | None = None) -> None:
        self._metric = next(iter(projection.limits), projection.model.metrics[0])
        self._saved_by = _alone(projection, self._metric)
        super().__init__(projection, reward)
        saves = np.array([self._saved_by[decision.axis, 0] for decision in self.decisions])
        seen = np.unique([decision.axis for decision in self.decisions], return_index=True)[1]
        first = np.isin(np.arange(len(saves)), seen)  # two decisions on one axis can save its cost once
        rest = np.append(np.cumsum((saves * first)[::-1])[::-1], 0)
        most = max(len(decision.values) for decision in self.decisions)
        phases = np.pi * np.linspace(0, 1, len(self.decisions))[:, None] * 2.0 ** np.arange(_OCTAVES)
        still = np.array(
            [
                (
                    number / len(self.decisions),
                    *(0.5 + 0.5 * np.concatenate([np.sin(phase), np.cos(phase)])),
                    decision.kind == "keep",
                    decision.kind == "channels",
                    (0.5 if decision.kind == "weight_bits" else 1) if "bits" in decision.kind else 0,
                    len(decision.values) / most,
                    saves[number],
                    rest[number] / max(rest[0], 1e-9),
                )
                for number, (decision, phase) in enumerate(zip(self.decisions, phases, strict=True))
            ]
        )
        end = np.array([[1.0, *still[-1, 1:-1], 0.0]])
        self._static = np.clip(np.concatenate([still, end]), 0, 1).astype(np.float32)

    def _decide_about(self) -> Sequence[Decision]:
        return list(decisions(self.space))

    def _observe(self) -> np.ndarray:
        saved = self._saved_by[np.arange(len(self._index)), self._index].sum()
        now = np.array([min(max(saved, 0.0), 1.0), self._last], dtype=np.float32)
        return np.concatenate([self._static[self._step], now])


def _alone(projection: Projection, metric: str) -> np.ndarray:
    """Returns (A, most options) the share of a metric that each option saves, all else as it is; else 0."""
    model = projection.model
    full = model.space.full
    axes = np.repeat(np.arange(len(full)), model.space.sizes)
    options = np.concatenate([np.arange(size) for size in model.space.sizes])
    indices = np.repeat(full[None], len(axes), axis=0)
    indices[np.arange(len(axes)), axes] = options
    prices = model.prices(np.concatenate([full[None], indices]), [metric])[metric]
    saved = np.zeros((len(full), int(model.space.sizes.max())))
    saved[axes, options] = 1 - prices[1:] / prices[0]
    return saved
