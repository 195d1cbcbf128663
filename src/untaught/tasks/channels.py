"""Denoising of pictures whose channels differ in range and in noise: each gets its own, and weighs by its noise."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.imaging.arrays import Layout

__all__ = ["Channels", "by_channels", "channels_of_their_own"]

_APART = 2.0
"""Channels are alike while the strongest noise is no more than so many times the weakest ..."""

_WIDER = 4.0
"""... and the widest range of values no more than so many times the narrowest."""

_RARE = 0.005
"""Share of the values at each end that does not count as a channel's range, when ranges are compared."""

_SAMPLES = 1 << 18
_MARGIN = 0.05
_LEAST = 1e-4


@dataclass(frozen=True)
class Channels:
    """What differs from channel to channel, each (1, C, 1, 1).

    Attributes:
        low: the smallest value.
        span: from there to the largest.
        noise: standard deviation of the noise.
    """

    low: Tensor
    span: Tensor
    noise: Tensor


def channels_of_their_own(picture: Tensor, told: bool) -> Channels | None:
    """The range and the noise of each channel where they differ much; None where they do not.

    Args:
        picture: (N, C, H, W), finite, in [0, 1].
        told: whether the user says how strong the noise is, so that it is the same in all channels.
    """
    import numpy as np
    import torch

    from untaught.imaging.noise import estimate_noise

    count = picture.shape[1]
    if picture.ndim != 4 or count == 1:
        return None
    planes = picture.transpose(0, 1).double()
    # Of a large picture some values are enough.
    some = planes.flatten(1)[:, :: planes[0].numel() // _SAMPLES | 1]
    ends = np.quantile(some.numpy(), (_RARE, 1 - _RARE), axis=1)
    spans = ends[1] - ends[0]
    noise = np.array([np.mean([estimate_noise(one.numpy()) for one in plane]) for plane in planes])
    if min(spans) <= 0 or min(noise) < _LEAST * min(1.0, *spans):
        # A channel that is flat, or free of noise, has nothing of its own.
        return None
    same = max(spans) <= _WIDER * min(spans) and (told or max(noise) <= _APART * min(noise))
    if same:
        return None
    low, high = planes.amin((1, 2, 3)), planes.amax((1, 2, 3))
    span = (high - low) * (1 + 2 * _MARGIN)
    return Channels(*(one.view(1, -1, 1, 1) for one in (low - _MARGIN * (high - low), span, torch.from_numpy(noise))))


def by_channels(
    picture: Tensor, finite: Tensor, layout: Layout, channels: Channels, noise: float | None = None
) -> Problem:
    """Make a problem in which every channel goes from 0 to 1 and weighs the more the less noise it has.

    Args:
        picture: (N, C, H, W), finite.
        finite: the same shape, bool: which values were not filled in.
        layout: of the given picture.
        channels: their ranges and noise.
        noise: what the user says of the noise; None for each channel's own.
    """
    import torch

    from untaught.fitting.losses import ChannelSquaredError
    from untaught.fitting.problem import Problem

    low, span = channels.low, channels.span
    deviation = channels.noise if noise is None else torch.full_like(channels.noise, noise)
    observed = ((picture.double() - low) / span).float()
    own = (deviation / span).float()
    precision = 1 / own.square()
    scale = layout.high - layout.low
    return Problem(
        observed=observed,
        known=finite,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        noise=float(own.square().mean().sqrt()),
        channel_noise=own,
        objective=functools.partial(ChannelSquaredError, precision / precision.mean()),
        final_step=functools.partial(_polish, noisy=observed, noise=own, doubted=noise is None),
        instead=functools.partial(_fallback, observed, own, doubted=noise is None),
        display_step=functools.partial(_in_units, low=low, span=span),
        notes=(
            "the channels differ in range or noise, so each has its own: standard deviations of "
            + ", ".join(f"{float(one) * scale:.3g}" for one in deviation.flatten()[:8])
            + (", ..." if deviation.numel() > 8 else ""),
        ),
    )


def _in_units(average: Tensor, *, low: Tensor, span: Tensor) -> Tensor:
    return (average.double() * span.to(average.device) + low.to(average.device)).float()


def _polish(average: Tensor, *, noisy: Tensor, noise: Tensor, doubted: bool) -> Tensor:
    """`untaught.tasks.classical.polished`, channel by channel."""
    import torch

    from untaught.tasks.classical import polished

    parts = zip(torch.split(average, 1, 1), torch.split(noisy, 1, 1), noise.flatten(), strict=True)
    return torch.cat(
        [polished(own, one, float(deviation), one if doubted else None) for own, one, deviation in parts], 1
    )


def _fallback(noisy: Tensor, noise: Tensor, *, doubted: bool) -> Tensor:
    """`untaught.tasks.classical.fallback`, channel by channel."""
    import torch

    from untaught.tasks.classical import fallback

    parts = zip(torch.split(noisy, 1, 1), noise.flatten(), strict=True)
    return torch.cat([fallback(one, float(deviation), one if doubted else None) for one, deviation in parts], 1)
