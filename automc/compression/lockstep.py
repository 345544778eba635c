"""Several runs of one function that wait for each other at certain points, only one of them running at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Lockstep:
    """Runs a function several times, each in its own thread, turn by turn.

    Each runs up to where it calls `meet`, then the next one does, always in the same order. So all have come to a
    point before any goes on from it, and what they hold meanwhile is all that is in memory of them. A single run needs
    no thread.

    Args:
        count: how many runs there are.
    """

    def __init__(self, count: int) -> None:
        self._turns = [threading.Semaphore(0) for _ in range(count)]
        self._error: BaseException | None = None
        self._stopped = False

    def run(self, work: Callable[[int], None]) -> None:
        """Calls ``work`` with 0, 1, … and returns when all have ended; raises what the first to fail raised."""
        if len(self._turns) == 1:
            work(0)
            return
        threads = [threading.Thread(target=self._one, args=(work, n), daemon=True) for n in range(len(self._turns))]
        try:
            for thread in threads:
                thread.start()
            self._turns[0].release()
            for thread in threads:
                thread.join()
        except BaseException:  # such as KeyboardInterrupt
            self._stop()
            for thread in threads:
                thread.join()
            raise
        if self._error is not None:
            raise self._error

    def meet(self, number: int, last: Callable[[], None]) -> None:
        """Waits until all runs have come here; the last one calls ``last`` before any goes on.

        Args:
            number: which run this is.
            last: what is done once.
        """
        if number == len(self._turns) - 1:
            last()
        if len(self._turns) > 1:
            self._turns[(number + 1) % len(self._turns)].release()
            self._wait(number)

    def _one(self, work: Callable[[int], None], number: int) -> None:
        try:
            self._wait(number)
            work(number)
            if number + 1 < len(self._turns):
                self._turns[number + 1].release()
        except _Stopped:
            pass
        except BaseException as error:  # raised again by `run`
            self._error = self._error or error
            self._stop()

    def _wait(self, number: int) -> None:
        self._turns[number].acquire()
        if self._stopped:
            raise _Stopped

    def _stop(self) -> None:
        self._stopped = True
        for turn in self._turns:
            turn.release()


class _Stopped(BaseException):
    """Another run failed."""
