"""JPEG: how a file was compressed, and that as a differentiable operator."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image, JpegImagePlugin
from torch import Tensor, nn

from untaught.errors import InputError, SettingError

__all__ = ["JPEG", "Compression", "compression_of", "compression_of_quality"]

_STEPS = {0: (1, 1), 1: (1, 2), 2: (2, 2)}
"""Pixels to one value of colour, down and across, by Pillow's numbers of the ways to spare colour."""

_MIDDLE = 128 / 255
"""The brightness that JPEG counts as none."""

# ITU-T T.871, section 7, for values in [0, 1] and colour differences around 0.
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))


@dataclass(frozen=True)
class Compression:
    """How a JPEG was compressed.

    Attributes:
        tables: one quantisation table a component, 64 whole numbers each, line by line: steps of 1/255 of white.
        spared: pixels to one value of colour, down and across.
    """

    tables: tuple[tuple[int, ...], ...]
    spared: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if len(self.tables) not in (1, 3) or any(len(table) != 64 or min(table) < 1 for table in self.tables):
            raise InputError("a JPEG has 1 or 3 quantisation tables of 64 whole numbers from 1")


def compression_of(content: bytes) -> Compression | None:
    """Read how a JPEG file was compressed.

    None for a file that is no JPEG, or one of which this cannot be told here: of inks, RGB, or odd sampling of colours,
    or stored turned by its orientation tag, so that its blocks do not lie as its pixels do.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=("JPEG",))
    except OSError:
        return None
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    with image:
        sampling = JpegImagePlugin.get_sampling(image) if image.mode == "RGB" else 0
        rare = image.mode not in ("L", "RGB") or image.info.get("adobe_transform") == 0 or sampling not in _STEPS
        if rare or image.getexif().get(0x0112, 1) != 1:
            return None
        tables = tuple(tuple(image.quantization[layer[3]]) for layer in image.layer)
    return Compression(tables, _STEPS[sampling])


def compression_of_quality(quality: int, channels: int) -> Compression:
    """How libjpeg compresses a picture of 1 or 3 channels at a quality, from 1 to 100.

    Raises:
        SettingError: for another quality.
    """
    if not 1 <= quality <= 100:
        raise SettingError(f"the quality of a JPEG lies between 1 and 100: found {quality}")
    file = io.BytesIO()
    Image.new("L" if channels == 1 else "RGB", (8, 8)).save(file, "JPEG", quality=quality)
    compression = compression_of(file.getvalue())
    assert compression is not None, "Pillow has just written it"
    return compression


class JPEG(nn.Module):
    """Compressed and decompressed (ITU-T T.81), but for the last rounding to 8 bits.

    Not linear. Gradients go through the rounding of coefficients as if it were not there (Bengio, Léonard, Courville,
    2013); so a fit is pulled until each coefficient would be rounded as the file's was, and is free within that step.
    A value that lies a little beyond a step is pulled as by all of the step.

    Args:
        compression: how; of as many components as the picture has channels.
    """

    tables: Tensor
    cosines: Tensor
    colours: Tensor

    def __init__(self, compression: Compression) -> None:
        super().__init__()
        self.compression = compression
        places = torch.arange(8, dtype=torch.float64)
        cosines = torch.cos(math.pi / 8 * (places + 0.5) * places[:, None]) / 2
        cosines[0] /= math.sqrt(2)
        self.register_buffer("tables", torch.tensor(compression.tables, dtype=torch.float32).view(-1, 8, 8) / 255)
        self.register_buffer("cosines", cosines.float())
        self.register_buffer("colours", torch.tensor(_TO_YCBCR))

    def forward(self, picture: Tensor) -> Tensor:
        """(N, C, H, W), in [0, 1], to the same shape."""
        components = len(self.tables)
        if picture.shape[1] != components:
            raise InputError(f"this JPEG has {components} channels: found a picture of {picture.shape[1]}")
        height, width = picture.shape[-2:]
        down, across = self.compression.spared
        padding = (0, -width % (8 * across), 0, -height % (8 * down))
        whole = F.pad(picture, padding, mode="replicate")
        if components == 1:
            return (self._quantised(whole - _MIDDLE, self.tables) + _MIDDLE)[..., :height, :width]
        colours = self.colours.to(picture)
        separated = torch.einsum("dc,nchw->ndhw", colours, whole)
        bright, chroma = separated[:, :1], separated[:, 1:]
        bright = self._quantised(bright - _MIDDLE, self.tables[:1]) + _MIDDLE
        chroma = self._quantised(F.avg_pool2d(chroma, (down, across)), self.tables[1:])
        # What libjpeg calls fancy upsampling.
        chroma = F.interpolate(chroma, scale_factor=(float(down), float(across)), mode="bilinear")
        together = torch.cat([bright, chroma], dim=1)
        back = torch.linalg.inv(self.colours).to(picture)
        return torch.einsum("cd,ndhw->nchw", back, together)[..., :height, :width]

    def _quantised(self, planes: Tensor, tables: Tensor) -> Tensor:
        """(N, K, H, W), of whole blocks, with K tables, to the same shape."""
        height, width = planes.shape[-2:]
        blocks = planes.reshape(*planes.shape[:2], height // 8, 8, width // 8, 8).transpose(-3, -2)
        cosines, steps = self.cosines.to(planes), tables.to(planes)[:, None, None]
        values = cosines @ blocks @ cosines.T / steps
        rounded = values + (values.round() - values).detach()
        blocks = cosines.T @ (rounded * steps) @ cosines
        return blocks.transpose(-3, -2).reshape(planes.shape)
