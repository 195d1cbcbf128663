"""Upsampling by two: nearest, bilinear and bicubic interpolation."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.priors.blocks import Upsampling

__all__ = ["PHASES", "doubled", "upsample", "upsampled_line"]


def _cubic(t: float) -> dict[int, float]:
    """Weights of the four neighbours of a point that lies t after the second (Keys, 1981; a = -0.75 as in torch)."""

    def near(x: float) -> float:
        return (1.25 * x - 2.25) * x * x + 1

    def far(x: float) -> float:
        return ((-0.75 * x + 3.75) * x - 6) * x + 3

    return {-1: far(1 + t), 0: near(t), 1: near(1 - t), 2: far(2 - t)}


PHASES: dict[Upsampling, tuple[dict[int, float], dict[int, float]]] = {
    "nearest": ({0: 1.0}, {0: 1.0}),
    "bilinear": ({-1: 0.25, 0: 0.75}, {0: 0.75, 1: 0.25}),
    "bicubic": ({offset - 1: weight for offset, weight in _cubic(0.75).items()}, _cubic(0.25)),
}
"""For even and for odd pixels of an upsampled line: the pixels they are interpolated from, as offset and weight."""


_FEW = 4
"""For fewer channels torch's bilinear interpolation rounds differently with another number of threads."""


def upsample(x: Tensor, kind: Upsampling, size: Sequence[int] | None = None) -> Tensor:
    """Enlarge (N, C, H, W) by interpolation; pixels are areas, as with torch's ``align_corners=False``.

    Args:
        x: a picture or volume.
        kind: interpolation; "bilinear" is linear along every axis, also of a volume.
        size: size of the result; twice the size of ``x`` if None.
    """
    size = [2 * side for side in x.shape[2:]] if size is None else list(size)
    if kind == "nearest":
        return F.interpolate(x, size, mode="nearest")
    if x.is_cuda:
        return _by_matrices(x, kind, size)
    if kind == "bilinear" and x.ndim == 4 and x.shape[1] < _FEW and size == [2 * side for side in x.shape[2:]]:
        return doubled(x)
    return F.interpolate(x, size, mode="trilinear" if x.ndim == 5 else kind, align_corners=False)


def doubled(x: Tensor) -> Tensor:
    """Enlarge (N, C, H, W) twofold by bilinear interpolation, with the same bits for any number of threads."""
    for axis, around in ((-2, (0, 0, 1, 1)), (-1, (1, 1, 0, 0))):
        side, near, padded = x.shape[axis], 0.75 * x, F.pad(x, around, mode="replicate")
        lines = [torch.add(near, padded.narrow(axis, start, side), alpha=0.25) for start in (0, 2)]
        x = torch.stack(lines, dim=axis).flatten(axis - 1, axis)
    return x


def _by_matrices(x: Tensor, kind: Upsampling, size: Sequence[int]) -> Tensor:
    """Interpolate by a matrix product along each axis.

    On a GPU this is several times faster than torch's interpolation, and its gradient is deterministic.
    """
    # In the order of memory: channels last for a picture.
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
    """The matrix (2 length, length) that interpolates a line. All entries are exact in bfloat16."""
    matrix = torch.zeros(2 * length, length, dtype=torch.float32)
    for pixel, sources in enumerate(upsampled_line(length, kind)):
        for source, weight in sources.items():
            matrix[pixel, source] = weight
    return matrix.to(device, dtype)


def upsampled_line(length: int, kind: Upsampling) -> list[dict[int, float]]:
    """For each pixel of an upsampled line the pixels it is interpolated from, with their weights.

    >>> upsampled_line(2, "nearest")
    [{0: 1.0}, {0: 1.0}, {1: 1.0}, {1: 1.0}]
    """
    pixels = []
    for pixel in range(2 * length):
        sources: dict[int, float] = defaultdict(float)
        for offset, weight in PHASES[kind][pixel % 2].items():
            sources[min(max(pixel // 2 + offset, 0), length - 1)] += weight
        pixels.append(dict(sources))
    return pixels
