"""Fine-tuning: the best measured policies are trained before one of them is chosen."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from automc import progress
from automc.campaigns.finalists import Chosen, Finalist, Finals, TunedNetwork
from automc.campaigns.search import Search
from automc.errors import users_code
from automc.recipes.export import export_onnx
from automc.search_spaces import Policy
from automc.tasks.training import train


def fine_tune(search: Search, finals: Finals, chosen: Chosen, staging: Path, checkpoints: Path) -> Chosen:
    """Trains the finalists that the configuration asks for on the ``train`` split, the original being their teacher.

    These are, as far as they keep the budgets: the agent's best, whatever is best of all, and if asked for each
    control's first. A policy that several agents found is trained once.

    Args:
        search: the finished search.
        finals: what measured the finalists.
        chosen: the measured finalists.
        staging: where the ONNX files of the tuned networks go.
        checkpoints: where each network's training is noted, in a folder of its own, for a search that is resumed.

    Returns:
        The finalists again, with their tuned networks, but for those that training made worse on search images.
    """
    settings = search.config.finetune
    if not settings.epochs:
        return chosen
    picked = [*chosen.get(search.config.agent, [])[: settings.finalists], finals.best(chosen)]
    if settings.controls:
        picked += [field[0] for agent, field in chosen.items() if agent != search.config.agent]
    scores = {one.policy: one.search_score for one in picked if finals.keeps_budget(one)}
    networks = {}
    for number, (policy, before) in enumerate(scores.items(), start=1):
        description = f"Fine-tuning {number} of {len(scores)}"
        file = staging / f"finalist-tuned{number}.onnx"
        tuned = _tuned(search, policy, file, checkpoints, description)
        if search.problem.merit(tuned.search_score) >= search.problem.merit(before):
            networks[policy] = tuned
        else:
            progress.say(f"{description}: worse than before on search images; it stays as it was")

    def with_network(one: Finalist) -> Finalist:
        return replace(one, tuned=networks.get(one.policy))

    return {agent: [with_network(one) for one in field] for agent, field in chosen.items()}


def _tuned(search: Search, policy: Policy, file: Path, checkpoints: Path, description: str) -> TunedNetwork:
    subject, config = search.setup.subject, search.config
    compressor = search.evaluator.compressor
    start = compressor.prune(policy)
    learned = compressor.learned(start) if config.finetune.quantized and start.bits else None
    with users_code(f"{description} failed; mend the task, then go on with --resume"):
        trained = train(
            start.model if learned is None else learned,
            subject.task,
            config.finetune,
            seed=config.seed,
            description=description,
            teacher=subject.model,
            checkpoint=checkpoints / _digest(search, policy) / "training.pt",
            bfloat16=search.evaluator.precision == "bfloat16",
        )
    compressed = compressor.quantize(start) if learned is None else replace(start, model=learned.settled())
    export_onnx(compressed.model, subject.inputs, file)
    return TunedNetwork(compressed, file, search.evaluator.score(compressed.model), trained)


def _digest(search: Search, policy: Policy) -> str:
    """Returns a name for what a training starts from and learns from: the search and the policy."""
    return hashlib.sha256(f"{search.digest} {policy}".encode()).hexdigest()[:16]
