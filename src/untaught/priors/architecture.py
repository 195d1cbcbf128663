"""What the networks besides the encoder-decoder share: how they are made, and the steps at their ends."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untaught.errors import SettingError

__all__ = ["Architecture", "Head", "finish", "two_pixels", "widened"]

Head = Literal["sigmoid", "none"]


class Architecture:
    """Base of the settings of a network for pictures.

    Attributes:
        dimensions: 2, for pictures.
        module: the class of the network, made of these settings, the number of output channels and a generator.
    """

    dimensions: ClassVar[int] = 2
    module: ClassVar[Any]

    def build(self, output_channels: int, generator: torch.Generator) -> nn.Module:
        """Make the network.

        Args:
            output_channels: channels of the picture, from 1.
            generator: source of the initial weights, on the CPU; no other random numbers are drawn.

        Returns:
            A module, (N, input_channels, H, W) to (N, output_channels, H, W) float32, for any H and W.

        Raises:
            SettingError: for fewer output channels than one.
        """
        if output_channels < 1:
            raise SettingError(
                f"found {output_channels} output channels; a picture has at least one; give the picture's number"
            )
        network: nn.Module = self.module(self, output_channels, generator)
        return network


def two_pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) with axes of length 1 repeated once, since one value a channel cannot be normalised."""
    height, width = x.shape[-2:]
    if height > 1 and width > 1:
        return x
    return F.pad(x, (0, int(width == 1), 0, int(height == 1)), mode="replicate")


def widened(x: Tensor) -> Tensor:
    """The same values in float32, for a bfloat16 tensor: it has too few steps for a 16-bit picture."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def finish(x: Tensor, head: Head) -> Tensor:
    """What the head gives, in [0, 1] with "sigmoid"."""
    return torch.sigmoid(x) if head == "sigmoid" else x
