"""Tables and plots of what `run.py` and `finals.py` have recorded.

``python benchmarks/agents/show.py --out DIR [PROBLEM ...]`` prints a table for each problem as Markdown and writes
``DIR/show.html``: the best score so far against evaluations and against seconds, the mean over seeds and what lies
between the worst and the best of them. A curve begins after what was paid before the first proposal, as sensitivities
are; only policies that keep the budgets count. The page needs no network; a browser can save each plot as PNG.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from plots import page
from problems import PROBLEMS, find_case
from recording import FINALS, LATENCIES, ORIGINAL, Seeds, best, by_agent, recorded, scored
from records import Row, read_rows

from automc import files, progress
from automc.errors import AutoMCError, ConfigError

NONE = "–"


def spread(values: Sequence[float]) -> str:
    """Returns shares as text, in %: mean and, of several, standard deviation and range."""
    found = 100 * np.array(values)
    if len(found) < 2 or np.ptp(found) < 0.005:
        return f"{found[0]:.2f}" if len(found) else NONE
    return f"{found.mean():.2f} ± {found.std(ddof=1):.2f} ({found.min():.2f} to {found.max():.2f})"


def bar(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


class Table:
    """A problem's results as Markdown."""

    def __init__(self, name: str, folder: Path) -> None:
        self.case, self.runs = find_case(name), by_agent(recorded(folder))
        self.finals = {row["run"]: row for row in read_rows(folder / FINALS)}
        self.latencies = {row["run"]: row for row in read_rows(folder / LATENCIES)}
        self.tests = ["test", *sorted({key for row in self.finals.values() for key in row if key.startswith("test ")})]
        self.tests += sorted({key for row in self.finals.values() for key in row if key.startswith("test,")})
        about = json.loads((folder / "problem.json").read_text())
        self.metric = next(iter(about["limits"]))
        self.full = about["original"][self.metric]
        self.limit = about["limits"][self.metric] / self.full

    def lines(self) -> list[str]:
        measured = ["measured latency, %"] if self.case.measured else []
        heads = ["agent", "seeds", "evaluations", "seconds", "before the first"]
        heads += ["search", f"{self.metric}, %", *measured, *self.tests]
        lines = [f"**{self.case.heading}** (a limit of {100 * self.limit:.2f}%)", "", bar(heads)]
        lines.append("|" + "---|" * len(heads))
        if (row := self.finals.get(ORIGINAL)) is not None:
            costs = ["100", *(["100"] if measured else [])]
            tests = [spread([row[test]] if test in row else []) for test in self.tests]
            lines.append(bar(["original", "", "", "", "", spread([row["search, final"]]), *costs, *tests]))
        return lines + [bar(self._cells(agent, seeds)) for agent, seeds in self.runs.items()]

    def _cells(self, agent: str, seeds: Seeds) -> list[str]:
        rows = [row for row in map(best, seeds) if row is not None]
        names = [f"{agent}-seed{row['seed']}" for row in rows]
        paid = np.mean([(one[0]["sensitivities_s"], one[0]["sensitivities_evaluations"]) for one in seeds], axis=0)
        over = "" if all(row["keeps"] for row in rows) else ", over the budget"
        cells = [
            agent,
            str(len(seeds)),
            f"{np.mean([len(scored(one)) for one in seeds]):.0f}",
            f"{np.mean([one[-1]['total_s'] for one in seeds]):.0f}",
            f"{paid[0]:.0f} s, {paid[1]:.1f} evaluations" if paid[0] else "",
            spread([row["score"] for row in rows]),
            spread([row["predicted"][self.metric] / self.full for row in rows]) + over,
        ]
        if self.case.measured:
            timed = [self.latencies[name] for name in names if name in self.latencies]
            kept = sum(row["keeps"] for row in timed)
            cells.append(
                f"{spread([row['share'] for row in timed])}; {kept} of {len(timed)} keep it" if timed else NONE
            )
        final: list[Row] = [self.finals[name] for name in names if name in self.finals]
        return [*cells, *(spread([row[test] for row in final if test in row]) for test in self.tests)]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", help="by default all that have runs")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    try:
        names = arguments.problems or [name for name in PROBLEMS if recorded(arguments.out / name)]
        empty = [name for name in names if not recorded(arguments.out / name)]
        if empty or not names:
            raise ConfigError(f"{arguments.out}: no runs{f' of {empty[0]}' if empty else ''}; start some with run.py")
        for name in names:
            print("\n".join([*Table(name, arguments.out / name).lines(), ""]))
        files.write_text(arguments.out / "show.html", page(arguments.out, names))
    except AutoMCError as error:
        progress.say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
