"""Exporting a model so that it runs without AutoMC: ONNX and ``torch.export``."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from automc import files
from automc.errors import RuntimeFailure, one_line
from automc.recipes.onnx_file import tidy
from automc.tasks import Inputs

# Without these PyTorch cannot trace fake_quantize with a free batch size: it has no rule for the results' shapes.
_SHAPES = torch.library.Library("aten", "IMPL", "Meta")
for _name in (
    "fake_quantize_per_tensor_affine_cachemask",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    "fake_quantize_per_channel_affine_cachemask",
):
    _SHAPES.impl(_name, lambda x, *_: (torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)))

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}


def export_onnx(model: nn.Module, inputs: Inputs, path: Path) -> None:
    """Writes an ONNX file whose batch size is free where the model allows, whole or not at all.

    The input is called ``input``, or as the keys of a dict are; weights are inside the file.

    Raises:
        RuntimeFailure: PyTorch's exporter cannot export the model.
    """
    names = list(inputs) if isinstance(inputs, dict) else ["input"]
    proto: Any = None
    with _quiet(), _clear_error("ONNX", path):
        # a model that computes with its batch size can be exported for one size only; the exporter then fails, or
        # takes the size of its examples
        with contextlib.suppress(Exception):
            proto = _to_onnx(model, inputs, names, free_batch=True)
        if proto is None or not _batch_is_free(proto):
            proto = _to_onnx(model, inputs, names, free_batch=False)
    tidy(proto)
    with files.replacing(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())


def export_program(model: nn.Module, inputs: Inputs, path: Path) -> None:
    """Writes a ``torch.export`` program, whole or not at all.

    Raises:
        RuntimeFailure: the model cannot be exported.
    """
    with _quiet(), _clear_error("torch.export", path):
        try:
            program = _to_program(model, inputs, free_batch=True)
        except Exception:  # as above; this exporter always fails
            program = _to_program(model, inputs, free_batch=False)
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file)


def _to_onnx(model: nn.Module, inputs: Inputs, names: list[str], free_batch: bool) -> Any:
    from automc.recipes.onnx_attention import TRANSLATIONS  # a second to import

    args, kwargs, shapes = _arguments(model, inputs, free_batch)
    with _named(model, inputs):
        program = torch.onnx.export(
            model.eval(),
            args,
            kwargs=kwargs,
            dynamo=True,
            verbose=False,
            input_names=names,
            dynamic_shapes=shapes,
            custom_translation_table=TRANSLATIONS,
        )
    assert program is not None
    return program.model_proto


def _batch_is_free(proto: Any) -> bool:
    shapes = [value.type.tensor_type.shape.dim for value in proto.graph.input]
    return all(shape and not shape[0].HasField("dim_value") for shape in shapes)


def _to_program(model: nn.Module, inputs: Inputs, free_batch: bool) -> Any:
    args, kwargs, shapes = _arguments(model, inputs, free_batch)
    with _named(model, inputs):
        return torch.export.export(model.eval(), args, kwargs, dynamic_shapes=shapes)


def _arguments(model: nn.Module, inputs: Inputs, free_batch: bool) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """Returns positional arguments, keyword arguments and dynamic shapes for an exporter."""
    if not free_batch:
        return ((), inputs, None) if isinstance(inputs, dict) else ((inputs,), {}, None)
    batch = torch.export.Dim("batch")
    # a batch of one would be taken for a constant
    two = pytree.tree_map(lambda tensor: torch.cat([tensor[:1], tensor[:1]]), inputs)
    shapes = pytree.tree_map(lambda _: {0: batch}, two)
    if isinstance(two, dict):
        return (), two, shapes
    kinds = {parameter.kind for parameter in inspect.signature(model.forward).parameters.values()}
    return (two,), {}, {"args": (shapes,)} if inspect.Parameter.VAR_POSITIONAL in kinds else (shapes,)


@contextlib.contextmanager
def _named(model: nn.Module, inputs: Inputs) -> Iterator[None]:
    """Has a network that takes any keywords name those of a dict: the exporter frees no dimension of others."""
    kinds = {parameter.kind for parameter in inspect.signature(model.forward).parameters.values()}
    if not isinstance(inputs, dict) or inspect.Parameter.VAR_KEYWORD not in kinds:
        yield
        return
    run = model.forward

    def forward(**kwargs: Any) -> Any:
        return run(**kwargs)

    keywords = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in inputs]
    forward.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]  # `inspect` looks for it
    model.forward = forward
    try:
        yield
    finally:
        del model.forward


@contextlib.contextmanager
def _clear_error(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        line = one_line(error.__cause__ or error)  # the exporter's own message is advice on how to report a bug
        raise RuntimeFailure(f"{os.fspath(path)}: the model cannot be exported to {what}: {line}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the exporters print and warn about, which a user can do nothing about."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
