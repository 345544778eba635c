"""Recording the operators that a forward pass runs, with their shapes and what feeds what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from automc.tasks import Inputs, call

OUTSIDE = -1
"""The source of a tensor that no operator made: an input of the network or a parameter."""

Shape = tuple[int, ...]
Call = tuple[str, int]
"""A call of a torch function in a forward pass: its name, and how many calls of that name came before."""


@dataclass(frozen=True)
class Op:
    """One ATen operator of the forward pass.

    Attributes:
        kind: its ATen name, for example ``convolution`` or ``addmm``; in-place variants have the same name.
        module: the innermost module that ran it, for example ``layer1.0.conv1``.
        inputs: shapes of its tensor arguments, in order.
        sources: for each tensor argument, the index of the operator that made it, or `OUTSIDE`.
        output: shape of its first result.
        attributes: its other arguments by name, as (name, value) pairs.
        call: the call of a torch function whose result its result is, the first if others passed it on; None where it
            only leads to that.
        runs: whether an exported network has it: not what is made of constants only, or what no output needs.
        given: for each tensor argument, which of the network's inputs it is, or `OUTSIDE`.
        itemsizes: bytes of an element of each tensor argument, and last of its result.
        returned: whether the network returns its result.
    """

    kind: str
    module: str
    inputs: tuple[Shape, ...]
    sources: tuple[int, ...]
    output: Shape
    attributes: tuple[tuple[str, Any], ...]
    call: Call | None = None
    runs: bool = True
    given: tuple[int, ...] = ()
    itemsizes: tuple[int, ...] = ()
    returned: bool = False

    def attribute(self, name: str, default: Any = None) -> Any:
        """Returns the argument of that name."""
        return dict(self.attributes).get(name, default)

    def within(self, module: str) -> bool:
        """Says whether the operator ran inside that module."""
        return self.module == module or self.module.startswith(module + ".")


@torch.no_grad()
def record(model: nn.Module, inputs: Inputs) -> tuple[list[Op], Any]:
    """Runs the model once and returns its operators in execution order, and its outputs."""
    recorder = _Recorder(inputs)
    with _unfused_attention(), _innermost_module(model) as recorder.where, recorder, Calls(recorder.name):
        outputs = call(model, inputs)
    return recorder.finish(outputs), outputs


class Calls(TorchFunctionMode):
    """Sees every call of a torch function, and may change its arguments and its result.

    Calls are told apart by their names and numbers, which stay the same for one network, whether it runs, is trained
    or is exported. Those whose result is no tensor of floats are left alone and not counted: what makes masks and
    positions may be another thing while a network is exported.

    Args:
        after: takes a call and its result, and returns what the caller gets.
        before: takes a call and its positional arguments, and returns those that the function gets.
    """

    def __init__(
        self,
        after: Callable[[Call, Any], Any],
        before: Callable[[Call, tuple[Any, ...]], tuple[Any, ...]] = lambda _, args: args,
    ) -> None:
        super().__init__()
        self._after, self._before = after, before
        self._counts: dict[str, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        number = self._counts.get(name, 0)
        result = func(*self._before((name, number), args), **(kwargs or {}))
        if not (isinstance(result, Tensor) and result.is_floating_point()):
            return result
        self._counts[name] = number + 1
        return self._after((name, number), result)


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """Keeps `nn.MultiheadAttention` from running as one operator that no exported network has."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _innermost_module(model: nn.Module) -> Iterator[Callable[[], str]]:
    stack = [""]
    handles = []

    def leave(*_: Any) -> None:
        stack.pop()

    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: stack.append(name)))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield lambda: stack[-1]
    finally:
        for handle in handles:
            handle.remove()


class _Recorder(TorchDispatchMode):
    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.ops: list[Op] = []
        self.where: Callable[[], str] = str
        self._given = {id(leaf): number for number, leaf in enumerate(pytree.tree_leaves(inputs))}
        self._varies: list[bool] = []
        self._made_by: dict[int, int] = {}
        self._alive: list[Any] = []  # so that no tensor's id is given to another while we run

    def name(self, made: Call, result: Any) -> Any:
        """Notes that a call of a torch function gave the result of the last operator."""
        if torch.is_tensor(result) and self._made_by.get(id(result)) == len(self.ops) - 1 >= 0:
            self.ops[-1] = replace(self.ops[-1], call=self.ops[-1].call or made)
        return result

    def finish(self, outputs: Any) -> list[Op]:
        """Returns the operators, with what the network does not need and what it returns marked."""
        leaves = pytree.tree_leaves(outputs)
        returned = {self._made_by.get(id(leaf), OUTSIDE) for leaf in leaves}
        needed = set(returned)
        if not all(torch.is_tensor(leaf) for leaf in leaves):  # there may be tensors in it
            needed = set(range(len(self.ops)))
        for index in range(len(self.ops) - 1, -1, -1):
            if index in needed:
                needed.update(self.ops[index].sources)
        return [
            replace(op, runs=i in needed and self._varies[i], returned=i in returned) for i, op in enumerate(self.ops)
        ]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        named = [*zip((argument.name for argument in func._schema.arguments), args, strict=False), *kwargs.items()]
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if torch.is_tensor(leaf)]
        sources = tuple(self._made_by.get(id(tensor), OUTSIDE) for tensor in tensors)
        # an in-place operator returns its argument: shapes are noted before it runs
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        result = func(*args, **kwargs)
        results = [leaf for leaf in pytree.tree_leaves(result) if torch.is_tensor(leaf)]
        if not tensors:  # it makes a constant, which costs nothing at run time
            return result
        self._alive.append((tensors, results))
        self._varies.append(
            any(
                id(t) in self._given or (s != OUTSIDE and self._varies[s])
                for t, s in zip(tensors, sources, strict=True)
            )
        )
        for tensor in results:
            self._made_by[id(tensor)] = len(self.ops)
        self.ops.append(
            Op(
                kind=func._schema.name.split("::")[1].rstrip("_"),
                module=self.where(),
                inputs=shapes,
                sources=sources,
                output=tuple(results[0].shape) if results else (),
                attributes=tuple((name, _plain(value)) for name, value in named if not _has_tensor(value)),
                given=tuple(self._given.get(id(tensor), OUTSIDE) for tensor in tensors),
                itemsizes=tuple(tensor.element_size() for tensor in (*tensors, *results[:1])),
            )
        )
        return result


def _has_tensor(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
