"""AVIF by imagecodecs, without loss; what the file says besides by Pillow."""

from __future__ import annotations

import io

import imagecodecs
from PIL import Image

from untaught.imaging import pillow_formats
from untaught.imaging.formats.stored import Stored
from untaught.imaging.picture import Picture, check_size

__all__ = ["decode", "encode"]


def decode(content: bytes) -> Stored:
    """Decode a file of one picture."""
    with Image.open(io.BytesIO(content), formats=("AVIF",)) as image:
        check_size(*image.size)
        metadata, _, notes = pillow_formats.metadata_of(image, content)
    pixels = imagecodecs.avif_decode(content)
    pixels = pixels if pixels.ndim == 2 or pixels.shape[2] > 1 else pixels[..., 0]
    if pixels.dtype != "uint8":
        # 10 or 12 bits fill the range of 16.
        bits = 10 if pixels.max() < 1024 else 12
        pixels = pixels << (16 - bits) | pixels >> (2 * bits - 16)
        notes += (f"its {bits} bits are turned into 16",)
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    return Stored(pixels=pixels, alpha=alpha, metadata=metadata, notes=notes)


def encode(picture: Picture) -> bytes:
    """Encode without loss."""
    return bytes(imagecodecs.avif_encode(picture.for_encoder(), level=100))
