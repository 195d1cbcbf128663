"""Everything that a run needs to go on from a moment in it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from untaught.inputs import PerturbedInput

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of a fit, held in memory: weights, the optimiser's state, the input and the average.

    The random state is not part of it on purpose: a fit that is taken back after diverging must not meet the same noise
    again.
    """

    network: dict[str, Tensor]
    optimiser: dict[str, Any]
    network_input: Tensor
    average: Tensor | None

    @classmethod
    def take(
        cls,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        network_input: PerturbedInput,
        average: Tensor | None,
    ) -> Snapshot:
        """Copy everything, so that what happens later leaves it alone."""
        return cls(
            {name: value.detach().clone() for name, value in network.state_dict().items()},
            copy.deepcopy(optimiser.state_dict()),
            network_input.current,
            average,
        )

    def restore(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, network_input: PerturbedInput
    ) -> Tensor | None:
        """Put everything back and return the average of that moment. May be called again."""
        network.load_state_dict(self.network)
        optimiser.load_state_dict(copy.deepcopy(self.optimiser))
        network_input.current = self.network_input
        return self.average
