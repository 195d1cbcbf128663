"""JPEG 2000 by imagecodecs, without loss."""

from __future__ import annotations

import io

import imagecodecs
from PIL import Image

from untaught.imaging import pillow_formats
from untaught.imaging.formats.stored import Stored, ends
from untaught.imaging.picture import Picture, check_size

__all__ = ["decode", "encode"]


def decode(content: bytes) -> Stored:
    """Decode a file."""
    with Image.open(io.BytesIO(content), formats=("JPEG2000",)) as image:
        check_size(*image.size)
        metadata, _, notes = pillow_formats.metadata_of(image, content)
    pixels = imagecodecs.jpeg2k_decode(content)
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    return Stored(pixels=pixels, alpha=alpha, metadata=metadata, levels=ends(pixels), notes=notes)


def encode(picture: Picture) -> bytes:
    """Encode without loss."""
    values = picture.for_encoder()
    # With few pixels there is no room for the usual number of halvings.
    resolutions = max(1, min(6, min(values.shape[:2]).bit_length()))
    return bytes(imagecodecs.jpeg2k_encode(values, reversible=True, level=0, resolutions=resolutions))
