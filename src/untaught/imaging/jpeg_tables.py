"""How a JPEG file was compressed: its quantisation tables and its chroma subsampling."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

from untaught.errors import InputError, SettingError

__all__ = ["Compression", "compression_for_quality", "read_compression"]

_SUBSAMPLING = {0: (1, 1), 1: (1, 2), 2: (2, 2)}
"""Pixels per chroma sample, down and across, by Pillow's sampling numbers (4:4:4, 4:2:2, 4:2:0)."""

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Compression:
    """How a JPEG was compressed.

    Attributes:
        tables: one quantisation table per component, each 64 whole numbers from 1, row by row, in steps of 1/255 of
            white.
        subsampling: pixels per chroma sample, down and across.

    Raises:
        InputError: unless there are 1 or 3 tables of this form.
    """

    tables: tuple[tuple[int, ...], ...]
    subsampling: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if len(self.tables) not in (1, 3) or any(len(table) != 64 or min(table) < 1 for table in self.tables):
            raise InputError(
                f"found {len(self.tables)} quantisation tables of {[len(table) for table in self.tables]} values: a "
                "JPEG has 1 or 3 tables of 64 whole numbers from 1; read them with read_compression"
            )


def read_compression(content: bytes) -> Compression | None:
    """Read how a JPEG file was compressed.

    Args:
        content: the bytes of the file.

    Returns:
        None for a file that is not a JPEG, and for a JPEG that is not supported here: CMYK, RGB without a colour
        transform, unusual chroma sampling, or an orientation tag (then the blocks do not lie as the pixels do).
    """
    try:
        image = Image.open(io.BytesIO(content), formats=("JPEG",))
    except OSError:
        return None
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    with image:
        sampling = JpegImagePlugin.get_sampling(image) if image.mode == "RGB" else 0
        supported = image.mode in ("L", "RGB") and image.info.get("adobe_transform") != 0 and sampling in _SUBSAMPLING
        if not supported or image.getexif().get(_ORIENTATION, 1) != 1:
            return None
        tables = tuple(tuple(image.quantization[layer[3]]) for layer in image.layer)
    return Compression(tables, _SUBSAMPLING[sampling])


def compression_for_quality(quality: int, channels: int) -> Compression:
    """Return how libjpeg compresses a picture at a quality.

    Args:
        quality: libjpeg's quality, 1 to 100.
        channels: of the picture, 1 or 3.

    Raises:
        SettingError: for a quality outside 1 to 100.
    """
    if not 1 <= quality <= 100:
        raise SettingError(f"found a JPEG quality of {quality}: it lies between 1 and 100")
    file = io.BytesIO()
    Image.new("L" if channels == 1 else "RGB", (8, 8)).save(file, "JPEG", quality=quality)
    compression = read_compression(file.getvalue())
    assert compression is not None, "Pillow has just written it"
    return compression
