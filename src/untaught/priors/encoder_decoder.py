"""The encoder-decoder with skip connections (Ulyanov, Vedaldi, Lempitsky, 2018, supplementary figure 21).

One class covers the two published readings of it and their variants. They differ in where a skip branch starts, which
decides at which resolution the decoder is computed::

    skip_tap="input" (the paper's own code)            skip_tap="output" (the reproduction, as printed)

    x ──┬──────────── skip ─────────┐                  x ── down ──┬──── skip ────────┐
        └─ down ─ [deeper] ─ x2 ─ join ─ up ─>             (half)  └─ [deeper] ──── join ─ up ─ x2 ─>

In the second reading the head, a 1x1 convolution, follows an interpolation. The two commute, because the weights of an
interpolation sum to one, so the head is applied before the last x2: the same result, and no tensor of many channels at
full resolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from untaught.errors import SettingError
from untaught.priors.blocks import (
    Activation,
    ActivationName,
    BatchNormalisation,
    Convolution,
    Downsampling,
    Padding,
    Upsampling,
    sigmoid,
    strides,
)
from untaught.priors.interpolation import upsample
from untaught.settings import settings

__all__ = ["PRESETS", "EncoderDecoder", "NetworkSettings"]


Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]


@settings
class NetworkSettings:
    """The architecture of an encoder-decoder: everything but its weights and the number of its output channels.

    Settings per scale are tuples from the outermost scale (full resolution) to the innermost. Kernel sizes and
    ``upsampling`` also take a single value for all scales.

    Attributes:
        kind: the tag of this architecture in a record.
        input_channels: channels of the network's input.
        down_channels: channels of the encoder at each scale; the length is the number of scales.
        up_channels: channels of the decoder at each scale.
        skip_channels: channels of each skip branch; 0 for none.
        down_kernel_size: side of the encoder's kernels, odd.
        up_kernel_size: side of the decoder's kernels, odd.
        skip_kernel_size: side of the kernels in the skip branches, odd.
        skip_join: how a skip branch joins the decoder; "add" needs equal numbers of channels.
        skip_tap: whether a skip branch starts at the input or at the output of its down block.
        downsampling: how a down block halves the resolution.
        upsampling: how the decoder doubles it.
        padding: what a convolution sees beyond the edge.
        activation: the nonlinearity.
        negative_slope: slope of the leaky ReLU below zero.
        extra_convolution: a second, 1x1 convolution in each up block.
        head: "sigmoid" limits the output to [0, 1], "none" does not.
        head_gain: the head's initial weights are multiplied by this. Small, the first output of a network without a
            sigmoid is nearly zero, so that a fit with a first guess begins at that guess.
        dimensions: 2 for pictures, 3 for volumes. Volumes have neither "bicubic" upsampling nor Lanczos downsampling.
    """

    kind: Literal["encoder-decoder"] = "encoder-decoder"
    input_channels: Positive = 32
    down_channels: Annotated[tuple[Positive, ...], Field(min_length=1)] = (128,) * 5
    up_channels: tuple[Positive, ...] = (128,) * 5
    skip_channels: tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...] = (4,) * 5
    down_kernel_size: Positive | tuple[Positive, ...] = 3
    up_kernel_size: Positive | tuple[Positive, ...] = 3
    skip_kernel_size: Positive | tuple[Positive, ...] = 1
    skip_join: Literal["concatenate", "add"] = "concatenate"
    skip_tap: Literal["input", "output"] = "input"
    downsampling: Downsampling = "stride"
    upsampling: Upsampling | tuple[Upsampling, ...] = "bilinear"
    padding: Padding = "reflection"
    activation: ActivationName = "leaky_relu"
    negative_slope: float = 0.2
    extra_convolution: bool = True
    head: Literal["sigmoid", "none"] = "sigmoid"
    head_gain: Annotated[float, Field(gt=0)] = 1.0
    dimensions: Literal[2, 3] = 2

    def __post_init__(self) -> None:
        if not len(self.down_channels) == len(self.up_channels) == len(self.skip_channels):
            raise SettingError(
                "down_channels, up_channels and skip_channels need one entry per scale: found "
                f"{len(self.down_channels)}, {len(self.up_channels)} and {len(self.skip_channels)}"
            )
        for name in ("down_kernel_size", "up_kernel_size", "skip_kernel_size"):
            if any(size % 2 == 0 for size in self.per_scale(name)):
                raise SettingError(f"{name} must be odd: found {getattr(self, name)}")
        kinds = self.per_scale("upsampling")
        if self.dimensions == 3 and ("bicubic" in kinds or self.downsampling.startswith("lanczos")):
            raise SettingError(
                "volumes have nearest or bilinear upsampling, and downsampling by stride, average or max: found "
                f"{self.upsampling!r} and {self.downsampling!r}"
            )
        if self.skip_join == "add":
            for scale, (skip, below) in enumerate(zip(self.skip_channels, self.channels_from_below(), strict=True)):
                if skip and below and skip != below:
                    raise SettingError(
                        f"skip_join='add' needs equal widths: at scale {scale} the skip branch has {skip} channels and "
                        f"what comes up from below has {below}; make them equal or use skip_join='concatenate'"
                    )

    def build(self, output_channels: int, generator: torch.Generator | None = None) -> nn.Module:
        """Make the network, with initial weights from the generator."""
        return EncoderDecoder(self, output_channels, generator)

    @property
    def scales(self) -> int:
        """Number of scales: how many times the resolution is halved."""
        return len(self.down_channels)

    def per_scale(self, name: str) -> tuple[Any, ...]:
        """Return a setting as one value for each scale."""
        value = getattr(self, name)
        values = tuple(value) if isinstance(value, tuple | list) else (value,) * self.scales
        if len(values) != self.scales:
            raise SettingError(
                f"{name} needs one value, or one for each of the {self.scales} scales: found {len(values)}"
            )
        return values

    def channels_from_below(self) -> tuple[int, ...]:
        """Channels that each scale's decoder gets from the scale below; 0 where it gets none."""
        deepest = self.down_channels[-1]
        if self.skip_tap == "output" and self.skip_channels[-1]:
            deepest = 0  # the innermost up block gets its skip branch only
        return (*self.up_channels[1:], deepest)


