"""Projection of any policy onto a budget."""

from __future__ import annotations

import numpy as np

from automc.costs.budget import Budget
from automc.costs.model import CostModel
from automc.costs.reach import cheapest, check_reachable
from automc.costs.steps import Steps
from automc.errors import BudgetError

_FACTORS = np.linspace(1, 0, 65)


class Projection:
    """Makes policies keep all budgets, changing them as little as a simple rule can.

    A policy that keeps the budgets stays as it is. Any other first gets the fewest bits that the space offers, where
    that brings it nearer: they cost the least accuracy. If that is not enough, all widths are scaled down by the
    largest factor that fits. Only where the smallest widths do not fit is a block dropped, the most expensive one
    first. Then widths are raised again one step at a time, towards what was asked, while they fit. Bits follow: of all
    layers alike, from the fewest towards what was asked, as far as that fits, and then one step at a time too. Every
    candidate is priced, so the result keeps the budgets whatever the shape of the latency table.

    Args:
        model: prices policies.
        budgets: the bounds, all of which are kept.

    Raises:
        BudgetError: a budget cannot be reached by any policy.
    """

    def __init__(self, model: CostModel, budgets: list[Budget]) -> None:
        check_reachable(model, budgets)
        self.model, self.budgets = model, budgets
        full = model.prices(model.space.full[None])
        self.limits: dict[str, float] = {}
        for budget in budgets:
            limit = budget.limit(float(full[budget.metric][0]))
            self.limits[budget.metric] = min(limit, self.limits.get(budget.metric, np.inf))
        self._steps = Steps(model.space)
        self._fallbacks = [cheapest(model, metric) for metric in self.limits]
        if self.limits and not self.fits(np.stack(self._fallbacks)).any():
            texts = " and ".join(budget.text for budget in budgets)
            raise BudgetError(f"budgets {texts} can be reached one at a time but not together; allow more for one")

    def fits(self, indices: np.ndarray) -> np.ndarray:
        """Returns (B,) whether policies (B, A) keep all budgets."""
        return self.excess(indices) <= 1

    def excess(self, indices: np.ndarray) -> np.ndarray:
        """Returns (B,) the largest ratio of price to limit of policies (B, A); 0 where there is no budget."""
        prices = self.model.prices(indices, self.limits)
        ratios = [prices[metric] / limit for metric, limit in self.limits.items()]
        return np.max(ratios, axis=0) if ratios else np.zeros(len(indices))

    def project(self, index: np.ndarray, lower_bits: bool = True) -> np.ndarray:
        """Returns the policy (A,) nearest to ``index`` by the rule above; it keeps all budgets.

        Args:
            index: option numbers (A,).
            lower_bits: whether layers may get fewer bits than ``index`` gives them.
        """
        space = self.model.space
        wanted = space.canonical(index)
        start = self._with_few_bits(wanted) if lower_bits else wanted
        while not self.fits(start[None])[0]:
            scaled = self._scale(start)
            if scaled is not None:
                start = self._fill(space.canonical(scaled), wanted, space.is_width)
                break
            kept = np.flatnonzero(space.is_depth & (start > 0))
            if not len(kept):
                fallback = np.stack(self._fallbacks)
                return fallback[self.fits(fallback)][0]
            without = np.repeat(start[None], len(kept), axis=0)
            without[np.arange(len(kept)), kept] = 0
            start = space.canonical(without[self.excess(without).argmin()])
        return self._fill(self._raise_bits(start, wanted), wanted, space.is_bits)

    def _with_few_bits(self, index: np.ndarray) -> np.ndarray:
        """Returns the policy with the fewest bits everywhere, where it is over budget and that brings it nearer."""
        space = self.model.space
        if self.fits(index[None])[0] or not space.is_bits.any():
            return index
        fewer = space.canonical(np.where(space.is_bits, 0, index))
        return fewer if self.excess(fewer[None])[0] < self.excess(index[None])[0] else index

    def _scale(self, index: np.ndarray) -> np.ndarray | None:
        """Scales all widths by the largest factor that fits; None where even the smallest widths do not."""
        candidates = self._steps.scaled(index, _FACTORS, self.model.space.is_width)
        fits = np.flatnonzero(self.fits(candidates))
        return candidates[fits[0]] if len(fits) else None

    def _raise_bits(self, index: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Raises the bits of all layers alike towards what was asked, by the largest factor that fits."""
        which = self.model.space.is_bits & ~self._gone(index)
        if (index == wanted)[which].all():
            return index
        candidates = np.where(which, self._steps.scaled(wanted, _FACTORS, which, fewest=True), index)
        fits = np.flatnonzero(self.fits(candidates))
        return candidates[fits[0]] if len(fits) else index

    def _fill(self, index: np.ndarray, wanted: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Raises axes step by step towards what was asked, while that fits, always the one that then is lowest."""
        index, which = index.copy(), which & ~self._gone(index)
        moved, following = np.flatnonzero(which), np.zeros((len(index), 2), dtype=np.int64)
        while len(below := np.flatnonzero(which & (index < wanted))):
            for axis in np.intersect1d(moved, below, assume_unique=True):
                following[axis] = self._steps.following(axis, index[axis], wanted[axis])
            axes, options = np.repeat(below, 2), following[below].ravel()
            different = np.append(True, (axes[1:] != axes[:-1]) | (options[1:] != options[:-1]))
            axes, options = axes[different], options[different]
            candidates = np.repeat(index[None], len(axes), axis=0)
            candidates[np.arange(len(axes)), axes] = options
            fits = self.fits(candidates)
            if not fits.any():
                break
            best = np.where(fits, self._steps.share(axes, options, wanted[axes]), np.inf).argmin()
            moved, index = axes[[best]], candidates[best]
        return index

    def _gone(self, index: np.ndarray) -> np.ndarray:
        """Returns (A,) whether axes lie in a dropped block."""
        owners = np.array(self.model.space.owners)
        return (owners >= 0) & (index[owners] == 0)
