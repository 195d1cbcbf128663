"""How many threads a fit uses: all, or fewer while other programs keep the processors busy.

The threads of an iteration wait for each other hundreds of times. Beside other work, one of them may have to wait for a
processor; the others, which spin meanwhile, keep it from one. Then fewer threads are faster, by up to ten times
(docs/lab-notes/anytime.md). With compiled kernels the result is the same to the bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from statistics import median

import torch

__all__ = ["Threads"]

_WINDOW = 6
"""Iterations of which the median time counts."""

_IDLE = 0.9
"""If a fit gets this share of its threads' time, nothing else is running."""

_GAIN = 0.9
"""Another number of threads is kept if an iteration takes at most this share of its time before."""

_SLOWER = 1.5
"""If an iteration takes this many times as long as before, another program may have begun."""

_REST, _LONGEST_REST = 4, 64
"""Windows between two trials; twice as many after each trial that was in vain."""


class Threads:
    """The number of threads of a fit's iterations.

    Args:
        adapts: whether it may change; otherwise torch's own number holds.
        clock: seconds that have passed.
        processor_clock: seconds of processor time that this process has used.

    Attributes:
        count: threads of the next iteration; 0 before the first.
    """

    def __init__(
        self,
        *,
        adapts: bool,
        clock: Callable[[], float] = time.perf_counter,
        processor_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.count = 0
        self._adapts = adapts
        self._clocks = (clock, processor_clock)
        self._most = 0

    @contextlib.contextmanager
    def iteration(self) -> Iterator[None]:
        """What is done in this context uses the threads, and is timed; the number of before holds again afterwards."""
        most = torch.get_num_threads()
        if not self._adapts or most == 1:
            yield
            return
        if most != self._most:
            self._begin(most)
        passed, used = (clock() for clock in self._clocks)
        if self.count != most:
            torch.set_num_threads(self.count)
        try:
            yield
        finally:
            if self.count != most:
                torch.set_num_threads(most)
        self._times.append((self._clocks[0]() - passed, self._clocks[1]() - used))
        if len(self._times) == _WINDOW:
            self._choose()

    def _begin(self, most: int) -> None:
        self._most = self.count = most
        self._times: list[tuple[float, float]] = []
        self._before: tuple[int, float] | None = None  # threads and time of an iteration before a trial
        self._usual = 0.0
        self._rest, self._wait = 0, _REST
        self._fewer = True

    def _choose(self) -> None:
        passed, used = zip(*self._times, strict=True)
        now, share = median(passed), sum(used) / max(self.count * sum(passed), 1e-9)
        self._times = []
        if self._before is not None:
            if now <= _GAIN * self._before[1]:
                self._wait = _REST
            else:
                self.count, now = self._before
                self._fewer = not self._fewer
                self._rest, self._wait = self._wait, min(2 * self._wait, _LONGEST_REST)
            self._before = None
        elif self._usual and now > _SLOWER * self._usual:
            self._rest, self._wait, self._fewer = 0, _REST, True
        self._usual = now
        if self._rest:
            self._rest -= 1
        elif self.count < self._most or share < _IDLE:
            fewer = self.count == self._most or (self._fewer and self.count > 1)
            self._before = (self.count, now)
            self.count = max(1, self.count // 2) if fewer else min(self._most, 2 * self.count)