PRESETS: Mapping[str, NetworkSettings] = MappingProxyType(
    {
        "paper": NetworkSettings(),
        "printed": NetworkSettings(skip_tap="output", upsampling="bicubic", negative_slope=0.01),
    }
)
"""The two readings of the network: 2 217 831 and 2 070 503 parameters for three output channels."""


class EncoderDecoder(nn.Module):
    """The encoder-decoder with skip connections: (N, input_channels, H, W) to (N, output_channels, H, W), float32.

    Any height and width is possible: the input is padded to what the scales need, and the output is cropped. With
    ``settings.dimensions`` of 3 it maps volumes, (N, C, D, H, W), of any depth.

    Args:
        settings: the architecture.
        output_channels: channels of the picture.
        generator: source of the initial weights; torch's global one if None.
    """

    def __init__(
        self, settings: NetworkSettings, output_channels: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if output_channels < 1:
            raise SettingError(f"a picture needs at least one channel: found {output_channels}")
        self.settings = settings
        self.scales = nn.ModuleList(_Scale(settings, index, generator) for index in range(settings.scales))
        self.head = Convolution(
            settings.up_channels[0], output_channels, dimensions=settings.dimensions, generator=generator
        )
        if settings.head_gain != 1:
            with torch.no_grad():
                for parameter in self.head.parameters():
                    parameter.mul_(settings.head_gain)
        self.upsampling: tuple[Upsampling, ...] = settings.per_scale("upsampling")

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W), of the arithmetic's type, to (N, output_channels, H, W), float32."""
        padded = self.pad(x)
        # The head is computed in float32: bfloat16 has too few steps for a 16-bit picture.
        return self.finish(self.head(self.features(padded).float()), padded.shape[2:], x.shape[2:])

    def features(self, x: Tensor) -> Tensor:
        """The head's input: at full resolution, or at half of it with skip_tap="output"."""
        from_input = self.settings.skip_tap == "input"
        skipped, sizes = [], []
        scales = cast("list[_Scale]", list(self.scales))
        for scale in scales:
            sizes.append(x.shape[2:])
            below = scale.down(x)
            skipped.append(scale.skip(x if from_input else below) if scale.skip is not None else None)
            x = below
        innermost = len(scales) - 1
        for index in range(innermost, -1, -1):
            scale, skip = scales[index], skipped[index]
            if from_input:
                x = scale.up(self._join(skip, upsample(x, self.upsampling[index], sizes[index])))
            elif index == innermost:
                x = scale.up(x if skip is None else skip)
            else:
                x = scale.up(self._join(skip, upsample(x, self.upsampling[index + 1], sizes[index + 1])))
        return x

    def _join(self, skip: Tensor | None, x: Tensor) -> Tensor:
        if skip is None:
            return x
        return skip + x if self.settings.skip_join == "add" else torch.cat((skip, x), dim=1)

    def finish(self, x: Tensor, padded: Sequence[int], size: Sequence[int]) -> Tensor:
        """Turn the head's result into the picture.

        Args:
            x: the head's result, (N, output_channels, h, w), float32.
            padded: height and width of the padded input (`pad`).
            size: height and width of the picture.
        """
        if self.settings.skip_tap == "output":
            x = upsample(x, self.upsampling[0], padded)
        for axis, side in enumerate(size, start=2):
            x = x.narrow(axis, 0, side)
        return sigmoid(x) if self.settings.head == "sigmoid" else x

    def pad(self, x: Tensor) -> Tensor:
        """Repeat the edge until every scale can halve the size and the innermost has room for its own padding."""
        settings = self.settings
        largest = max(*settings.per_scale("down_kernel_size"), *settings.per_scale("up_kernel_size"))
        least = max(2, largest // 2 + 1)
        # Length of each axis at the current scale, and by how much it has been divided.
        left, units = list(x.shape[2:]), [1] * settings.dimensions
        for _ in range(settings.scales):
            steps = strides(left)
            left = [-(-side // step) for side, step in zip(left, steps, strict=True)]
            units = [unit * step for unit, step in zip(units, steps, strict=True)]
        missing = [
            max(inside, least) * unit - side for inside, unit, side in zip(left, units, x.shape[2:], strict=True)
        ]
        if not any(missing):
            return x
        return F.pad(x, [margin for more in reversed(missing) for margin in (0, more)], mode="replicate")


class _Scale(nn.Module):
    """One scale: its down block, its skip branch (or None) and its up block."""

    def __init__(self, settings: NetworkSettings, index: int, generator: torch.Generator | None) -> None:
        super().__init__()
        down, up, skip = settings.down_channels[index], settings.up_channels[index], settings.skip_channels[index]
        down_kernel, up_kernel, skip_kernel = (
            settings.per_scale(name)[index] for name in ("down_kernel_size", "up_kernel_size", "skip_kernel_size")
        )
        channels_in = settings.down_channels[index - 1] if index else settings.input_channels
        from_below = settings.channels_from_below()[index]
        joined = max(skip, from_below) if settings.skip_join == "add" else skip + from_below

        def convolution(
            channels_in: int, channels: int, size: int, step: Downsampling | None = None
        ) -> list[nn.Module]:
            return [
                Convolution(
                    channels_in,
                    channels,
                    size,
                    padding=settings.padding,
                    downsampling=step,
                    dimensions=settings.dimensions,
                    normalised=True,
                    generator=generator,
                ),
                BatchNormalisation(channels),
                Activation(settings.activation, settings.negative_slope),
            ]

        self.down = nn.Sequential(
            *convolution(channels_in, down, down_kernel, settings.downsampling),
            *convolution(down, down, down_kernel),
        )
        tapped = channels_in if settings.skip_tap == "input" else down
        self.skip = nn.Sequential(*convolution(tapped, skip, skip_kernel)) if skip else None
        self.up = nn.Sequential(
            BatchNormalisation(joined),
            *convolution(joined, up, up_kernel),
            *(convolution(up, up, 1) if settings.extra_convolution else ()),
        )
