"""The networks of the papers on CIFAR-10, for benchmarks; whoever has no files of it skips them."""

import os
from pathlib import Path

from automc.tasks.cifar10 import Cifar10

DATA, WEIGHTS = "AUTOMC_CIFAR10", "AUTOMC_WEIGHTS"


def cifar_arguments(network: str) -> dict[str, str]:
    """Returns the task's arguments for a network; where the user has named no files, says so and ends the script.

    The weights are the one file in the folder ``AUTOMC_WEIGHTS`` whose name begins with the network's.
    """
    data, folder = os.environ.get(DATA), os.environ.get(WEIGHTS)
    if not data or not folder:
        print(f"skipped: set {DATA} to the folder of CIFAR-10's binary version, {WEIGHTS} to a folder of weights")
        raise SystemExit(0)
    found = sorted(Path(folder).glob(f"{network.replace('-', '?')}*"))
    if len(found) != 1:
        raise SystemExit(f"{folder}: {len(found)} files whose names begin with {network}, expected one ({WEIGHTS})")
    return {"data": data, "network": network, "weights": str(found[0])}


def cifar_task(network: str) -> Cifar10:
    """Returns the task with that network, or ends the script as `cifar_arguments` does."""
    return Cifar10(**cifar_arguments(network))
