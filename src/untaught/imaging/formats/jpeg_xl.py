"""JPEG XL by imagecodecs, without loss."""

from __future__ import annotations

import imagecodecs

from untaught.imaging.formats.stored import Stored, ends
from untaught.imaging.picture import Picture

__all__ = ["decode", "encode"]


def decode(content: bytes) -> Stored:
    """Decode a file of one picture."""
    pixels = imagecodecs.jpegxl_decode(content)
    pixels = pixels if pixels.ndim == 2 or pixels.shape[2] > 1 else pixels[..., 0]
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    return Stored(pixels=pixels, alpha=alpha, levels=ends(pixels))


def encode(picture: Picture) -> bytes:
    """Encode without loss."""
    return bytes(imagecodecs.jpegxl_encode(picture.for_encoder(), lossless=True))
