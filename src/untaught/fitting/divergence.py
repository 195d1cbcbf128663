"""The divergence guard: takes a fit back to its last good moment when the loss explodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from untaught.errors import DivergenceError
from untaught.fitting.checkpoint import Snapshot

__all__ = ["DivergenceGuard"]


class DivergenceGuard:
    """Takes a fit back when the loss is not finite or has jumped.

    Weights, optimiser, input and averages return to the last good moment, the step that led away is skipped, and the
    learning rate is halved for the rest of the run.

    Args:
        interval: iterations between two looks at the loss.
        snapshot_interval: iterations between two snapshots, at least.
        jump: a loss above this multiple of its running mean counts as diverged; None if only a loss that is not finite
            does.
        patience: give the fit up after this many rollbacks without a good look in between.
    """

    def __init__(
        self, interval: int = 1, snapshot_interval: int = 50, jump: float | None = 10.0, patience: int = 12
    ) -> None:
        self.interval = interval
        self.snapshot_interval = snapshot_interval
        self.jump = jump
        self.patience = patience
        self.rollbacks = 0
        self.rate_factor = 1.0
        self._mean: float | None = None
        self._in_a_row = 0
        self._snapshot: Snapshot | None = None
        self._next_snapshot = 0

    def diverged(self, iteration: int, loss: Tensor, *, last: bool = False) -> bool:
        """Look at the loss of this iteration if a look is due; one is due at the first and at the last."""
        if iteration % self.interval and iteration != 1 and not last:
            return False
        value = float(loss)
        mean, jump = self._mean, self.jump
        # The ratio of two losses says nothing once they are negative, as a user's may be.
        jumped = mean is not None and jump is not None and mean > 0 and value > jump * mean
        bad = not math.isfinite(value) or jumped
        if not bad:
            self._mean = value if mean is None else 0.9 * mean + 0.1 * value
            self._in_a_row = 0
        return bad

    def keep(self, iteration: int, take: Callable[[], Snapshot]) -> None:
        """Take a snapshot if one is due and the last look was good."""
        looked = iteration == 1 or iteration % self.interval == 0
        if looked and iteration >= self._next_snapshot:
            self._snapshot = take()
            self._next_snapshot = iteration + self.snapshot_interval

    @property
    def good(self) -> Snapshot | None:
        """The last good moment."""
        return self._snapshot

    def facts(self) -> dict[str, Any]:
        """What it remembers besides the snapshot, as plain values."""
        return {"rollbacks": self.rollbacks, "rate_factor": self.rate_factor, "mean": self._mean}

    def restore(self, facts: dict[str, Any]) -> None:
        """Remember that again; the next good look takes a snapshot."""
        self.rollbacks, self.rate_factor, self._mean = facts["rollbacks"], facts["rate_factor"], facts["mean"]
        self._in_a_row, self._snapshot, self._next_snapshot = 0, None, 0

    def roll_back(self) -> Snapshot:
        """Lower the learning rate and return the moment to go on from.

        Raises:
            DivergenceError: when lowering it does not help.
        """
        self.rollbacks += 1
        self._in_a_row += 1
        self.rate_factor /= 2
        if self._snapshot is None or self._in_a_row > self.patience:
            raise DivergenceError(
                f"the fit diverged {self._in_a_row} times in a row although the learning rate was halved each time; "
                "try another seed, a lower learning rate, or float32 precision"
            )
        return self._snapshot
