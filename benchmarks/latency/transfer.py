"""What fitting a table on one network does to its predictions of others.

One table has the operators of all three networks of `accuracy.py`. It is fitted on 24 policies of each network, of any
two and of all, and predicts 30 other policies of each. With ``--cache DIR`` exported files are kept.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np
import torch
from accuracy import FITTED_ON, MINUTES, NETWORKS

from automc.campaigns import read_subject
from automc.campaigns.networks import fingerprint, measure_networks
from automc.costs import CostModel
from automc.devices import LocalBench
from automc.latency_tables import LatencyTable, Signature, Whole, extend_table, new_table
from automc.search_spaces import build_space, load_preset, spread

HELD_OUT, SEED = 30, 0


class Network:
    """One network: policies to fit on and others to predict, all measured whole."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.subject = name, read_subject(NETWORKS[name], LocalBench())
        device = self.subject.device
        self.space = build_space(self.subject.graph, load_preset("all"), device.channel_multiple, device.precisions)
        drawn = [
            spread(self.space, np.random.default_rng(seed), n) for seed, n in (([0, 1], FITTED_ON), (SEED, HELD_OUT))
        ]
        self.indices = np.concatenate([self.space.full[None], *drawn])
        measured = measure_networks(self.subject, self.space, self.indices, name, folder)
        self.us = np.array([one.timing.us for one in measured])
        assert len(self.us) == len(self.indices), "a network could not be exported"

    def signatures(self, most: int) -> list[Signature]:
        return CostModel(self.subject.graph, self.space).all_signatures(most)

    def wholes(self, table: LatencyTable) -> list[Whole]:
        costs = CostModel(self.subject.graph, self.space, table)
        return [
            table.whole(self.name, fingerprint(self.space.decode(index)), costs.signatures(index), float(us))
            for index, us in zip(self.indices[: 1 + FITTED_ON], self.us, strict=False)
        ]

    def error(self, table: LatencyTable) -> float:
        indices, us = self.indices[1 + FITTED_ON :], self.us[1 + FITTED_ON :]
        predicted = CostModel(self.subject.graph, self.space, table).prices(indices, ["latency"])["latency"]
        return float(np.sqrt(np.mean((predicted / us - 1) ** 2)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder of exported files")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = LocalBench()
    with tempfile.TemporaryDirectory() as temporary:
        networks = [Network(name, given.cache or Path(temporary)) for name in NETWORKS]
    few, many = ([s for network in networks for s in network.signatures(most)] for most in (4, 32))
    table = extend_table(bench, new_table(bench), few, many, 60 * MINUTES)
    wholes = {network.name: network.wholes(table) for network in networks}
    print(f"| fitted on | {' | '.join(NETWORKS)} |\n|---|{'---|' * len(networks)}")
    for count in range(len(networks) + 1):
        for names in itertools.combinations(wholes, count):
            fitted = table.fitted([whole for name in names for whole in wholes[name]])
            errors = " | ".join(f"{100 * network.error(fitted):.1f}%" for network in networks)
            print(f"| {' and '.join(names) or 'none'} | {errors} |")
