"""Downsampling by any factor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from untaught.errors import InputError, SettingError
from untaught.physics.linear import Example, LinearOperator, Size

__all__ = ["KERNELS", "Downsample"]


def _lanczos2(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 2, torch.sinc(x) * torch.sinc(x / 2), 0)


def _bicubic(x: Tensor) -> Tensor:
    """Keys, 1981, with a = -1/2."""
    x = x.abs()
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def _area(x: Tensor) -> Tensor:
    return (x.abs() <= 0.5).to(x)


def _gaussian(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 2, torch.exp(-2 * x**2), 0)


KERNELS: Mapping[str, tuple[Callable[[Tensor], Tensor], float]] = MappingProxyType(
    {"lanczos2": (_lanczos2, 2.0), "bicubic": (_bicubic, 2.0), "area": (_area, 0.5), "gaussian": (_gaussian, 2.0)}
)
"""Kernels of `Downsample` by name: the function of a distance in pixels of the observation, and its reach in them.

"gaussian" has a standard deviation of half a pixel.
"""


class Downsample(LinearOperator):
    """Reduce a picture by any factor, with an antialiasing kernel. Edges are mirrored.

    Args:
        size: height and width of the picture.
        smaller: height and width of the observation.
        kernel: a key of ``KERNELS``.

    Raises:
        SettingError: for another kernel.
        InputError: if the observation is larger than the picture.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, size: tuple[int, int], smaller: tuple[int, int], kernel: str = "lanczos2") -> None:
        super().__init__()
        if kernel not in KERNELS:
            raise SettingError(f"found a downsampling kernel named {kernel!r}: choose {', '.join(KERNELS)}")
        if not all(0 < few <= many for few, many in zip(smaller, size, strict=True)):
            raise InputError(
                f"a picture of {size} (height, width) cannot be reduced to {smaller}: each side must be at least 1 and "
                "not larger than before"
            )
        self.size = size
        self.smaller = smaller
        self.register_buffer("rows", _resampling(size[0], smaller[0], kernel))
        self.register_buffer("columns", _resampling(size[1], smaller[1], kernel))

    def forward(self, picture: Tensor) -> Tensor:
        """Map ``(N, C, *size)`` to ``(N, C, *smaller)``."""
        self.output_size(tuple(picture.shape[-2:]))
        return self.rows.to(picture) @ picture @ self.columns.to(picture).T

    def adjoint(self, observation: Tensor) -> Tensor:
        """Map ``(N, C, *smaller)`` to ``(N, C, *size)``."""
        return self.rows.to(observation).T @ observation @ self.columns.to(observation)

    def output_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        if tuple(size) != tuple(self.size):
            raise InputError(
                f"found a picture of {tuple(size)} (height, width): this operator reduces pictures of "
                f"{tuple(self.size)}; make one for this size"
            )
        return self.smaller

    def input_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        if tuple(size) != tuple(self.smaller):
            raise InputError(
                f"found an observation of {tuple(size)} (height, width): this operator reduces pictures to "
                f"{tuple(self.smaller)}; make one for this size"
            )
        return self.size

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        smaller = {"lanczos2": (3, 4), "bicubic": (5, 10), "area": (4, 5), "gaussian": (8, 3)}
        return [(cls((12, 10), size, kernel), (1, 3, 12, 10)) for kernel, size in smaller.items()]


def _resampling(many: int, few: int, kernel: str) -> Tensor:
    """Return the matrix that reduces ``many`` values to ``few``: (few, many), float32, its rows sum to 1."""
    function, reach = KERNELS[kernel]
    factor = many / few
    centres = (torch.arange(few, dtype=torch.float64) + 0.5) * factor - 0.5
    beyond = math.ceil(reach * factor) + 1
    places = torch.arange(-beyond, many + beyond)
    if kernel == "area":
        # The share of each pixel that lies under the box.
        edges = (places - centres[:, None]).abs()
        weights = ((factor + 1) / 2 - edges).clamp(0, min(1.0, factor))
    else:
        weights = function((places - centres[:, None]) / factor)
    # Mirror the positions beyond an edge.
    period = 2 * many
    inside = places.remainder(period)
    inside = torch.where(inside < many, inside, period - 1 - inside)
    matrix = torch.zeros(few, many, dtype=torch.float64).index_add_(1, inside, weights)
    return (matrix / matrix.sum(1, keepdim=True)).float()
