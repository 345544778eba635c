"""Fine-tuning: the best measured policies are trained before one of them is chosen."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from automc import progress
from automc.campaigns.finalists import Chosen, Finalist, Finals, TunedNetwork
from automc.campaigns.retraining import Entry, Retraining
from automc.campaigns.search import Search
from automc.campaigns.workers import Work
from automc.recipes.export import export_onnx
from automc.search_spaces import Policy


def fine_tune(search: Search, finals: Finals, chosen: Chosen, staging: Path, checkpoints: Path, work: Work) -> Chosen:
    """Trains the finalists that the configuration asks for on the ``train`` split, the original being their teacher.

    These are, as far as they keep the budgets: the agent's best, whatever is best of all, and if asked for each
    control's first. A policy that several agents found is trained once. On Ray, those that fall behind are stopped;
    `Finals.untuned` says which.

    Args:
        search: the finished search.
        finals: what measured the finalists.
        chosen: the measured finalists.
        staging: where the ONNX files of the tuned networks go.
        checkpoints: where each network's training is noted, in a folder of its own, for a search that is resumed.
        work: what workers need. On Ray they make the checkpoints, side by side; from these all else follows here.

    Returns:
        The finalists again, with their tuned networks, but for those that training made worse on search images.
    """
    settings = search.config.finetune
    if not settings.epochs:
        return chosen
    picked = [*chosen.get(search.config.agent, [])[: settings.finalists], finals.best(chosen)]
    if settings.controls:
        picked += [field[0] for agent, field in chosen.items() if agent != search.config.agent]
    ready = {one.policy: one for one in picked if finals.keeps_budget(one)}
    entries = [
        Entry(
            policy,
            f"number {one.done.number} of {one.done.agent}",
            checkpoints / _digest(search, policy) / "training.pt",
            f"Fine-tuning {number} of {len(ready)}",
        )
        for number, (policy, one) in enumerate(ready.items(), start=1)
    ]
    if search.config.compute.on_ray:
        from automc.campaigns.side_by_side import train_side_by_side  # Ray takes a second to import

        higher = search.setup.subject.task.higher_is_better
        finals.untuned = train_side_by_side(entries, work, search.config, higher, checkpoints / "finetuning.json")
    networks = {}
    for number, entry in enumerate(entries, start=1):
        if entry.policy in finals.untuned:
            continue
        tuned = _tuned(search, entry, staging / f"finalist-tuned{number}.onnx")
        before = ready[entry.policy].search_score
        allowed = settings.tolerance * abs(before)
        if search.problem.merit(tuned.search_score) >= search.problem.merit(before) - allowed:
            networks[entry.policy] = tuned
        else:
            progress.say(f"{entry.description}: worse than before on search images; it stays as it was")

    def with_network(one: Finalist) -> Finalist:
        return replace(one, tuned=networks.get(one.policy))

    return {agent: [with_network(one) for one in field] for agent, field in chosen.items()}


def _tuned(search: Search, entry: Entry, file: Path) -> TunedNetwork:
    training = Retraining(search.evaluator.last, entry, search.config.finetune, search.config.seed)
    trained = training.run()
    compressed = training.result()
    export_onnx(compressed.model, search.setup.subject.inputs, file)
    return TunedNetwork(compressed, file, search.evaluator.last.score(compressed.model), trained)


def _digest(search: Search, policy: Policy) -> str:
    """Returns a name for what a training starts from and learns from: the search and the policy."""
    return hashlib.sha256(f"{search.digest} {policy}".encode()).hexdigest()[:16]
