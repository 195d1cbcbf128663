"""HEIC by pillow-heif: 8 bits, and more as 16."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from untaught.imaging import pillow_formats
from untaught.imaging.formats.stored import Stored
from untaught.imaging.picture import Picture, check_size

__all__ = ["decode", "encode"]


def decode(content: bytes) -> Stored:
    """Decode the first picture of a file."""
    file = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
    check_size(*file.size)
    pixels = np.asarray(file)
    blank = Image.new("RGB", (1, 1))
    blank.info.update(file.info)
    metadata, _, notes = pillow_formats.metadata_of(blank, content)
    left = len(file) - 1
    if left:
        notes += (f"the file holds {left} more pictures: they are left out",)
    # The library has turned the picture as the file says.
    return Stored(pixels=pixels, alpha=file.has_alpha, metadata=metadata, notes=notes)


def encode(picture: Picture) -> bytes:
    """Encode without loss."""
    metadata = picture.metadata
    image = Image.fromarray(picture.for_encoder())
    said: dict[str, Any] = {
        name: value
        for name, value in (("exif", metadata.exif), ("xmp", metadata.xmp), ("icc_profile", metadata.icc_profile))
        if value is not None
    }
    image.info = {"icc_profile": said["icc_profile"]} if "icc_profile" in said else {}
    said.pop("icc_profile", None)
    buffer = io.BytesIO()
    # The matrix 0 stands for RGB itself.
    matrix = {} if picture.channels == 1 else {"matrix_coefficients": 0}
    pillow_heif.from_pillow(image).save(buffer, quality=-1, chroma=444, **matrix, **said)
    return buffer.getvalue()
