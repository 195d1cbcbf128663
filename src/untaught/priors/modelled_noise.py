"""Noise drawn from a model of a picture's own noise, for recorruption (R2R) where that noise is not white."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from untaught.imaging.noise_model import NoiseModel

__all__ = ["ModelledNoise"]


class ModelledNoise:
    """Draws noise with the model's spectrum, correlation of channels, and strength at each brightness.

    Args:
        model: of the noise.
        picture: (H, W, C), in [0, 1]: the picture without noise, as well as it is known.
    """

    def __init__(self, model: NoiseModel, picture: NDArray[np.floating]) -> None:
        deviations = [model.deviation(channel, picture[..., channel]) for channel in range(picture.shape[2])]
        self.deviation = torch.from_numpy(np.stack(deviations)).float()[None]
        """(1, C, H, W)."""
        covariance = model.covariance()
        reach = covariance.shape[1]
        half = np.concatenate([covariance, np.zeros((len(covariance), 1, reach)), covariance[:, :0:-1]], axis=1)
        self._kernel = torch.from_numpy(
            np.concatenate([half, np.zeros((*half.shape[:2], 1)), half[:, :, :0:-1]], axis=2)
        ).float()
        """(K, 16, 16): the covariance at each distance, those backwards counted from the end."""
        strengths = np.diag(model.planes @ model.channels @ model.planes.T)
        mix = model.planes.T * np.sqrt(np.maximum(strengths, 1e-6))
        self._mix = torch.from_numpy(mix / np.linalg.norm(mix, axis=1, keepdims=True)).float()

    def draw(self, deviation: Tensor, generator: Generator) -> Tensor:
        """Noise of this standard deviation at each value, (1, C, H, W): a part of ``self.deviation``."""
        height, width = deviation.shape[-2:]
        side = self._kernel.shape[-1]
        # The noise of opposite borders is shared, so a rim is drawn too and cut off.
        size = (height + side, width + side)
        covariance = self._kernel.new_zeros(len(self._kernel), *size)
        near = side // 2
        for rows in (slice(0, near), slice(-near, None)):
            for columns in (slice(0, near), slice(-near, None)):
                covariance[:, rows, columns] = self._kernel[:, rows, columns]
        power = torch.fft.rfft2(covariance.to(deviation.device)).real.clamp_min(0)
        white = torch.randn(power.shape[0], *size, generator=generator, device=deviation.device)
        planes = torch.fft.irfft2(torch.fft.rfft2(white) * power.sqrt(), s=size)[:, :height, :width]
        return torch.einsum("ck,khw->chw", self._mix.to(deviation), planes)[None] * deviation
