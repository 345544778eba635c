"""Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011)."""

from __future__ import annotations

from typing import ClassVar

from optuna.samplers import TPESampler

from automc.agents.samplers._base import SamplerAgent


class TPE(SamplerAgent):
    """Samples each axis where good policies were found.

    As published, a proposal reads all trials, and takes time in proportion (`benchmarks/campaigns/tpe.py`). Here, once
    there are twice 525, all but the 25 best and the latest 500 are forgotten: Optuna's model of good ones is that of
    the best 25 anyway, and that of the others counts old ones less.
    """

    keeps: ClassVar[tuple[int, int] | None] = (25, 500)

    def _sampler(self, seed: int) -> TPESampler:
        return TPESampler(seed=seed, multivariate=True, constant_liar=False)
