"""A plain U-Net (Ronneberger et al., 2015), as it is used as an untrained prior.

It is the U-Net that the authors of the deep image prior compare with (Ulyanov, Vedaldi and Lempitsky, 2018): padded
3x3 convolutions that keep the size, batch normalisation on the way down only, an interpolation and a convolution in
place of the transposed convolution, and a quarter of the original widths. Skip connections carry all channels and are
concatenated, which is what tells it from the encoder-decoder with its thin skips.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from untaught.priors.architecture import Architecture, Head, finish, widened
from untaught.priors.blocks import Activation, BatchNormalisation, Convolution, Padding, Upsampling
from untaught.priors.interpolation import upsample
from untaught.settings import settings

__all__ = ["UNet", "UNetNetwork"]


class UNetNetwork(nn.Module):
    """The U-Net: (N, input_channels, H, W) to (N, output_channels, H, W), float32.

    The input is widened to a multiple of what the scales need by repeating its edge, and the output is cut back.

    Args:
        settings: the architecture.
        output_channels: channels of the picture.
        generator: source of the initial weights.
    """

    def __init__(self, settings: UNet, output_channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.settings = settings

        def convolution(before: int, after: int, *, normalised: bool) -> list[nn.Module]:
            return [
                Convolution(before, after, 3, padding=settings.padding, normalised=normalised, generator=generator),
                *([BatchNormalisation(after)] if normalised else []),
                Activation("relu"),
            ]

        def pair(before: int, after: int, *, normalised: bool) -> nn.Sequential:
            return nn.Sequential(
                *convolution(before, after, normalised=normalised), *convolution(after, after, normalised=normalised)
            )

        widths = settings.channels
        before = (settings.input_channels, *widths)
        self.down = nn.ModuleList(pair(*both, normalised=True) for both in zip(before, widths, strict=False))
        self.narrow = nn.ModuleList(
            Convolution(below, width, 3, padding=settings.padding, generator=generator)
            for width, below in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(pair(2 * width, width, normalised=settings.normalise_up) for width in widths[:-1])
        self.head = Convolution(widths[0], output_channels, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W), float32 or bfloat16, to (N, output_channels, H, W), float32."""
        height, width = x.shape[-2:]
        x = self._widen(x)
        skipped = []
        for index, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if index else x)
            skipped.append(x)
        for skip, narrow, up in reversed(list(zip(skipped, self.narrow, self.up, strict=False))):
            x = up(torch.cat((narrow(upsample(x, self.settings.upsampling)), skip), dim=1))
        return finish(self.head(widened(x[:, :, :height, :width])), self.settings.head)

    def _widen(self, x: Tensor) -> Tensor:
        # The innermost scale has at least two pixels each way, for its padding and its normalisation.
        unit = 2 ** (len(self.settings.channels) - 1)
        margins = [unit * max(2, -(-side // unit)) - side for side in x.shape[-2:]]
        return F.pad(x, (0, margins[1], 0, margins[0]), mode="replicate") if any(margins) else x


@settings
class UNet(Architecture):
    """Settings of the U-Net; the defaults are those of the general constructor of the deep image prior's authors.

    The input is uniform noise in [0, 0.1). For the comparison of architectures on a large hole (figure 8 of the paper)
    the authors halve the widths, add a sixth scale of 128 channels, use a transposed convolution, zero padding and
    instance normalisation, one input channel, and 3000 iterations of Adam at a rate of 0.001.

    Source: Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015;
    Ulyanov, Vedaldi and Lempitsky, "Deep Image Prior", 2018, and the authors' code.
    """

    module: ClassVar[Any] = UNetNetwork

    kind: Literal["u-net"] = "u-net"
    input_channels: int = Field(default=32, ge=1, description="channels of the network's input")
    channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 128, 256), min_length=1, description="channels of each scale, from full resolution inwards"
    )
    upsampling: Upsampling = Field(default="bilinear", description="how the way up doubles the size")
    padding: Padding = Field(default="reflection", description="what a convolution sees beyond the picture's edge")
    normalise_up: bool = Field(default=False, description="batch normalisation on the way up too")
    head: Head = Field(default="sigmoid", description="sigmoid keeps the output in [0, 1], none leaves it free")

    def __post_init__(self) -> None:
        if min(self.channels) < 1:
            raise ValueError(f"channels are whole numbers from 1, one for each scale: found {self.channels}")
