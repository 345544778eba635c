"""Sensitivities for searches and commands: named, kept from before, or measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from automc import files, progress
from automc.campaigns.config import SearchConfig
from automc.compression import Methods
from automc.errors import ConfigError
from automc.evaluation import Evaluator
from automc.evaluation.forward import Precision
from automc.search_spaces import SearchSpace
from automc.sensitivities import (
    HOW,
    About,
    Effort,
    SensitivityFile,
    Stored,
    ensure_sensitivities,
    examples_digest,
    load_sensitivities,
    save_sensitivities,
)
from automc.versions import versions

if TYPE_CHECKING:
    from automc.campaigns.setup import Setup, Subject

COPY = "sensitivities.yaml"
"""A search's own copy, in its folder: whoever resumes it has the same numbers whatever became of the others."""

_MATTER = ("automc", "torch", "torch-pruning")


def named_sensitivities(
    config: SearchConfig, folder: Path, subject: Subject, space: SearchSpace
) -> SensitivityFile | None:
    """Returns the sensitivities that a configuration names; None where it names none.

    Raises:
        ConfigError: they are missing, damaged, of another model or device, by other methods, or lack an option.
    """
    if config.sensitivities is None:
        return None
    path = folder / config.sensitivities
    if not path.is_file():
        raise ConfigError(f"sensitivities: no file {path}; write one: automc sensitivity SUBJECT --save FILE")
    return _read(path, subject, space, config.methods)


def sensitivities_of(
    subject: Subject,
    space: SearchSpace,
    precision: Precision,
    methods: Methods | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    anew: bool = False,
) -> Stored:
    """Returns a network's sensitivities from the user's own, where they are measured first if need be.

    Args:
        subject: the network.
        space: its axes.
        precision: of forward passes.
        methods: how options are applied.
        effort: how much is looked at.
        seed: of recovery.
        anew: measure all of them even where they are there.

    Raises:
        ConfigError: the user's own are damaged.
    """
    methods, effort = methods or Methods(), effort or Effort()
    about = About(
        model=subject.digest,
        device=subject.device.name,
        precisions=subject.device.precisions,
        methods=methods,
        effort=effort,
        precision=precision,
        examples=examples_digest(subject.task, effort),
        seed=seed,
        how=HOW,
        versions={name: versions()[name] for name in _MATTER},
    )

    def evaluator() -> Evaluator:
        return Evaluator(subject.task, subject.model, subject.graph, effort.fidelity(precision), methods, seed)

    return ensure_sensitivities(about, space, evaluator, anew)


def for_search(
    config: SearchConfig, setup: Setup, precision: Precision, folder: Path, needed: bool, resumed: bool
) -> Stored | None:
    """Returns what a search's agents are told, and writes its own copy; None where none of them needs it.

    Args:
        config: the search.
        setup: what it stands on.
        precision: of its forward passes.
        folder: where its copy lies.
        needed: whether an agent needs them.
        resumed: whether something was evaluated already, so that the copy wins over all else.

    Raises:
        ConfigError: the copy is damaged, or of something else.
    """
    copy, subject = folder / COPY, setup.subject
    if resumed and copy.is_file():
        found = _read(copy, subject, setup.space, config.methods)
        return Stored(found, copy, found.spent or 0.0)
    copy.unlink(missing_ok=True)  # of a search that was here before
    if setup.sensitivities is not None:
        stored = Stored(setup.sensitivities, copy)
    elif needed:
        stored = sensitivities_of(subject, setup.space, precision, config.methods, seed=config.seed)
    else:
        return None
    found, spent = stored.found, stored.spent
    took = f"measured in {progress.duration(spent)}" if spent else f"there already, {stored.path}"
    progress.say(f"Sensitivities: {len(found.axes)} axes, {took}")
    files.ensure_writable(folder)
    save_sensitivities(found.model_copy(update={"spent": spent}), copy)
    return Stored(found, copy, spent)


def _read(path: Path, subject: Subject, space: SearchSpace, methods: Methods) -> SensitivityFile:
    """Returns the sensitivities of a file, only those of the space; raises ConfigError where they are not of these."""
    found = load_sensitivities(path)
    found.check(path, subject.digest, subject.device, methods)
    return found.model_copy(update={"axes": tuple(found.axis(axis, path) for axis in space.axes)})
