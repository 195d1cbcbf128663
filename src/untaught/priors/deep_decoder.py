"""The Deep Decoder (Heckel and Hand, ICLR 2019): an untrained network without spatial convolutions.

Each layer mixes the channels (a 1x1 convolution), doubles the size by bilinear interpolation and applies a ReLU and a
normalisation of each channel. Bilinear upsampling is all that makes it prefer smooth pictures. With the paper's
settings it has fewer weights than a 512 x 512 colour picture has values, so it cannot fit all of the noise.

The network starts from a small fixed random tensor. The seam of all networks gives it an input at full resolution, of
which it takes every 2^k-th sample. For independent noise this has the same distribution as a small tensor drawn on its
own; a mean over blocks would not, because averaging lowers the variance.
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
from untaught.priors.blocks import BatchNormalisation
from untaught.priors.interpolation import upsample
from untaught.settings import settings

__all__ = ["DeepDecoder", "DeepDecoderNetwork"]

_SMALLEST = 4
"""A short axis is doubled less often, so that it starts with at least so many samples."""


class DeepDecoderNetwork(nn.Module):
    """The Deep Decoder: (N, input_channels, H, W) to (N, output_channels, H, W), float32.

    Args:
        settings: the architecture.
        output_channels: channels of the picture.
        generator: source of the initial weights.
    """

    def __init__(self, settings: DeepDecoder, output_channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.input_channels] + [settings.channels] * (settings.scales + 1)
        self.mixers = nn.ModuleList(
            BiaslessConvolution(before, after, 1, generator) for before, after in itertools.pairwise(widths)
        )
        self.normalisations = nn.ModuleList(BatchNormalisation(width) for width in widths[1:])
        self.head = BiaslessConvolution(settings.channels, output_channels, 1, generator)

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W), float32 or bfloat16, to (N, output_channels, H, W), float32."""
        height, width = x.shape[-2:]
        scales = self.settings.scales
        doublings = [_doublings(side, scales) for side in (height, width)]
        x = two_pixels(x)[:, :, :: 2 ** doublings[0], :: 2 ** doublings[1]]
        for index, (mix, normalise) in enumerate(zip(self.mixers, self.normalisations, strict=True)):
            x = mix(x)
            # Mixing channels commutes with interpolation, so it comes first: a quarter of the work.
            left = scales - index
            size = [
                2 * side if 0 < left <= times else side for side, times in zip(x.shape[-2:], doublings, strict=True)
            ]
            if size != list(x.shape[-2:]):
                x = upsample(x, "bilinear", size)
            x = normalise(F.relu(x))
        return finish(self.head(widened(x[:, :, :height, :width])), self.settings.head)


@settings
class DeepDecoder(Architecture):
    """Settings of the Deep Decoder; the defaults are those of the authors' code for denoising 512 x 512 pictures.

    The input is uniform noise in [0, 0.1), drawn once, with as many channels as each layer has. The authors fit with
    Adam at a rate of 0.01: 1900 iterations against noise of 30/255. With 3 output channels there are 100 224 weights,
    and 25 536 with 64 channels. For inpainting the authors use 256 channels, a rate of 0.0025 and 40 000 iterations.

    Source: Heckel and Hand, "Deep Decoder: Concise Image Representations from Untrained Non-convolutional Networks",
    ICLR 2019, and the authors' code.

    >>> network = DeepDecoder().build(3, torch.Generator().manual_seed(0))
    >>> sum(parameter.numel() for parameter in network.parameters())
    100224
    """

    module: ClassVar[Any] = DeepDecoderNetwork

    kind: Literal["deep-decoder"] = "deep-decoder"
    input_channels: int = Field(default=128, ge=1, description="channels of the random input")
    channels: int = Field(default=128, ge=1, description="channels of each layer")
    scales: int = Field(default=5, ge=0, description="how many layers double the size; one more layer follows")
    head: Head = Field(default="sigmoid", description="sigmoid keeps the output in [0, 1], none leaves it free")


def _doublings(side: int, most: int) -> int:
    """How often an axis is doubled: as often as asked for, but from at least 4 samples."""
    times = most
    while times and math.ceil(side / 2**times) < _SMALLEST:
        times -= 1
    return times


class BiaslessConvolution(nn.Module):
    """A convolution without a bias that pads with zeros and keeps the size.

    Weights start uniform in ±1/sqrt(fan_in), as torch's own. They are float32 and rounded to the input's type.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the kernel, odd.
        generator: source of the initial weights.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels * kernel_size**2)
        weight = torch.empty(out_channels, in_channels, kernel_size, kernel_size, dtype=torch.float32)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        weight = self.weight.to(x.dtype)
        if x.is_cuda and x.dtype == torch.float32 and weight.shape[-1] == 1:
            # torch rounds what goes into a float32 convolution to ten bits on CUDA, but not what goes into a product.
            return F.linear(x.movedim(1, -1), weight.flatten(1)).movedim(-1, 1)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
