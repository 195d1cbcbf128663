"""Tables of a 3x3 convolution over an upsampled line, for the compiled kernels."""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from untaught.priors.blocks import Padding, Upsampling
from untaught.priors.interpolation import PHASES, upsampled_line

__all__ = ["Interpolation", "interpolation"]


@dataclass(frozen=True)
class Interpolation:
    """Tables for a line of n pixels that becomes 2 n; U is the interpolation as a matrix (2 n, n).

    Attributes:
        forward: the sources of each upsampled pixel under the three taps: where its entries start (2 n + 1), and for
            each entry its source pixel, tap and weight.
        adjoint: the targets of each pixel: where its entries start (n + 1), and for each entry its upsampled pixel and
            the weights of the three taps.
        reach: number of pixels on either side that U^T U couples.
        gram: (n, 2 reach + 1): U^T U along its diagonals.
        weight: (n,): U^T 1, the sum of each pixel's weights.
    """

    forward: tuple[Tensor, Tensor, Tensor, Tensor]
    adjoint: tuple[Tensor, Tensor, Tensor]
    reach: int
    gram: Tensor
    weight: Tensor


@functools.lru_cache(maxsize=64)
def interpolation(length: int, kind: Upsampling, padding: Padding) -> Interpolation:
    """Compute the tables for a line of ``length`` pixels, 2 or more."""
    integers = functools.partial(torch.tensor, dtype=torch.int32)
    floats = functools.partial(torch.tensor, dtype=torch.float32)
    reach = max(max(phase) - min(phase) for phase in PHASES[kind])
    gram = torch.zeros(length, 2 * reach + 1, dtype=torch.float32)
    weight = torch.zeros(length, dtype=torch.float32)
    upsampled = upsampled_line(length, kind)
    for sources in upsampled:
        for one, share in sources.items():
            weight[one] += share
            for other, second in sources.items():
                gram[one, other - one + reach] += share * second

    starts, lines, taps, weights = [0], [], [], []
    targets: list[dict[int, list[float]]] = [defaultdict(lambda: [0.0] * 3) for _ in range(length)]
    for pixel in range(2 * length):
        for tap in range(3):
            seen = _padded(pixel + tap - 1, 2 * length, padding)
            for line, share in upsampled[seen].items() if seen is not None else ():
                lines.append(line)
                taps.append(tap)
                weights.append(share)
                targets[line][pixel][tap] += share
        starts.append(len(lines))
    adjoint_starts, pixels, triples = [0], [], []
    for own in targets:
        pixels += list(own)
        triples += list(own.values())
        adjoint_starts.append(len(pixels))
    return Interpolation(
        (integers(starts), integers(lines), integers(taps), floats(weights)),
        (integers(adjoint_starts), integers(pixels), floats(triples)),
        reach,
        gram,
        weight,
    )


def _padded(pixel: int, length: int, padding: Padding) -> int | None:
    """The pixel that is read at an index from -1 to length; None for a zero."""
    if 0 <= pixel < length:
        return pixel
    if padding == "zero":
        return None
    if padding == "replicate":
        return min(max(pixel, 0), length - 1)
    return 1 if pixel < 0 else length - 2
