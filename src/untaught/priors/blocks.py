"""The layers of the encoder-decoder.

Weights are float32, and a layer computes in the type of its input: a bfloat16 input gives bfloat16 arithmetic with
float32 weights. Tensors are (N, C, H, W), or (N, C, D, H, W) for volumes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Activation", "BatchNormalisation", "Convolution", "Downsampling", "Padding", "Upsampling", "sigmoid"]

Padding = Literal["reflection", "replicate", "zero"]
Downsampling = Literal["stride", "average", "max", "lanczos2", "lanczos3"]
Upsampling = Literal["nearest", "bilinear", "bicubic"]
ActivationName = Literal["leaky_relu", "relu", "elu", "swish", "none"]

_TORCH_PADDING = {"reflection": "reflect", "replicate": "replicate"}
_CONVOLUTIONS = {2: F.conv2d, 3: F.conv3d}
_SHORT = 8
"""Axes of a volume with fewer slices are not halved, so that at least four slices are left."""


def strides(size: Sequence[int]) -> tuple[int, ...]:
    """Strides of a layer that halves a picture or volume: 2 for each axis, or 1 for an axis that is kept.

    A picture, (H, W), is halved along both axes. A volume, (D, H, W), is halved only along axes that are long enough: a
    short one would have to be padded with slices that do not exist.

    >>> strides((3, 64, 64))
    (1, 2, 2)
    """
    return tuple(2 if len(size) == 2 or side >= _SHORT else 1 for side in size)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), any shape, with the same bits for any number of threads.

    Torch's own rounds the last few values of each thread's piece differently; its tanh does not.
    """
    return (torch.tanh(x / 2) + 1) / 2


class Convolution(nn.Module):
    """A convolution that keeps the size, or halves it (`strides`).

    Weights and bias start uniform in ±1/sqrt(fan_in), as in torch's own layers.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the kernel, odd.
        padding: what the convolution sees beyond the edge.
        downsampling: how it halves the size; it keeps the size if None.
        dimensions: 2 for pictures, 3 for volumes.
        normalised: whether a normalisation follows, which removes the effect of a bias.
        generator: source of the initial weights; torch's global one if None.
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
        weight = torch.empty(out_channels, in_channels, *[kernel_size] * dimensions, dtype=torch.float32)
        bias = torch.empty(out_channels, dtype=torch.float32)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(bias.uniform_(-bound, bound, generator=generator))
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
        # A bias before a normalisation has no effect. The compiled kernels leave it out; on CUDA it is left out here.
        bias = None if self.normalised and x.is_cuda else self.bias.to(x.dtype)
        weight = self.weight.to(x.dtype)
        if x.is_cuda and x.dtype == torch.float32 and not self.margin and not self.strided:
            # As a matrix product, because CUDA rounds the inputs of a float32 convolution to ten bits (TF32).
            x = F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
        else:
            x = _CONVOLUTIONS[x.ndim - 2](x, weight, bias, stride, margin)
        return x if self.shrink is None else self.shrink(x)


class _Reflection(torch.autograd.Function):
    """Reflection padding for CUDA, with the values of torch's "reflect".

    Torch's own changes the memory layout twice there, and its gradient is not deterministic.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, margin: int) -> Tensor:
        """(N, C, H, W) to (N, C, H + 2 margin, W + 2 margin), channels last; volumes contiguous."""
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
        """Sum the gradients of each value's copies."""
        return _folded(gradient, range(2, gradient.ndim), ctx.margin), None


def _reflected(margin: int, side: int) -> list[tuple[int, int]]:
    """Pairs of an index in the margins of a padded line of ``side`` pixels and the index whose value it repeats."""
    last = margin + side - 1
    return [
        pair for step in range(1, margin + 1) for pair in ((margin - step, margin + step), (last + step, last - step))
    ]


def _folded(gradient: Tensor, axes: Sequence[int], margin: int) -> Tensor:
    """Fold the gradient of a padded tensor back along these axes."""
    if not axes:
        return gradient.clone(memory_format=torch.preserve_format)
    axis, rest = axes[0], axes[1:]
    side = gradient.shape[axis] - 2 * margin
    inside = _folded(gradient.narrow(axis, margin, side), rest, margin)
    for outside, source in _reflected(margin, side):
        inside.narrow(axis, source - margin, 1).add_(_folded(gradient.narrow(axis, outside, 1), rest, margin))
    return inside


class Downsample(nn.Module):
    """Halves the size after a convolution (`strides`): by mean, by maximum, or by a Lanczos filter (pictures only)."""

    def __init__(self, kind: Downsampling) -> None:
        super().__init__()
        self.kind = kind
        if kind in ("lanczos2", "lanczos3"):
            lobes = int(kind[-1])
            # The window is twice as wide as the function, because half the rate is left, and centred between pixels.
            offsets = (torch.arange(4 * lobes, dtype=torch.float32) - (2 * lobes - 0.5)) / 2
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
    """Normalises each channel by its mean and variance over the picture.

    The network is only evaluated on the picture that it is fitted to, so there are no running statistics. Statistics
    and weights are float32 for any type of input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True)


class Activation(nn.Module):
    """The nonlinearity between layers; ``negative_slope`` is that of the leaky ReLU."""

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
