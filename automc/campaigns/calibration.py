"""Fitting what a latency table adds up to on whole networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from automc.campaigns.networks import fingerprint, measure_networks
from automc.campaigns.setup import Subject
from automc.costs import CostModel
from automc.latency_tables import LatencyTable
from automc.search_spaces import SearchSpace, spread

_DRAWS = 1  # keeps these policies apart from those of a validation with the same seed


def calibrate(
    subject: Subject,
    space: SearchSpace,
    table: LatencyTable,
    networks: int = 24,
    seed: int = 0,
    name: str = "",
    folder: Path | None = None,
    runs: int = 20,
    passes: int = 15,
) -> LatencyTable:
    """Returns a table whose overhead was fitted on random policies of a network, measured whole, and on the original.

    A network takes more or less than its operators do one by one: caches hold other things, and the runtime's profile
    adds to every operator what depends on its kind. How much is fitted for each kind (`Overhead.fitted`).

    Args:
        subject: the network, and the device that it is measured on.
        space: what is chosen at random.
        table: what is known; it must have all operators of the space.
        networks: how many policies.
        seed: draws them.
        name: what the network is called; earlier fits on networks of that name are forgotten.
        folder: see `measure_networks`.
        runs: see `measure_networks`.
        passes: see `measure_networks`.

    Raises:
        TableError: the table lacks an operator.
        RuntimeFailure: too few policies could be exported, or a network could not be measured.
        TaskError: the task's data cannot be loaded.
    """
    indices = np.stack([space.full, *spread(space, np.random.default_rng([seed, _DRAWS]), networks)])
    costs = CostModel(subject.graph, space, table)
    measured = measure_networks(subject, space, indices, name, folder, runs, passes)
    return table.fitted(
        [
            table.whole(name, fingerprint(one.policy), costs.signatures(indices[one.row]), one.timing.us)
            for one in measured
        ]
    )
