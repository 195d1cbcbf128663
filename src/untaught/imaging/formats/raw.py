"""A camera's RAW file by rawpy: the mosaic of its sensor, for demosaic and denoise."""

from __future__ import annotations

import io

import numpy as np
import rawpy

from untaught.errors import PictureError
from untaught.imaging.formats.stored import Stored

__all__ = ["decode"]


def decode(content: bytes) -> Stored:
    """Read the values that the sensor measured, and black and white as the file says them."""
    with rawpy.imread(io.BytesIO(content)) as file:
        if file.raw_pattern is None or file.raw_pattern.shape != (2, 2):
            raise PictureError("has no mosaic of two by two colours: develop it to a 16-bit TIFF")
        pixels = np.array(file.raw_image_visible)
        colours = file.color_desc.decode()
        # Red, green, blue and a second green: what is not seen are the masked rows and columns around.
        sizes = file.sizes
        pattern = np.roll(file.raw_pattern, (-sizes.top_margin % 2, -sizes.left_margin % 2), (0, 1))
        named = "".join(colours[number] for number in pattern.ravel())
        black, white = float(min(file.black_level_per_channel)), float(file.white_level)
    note = f"its sensor's mosaic is read, whose first pixels are {named}: give demosaic --pattern {named}"
    return Stored(pixels=pixels, levels=(black, white) if black < white else None, notes=(note,))
