"""Classical demosaicing: the colours of a Bayer mosaic by interpolation.

Three interpolations are mixed, channel by channel: of each channel's own values; of the channels' differences, which
are smooth where the channels share their detail; and of the differences to a green that was interpolated along edges.
How much of each is tried on the picture at half its size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from untaught.priors.first_guess import biharmonic

__all__ = ["fill_colours"]

_STEPS, _ROUNDS = 6, 3

_SMALLEST = 16
"""A smaller side tells nothing of edges, in pixels."""

_RIDGE = 0.03
"""Pulls the weights of two interpolations towards equal ones, for pictures in which they hardly differ."""


def fill_colours(observed: Tensor, known: Tensor) -> Tensor:
    """Fill in the colours that a Bayer mosaic has not measured.

    Args:
        observed: (N, 3, H, W), red, green and blue, in [0, 1]; not read where they are unknown.
        known: bool, the same shape; nothing is known of a pixel whose measured value is not valid.

    Returns:
        (N, 3, H, W), the known values as they are.
    """
    values, valid = torch.where(known, observed, 0).cpu(), known.float().cpu()
    own = biharmonic(values, valid, _STEPS)
    if min(known.shape[-2:]) < _SMALLEST:
        return torch.where(known, observed, own.clamp_(0, 1).to(observed.device))
    weights = _pattern(valid)
    made = _interpolations(torch.where(valid > 0, values, own) * weights, weights)
    half = functional.avg_pool2d(sum(made[1:], made[0]) / len(made), 2)
    # The first lines and columns of half the size have the same pattern.
    shown = weights[..., : half.shape[-2], : half.shape[-1]]
    shares = _shares(_interpolations(half * shown, shown), half, shown == 0)
    own = made[0]
    mixed = own + sum((share * (one - own) for share, one in zip(shares, made[1:], strict=True)), torch.zeros_like(own))
    return torch.where(known, observed, mixed.clamp_(0, 1).to(observed.device))


def _pattern(valid: Tensor) -> Tensor:
    """What the sensor has measured, also where it is not valid: the same in every second line and column."""
    pattern = torch.zeros_like(valid)
    for top in (0, 1):
        for left in (0, 1):
            pattern[..., top::2, left::2] = valid[..., top::2, left::2].amax((-2, -1), keepdim=True)
    return pattern


def _interpolations(values: Tensor, weights: Tensor) -> list[Tensor]:
    """The three, each (N, 3, H, W)."""
    own = biharmonic(values, weights, _STEPS)
    return [own, _by_differences(values, weights, own), _along_edges(values, weights)]


def _shares(tried: list[Tensor], truth: Tensor, where: Tensor) -> list[Tensor]:
    """The weights, (N, 3, 1, 1) each, of all but the first that come nearest to the truth, by least squares."""
    own, *others = tried
    steps = torch.stack([torch.where(where, one - own, 0).flatten(2) for one in others], -1).double()
    wanted = torch.where(where, truth - own, 0).flatten(2)[..., None].double()
    products, target = steps.mT @ steps, steps.mT @ wanted
    scale = products.diagonal(dim1=-2, dim2=-1)
    ridge = _RIDGE * torch.diag_embed(scale) + 1e-12 * torch.eye(len(others), dtype=torch.float64)
    found = torch.linalg.solve(products + ridge, target + _RIDGE * scale[..., None] / len(tried)).clamp(0, 1)
    found = (found / found.sum(-2, keepdim=True).clamp_min(1)).float()
    return [found[..., index : index + 1, :] for index in range(len(others))]


def _by_differences(values: Tensor, weights: Tensor, own: Tensor) -> Tensor:
    """Interpolate each channel's difference to the others, in turns (after Gunturk, Altunbasak and Mersereau, 2002)."""
    filled = own.clone()
    for _ in range(_ROUNDS):
        filled[:, 1:2] = _followed(values, weights, 1, filled[:, ::2].mean(1, keepdim=True))
        for channel in (0, 2):
            filled[:, channel : channel + 1] = _followed(values, weights, channel, filled[:, 1:2])
    return filled


def _along_edges(values: Tensor, weights: Tensor) -> Tensor:
    """Interpolate green along edges, and the rest by differences to it (after Menon, Andriani and Calvagno, 2007)."""
    green = _green_along_edges(values, weights)
    filled = _led_by(green, values, weights)
    # Red and blue tell what green is like where they were measured.
    red, blue = (_followed(values, weights, 1, filled[:, channel : channel + 1]) for channel in (0, 2))
    again = torch.where(weights[:, 1:2] > 0, values[:, 1:2], torch.where(weights[:, :1] > 0, red, blue))
    return _led_by((green + again) / 2, values, weights)


def _followed(values: Tensor, weights: Tensor, channel: int, guide: Tensor) -> Tensor:
    """One channel, (N, 1, H, W), as detailed as a guide of that shape."""
    own, known = values[:, channel : channel + 1], weights[:, channel : channel + 1]
    return torch.where(known > 0, own, guide + biharmonic((own - guide) * known, known, _STEPS))


def _led_by(green: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """The picture with that green."""
    red, blue = (_followed(values, weights, channel, green) for channel in (0, 2))
    return torch.cat([red, green, blue], 1)


def _green_along_edges(values: Tensor, weights: Tensor) -> Tensor:
    """Green, (N, 1, H, W): along the line and along the column, mixed by how much its difference changes there."""
    raw, measured = values.sum(1, keepdim=True), weights[:, 1:2] > 0
    lines, unevenness = [], []
    for flipped in (False, True):
        seen, there = (one.mT if flipped else one for one in (raw, measured))
        width = seen.shape[-1]
        padded = functional.pad(seen, (2, 2, 0, 0), mode="reflect")
        left2, left, here, right, right2 = (padded.narrow(-1, start, width) for start in range(5))
        green = torch.where(there, seen, (left + right) / 2 + (2 * here - left2 - right2) / 4)
        difference = torch.where(there, 0, seen - green)
        ahead = functional.pad(difference, (0, 2, 0, 0), mode="reflect").narrow(-1, 2, width)
        # Only red and blue pixels have a difference; those of the other colour are in the lines between.
        around = values.new_tensor(
            [[0, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 3, 0, 3], [0, 0, 0, 1, 0], [0, 0, 1, 0, 1]]
        )
        changes = functional.pad((difference - ahead).abs(), (2, 2, 2, 2), mode="reflect")
        uneven = functional.conv2d(changes, around[None, None]) + 1e-4
        lines.append(green.mT if flipped else green)
        unevenness.append((uneven.mT if flipped else uneven).square())
    across, down = unevenness
    return (lines[0] * down + lines[1] * across) / (across + down)
