"""The mean of a network's last weights, and the picture it gives when it is shown every known value.

In each iteration of a fit a part of the known values is hidden, and the weights jump about. The mean of the last
weights (Polyak and Juditsky, 1992), shown all that is known and the best first guess, is far ahead of the averaged
outputs early in a fit, and still of use beside them later: docs/lab-notes/anytime.md.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from untaught.backend.engine import Engine
from untaught.priors.inputs import mirror
from untaught.priors.patches import Strip
from untaught.priors.sampler import InputSampler

__all__ = ["MeanWeights", "evaluation_interval", "mean_output"]

_DECAY = 0.98
_COST = 20
"""An evaluation may take a twentieth of the time of the iterations between two of them."""


class MeanWeights:
    """An exponential mean of a network's weights.

    Args:
        network: whose weights are followed.

    Attributes:
        network: a copy with the mean weights.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)

    def update(self, network: nn.Module, iteration: int) -> None:
        """Add the weights after an iteration, counted from 1."""
        # In the beginning the mean is over a fifth of the iterations so far.
        share = max(1 - _DECAY, 1 / (iteration / 4 + 1))
        with torch.no_grad():
            for mean, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, share)
                else:
                    mean.copy_(value)

    def picture(
        self, engine: Engine, sampler: InputSampler, guess: Tensor, windows: Sequence[tuple[Strip, Strip]]
    ) -> Tensor | None:
        """The network's picture, (N, C, H, W), where the windows are, and the guess elsewhere.

        Args:
            engine: how the network runs.
            sampler: gives the input.
            guess: (N, C, H, W): the classical picture, with the values in use as they are.
            windows: see `untaught.priors.patches.windows`.

        Returns:
            None for an input scheme that hides nothing.
        """
        result = guess.clone()
        with torch.inference_mode(False), torch.no_grad(), engine.repeatable():
            for window, (top, bottom, left, right) in windows:
                batch = sampler.complete(guess, window)
                if batch is None or batch.guess is None:
                    return None
                output = engine.run(self.network, batch.input) + batch.guess
                output = output.view(-1, *guess.shape[:2], *output.shape[-2:]).mean(0)
                rows, columns = slice(top - window[0], bottom - window[0]), slice(left - window[2], right - window[2])
                result[..., top:bottom, left:right] = output[..., rows, columns]
        return result.clamp_(0, 1)


def mean_output(engine: Engine, network: nn.Module, sampler: InputSampler, draws: int, *, clip: bool) -> Tensor:
    """The mean of a network's outputs, (N, C, H, W), for so many inputs; limited to [0, 1] or not."""
    outputs = []
    with torch.inference_mode(False), torch.no_grad(), engine.repeatable():
        for _ in range(draws):
            batch = sampler.draw()
            output = engine.run(network, batch.input)
            output = output if batch.mirrored is None else mirror(output, batch.mirrored)
            output = output if batch.guess is None else output + batch.guess
            outputs.append(output.clamp(0, 1) if clip else output)
    return torch.stack(outputs).mean(0)


def evaluation_interval(windows: Sequence[tuple[Strip, Strip]], seen: int) -> int:
    """Iterations between two evaluations of the windows.

    Args:
        windows: see `untaught.priors.patches.windows`.
        seen: pixels that the network sees in an iteration, which takes three times as long as an evaluation of as many.
    """
    pixels = sum((bottom - top) * (right - left) for (top, bottom, left, right), _ in windows)
    return max(10, math.ceil(_COST * pixels / (3 * seen)))
