"""Optuna's Gaussian process with expected improvement (Jones et al., Journal of Global Optimization 1998)."""

from __future__ import annotations

from typing import ClassVar

from optuna.samplers import GPSampler

from automc.agents.samplers._base import SamplerAgent


class GP(SamplerAgent):
    """Models the score over all axes by a Gaussian process and proposes where it expects to improve most.

    A proposal takes seconds, more of them with trials: the process is fitted anew for each, and what is expected is
    maximized axis by axis. Hence, once there are 400 trials, all but the 25 best and the latest 175 are forgotten.
    ``benchmarks/campaigns/agents.py gp`` measures it.
    """

    keeps: ClassVar[tuple[int, int] | None] = (25, 175)

    def _sampler(self, seed: int) -> GPSampler:
        return GPSampler(seed=seed)
