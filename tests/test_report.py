"""The report says everything that a result holds, as one page that loads nothing, and as a table in a terminal."""

import re

import pytest
from rich.console import Console

from automc.campaigns.reports.page import render_html, unit_lines
from automc.campaigns.reports.plots import agent_colours, front, front_key, pareto, progress, summary
from automc.campaigns.reports.table import comparison, render_table
from automc.campaigns.result import SearchResult
from automc.costs.units import format_cost
from automc.search_spaces import Choice, Policy
from tests.results import (
    VERDICT,
    Choices,
    make_costs,
    make_result,
    with_int8,
    with_tuning_and_controls,
    without_latency,
)


def body(page: str) -> str:
    """The page without its scripts and style sheet."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)


def text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", body(page)).split()).replace("&#39;", "'")


def terminal(result: SearchResult, width: int) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(render_table(result))
    return captured.get()


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return make_result()


@pytest.fixture(scope="module")
def page(result: SearchResult) -> str:
    return render_html(result)


def test_page_loads_nothing(page: str) -> None:
    assert page.count("plotly.js v") == 1  # carried once, inside
    outside_scripts = re.sub(r"(<script\b[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL)
    assert "<script" in outside_scripts
    assert not re.findall(r"""\b(?:src|srcset|href|data|action)\s*=""", re.sub(r"\bdata:", "", outside_scripts))
    assert not re.findall(r"@import|url\(|//\w", outside_scripts)
    assert "default-src 'none'" in page
    plots = outside_scripts.count('class="plotly-graph-div')
    assert page.count('"showSendToCloud": false') == plots == 3  # no plot offers to upload its data


def test_page_states_verdict_and_what_was_searched(page: str, result: SearchResult) -> None:
    said = text(page)
    assert result.verdict in said
    for words in ("cifar10: latency ≤ 60%", "AMD EPYC 7B13", "onnxruntime 1.23.2", "batch 1", "2026-03-02 09:41 UTC"):
        assert words in said
    for words in (*result.claims, "412 operators", "Seed 7", "12 min 34 s", "torch 2.8.0", "reused"):
        assert words in said


def test_page_has_every_figure_of_every_row(page: str, result: SearchResult) -> None:
    table = re.search(r'<table class="compare">.*?</table>', page, re.DOTALL)
    assert table
    lines = [text(line) for line in re.findall(r"<tr.*?</tr>", table[0], re.DOTALL)[1:]]
    assert [line.split()[0] for line in lines] == ["original", "uniform", "random", "best"]
    for line, row in zip(lines, result.rows, strict=True):
        time, cost = row.measured, row.predicted
        assert cost.latency
        for figure in (
            f"{100 * row.test_score:.2f}%",
            f"{100 * row.search_score:.2f}%",
            f"{time.us / 1000:.2f}",
            f"{cost.latency / 1000:.2f}",
            f"error {100 * (cost.latency / time.us - 1):+.1f}%".replace("-", "−"),
            f"{cost.macs / 1e6:.1f}",
            f"{cost.params / 1e3:.0f}",
            "yes" if row.keeps_budget else "no",
        ):
            assert figure in line, (row.name, figure)
    best = result.row("best").measured
    assert f"{100 * best.ratio:.1f}% of orig. ({100 * best.ratio_low:.1f}–{100 * best.ratio_high:.1f}%)" in lines[-1]
    assert "−1.34 points" in lines[-1]
    assert "54.0% of orig." in lines[1]


def test_any_number_of_controls_is_shown_with_what_fine_tuning_brought(result: SearchResult) -> None:
    more = with_tuning_and_controls(result)
    page = render_html(more)
    table = re.search(r'<table class="compare">.*?</table>', page, re.DOTALL)
    assert table
    lines = [text(line) for line in re.findall(r"<tr.*?</tr>", table[0], re.DOTALL)[1:]]
    assert len(lines) == len(more.rows) == 7
    for line, row in zip(lines, more.rows, strict=True):
        assert line.startswith(row.name)
        assert f"{100 * row.test_score:.2f}%" in line
        assert f"{100 * row.search_score:.2f}%" in line
        assert ("over the budget" in line) == (row.name == "int8")
        after = row.tuned
        assert after is None or f"{100 * after.test_score:.2f}%" in line
        assert after is None or f"search {100 * after.search_score:.2f}%" in line
    assert "before fine-tuning 91.07%" in text(page)
    assert page.count('class="mark"') > 5 * 8  # one for each control in the key and in each layer's line
    labels = [key.label for key in front_key(more)]
    assert {"int8, measured, over the budget", "best, fine-tuned", "random, fine-tuned"} <= set(labels)
    assert len(set(agent_colours(more).values())) == 6
    open_markers = [trace for trace in front(more).data if str(trace.marker.symbol).endswith("-open")]
    assert [trace.y[0] for trace in open_markers] == pytest.approx([89.91, 92.51])


def test_names_cannot_become_markup() -> None:
    evil = "</script><script>alert(1)</script>"
    base = make_result(evaluations=2)
    units = [unit.model_copy(update={"name": evil}) if unit.name == "conv1" else unit for unit in base.units]
    done = [e.model_copy(update={"agent": evil, "policy": Policy({evil: Choice(8)})}) for e in base.evaluations]
    page = render_html(base.model_copy(update={
        "task": evil, "agent": evil, "verdict": evil, "units": units, "evaluations": done, "budgets": [evil],
        "claims": [evil], "versions": {evil: evil}, "created_at": evil,
    }))  # fmt: skip
    assert evil not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in body(page)


def test_verdict_is_neutral_where_the_search_brought_nothing(page: str, result: SearchResult) -> None:
    assert '<div class="verdict good"' in page
    same = result.row("uniform").model_copy(update={"name": "best"})
    neutral = render_html(result.model_copy(update={"rows": [*result.rows[:-1], same], "brought": False}))
    assert '<div class="verdict"' in neutral
    assert "same as uniform" in text(neutral)


def test_works_without_a_latency_table() -> None:
    missing = without_latency(make_result(evaluations=3))
    page = text(render_html(missing))
    assert "the device cannot profile operators" in page
    assert "no table" in page
    assert "predicted MACs" in str(front(missing).to_dict())
    assert [shape["x0"] for shape in front(missing).to_dict()["layout"]["shapes"]][-1] == pytest.approx(22.44)


def test_works_with_one_evaluation() -> None:
    base = make_result(evaluations=2)
    one = base.model_copy(update={"evaluations": base.evaluations[:1]})
    assert "each of the 1 evaluations" in text(render_html(one))


def test_shows_eighty_units() -> None:
    result = make_result(evaluations=1, blocks_per_stage=14)
    assert len(result.units) >= 80
    page = body(render_html(result))
    table = re.search(r'<table class="units">.*?</table>', page, re.DOTALL)
    assert table
    shown = re.findall(r'<th scope="row">(.*?)</th>', table[0])
    assert shown == [unit.name for unit in result.units]


def test_dropped_blocks_take_their_layers_along(page: str, result: SearchResult) -> None:
    lines = {line.unit.name: line for line in unit_lines(result)}
    assert lines["layer1.1"].best.state == "dropped"
    assert lines["layer1.1.conv1"].best.state == "gone"
    assert lines["layer1.1.conv1"].others["uniform"].channels == 8
    assert lines["linear"].best.channels == 10
    kept = (result.row("best").policy or {})["layer3.0.conv1"]["channels"]
    assert lines["layer3.0.conv1"].best.share == pytest.approx(100 * kept / 64)
    row = re.search(r"<tr[^>]*>\s*<th scope=\"row\">layer1\.1</th>.*?</tr>", page, re.DOTALL)
    assert row
    assert "hatched" in row[0]
    assert "dropped" in row[0]
    assert "not searched: its channels are the network&#39;s output" in page


def test_each_layers_precision_is_shown_where_it_was_searched(page: str, result: SearchResult) -> None:
    assert "runs in" not in text(page)
    mixed = with_int8(result)
    lines = {line.unit.name: line for line in unit_lines(mixed)}
    best = mixed.row("best")
    assert best.int8
    assert best.policy
    shown = {name for name, line in lines.items() if line.best.precision == "int8"}
    assert shown == {name for name in best.int8.run if lines[name].best.state == "kept"}
    assert {line.best.precision for line in lines.values() if line.unit.kind == "block"} == {""}
    assert lines["layer1.0.conv2"].best.channels == best.policy["conv1"]["channels"]
    assert lines["layer1.0.conv1"].others["uniform"].precision == "float"
    searched = render_html(mixed)
    table = re.search(r'<table class="units">.*?</table>', searched, re.DOTALL)
    assert table
    said = {line.split()[0]: line for line in map(text, re.findall(r"<tr.*?</tr>", table[0], re.DOTALL))}
    for name, line in lines.items():
        assert (" int8 " in said[name]) == (line.best.precision == "int8"), name
    assert "channels not searched: its channels" in said["linear"]
    assert f"best: {lines['conv1'].best.channels} of 16 channels, float" in searched  # to those who point at it
    count = f"{len(best.int8.run)} of {best.int8.layers}"
    assert count in text(searched)
    assert count in terminal(mixed, 160)
    assert "int8 layers" not in terminal(result, 160)


def test_layers_that_do_not_run_as_the_file_asks_are_told(result: SearchResult) -> None:
    mixed = with_int8(result)
    best = mixed.row("best")
    assert best.int8
    less = best.int8.model_copy(update={"run": best.int8.run[1:]})
    changed = mixed.model_copy(update={"rows": [*mixed.rows[:-1], best.model_copy(update={"int8": less})]})
    assert f"asked for {len(best.int8.asked)}" in terminal(changed, 160)
    assert {line.unit.name: line.best.precision for line in unit_lines(changed)}[best.int8.run[0]] == "float"


@pytest.mark.parametrize("higher", [True, False])
def test_front_is_what_no_other_evaluation_beats(result: SearchResult, higher: bool) -> None:
    sign = 1 if higher else -1
    first = result.evaluations[1]  # and two more at its cost, one better, one worse
    done = [first.model_copy(update={"score": first.value + change}) for change in (-0.01, 0.01)]
    changes = {"higher_is_better": higher, "evaluations": [*result.evaluations, *done]}
    changed = result.model_copy(update=changes)
    points = {(item.predicted.latency or 0.0, sign * item.value) for item in changed.evaluations}
    expected = sorted(p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points))
    assert [(item.predicted.latency, sign * item.value) for item in pareto(changed, "latency")] == expected
    cheapest = min(changed.evaluations, key=lambda item: item.predicted.latency or 0.0)
    again = cheapest.model_copy(update={"score": cheapest.value - 0.1 * sign})
    assert again not in pareto(changed.model_copy(update={"evaluations": [again, *changed.evaluations]}), "latency")


def test_progress_never_falls(result: SearchResult) -> None:
    extra = result.evaluations[-1].model_copy(update={"score": 0.999, "extra": True})
    more = result.model_copy(update={"evaluations": [*result.evaluations, extra]})
    lines = {trace.name: trace.y for trace in progress(more).data if trace.mode == "lines"}
    assert set(lines) == {"uniform", "random", "tpe"}
    for agent, scores in lines.items():
        assert list(scores) == sorted(scores)
        assert scores[-1] == pytest.approx(100 * max(e.value for e in result.evaluations if e.agent == agent))


def test_progress_counts_what_is_over_the_budget_for_controls_only(result: SearchResult) -> None:
    over = {"score": 0.999, "number": 30, "predicted": make_costs(0.9)}
    added = [done.model_copy(update=over) for done in (result.evaluations[-1], result.evaluations[1])]
    assert [done.agent for done in added] == ["tpe", "random"]
    more = result.model_copy(update={"evaluations": [*result.evaluations, *added]})
    lines = {trace.name: trace.y for trace in progress(more).data if trace.mode == "lines"}
    assert max(lines["tpe"]) < max(lines["random"]) == pytest.approx(99.9)


def test_hover_says_what_a_policy_does(result: SearchResult) -> None:
    policy: Choices = {
        "layer1.1": {"keep": False},
        "layer1.1.conv1": {"channels": 8},
        "layer3.0.conv1": {"channels": 16},
    }
    said = summary(result.units, policy)
    assert said == ["drops layer1.1", "keeps 25% of a layer's channels on average", "layer3.0.conv1 16 of 64"]
    bits = {"weight_bits": 8, "activation_bits": 8}
    layers = sum(unit.int8 and unit.block != "layer1.1" for unit in with_int8(result).units)
    mixed = {**policy, "conv1": {"channels": 16, **bits}, "layer1.1.conv1": {"channels": 8, **bits}}
    assert summary(with_int8(result).units, mixed)[-1] == f"1 of {layers} layers in int8"
    assert summary(result.units, {"conv1": {"channels": 16}})[-1] == "keeps 100% of a layer's channels on average"


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("more", [False, True])
def test_terminal_table_loses_nothing(result: SearchResult, width: int, more: bool) -> None:
    result = with_tuning_and_controls(result) if more else result
    printed = terminal(result, width)
    assert max(map(len, printed.splitlines())) <= width
    assert " ".join(VERDICT.split()) in " ".join(printed.split())
    assert "…" not in printed
    for row in result.rows:
        assert all(part in printed for part in re.findall(r"\w+\+?", row.name))
    for column in comparison(result):
        for cell in column.cells:
            assert cell.value in printed


def test_terminal_table_takes_brackets_for_text(result: SearchResult) -> None:
    printed = terminal(result.model_copy(update={"verdict": "kept [bold]all[/bold] of it"}), 80)
    assert "kept [bold]all[/bold] of it" in printed


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("latency", 612.3, "612 µs"),
        ("latency", 999.7, "1.00 ms"),
        ("latency", 1834.0, "1.83 ms"),
        ("size", 1_095_336, "1.10 MB"),
        ("macs", 40.8e6, "40.8 M"),
        ("params", 272_474, "272 k"),
    ],
)
def test_costs_have_three_digits_and_a_unit(kind: str, value: float, expected: str) -> None:
    assert format_cost(kind, value) == expected
