"""The Fourier transform, as in magnetic resonance imaging (MRI)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from untaught.physics.linear import Example, LinearOperator

__all__ = ["Fourier"]


class Fourier(LinearOperator):
    """The orthonormal two-dimensional Fourier transform of a real picture.

    ``Fourier() >> Mask(sampled)`` are the k-space samples of MRI. The zero frequency is the first value, as in
    ``torch.fft``; apply ``torch.fft.ifftshift(..., dim=(-2, -1))`` to data that have it in the middle.

    >>> Fourier()(torch.rand(1, 1, 8, 8)).dtype
    torch.complex64
    """

    def forward(self, picture: Tensor) -> Tensor:
        """Map real (N, C, H, W) to complex (N, C, H, W)."""
        # torch has no Fourier transform of bfloat16.
        real = picture if picture.dtype == torch.float64 else picture.float()
        spectrum: Tensor = torch.fft.fft2(real, norm="ortho")
        return spectrum

    def adjoint(self, observation: Tensor) -> Tensor:
        """Map complex (N, C, H, W) to real: the real part of the inverse transform."""
        picture: Tensor = torch.fft.ifft2(observation, norm="ortho").real
        return picture

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        return [(cls(), (2, 3, 12, 10)), (cls(), (1, 1, 5, 7))]
