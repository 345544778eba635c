"""Latencies of operators that were not measured, from those that were.

Between measured widths of the same operator values are interpolated linearly. Runtimes compute in blocks of channels:
a width that fills its blocks is faster than its neighbours, sometimes twice, and all that end in the same block cost
about the same. So widths that fill blocks and widths that do not are interpolated apart, each at the end of its block.
How large blocks are is found for each kind of operator, by what predicts measured widths best from the others.

An operator of a known kind with other sizes is regressed by a random forest, as nn-Meter does (Zhang et al., MobiSys
2021): the logarithm of its latency on those of its channels and sizes. Of five regressions tried on MobileNetV2 it was
off least for families left out (median 0 to 15%).

Every answer has an interval. It is as wide as nine of ten errors were when measured operators were predicted without
themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from automc.latency_tables.hardware import Estimate, How
from automc.latency_tables.signature import Signature

BLOCKS = (1, 4, 8, 16, 32)
_FOLDS = 4
_FEW, _FAMILIES = 8, 4  # measurements below which errors, and families below which regressions, say nothing
_UNKNOWN = 0.25  # relative error assumed where nothing could be tried
_SHARE = 0.9
_MOST = 0.9

Points = np.ndarray
"""Channels of operators (N, D), whole numbers."""


class Family:
    """Measured operators that differ in channels only.

    Args:
        points: their channels (N, D).
        us: their latencies (N,), microseconds.
    """

    def __init__(self, points: Points, us: np.ndarray) -> None:
        self.points, self.us = points, us
        # a width on which all agree, or that follows from others as in one channel group, is no dimension
        self._columns = _independent(points - points[0])
        self._cache: dict[int, list[tuple[np.ndarray, _Linear]]] = {}

    def at(self, targets: Points, block: int = 1) -> np.ndarray:
        """Returns latencies (T,) at channels (T, D); NaN outside of what was measured."""
        found = np.full(len(targets), np.nan)
        on_plane = self._spans(targets)
        inside = self._all.at(targets[:, self._columns].astype(float))
        if block > 1:
            flags, ends = _blocks(targets[:, self._columns], block)
            for kind, linear in self._classes(block):
                mine = (flags == kind).all(axis=1)
                if mine.any():
                    found[mine] = linear.at(ends[mine])
        found = np.where(np.isnan(found), inside, found)
        return np.where(on_plane & ~np.isnan(inside), found, np.nan)

    def without(self, rows: np.ndarray) -> Family | None:
        """Returns the family without some of its rows; None where less than two are left."""
        kept = np.setdiff1d(np.arange(len(self.us)), rows)
        return Family(self.points[kept], self.us[kept]) if len(kept) > 1 else None

    @cached_property
    def _all(self) -> _Linear:
        return _Linear(self.points[:, self._columns].astype(float), self.us)

    def _spans(self, targets: Points) -> np.ndarray:
        """Says which targets (T,) lie in the plane that the points span."""
        offsets = (self.points - self.points[0]).astype(float)
        basis = offsets[:, self._columns]
        solved = np.linalg.lstsq(basis, offsets, rcond=None)[0] if basis.size else np.zeros((0, offsets.shape[1]))
        moved = (targets - self.points[0]).astype(float)
        return np.abs(moved - moved[:, self._columns] @ solved).max(axis=1, initial=0.0) < 1e-6

    def _classes(self, block: int) -> list[tuple[np.ndarray, _Linear]]:
        if block not in self._cache:
            flags, ends = _blocks(self.points[:, self._columns], block)
            parts = []
            for kind in np.unique(flags, axis=0):
                mine = (flags == kind).all(axis=1)
                places, which = np.unique(ends[mine], axis=0, return_inverse=True)
                sums = np.bincount(which.ravel(), self.us[mine]) / np.bincount(which.ravel())
                if len(places) > 1:
                    parts.append((kind, _Linear(places, sums)))
            self._cache[block] = parts
        return self._cache[block]


class _Linear:
    """Piecewise linear interpolation of values (N,) at points (N, D); NaN outside of their hull."""

    def __init__(self, points: np.ndarray, values: np.ndarray) -> None:
        self._points, self._values = points, values

    def at(self, targets: np.ndarray) -> np.ndarray:
        """Returns values (T,) at targets (T, D)."""
        if self._points.shape[1] == 0:  # they do not differ
            return np.full(len(targets), float(self._values.mean()))
        if self._points.shape[1] == 1:
            order = np.argsort(self._points[:, 0])
            x, y = self._points[order, 0], self._values[order]
            return np.interp(targets[:, 0], x, y, left=np.nan, right=np.nan)
        return self._surface(targets) if self._surface is not None else np.full(len(targets), np.nan)

    @cached_property
    def _surface(self):  # type: ignore[no-untyped-def]  # SciPy has no types
        from scipy.interpolate import LinearNDInterpolator
        from scipy.spatial import QhullError

        try:
            return LinearNDInterpolator(self._points, self._values, rescale=True)
        except QhullError:  # these few lie on a line
            return None


class Kind:
    """All measured operators of one kind.

    Args:
        entries: their latencies in microseconds.

    Attributes:
        families: those that differ in channels only.
        block: channels that the runtime computes at once, as far as it shows.
        error: relative error that nine of ten interpolations stay below.
    """

    def __init__(self, entries: Mapping[Signature, float]) -> None:
        grouped: dict[tuple[object, int], list[Signature]] = {}
        for signature in entries:
            grouped.setdefault((signature.family, len(signature.channels)), []).append(signature)
        self._us = entries
        self.families = {
            key: Family(np.array([s.channels for s in members]), np.array([entries[s] for s in members]))
            for key, members in grouped.items()
        }
        errors = {block: self._errors(block) for block in BLOCKS}
        # the smallest of those that are about equally good
        best = min(float(np.sqrt(np.mean(e**2))) if len(e) else 0.0 for e in errors.values())
        self.block = next(b for b, e in errors.items() if not len(e) or np.sqrt(np.mean(e**2)) <= 1.05 * best)
        self.error = _quantile(errors[self.block])

    def estimate(self, signatures: Sequence[Signature]) -> list[Estimate | None]:
        """Returns what is known of operators that were not measured; None where nothing is."""
        found = self.interpolate(signatures)
        answers = [_around(us, self.error, "interpolated") for us in found]
        rest = np.flatnonzero(np.isnan(found)).tolist()
        for row, us in zip(rest, self.regress([signatures[row] for row in rest]) if rest else (), strict=True):
            answers[row] = _around(us, self.regression_error, "regressed") if not np.isnan(us) else None
        return answers

    def interpolate(self, signatures: Sequence[Signature]) -> np.ndarray:
        """Returns latencies (N,) in microseconds; NaN outside of what was measured."""
        found = np.full(len(signatures), np.nan)
        rows: dict[tuple[object, int], list[int]] = {}
        for row, signature in enumerate(signatures):
            rows.setdefault((signature.family, len(signature.channels)), []).append(row)
        for key, mine in rows.items():
            family = self.families.get(key)
            if family is not None and len(family.us) > 1:
                found[mine] = family.at(np.array([signatures[row].channels for row in mine]), self.block)
        return found

    def regress(self, signatures: Sequence[Signature]) -> np.ndarray:
        """Returns latencies (N,) in microseconds; NaN beyond what was measured, or where that is little."""
        if self._regression is None:
            return np.full(len(signatures), np.nan)
        model, low, high = self._regression
        found = np.full(len(signatures), np.nan)
        alike = [row for row, signature in enumerate(signatures) if _form(signature) in self._forms]
        if alike:
            rows = np.array([_features(signatures[row]) for row in alike])
            inside = ((rows >= low - 1e-9) & (rows <= high + 1e-9)).all(axis=1)
            found[alike] = np.where(inside, np.exp(model.predict(rows)), np.nan)
        return found

    @cached_property
    def regression_error(self) -> float:
        """Relative error that nine of ten regressions of a left-out family stay below."""
        from sklearn.base import clone
        from sklearn.model_selection import GroupKFold, cross_val_predict

        if self._regression is None:
            return _UNKNOWN
        x, y, groups = self._table
        splits = GroupKFold(min(_FOLDS, len(self.families)))
        predicted = cross_val_predict(clone(self._regression[0]), x, y, groups=groups, cv=splits)
        return max(_quantile(np.expm1(predicted - y)), self.error)

    @cached_property
    def _forms(self) -> set[tuple[object, ...]]:
        return {_form(signature) for signature in self._us}

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        signatures = list(self._us)
        names = {key: number for number, key in enumerate(self.families)}
        groups = np.array([names[s.family, len(s.channels)] for s in signatures])
        x = np.array([_features(signature) for signature in signatures])
        return x, np.log(np.maximum([self._us[s] for s in signatures], 1e-3)), groups

    @cached_property
    def _regression(self):  # type: ignore[no-untyped-def]  # scikit-learn has no types
        from sklearn.ensemble import RandomForestRegressor

        if len(self.families) < _FAMILIES or len(self._forms) > 1:
            return None
        x, y, _ = self._table
        return RandomForestRegressor(random_state=0).fit(x, y), x.min(axis=0), x.max(axis=0)

    def _errors(self, block: int) -> np.ndarray:
        """Returns relative errors of measured operators, predicted from the others of their families."""
        errors = [np.zeros(0)]
        for family in self.families.values():
            fold = np.random.default_rng(0).permutation(len(family.us)) % _FOLDS
            for number in range(_FOLDS):
                left_out = np.flatnonzero(fold == number)
                rest = family.without(left_out)
                if len(left_out) and rest is not None:
                    found = rest.at(family.points[left_out], block)
                    errors.append(found / np.maximum(family.us[left_out], 1e-3) - 1)
        joined = np.concatenate(errors)
        return joined[~np.isnan(joined)]


def _around(us: float, error: float, how: How) -> Estimate | None:
    if np.isnan(us):
        return None
    # what was predicted too high by a share was measured so much below: us / (1 + error) to us / (1 - error)
    low, high = us / (1 + error), us / (1 - min(error, _MOST))
    return Estimate(round(float(us), 3), round(float(low), 3), round(float(high), 3), how)


def _quantile(errors: np.ndarray) -> float:
    return float(np.quantile(np.abs(errors), _SHARE)) if len(errors) >= _FEW else _UNKNOWN


def _form(signature: Signature) -> tuple[object, ...]:
    """Returns what two signatures must have in common for their numbers to mean the same."""
    return (len(signature.channels), *(name for name, _ in signature.rest))


def _features(signature: Signature) -> np.ndarray:
    """Returns logarithms of channels, of products of all else, and of all together (F,)."""
    sizes = [np.prod(values, dtype=float) for _, values in signature.rest]
    logs = np.log1p(np.array([*signature.channels, *sizes], dtype=float))
    return np.append(logs, logs.sum())


def _blocks(points: Points, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns which widths (N, D) fill their blocks, and where the blocks end."""
    return points % block == 0, np.ceil(points / block) * block


def _independent(offsets: np.ndarray) -> np.ndarray:
    """Returns the columns that the others follow from."""
    from scipy.linalg import qr

    rank = int(np.linalg.matrix_rank(offsets))
    return np.sort(qr(offsets, mode="r", pivoting=True)[1][:rank]) if rank else np.zeros(0, dtype=int)
