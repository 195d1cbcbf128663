"""The layers of the encoder-decoder.

Two rules hold for all of them. The type of the input is the type of the arithmetic: weights are kept in float32
and rounded on the way in, so that a bfloat16 input gives a bfloat16 step with float32 weights, and nothing else has
to be said. And tensors are (N, C, H, W), or (N, C, D, H, W) for volumes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Activation", "BatchNormalisation", "Convolution", "Downsampling", "Padding", "Upsampling"]

Padding = Literal["reflection", "replicate", "zero"]
Downsampling = Literal["stride", "average", "max", "lanczos2", "lanczos3"]
Upsampling = Literal["nearest", "bilinear", "bicubic"]
ActivationName = Literal["leaky_relu", "relu", "elu", "swish", "none"]

_TORCH_PADDING = {"reflection": "reflect", "replicate": "replicate"}
_CONVOLUTIONS = {2: F.conv2d, 3: F.conv3d}
_SHORT = 8
"""An axis of a volume that has fewer slices is not halved: four at least are left of one that is."""


def strides(size: Sequence[int]) -> tuple[int, ...]:
    """How far apart what is left lies, axis by axis, where a picture of this size is halved: 2, or 1 to keep an axis.

    A picture, (H, W), is halved both ways. Of a volume, (D, H, W), only axes that are long enough are: it may have one
    slice or eight, and to widen it to a multiple of what the scales need would be work for slices that do not exist.
    """
    return tuple(2 if len(size) == 2 or side >= _SHORT else 1 for side in size)


class Convolution(nn.Module):
    """A convolution that keeps the size (or halves it, see `strides`), with the boundary rule of choice.

    Weights and bias start uniform in ±1/sqrt(fan_in), torch's own rule, drawn from ``generator``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        padding: Padding = "reflection",
        downsampling: Downsampling | None = None,
        dimensions: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels * kernel_size**dimensions)
        weight = torch.empty(out_channels, in_channels, *[kernel_size] * dimensions)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound, generator=generator))
        self.margin = kernel_size // 2
        self.padding: Padding = padding
        self.strided = downsampling == "stride"
        self.shrink = Downsample(downsampling) if downsampling not in (None, "stride") else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_channels, H, W), or half of H and W where it downsamples."""
        margin = self.margin
        stride = strides(x.shape[2:]) if self.strided else 1
        if margin and self.padding != "zero":
            x = F.pad(x, (margin,) * (2 * (x.ndim - 2)), mode=_TORCH_PADDING[self.padding])
            margin = 0
        x = _CONVOLUTIONS[x.ndim - 2](x, self.weight.to(x.dtype), self.bias.to(x.dtype), stride, margin)
        return x if self.shrink is None else self.shrink(x)


class Downsample(nn.Module):
    """Halves the size after a convolution, see `strides`: by mean, by maximum, or a picture's by a Lanczos filter."""

    def __init__(self, kind: Downsampling) -> None:
        super().__init__()
        self.kind = kind
        if kind in ("lanczos2", "lanczos3"):
            lobes = int(kind[-1])
            # Twice as wide as the function itself, centred between two pixels: it filters for half the rate.
            offsets = (torch.arange(4 * lobes) - (2 * lobes - 0.5)) / 2
            taps = torch.sinc(offsets) * torch.sinc(offsets / lobes)
            self.register_buffer("taps", taps / taps.sum(), persistent=False)

    taps: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), H and W even, to (N, C, H/2, W/2)."""
        if self.kind in ("average", "max"):
            pools = (F.avg_pool2d, F.avg_pool3d) if self.kind == "average" else (F.max_pool2d, F.max_pool3d)
            return pools[x.ndim - 4](x, strides(x.shape[2:]))
        channels, taps = x.shape[1], self.taps.to(x.dtype)
        margin = len(taps) // 2 - 1
        x = F.pad(x, (margin,) * 4, mode="replicate")
        x = F.conv2d(x, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(2, 1), groups=channels)
        return F.conv2d(x, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, 2), groups=channels)


class BatchNormalisation(nn.Module):
    """Normalises each channel by its own mean and variance over the picture at hand.

    The network is only ever evaluated on the one picture that it is fitted to, so there are no running statistics
    to keep, and none to go stale. Statistics and weights are float32 whatever the input is.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True)


class Activation(nn.Module):
    """The nonlinearity between layers; ``negative_slope`` belongs to the leaky ReLU."""

    def __init__(self, name: ActivationName = "leaky_relu", negative_slope: float = 0.2) -> None:
        super().__init__()
        self.name = name
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        match self.name:
            case "leaky_relu":
                return F.leaky_relu(x, self.negative_slope)
            case "relu":
                return F.relu(x)
            case "elu":
                return F.elu(x)
            case "swish":
                return F.silu(x)
            case "none":
                return x


def upsample(x: Tensor, kind: Upsampling, size: Sequence[int] | None = None) -> Tensor:
    """Enlarge (N, C, H, W) by interpolation, pixel centres aligned as in a picture viewer.

    Args:
        x: what is enlarged.
        kind: how; "bilinear" is linear along every axis, of a volume too.
        size: of the result; twice that of ``x`` if None.
    """
    size = [2 * side for side in x.shape[2:]] if size is None else list(size)
    if kind == "nearest":
        return F.interpolate(x, size, mode="nearest")
    return F.interpolate(x, size, mode="trilinear" if x.ndim == 5 else kind, align_corners=False)
