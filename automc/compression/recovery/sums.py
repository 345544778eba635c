"""Catching a forward pass where the result of a layer is added to something."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from automc.compression.recovery.sites import Site
from automc.graph.ops import Call, Calls

_ADDITIONS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})


class Sums:
    """Tells when the results of layers, or of the BatchNorms behind them, are added to something.

    Args:
        model: the network, which gets a hook on each of those modules.
        sites: the layers that matter, with where their results go.
    """

    def __init__(self, model: nn.Module, sites: Mapping[str, Site]) -> None:
        self._made: dict[str, Tensor] = {}
        self.handles = []
        for name, site in sites.items():
            module = model.get_submodule(site.norm or name)
            hook = module.register_forward_hook(lambda _, __, output, name=name: self._made.update({name: output}))
            self.handles.append(hook)

    @contextmanager
    def watch(
        self,
        before: Callable[[str, Tensor, Tensor], Tensor] = lambda name, result, other: result,
        after: Callable[[str, Tensor], None] = lambda name, total: None,
    ) -> Iterator[None]:
        """Watches the forward passes in its block.

        Args:
            before: takes a layer's name, its result and what it is added to, and returns what is added instead.
            after: takes a layer's name and the sum.
        """
        found: list[str] = []

        def enter(made: Call, args: tuple[Any, ...]) -> tuple[Any, ...]:
            if made[0] not in _ADDITIONS or len(args) < 2:
                return args
            for name, result in self._made.items():
                for index in (0, 1):
                    other = args[1 - index]
                    if args[index] is result and torch.is_tensor(other) and other.shape == result.shape:
                        del self._made[name]
                        found.append(name)
                        new = before(name, result, other)
                        return (new, other, *args[2:]) if index == 0 else (other, new, *args[2:])
            return args

        def leave(made: Call, result: Any) -> Any:
            if found:
                after(found.pop(), result)
            return result

        try:
            with Calls(leave, enter):
                yield
        finally:
            self._made.clear()
