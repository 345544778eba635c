"""A learner's weights and optimisers as arrays by name, which can be written without pickling anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm


def learner_state(learner: BaseAlgorithm) -> dict[str, np.ndarray]:
    """Returns weights, optimisers' moments and the entropy's coefficient."""
    arrays: dict[str, np.ndarray] = {}
    for name, values in learner.get_parameters().items():
        moments = values["state"] if "param_groups" in values else {"": values}
        for key, tensors in moments.items():
            arrays |= {f"{name}/{key}/{leaf}": _array(tensor) for leaf, tensor in tensors.items()}
    arrays |= {f"variable//{name}": _array(getattr(learner, name)) for name in _variables(learner)}
    arrays["updates"] = np.array(learner._n_updates)
    return arrays


def restore_learner(learner: BaseAlgorithm, arrays: dict[str, np.ndarray]) -> None:
    """Brings back what `learner_state` returned into a learner that was made alike; other names are left alone."""
    parameters: dict[str, Any] = learner.get_parameters()
    found: dict[str, dict[str, dict[str, torch.Tensor]]] = {name: {} for name in (*parameters, "variable")}
    for name, array in arrays.items():
        owner, _, rest = name.partition("/")
        if owner in found:
            key, _, leaf = rest.partition("/")
            found[owner].setdefault(key, {})[leaf] = torch.tensor(array)
    for name, values in parameters.items():
        if "param_groups" in values:
            values["state"] = {int(key): moments for key, moments in found[name].items()}
        else:
            parameters[name] = found[name][""]
    learner.set_parameters(parameters, exact_match=True)
    for name in _variables(learner):
        getattr(learner, name).data.copy_(found["variable"][""][name])
    learner._n_updates = int(arrays["updates"])


def _variables(learner: BaseAlgorithm) -> list[str]:
    return learner._get_torch_save_params()[1]


def _array(tensor: Any) -> np.ndarray:
    return torch.as_tensor(tensor).detach().cpu().numpy().copy()
