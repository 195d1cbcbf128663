"""ConvDecoder (Darestani and Heckel, 2021): an untrained convolutional decoder, made for accelerated MRI.

Each layer enlarges by nearest-neighbour interpolation and applies a 3x3 convolution, a ReLU and a batch normalisation.
The size grows by the same factor in each layer, from a small random tensor to the picture, whatever its size. As in
the Deep Decoder, the small tensor is every n-th sample of the full-resolution input, which for independent noise has
the same distribution as a tensor drawn on its own.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from untaught.priors.architecture import Architecture, Head, finish, two_pixels, widened
from untaught.priors.blocks import BatchNormalisation, Convolution
from untaught.priors.deep_decoder import BiaslessConvolution
from untaught.priors.interpolation import upsample
from untaught.settings import settings

__all__ = ["ConvDecoder", "ConvDecoderNetwork"]


class ConvDecoderNetwork(nn.Module):
    """ConvDecoder: (N, input_channels, H, W) to (N, output_channels, H, W), float32.

    Args:
        settings: the architecture.
        output_channels: channels of the picture.
        generator: source of the initial weights.
    """

    def __init__(self, settings: ConvDecoder, output_channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.settings = settings

        def convolution(before: int, after: int, size: int) -> nn.Module:
            if settings.bias:
                return Convolution(before, after, size, padding="zero", generator=generator)
            return BiaslessConvolution(before, after, size, generator)

        widths = [settings.input_channels] + [settings.channels] * settings.layers
        self.convolutions = nn.ModuleList(convolution(before, after, 3) for before, after in itertools.pairwise(widths))
        self.normalisations = nn.ModuleList(BatchNormalisation(width) for width in widths[1:])
        self.head = convolution(settings.channels, output_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W), float32 or bfloat16, to (N, output_channels, H, W), float32."""
        height, width = x.shape[-2:]
        x = two_pixels(x)
        sizes = [
            layer_sizes(start, side, self.settings.layers - 1)
            for start, side in zip(self.settings.start, x.shape[-2:], strict=True)
        ]
        steps = [side // line[0] for side, line in zip(x.shape[-2:], sizes, strict=True)]
        x = x[:, :, :: steps[0], :: steps[1]][:, :, : sizes[0][0], : sizes[1][0]]
        layers = zip(self.convolutions, self.normalisations, strict=True)
        for index, (convolve, normalise) in enumerate(layers, start=1):
            if index < self.settings.layers:
                x = upsample(x, "nearest", (sizes[0][index], sizes[1][index]))
            x = normalise(F.relu(convolve(x)))
        return finish(self.head(widened(x[:, :, :height, :width])), self.settings.head)


@settings
class ConvDecoder(Architecture):
    """Settings of ConvDecoder; the defaults are those of the authors' comparison on fastMRI knees, 640 x 368.

    The input is uniform noise in [0, 1), drawn once. The authors fit 20 000 iterations of Adam at a rate of 0.008, and
    first scale what was measured so that its norm is that of the untrained network's output. They put the measured
    frequencies back at the end. A complex coil image is two output channels. For pictures in [0, 1], use
    ``head="sigmoid"``.

    Source: Darestani and Heckel, "Accelerated MRI with Un-trained Neural Networks", IEEE Transactions on Computational
    Imaging, 2021, and the authors' code. Their code also has 7 layers of 256 channels with biases (its demonstration).
    """

    module: ClassVar[Any] = ConvDecoderNetwork

    kind: Literal["conv-decoder"] = "conv-decoder"
    input_channels: int = Field(default=160, ge=1, description="channels of the random input")
    channels: int = Field(default=160, ge=1, description="channels of each layer")
    layers: int = Field(default=8, ge=2, description="layers with a 3x3 convolution; all but the last enlarge")
    start: tuple[int, int] = Field(
        default=(8, 4), description="height and width of the random input, in samples from 1"
    )
    bias: bool = Field(default=False, description="whether convolutions have a bias")
    head: Head = Field(default="none", description="sigmoid keeps the output in [0, 1], none leaves it free")

    def __post_init__(self) -> None:
        if min(self.start) < 1:
            raise ValueError(f"start is a height and a width of at least 1: found {self.start}")


def layer_sizes(start: int, side: int, steps: int) -> list[int]:
    """The lengths of an axis from the start to the picture: equal factors, rounded up.

    >>> layer_sizes(8, 640, 7)
    [8, 15, 28, 53, 98, 183, 343, 640]
    """
    start = min(start, side)
    factor = (side / start) ** (1 / steps)
    # The small number keeps a product that should be whole from being rounded up.
    between = [min(side, math.ceil(start * factor**step - 1e-6)) for step in range(1, steps)]
    return [start, *between, side]
