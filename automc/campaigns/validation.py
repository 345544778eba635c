"""How far a latency table is off for whole networks: random policies predicted, exported and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from automc.campaigns.networks import LEAST, fingerprint, measure_networks
from automc.campaigns.setup import Subject
from automc.costs import CostModel
from automc.devices import Timing
from automc.errors import ConfigError
from automc.latency_tables import LatencyTable, Validation, load_table, save_table
from automc.search_spaces import Choice, Policy, SearchSpace, spread


@dataclass(frozen=True)
class Point:
    """One network: predicted and measured.

    Attributes:
        policy: what was chosen; the first point's leaves the network as it is.
        predicted: microseconds, by the table.
        measured: its latency.
        fewer_bits: share of the layers with a choice of bits that do not run in float.
    """

    policy: Policy
    predicted: float
    measured: Timing
    fewer_bits: float

    @property
    def error(self) -> float:
        """Predicted over measured, minus one."""
        return self.predicted / self.measured.us - 1


def validate(
    subject: Subject,
    space: SearchSpace,
    table: LatencyTable,
    policies: int = 40,
    seed: int = 0,
    name: str = "",
    folder: Path | None = None,
    runs: int = 20,
    passes: int = 15,
) -> tuple[Validation, list[Point]]:
    """Compares a table's predictions with measurements of random policies that nothing was fitted on.

    The policies range from the cheapest to the original's neighbours (`spread`); of each another share of the layers
    has fewer bits. Every network is exported as a search would, and all of them and the original take turns in one
    process. One that cannot be exported is passed by.

    Args:
        subject: the network, and the device that it is measured on.
        space: what is chosen at random.
        table: predicts; it must have all operators of the space.
        policies: how many.
        seed: draws them.
        name: what the network is called.
        folder: where exported files are looked for and kept, named after network and policy; None for nowhere.
        runs: timed inferences of each network in a pass.
        passes: how often each network has its turn.

    Returns:
        The figures, and the original's point followed by one for each policy.

    Raises:
        ConfigError: the space has too few policies.
        TableError: the table lacks an operator.
        RuntimeFailure: too few policies could be exported, or a network could not be measured.
        TaskError: the task's data cannot be loaded.
    """
    fitted = {whole.policy for whole in table.wholes}
    drawn = spread(space, np.random.default_rng(seed), policies + len(fitted))
    indices = [index for index in drawn if fingerprint(space.decode(index)) not in fitted][:policies]
    if len(indices) < LEAST:
        raise ConfigError(
            f"{name or 'the network'}: its search space has {len(indices)} policies that nothing was fitted on, "
            f"{LEAST} are needed"
        )
    every = np.stack([space.full, *indices])
    predicted = CostModel(subject.graph, space, table).prices(every)["latency"]
    measured = measure_networks(subject, space, every, name, folder, runs, passes)
    points = [
        Point(one.policy, float(predicted[one.row]), one.timing, _fewer_bits(space, every[one.row])) for one in measured
    ]
    found = _figures(points[1:])
    validation = Validation(
        subject=name,
        space=", ".join(_chosen(space)),
        policies=len(points) - 1,
        seed=seed,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        passed_by=len(every) - len(measured),
        **found,
    )
    return validation, points


def keep(validation: Validation, path: Path) -> None:
    """Adds a validation to a table's file, which may have grown since it was read."""
    table = load_table(path)
    save_table(replace(table, validations=(*table.validations, validation)), path)


def repeatability(medians: np.ndarray) -> float:
    """Returns the RMS of the relative difference between a measurement and the same measurement done again.

    The passes are cut into an earlier and a later half; d is the relative difference of a network's median in one to
    that in the other. A drift of the machine's speed between them counts, as it would if all were done again. Medians
    of twice as many passes have half the variance: two measurements of all passes differ by d / sqrt(2), of which this
    is the root mean square over networks.

    Args:
        medians: of each network and pass (networks, passes).
    """
    if medians.shape[1] < 2:
        return 0.0
    early, late = (np.median(half, axis=1) for half in np.array_split(medians, 2, axis=1))
    return float(np.sqrt(np.mean((early / late - 1) ** 2) / 2))


def _figures(points: Sequence[Point]) -> dict[str, float]:
    from scipy import stats

    predicted = np.array([point.predicted for point in points])
    measured = np.array([point.measured.us for point in points])
    errors = np.array([point.error for point in points])
    constant = np.ptp(predicted) == 0 or np.ptp(measured) == 0  # ranks then agree with nothing
    found = {
        "rmspe": np.sqrt(np.mean(errors**2)),
        "median": np.median(np.abs(errors)),
        "within5": np.mean(np.abs(errors) <= 0.05),
        "within10": np.mean(np.abs(errors) <= 0.10),
        "spearman": 0.0 if constant else stats.spearmanr(predicted, measured).statistic,
        "bias": np.mean(errors),
        "repeatability": repeatability(np.array([point.measured.medians for point in points])),
    }
    return {key: round(float(value), 5) for key, value in found.items()}


def _fewer_bits(space: SearchSpace, index: np.ndarray) -> float:
    owners = np.array(space.owners)
    there = space.is_bits & ((owners < 0) | (index[owners] > 0))
    return float(np.mean(index[there] < space.full[there])) if there.any() else 0.0


def _chosen(space: SearchSpace) -> list[str]:
    """Returns what a space lets choose: width, depth and precisions."""
    words = [word for word, there in (("width", space.is_width), ("depth", space.is_depth)) if there.any()]
    bits = {option for axis in space.axes if axis.field == "bits" for option in axis.options[:-1]}
    return words + [str(Choice(weight_bits=w, activation_bits=a).precision) for w, a in sorted(bits)]
