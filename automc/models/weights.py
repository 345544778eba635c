"""Weights of a network, from a file that somebody hands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from automc.errors import TaskError

_PICKLED = (".th", ".pt", ".pth")
_OPTIONAL = ".num_batches_tracked"  # older files have none, and it decides about nothing here


def load_weights(model: nn.Module, path: Path, what: str) -> None:
    """Loads weights into a model, in place.

    Args:
        model: the network.
        path: ``.safetensors``; or ``.th``, ``.pt``, ``.pth`` with a state dict, by itself or under ``state_dict``,
            read without executing anything that is in it. Names may begin with ``module.``, as `DataParallel`
            writes them.
        what: the network's name, for errors.

    Raises:
        TaskError: the file is missing, damaged or of another network; the first key that differs is named.
    """
    found = {name.removeprefix("module."): value for name, value in _read(path).items()}
    expected = model.state_dict()
    for name, tensor in expected.items():
        if name not in found and name.endswith(_OPTIONAL):
            continue
        if name not in found:
            raise _differs(path, what, f"the file has no '{name}'")
        if found[name].shape != tensor.shape:
            there, here = (list(one.shape) for one in (found[name], tensor))
            raise _differs(path, what, f"'{name}' has shape {there} in the file, {here} in the network")
    if more := found.keys() - expected.keys():
        raise _differs(path, what, f"the network has no '{min(more)}'")
    model.load_state_dict(found, strict=False)


def _differs(path: Path, what: str, how: str) -> TaskError:
    return TaskError(f"{path}: not the weights of {what}: {how}; give that network's file, or this file's network")


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise TaskError(f"{path}: no such file; give a file of weights")
    if path.suffix != ".safetensors" and path.suffix not in _PICKLED:
        raise TaskError(f"{path}: weights must be .safetensors, or a state dict in {', '.join(_PICKLED)}")
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both may raise anything on what is no such file
        raise TaskError(
            f"{path}: no weights can be read ({type(error).__name__}); it is damaged or no such file"
        ) from None
    if isinstance(state, dict):
        state = state.get("state_dict", state)
    if not isinstance(state, dict) or not all(isinstance(k, str) and torch.is_tensor(v) for k, v in state.items()):
        raise TaskError(f"{path}: no state dict: it must map names to tensors, by itself or under 'state_dict'")
    return state
