"""Upsampling by two; and for the compiled kernels a 3x3 convolution's taps over an upsampled picture, as tables."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.priors.blocks import Padding, Upsampling

__all__ = ["Interpolation", "interpolation", "upsample"]


def _cubic(t: float) -> dict[int, float]:
    """Weights of the four neighbours of a place t beyond the second (Keys, 1981; a = -0.75 as in torch)."""

    def near(x: float) -> float:
        return (1.25 * x - 2.25) * x * x + 1

    def far(x: float) -> float:
        return ((-0.75 * x + 3.75) * x - 6) * x + 3

    return {-1: far(1 + t), 0: near(t), 1: near(1 - t), 2: far(2 - t)}


# For an even and an odd place of the upsampled line: offset to the low line's place, and weight.
_PHASES: dict[Upsampling, tuple[dict[int, float], dict[int, float]]] = {
    "nearest": ({0: 1.0}, {0: 1.0}),
    "bilinear": ({-1: 0.25, 0: 0.75}, {0: 0.75, 1: 0.25}),
    "bicubic": ({offset - 1: weight for offset, weight in _cubic(0.75).items()}, _cubic(0.25)),
}


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
    if x.is_cuda:
        return _by_matrices(x, kind, size)
    return F.interpolate(x, size, mode="trilinear" if x.ndim == 5 else kind, align_corners=False)


def _by_matrices(x: Tensor, kind: Upsampling, size: Sequence[int]) -> Tensor:
    """The same as a matrix product along each axis that is doubled.

    A GPU does that several times faster than torch's kernels interpolate, and its gradient, which is such a product
    too, is the same from run to run.
    """
    # In the order of memory, channels last for a picture.
    axes = [0, 2, 3, 1] if x.ndim == 4 else list(range(x.ndim))
    x = x.permute(axes).contiguous()
    for axis, side in enumerate(size, start=1 if x.ndim == 4 else 2):
        if side != x.shape[axis]:
            before, after = x.shape[:axis], x.shape[axis + 1 :]
            lines = x.reshape(math.prod(before), x.shape[axis], math.prod(after))
            matrix = _matrix(x.shape[axis], kind, x.dtype, x.device)
            if lines.shape[2] == 1:
                x = (lines.squeeze(2) @ matrix.T).view(*before, side, *after)
            else:
                x = torch.bmm(matrix.expand(len(lines), -1, -1), lines).view(*before, side, *after)
    return x.movedim(-1, 1) if x.ndim == 4 else x


@functools.lru_cache(maxsize=256)
def _matrix(length: int, kind: Upsampling, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(2 length, length): from a line to the interpolated one. All its entries are exact in bfloat16."""
    matrix = torch.zeros(2 * length, length)
    for place, made_of in enumerate(_upsampled(length, kind)):
        for line, share in made_of.items():
            matrix[place, line] = share
    return matrix.to(device, dtype)


def _upsampled(length: int, kind: Upsampling) -> list[dict[int, float]]:
    """For each of the 2 length places of an interpolated line the places that it is made of, and their shares."""
    places = []
    for place in range(2 * length):
        made_of: dict[int, float] = defaultdict(float)
        for offset, share in _PHASES[kind][place % 2].items():
            made_of[min(max(place // 2 + offset, 0), length - 1)] += share
        places.append(made_of)
    return places


@dataclass(frozen=True)
class Interpolation:
    """The tables for a line of n places that becomes 2 n.

    Attributes:
        forward: for each upsampled place what it is made of: where its entries start, and their place, tap and weight.
        adjoint: for each place what it went into: where its entries start, and their upsampled place and three weights.
        first: (2 n,) the first place that an upsampled place needs; it does not fall.
        last: (2 n,) the last.
        reach: how far the interpolated squares couple neighbours.
        gram: (n, 2 reach + 1) those squares: U^T U of the interpolation U, along its diagonals.
        weight: (n,) how much of each place there is in the interpolated line: U^T 1.
    """

    forward: tuple[Tensor, Tensor, Tensor, Tensor]
    adjoint: tuple[Tensor, Tensor, Tensor]
    first: list[int]
    last: list[int]
    reach: int
    gram: Tensor
    weight: Tensor


@functools.lru_cache(maxsize=64)
def interpolation(length: int, kind: Upsampling, padding: Padding) -> Interpolation:
    """Tables for a line of ``length`` places."""
    phases = _PHASES[kind]
    reach = max(max(phase) - min(phase) for phase in phases)
    gram, weight = torch.zeros(length, 2 * reach + 1), torch.zeros(length)
    upsampled = _upsampled(length, kind)
    for made_of in upsampled:
        for one, share in made_of.items():
            weight[one] += share
            for other, second in made_of.items():
                gram[one, other - one + reach] += share * second

    starts, lines, taps, weights = [0], [], [], []
    into: list[dict[int, list[float]]] = [defaultdict(lambda: [0.0] * 3) for _ in range(length)]
    first, last = [], []
    for place in range(2 * length):
        for tap in range(3):
            seen = _source(place + tap - 1, 2 * length, padding)
            for line, share in upsampled[seen].items() if seen is not None else ():
                lines.append(line)
                taps.append(tap)
                weights.append(share)
                into[line][place][tap] += share
        first.append(min(lines[starts[-1] :]))
        last.append(max(lines[starts[-1] :]))
        starts.append(len(lines))
    adjoint_starts, places, triples = [0], [], []
    for went in into:
        places += list(went)
        triples += list(went.values())
        adjoint_starts.append(len(places))
    integers = functools.partial(torch.tensor, dtype=torch.int32)
    return Interpolation(
        (integers(starts), integers(lines), integers(taps), torch.tensor(weights)),
        (integers(adjoint_starts), integers(places), torch.tensor(triples)),
        first,
        last,
        reach,
        gram,
        weight,
    )


def _source(place: int, length: int, padding: Padding) -> int | None:
    if 0 <= place < length:
        return place
    if padding == "zero":
        return None
    if padding == "replicate":
        return min(max(place, 0), length - 1)
    return 1 if place < 0 else length - 2
