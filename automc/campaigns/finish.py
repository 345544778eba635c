"""Turning a finished search into its recipe, its exported files and its report."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from automc import files, progress
from automc.campaigns.finalists import Chosen, Finalist, Finals
from automc.campaigns.reports import chance_claim, claims, render_html, verdict
from automc.campaigns.result import Int8, Row, SearchResult, SensitivityInfo, Tuned
from automc.campaigns.search import Search
from automc.campaigns.tuning import fine_tune
from automc.campaigns.workers import Work
from automc.errors import users_code
from automc.recipes import Figures, Recipe, export_program, save_recipe, save_weights
from automc.recipes.deployed import deployed_score
from automc.recipes.onnx_file import int8_layers
from automc.tasks import absolute_paths, call
from automc.versions import versions


def finish(search: Search, work: Work, staging: Path, checkpoints: Path, start: float) -> SearchResult:
    """Chooses, fine-tunes and measures what a search found, and writes what it leaves.

    Args:
        search: the finished search.
        work: what workers need, where they fine-tune.
        staging: a folder for the files.
        checkpoints: a folder for the epochs of fine-tuning.
        start: when it all began, on the monotonic clock, in seconds.

    Raises:
        SearchError: no policy of the agent that was asked for can be built and exported.
        TaskError: the task cannot score its test split.
    """
    config, setup = search.config, search.setup
    finals = Finals(search, staging)
    chosen = fine_tune(search, finals, finals.choose(), staging, checkpoints, work)
    best = finals.best(chosen)
    rows = [_original(search, finals)]
    rows += [_row(name, chosen[name][0], search, finals) for name in search.controls if name in chosen]
    rows.append(_row("best", best, search, finals))
    said, brought = verdict(rows, config.agent, setup.subject.task, config.finetune.controls)
    early = [] if search.stopped is None else [f"The search ended early; {search.stopped}."]
    front = search.front(setup.projection.limits)
    for done in search.evaluations:
        if done.agent == config.agent:
            front.add(done)
    result = SearchResult(
        task=config.task,
        metric=setup.subject.task.metric,
        higher_is_better=setup.subject.task.higher_is_better,
        agent=config.agent,
        budgets=list(config.budget),
        limits=setup.projection.limits,
        device=setup.subject.device,
        table=setup.table_info,
        table_missing=setup.table_missing,
        rows=rows,
        evaluations=search.evaluations,
        front=[point.number for point in front.points],
        front_over=list(config.objectives),
        lessons=search.lessons,
        units=setup.subject.units(),
        sensitivities=_sensitivities(search),
        verdict=said,
        brought=brought,
        claims=[
            *claims(search, rows),
            *_by_chance(search, finals, chosen),
            *(f"In the finals {line}." for line in (*finals.passed_by.values(), *finals.untuned.values())),
            *early,
        ],
        seed=config.seed,
        seconds=round(time.monotonic() - start, 1),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )
    progress.say("Writing recipe, model and report")
    weights = save_weights(best.final.compressed.model, staging / "model.safetensors")
    shutil.copyfile(best.final.file, staging / "model.onnx")
    export_program(best.final.compressed.model, setup.subject.inputs, staging / "model.pt2")
    recipe = Recipe(
        task=config.task,
        task_args=absolute_paths(setup.subject.task, config.task_args, Path(work.folder)),  # a recipe may lie anywhere
        metric=result.metric,
        model_digest=setup.subject.digest,
        policy=best.done.policy.to_dict(),
        kept=dict(best.compressed.kept),
        weights=weights,
        device=result.device,
        budgets=result.budgets,
        figures=_figures(result.row("best")),
        original=_figures(result.row("original")),
        agent=best.done.agent,
        seed=config.seed,
        evaluations=len(search.evaluations),
        tuned_epochs=best.tuned.trained.epochs if best.tuned else search.evaluator.last.fidelity.epochs,
        forced_table=result.table.forced if result.table else None,
        created_at=result.created_at,
        versions=result.versions,
    )
    save_recipe(recipe, staging / "recipe.yaml")
    files.write_text(staging / "result.json", result.model_dump_json(indent=1))
    files.write_text(staging / "report.html", render_html(result))
    return result


def _sensitivities(search: Search) -> SensitivityInfo | None:
    if (stored := search.sensitivities) is None:
        return None
    return SensitivityInfo(path=str(stored.path), spent=stored.spent, found=stored.found)


def _by_chance(search: Search, finals: Finals, chosen: Chosen) -> list[str]:
    """Says, where rungs chose, whether the best is ahead of the next by more than chance."""
    if not search.config.rungs or (found := finals.ahead_of_next(chosen)) is None:
        return []
    first, second, share = found
    names = [f"number {one.done.number} of {one.done.agent}" for one in (first, second)]
    return [chance_claim(names[0], names[1], share)]


def _original(search: Search, finals: Finals) -> Row:
    setup = search.setup
    assert finals.original_timing is not None
    costs = setup.costs.cost(setup.space.decode(setup.space.full))
    return Row(
        name="original",
        agent=None,
        policy=None,
        predicted=costs,
        measured=finals.original_timing,
        model=finals.model,
        file_size=finals.original.stat().st_size,
        search_score=search.evaluator.last.score(setup.subject.model) if search.config.rungs else search.original_score,
        test_score=_test_score(search, finals.original),
        keeps_budget=finals.within_budget(finals.original_timing, costs),
        int8=_int8(finals.original),
    )


def _row(name: str, finalist: Finalist, search: Search, finals: Finals) -> Row:
    tuned = None
    if finalist.tuned is not None:
        tuned = Tuned(
            epochs=round(finalist.tuned.trained.epochs, 2),
            seconds=round(finalist.tuned.trained.seconds, 1),
            search_score=finalist.tuned.search_score,
            test_score=_test_score(search, finalist.tuned.file),
        )
    return Row(
        name=name,
        agent=finalist.done.agent,
        policy=finalist.done.policy.to_dict(),
        predicted=finalist.done.predicted,
        measured=finalist.timing,
        model=finals.model,
        file_size=finalist.final.file.stat().st_size,
        search_score=finalist.search_score,
        test_score=_test_score(search, finalist.file),
        keeps_budget=finals.keeps_budget(finalist),
        tuned=tuned,
        int8=_int8(finalist.final.file),
    )


def _int8(file: Path) -> Int8:
    found = int8_layers(file)
    return Int8(layers=found.layers, asked=list(found.asked), run=list(found.run))


def _test_score(search: Search, file: Path) -> float:
    subject = search.setup.subject
    with torch.no_grad():
        outputs = call(subject.model, subject.inputs)
    with users_code("the task cannot score its test split; mend that, then go on with --resume"):
        return deployed_score(file, subject.task, "test", outputs, subject.device)


def _figures(row: Row) -> Figures:
    m = row.measured
    return Figures(
        macs=row.predicted.macs,
        params=row.predicted.params,
        size=row.predicted.size,
        memory=row.predicted.memory,
        predicted_us=row.predicted.latency,
        measured_us=None if row.model else (m.low, m.us, m.high),
        ratio=None if row.model else (m.ratio_low, m.ratio, m.ratio_high),
        search_score=row.final.search_score,
        test_score=row.final.test_score,
    )
