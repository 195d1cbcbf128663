"""The interface through which a perturbed input uses compiled kernels, so that priors need not import the backend."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["NoiseKernels"]


class NoiseKernels(Protocol):
    """Compiled kernels that draw normal noise many times faster than torch.

    Attributes:
        dtype: type of the perturbed tensor.
    """

    dtype: torch.dtype

    def perturb(self, out: Tensor, base: Tensor, count: int, deviation: float, key: int, walk: bool, /) -> None:
        """Write base plus normal noise.

        Args:
            out: filled, of the kernels' type; in the memory layout of ``base``.
            base: float32, any shape without gaps in memory.
            count: number of elements.
            deviation: standard deviation of the noise.
            key: the noise is a function of this number and of the place in memory.
            walk: also add the noise to ``base``, in place.
        """
        ...
