"""Stopping what takes too long while a network is read, and saying where it was."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

_AGAIN_S = 0.2  # between signals: a library may swallow one
_UNWIND_S = 2.0  # for cleaning up after an exception, before another


class Expired(BaseException):
    """The time is used up; no Exception, so that nobody takes it for a fault of the network."""


class Watch:
    """The time that reading a network may take, and where it is.

    Attributes:
        limit_s: seconds.
        module: the module that was entered last, for messages.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s, self.module = limit_s, "the model"
        self._deadline = time.monotonic() + limit_s
        self._raised = -_UNWIND_S

    def over(self) -> bool:
        """Says whether the time is used up."""
        return time.monotonic() >= self._deadline

    def check(self) -> None:
        """Raises Expired once the time is used up."""
        if self.over():
            self._raised = time.monotonic()
            raise Expired

    def follow(self, model: nn.Module) -> None:
        """Notes which of a network's modules runs, and checks the time there; copies of it are followed too."""
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda module, _, name=name: self._enter(name, module))

    def _enter(self, name: str, module: nn.Module) -> None:
        self.module = f"module '{name}' ({type(module).__name__})"
        self.check()

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Raises Expired in its block once the time is used up.

        The time is checked where modules are entered and operators run; in the main thread a signal interrupts
        loops in Python too. One operator that never ends is not stopped.
        """
        main = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
        with _Checks(self):
            if not main:
                yield
                return
            before = signal.signal(signal.SIGALRM, self._ring)
            # the first chance is that of the checks: an exception from a signal may hit a destructor, and be ignored
            wait = max(self._deadline - time.monotonic(), 0) + _AGAIN_S
            left, again = signal.setitimer(signal.ITIMER_REAL, wait, _AGAIN_S)
            start = time.monotonic()
            try:
                yield
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
                if left:  # somebody else's alarm
                    signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - start), 1e-3), again)

    def _ring(self, *_: Any) -> None:
        if time.monotonic() - self._raised >= _UNWIND_S:
            self.check()


class _Checks(TorchDispatchMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._watch.check()
        return func(*args, **(kwargs or {}))
