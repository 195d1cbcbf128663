"""JPEG compression as a differentiable operator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.errors import InputError
from untaught.imaging.jpeg_tables import Compression, compression_for_quality
from untaught.physics.linear import DifferentiableOperator, Example

__all__ = ["JPEG"]

_MID_GRAY = 128 / 255
"""JPEG subtracts this level before the cosine transform."""

# ITU-T T.871, section 7, for values in [0, 1] and chroma around 0.
_RGB_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))


class JPEG(DifferentiableOperator):
    """Compress and decompress a picture (ITU-T T.81), without the final rounding to 8 bits.

    Not linear. The gradient passes the rounding of coefficients unchanged (straight-through estimator: Bengio, Léonard
    and Courville, 2013). A fit is pulled until each coefficient rounds to the file's value; within that step it is
    free. A value just outside a step feels a pull of the whole step.

    Args:
        compression: tables and subsampling, with as many tables as the picture has channels.
    """

    tables: Tensor
    cosines: Tensor
    to_ycbcr: Tensor

    def __init__(self, compression: Compression) -> None:
        super().__init__()
        self.compression = compression
        index = torch.arange(8, dtype=torch.float64)
        cosines = torch.cos(math.pi / 8 * (index + 0.5) * index[:, None]) / 2
        cosines[0] /= math.sqrt(2)
        self.register_buffer("tables", torch.tensor(compression.tables, dtype=torch.float32).view(-1, 8, 8) / 255)
        self.register_buffer("cosines", cosines.float())
        self.register_buffer("to_ycbcr", torch.tensor(_RGB_TO_YCBCR, dtype=torch.float32))

    def forward(self, picture: Tensor) -> Tensor:
        """Map pictures (N, C, H, W) in [0, 1] to their decompressed JPEGs, of the same shape.

        Raises:
            InputError: if C is not the number of tables.
        """
        components = len(self.tables)
        if picture.shape[1] != components:
            raise InputError(
                f"found a picture of {picture.shape[1]} channels: this JPEG has {components}; read the tables from the "
                "file that the picture comes from"
            )
        height, width = picture.shape[-2:]
        down, across = self.compression.subsampling
        padding = (0, -width % (8 * across), 0, -height % (8 * down))
        padded = F.pad(picture, padding, mode="replicate")
        if components == 1:
            return (self._quantised(padded - _MID_GRAY, self.tables) + _MID_GRAY)[..., :height, :width]
        to_ycbcr = self.to_ycbcr.to(picture)
        ycbcr = torch.einsum("dc,nchw->ndhw", to_ycbcr, padded)
        luma, chroma = ycbcr[:, :1], ycbcr[:, 1:]
        luma = self._quantised(luma - _MID_GRAY, self.tables[:1]) + _MID_GRAY
        chroma = self._quantised(F.avg_pool2d(chroma, (down, across)), self.tables[1:])
        # libjpeg calls this "fancy upsampling".
        chroma = F.interpolate(chroma, scale_factor=(float(down), float(across)), mode="bilinear")
        decoded = torch.cat([luma, chroma], dim=1)
        to_rgb = torch.linalg.inv(self.to_ycbcr).to(picture)
        return torch.einsum("cd,ndhw->nchw", to_rgb, decoded)[..., :height, :width]

    def _quantised(self, planes: Tensor, tables: Tensor) -> Tensor:
        """Round the cosine coefficients of (N, K, H, W), whole blocks only, by K tables."""
        height, width = planes.shape[-2:]
        blocks = planes.reshape(*planes.shape[:2], height // 8, 8, width // 8, 8).transpose(-3, -2)
        cosines, steps = self.cosines.to(planes), tables.to(planes)[:, None, None]
        values = cosines @ blocks @ cosines.T / steps
        rounded = values + (values.round() - values).detach()
        blocks = cosines.T @ (rounded * steps) @ cosines
        return blocks.transpose(-3, -2).reshape(planes.shape)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        rows = [(cls(compression_for_quality(30, channels)), (2, channels, 20, 19)) for channels in (1, 3)]
        return [*rows, (cls(Compression(((16,) * 64,) * 3, (2, 2))), (1, 3, 20, 33))]
