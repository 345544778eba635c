"""Error of predicted latency against what was measured for it: operators, and networks that it was fitted on.

MobileNetV2 0.5 at 96x96, whose widths have the most options of the three networks of `accuracy.py`; 100 held-out
policies. A table grows from four options of each width towards where its predictions are least sure; after
every piece it predicts the held-out policies, as it is and fitted on 24 networks. Then the finished table is fitted on
fewer and on more. With ``--cache DIR``, the folder given to `accuracy.py`, what is there is not exported again.
``--plot FILE`` writes a page.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from accuracy import FITTED_ON, MINUTES, NETWORKS

from automc.campaigns import read_subject
from automc.campaigns.networks import fingerprint, measure_networks
from automc.costs import CostModel
from automc.devices import LocalBench
from automc.latency_tables import LatencyTable, extend_table, new_table
from automc.search_spaces import build_space, load_preset, spread

NAME, HELD_OUT, SEED = "MobileNetV2 0.5, 96x96", 100, 0
COUNTS = (0, 4, 8, 16, 24, 48)


def run(folder: Path) -> dict[str, list[tuple[float, ...]]]:
    subject = read_subject(NETWORKS[NAME], LocalBench())
    space = build_space(subject.graph, load_preset("all"), subject.device.channel_multiple, subject.device.precisions)
    held_out = spread(space, np.random.default_rng(SEED), HELD_OUT)
    # the first 24 are those that `calibrate` would take
    fitted_on = np.concatenate([spread(space, np.random.default_rng([SEED, 1]), n) for n in (FITTED_ON, max(COUNTS))])
    indices = np.concatenate([space.full[None], held_out, fitted_on])
    us = np.array([one.timing.us for one in measure_networks(subject, space, indices, NAME, folder)])
    assert len(us) == len(indices), "a network could not be exported"
    start, pieces, seconds = 1 + HELD_OUT, [], 0.0

    def fitted(table: LatencyTable, count: int) -> LatencyTable:
        costs = CostModel(subject.graph, space, table)
        rows = [0, *range(start, start + count)] if count else []
        signatures = {row: costs.signatures(indices[row]) for row in rows}
        return table.fitted(
            [
                table.whole(NAME, fingerprint(space.decode(indices[row])), signatures[row], float(us[row]))
                for row in rows
            ]
        )

    def error(table: LatencyTable) -> float:
        predicted = CostModel(subject.graph, space, table).prices(held_out, ["latency"])["latency"]
        return round(float(np.sqrt(np.mean((predicted / us[1:start] - 1) ** 2))), 4)

    def keep(table: LatencyTable) -> None:
        nonlocal seconds, began
        seconds += time.monotonic() - began
        if all(map(table.covers, few)):
            pieces.append((len(table.entries), round(seconds, 1), error(table), error(fitted(table, FITTED_ON))))
        began = time.monotonic()

    costs, began = CostModel(subject.graph, space), time.monotonic()
    few = costs.all_signatures(4)
    table = extend_table(subject.bench, new_table(subject.bench), few, costs.all_signatures(32), 60 * MINUTES, keep)
    return {"pieces": pieces, "networks": [(count, error(fitted(table, count))) for count in COUNTS]}


def plot(found: dict[str, list[tuple[float, ...]]], path: Path) -> None:
    from plotly import graph_objects as go

    operators, _, raw, corrected = zip(*found["pieces"], strict=True)
    figure = go.Figure()
    for name, errors in (("as it is", raw), (f"fitted on {FITTED_ON} networks", corrected)):
        figure.add_scatter(x=operators, y=[100 * error for error in errors], name=name, mode="lines+markers")
    figure.update_layout(
        title=f"{NAME}: RMSPE of {HELD_OUT} held-out policies",
        xaxis_title="operators measured",
        template="plotly_white",
    )
    figure.update_yaxes(title="RMSPE, %", rangemode="tozero")
    figure.write_html(path, include_plotlyjs=True, config={"displayModeBar": False})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder of exported files")
    parser.add_argument("--plot", type=Path, help="write a page here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        found = run(given.cache or Path(temporary))
    print("| operators | seconds | RMSPE as it is | fitted on 24 networks |\n|---|---|---|---|")
    for operators, seconds, raw, corrected in found["pieces"]:
        print(f"| {operators} | {seconds:.0f} | {100 * raw:.1f}% | {100 * corrected:.1f}% |")
    print("\n| networks fitted on, beside the original | RMSPE |\n|---|---|")
    for count, error in found["networks"]:
        print(f"| {count} | {100 * error:.1f}% |")
    if given.plot:
        plot(found, given.plot)
