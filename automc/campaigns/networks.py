"""Random policies of a network, exported and measured whole."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from automc import progress
from automc.campaigns.setup import Subject
from automc.compression import Calibration, Compressor, Methods
from automc.compression.calibration import calibration_examples
from automc.devices import Timing, time_models
from automc.errors import ConfigError, RuntimeFailure, lacking, one_line, users_code
from automc.recipes import export_onnx
from automc.recipes.deployed import feeds
from automc.search_spaces import Policy, SearchSpace

LEAST = 3
"""Policies below which no figure says anything."""
_EXAMPLES = 16  # ranges of activations and statistics of BatchNorm follow them; latency does not
_METHODS = Methods(selection="magnitude", recovery=("batchnorm",))  # quick, and what a network computes stays in range


@dataclass(frozen=True)
class MeasuredNetwork:
    """A policy's network, measured whole.

    Attributes:
        row: which of the policies that were asked for.
        policy: the policy.
        timing: its latency.
    """

    row: int
    policy: Policy
    timing: Timing


def measure_networks(
    subject: Subject,
    space: SearchSpace,
    indices: np.ndarray,
    name: str = "",
    folder: Path | None = None,
    runs: int = 20,
    passes: int = 15,
) -> list[MeasuredNetwork]:
    """Exports networks as a search would, and measures them, taking turns in one process.

    One that cannot be exported is passed by.

    Args:
        subject: the network, and the device that it is measured on.
        space: what the policies are from.
        indices: option numbers (N, A); the first policy cannot be passed by.
        name: what the network is called.
        folder: where exported files are looked for and kept, named after network and policy; None for nowhere.
        runs: timed inferences of each network in a pass.
        passes: how often each network has its turn.

    Raises:
        ConfigError: so few are asked for that no figure would say anything.
        RuntimeFailure: too few policies could be exported, or a network could not be measured.
        TaskError: the task's data cannot be loaded.
    """
    if len(indices) <= LEAST:
        raise ConfigError(f"{len(indices) - 1} networks are too few to tell anything; measure {LEAST} or more")
    policies = [space.decode(index) for index in indices]
    with tempfile.TemporaryDirectory(prefix="automc-") if folder is None else nullcontext(folder) as place:
        files = _export(subject, policies, Path(place))
        done = [(row, file) for row, file in enumerate(files) if file is not None]
        if len(done) <= LEAST or files[0] is None:
            failed = "the original" if files[0] is None else f"{len(files) - len(done)} of {len(files) - 1} policies"
            raise RuntimeFailure(f"{name or 'the network'}: {failed} cannot be exported, see above")
        timings = time_models(
            subject.bench,
            [file for _, file in done],
            [feeds(subject.inputs)] * len(done),
            f"Measuring {len(done)} networks",
            runs=runs,
            passes=passes,
        )
    measured = [MeasuredNetwork(row, policies[row], timing) for (row, _), timing in zip(done, timings, strict=True)]
    for one in measured:
        if not (np.isfinite(one.timing.us) and one.timing.us > 0):
            raise RuntimeFailure(f"a network was measured to take {one.timing.us} us: {one.policy.to_dict()}")
    return measured


def fingerprint(policy: Policy) -> str:
    """Returns a short name that no other policy has."""
    return hashlib.sha256(json.dumps(policy.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


def _export(subject: Subject, policies: Sequence[Policy], folder: Path) -> list[Path | None]:
    """Returns the file of each policy's network, exported unless the folder has it; None where that is impossible."""
    found: list[Path | None] = [folder / _file_name(subject, policy) for policy in policies]
    missing = [number for number, file in enumerate(found) if file is not None and not file.exists()]
    if not missing:
        return found
    with users_code("the task's data cannot be loaded"):
        inputs, targets = calibration_examples(subject.task, _EXAMPLES)
    calibration = Calibration(inputs, targets, subject.task.loss)
    compressor = Compressor(subject.model, subject.graph, calibration, _METHODS)
    for number in progress.track(missing, f"Exporting {len(missing)} networks"):
        file = found[number]
        assert file is not None
        try:
            export_onnx(compressor.build(policies[number]).model, subject.inputs, file)
        except Exception as error:
            if lacking(error):
                raise
            progress.say(f"A policy cannot be exported and is passed by: {one_line(error).removeprefix(f'{file}: ')}")
            found[number] = None
    return found


def _file_name(subject: Subject, policy: Policy) -> str:
    """Returns a name that other weights, inputs, another policy or version of the exporter would not have."""
    parts = [subject.digest, list(subject.graph.input_shape), policy.to_dict(), torch.__version__]
    return f"{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]}.onnx"
