"""States of a fit that are made up, for tests of what looks at them."""

from collections.abc import Iterator

import torch

from untaught.fitting.state import State


def states(count: int, channels: int = 3) -> Iterator[State]:
    """The states of so many iterations, whose pictures, 8 x 6, get brighter."""
    for iteration in range(1, count + 1):
        output = torch.full((1, channels, 8, 6), iteration / count)
        loss = torch.tensor(1 / iteration)
        yield State(
            iteration=iteration,
            iterations=count,
            loss=loss,
            losses=loss[None],
            average=output,
            square=output.square(),
            elapsed=iteration / 10,
        )
