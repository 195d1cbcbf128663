"""The layers of the encoder-decoder.

Two rules hold for all of them. The type of the input is the type of the arithmetic: weights are kept in float32
and rounded on the way in, so that a bfloat16 input gives a bfloat16 step with float32 weights, and nothing else has
to be said. And tensors are (N, C, H, W), or (N, C, D, H, W) for volumes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

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

    Weights and bias start uniform in ±1/sqrt(fan_in), torch's own rule, drawn from ``generator``. ``normalised`` says
    that a normalisation follows, which takes away what a bias adds.
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
        normalised: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels * kernel_size**dimensions)
        weight = torch.empty(out_channels, in_channels, *[kernel_size] * dimensions)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound, generator=generator))
        self.normalised = normalised
        self.margin = kernel_size // 2
        self.padding: Padding = padding
        self.strided = downsampling == "stride"
        self.shrink = Downsample(downsampling) if downsampling not in (None, "stride") else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_channels, H, W), or half of H and W where it downsamples."""
        margin = self.margin
        stride = strides(x.shape[2:]) if self.strided else 1
        if margin and self.padding == "reflection" and x.is_cuda:
            x, margin = _Reflection.apply(x, margin), 0  # type: ignore[no-untyped-call]
        elif margin and self.padding != "zero":
            x = F.pad(x, (margin,) * (2 * (x.ndim - 2)), mode=_TORCH_PADDING[self.padding])
            margin = 0
        # The compiled kernels leave out a bias that does nothing; on CUDA it is left out here.
        bias = None if self.normalised and x.is_cuda else self.bias.to(x.dtype)
        weight = self.weight.to(x.dtype)
        if x.is_cuda and x.dtype == torch.float32 and not self.margin and not self.strided:
            # One pixel at a time, as a product: torch rounds what goes into a convolution in float32 to ten bits there.
            x = F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
        else:
            x = _CONVOLUTIONS[x.ndim - 2](x, weight, bias, stride, margin)
        return x if self.shrink is None else self.shrink(x)


class _Reflection(torch.autograd.Function):
    """Padding by what lies inside of the edge, as torch's "reflect", for CUDA.

    torch's own there turns the memory layout round, to and fro, and adds up its gradient in an order that changes from
    run to run.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, margin: int) -> Tensor:
        """(N, C, H, W) to (N, C, H + 2 margin, W + 2 margin), in the same memory layout; a volume alike."""
        axes, layout = range(2, x.ndim), torch.channels_last if x.ndim == 4 else torch.contiguous_format
        size = [*x.shape[:2], *(side + 2 * margin for side in x.shape[2:])]
        padded = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=layout)
        inside = padded
        for axis in axes:
            inside = inside.narrow(axis, margin, x.shape[axis])
        inside.copy_(x)
        for axis in axes:
            for outside, source in _reflected(margin, x.shape[axis]):
                padded.narrow(axis, outside, 1).copy_(padded.narrow(axis, source, 1))
        ctx.margin = margin
        return padded

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """What every value has gone into."""
        return _folded(gradient, range(2, gradient.ndim), ctx.margin), None


def _reflected(margin: int, side: int) -> list[tuple[int, int]]:
    """Places outside of a line of ``side`` places with a margin at both ends, and the places that they repeat."""
    last = margin + side - 1
    return [
        pair for step in range(1, margin + 1) for pair in ((margin - step, margin + step), (last + step, last - step))
    ]


def _folded(gradient: Tensor, axes: Sequence[int], margin: int) -> Tensor:
    """The gradient of what was padded along these axes, from that of the padded."""
    if not axes:
        return gradient.clone(memory_format=torch.preserve_format)
    axis, rest = axes[0], axes[1:]
    side = gradient.shape[axis] - 2 * margin
    inside = _folded(gradient.narrow(axis, margin, side), rest, margin)
    for outside, source in _reflected(margin, side):
        inside.narrow(axis, source - margin, 1).add_(_folded(gradient.narrow(axis, outside, 1), rest, margin))
    return inside


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
