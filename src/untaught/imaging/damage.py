"""Made damage for examples, tests and benchmarks: masks of writing, pixels, scratches, specks and large holes.

Every mask is a boolean array (height, width), True where the picture is known and False where it is damaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

__all__ = ["dropped_pixels", "holes", "scratches", "specks", "writing"]

_TEXT = "Lorem ipsum dolor sit amet, consectetur adipisici elit, sed eiusmod tempor incidunt ut labore et dolore magna"


def writing(height: int, width: int, size: int = 16) -> NDArray[np.bool_]:
    """Make a mask of lines of text.

    Args:
        height: of the mask, in pixels.
        width: of the mask, in pixels.
        size: of the letters, in pixels.

    Returns:
        (height, width), False under the letters.
    """
    page = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    words, y, index = _TEXT.split(), size // 2, 0
    while y < height - size:
        x = size // 2
        while x < width:
            word = words[index % len(words)] + " "
            draw.text((x, y), word, font=font, fill=0)
            x += round(draw.textlength(word, font=font))
            index += 1
        y += round(2 * size)
    known: NDArray[np.bool_] = np.asarray(page) == 255
    return known


def dropped_pixels(height: int, width: int, share: float = 0.5, seed: int = 0) -> NDArray[np.bool_]:
    """Make a mask of pixels dropped at random, independently of each other.

    Args:
        height: of the mask, in pixels.
        width: of the mask, in pixels.
        share: probability that a pixel is missing, 0 to 1.
        seed: of the random numbers.

    Returns:
        (height, width), False where a pixel is missing.
    """
    return np.random.default_rng(seed).random((height, width)) >= share


def holes(height: int, width: int, share: float = 0.25, seed: int = 0) -> NDArray[np.bool_]:
    """Make a mask of large round holes: what lies above a level of smooth noise.

    Args:
        height: of the mask, in pixels.
        width: of the mask, in pixels.
        share: of the pixels that are missing, 0 to 1.
        seed: of the random numbers.

    Returns:
        (height, width), False in the holes.
    """
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = gaussian_filter(noise, min(height, width) / 16, mode="wrap")
    known: NDArray[np.bool_] = smooth < np.quantile(smooth, 1 - share)
    return known


def scratches(height: int, width: int, seed: int = 5) -> NDArray[np.bool_]:
    """Make a mask of nine curved scratches and one fold across the picture.

    Args:
        height: of the mask, in pixels.
        width: of the mask, in pixels.
        seed: of the random numbers.

    Returns:
        (height, width), False under the scratches and the fold.
    """
    page = Image.new("L", (width, height), 255)
    draw, random = ImageDraw.Draw(page), np.random.default_rng(seed)
    for _ in range(9):
        x, y = random.uniform(0, width), random.uniform(0, height)
        angle, length = random.uniform(0.9, 2.2), random.uniform(0.3, 0.9) * height
        bend = random.uniform(-0.4, 0.4)
        steps = np.linspace(0, 1, 24)
        line = [
            (x + length * step * np.cos(angle + bend * step), y + length * step * np.sin(angle + bend * step))
            for step in steps
        ]
        draw.line(line, fill=0, width=int(random.integers(2, 5)), joint="curve")
    draw.line([(0, 0.62 * height), (width, 0.58 * height)], fill=0, width=6)
    known: NDArray[np.bool_] = np.asarray(page) == 255
    return known


def specks(height: int, width: int, per_megapixel: float = 125, seed: int = 1) -> NDArray[np.bool_]:
    """Make a mask of dust: ellipses, 2 to 7 pixels long, at random places.

    Args:
        height: of the mask, in pixels.
        width: of the mask, in pixels.
        per_megapixel: how many there are; twelve at least.
        seed: of the random numbers.

    Returns:
        (height, width), False under the specks.
    """
    random = np.random.default_rng(seed)
    known = np.ones((height, width), bool)
    for _ in range(max(12, round(height * width * per_megapixel / 1e6))):
        down, right = random.uniform(0, height), random.uniform(0, width)
        half, turn = random.uniform(0.8, 3.5), random.uniform(0, np.pi)
        other = half * random.uniform(0.5, 1)
        part = (
            slice(max(0, int(down) - 6), min(height, int(down) + 7)),
            slice(max(0, int(right) - 6), min(width, int(right) + 7)),
        )
        y, x = np.ogrid[part]
        y, x = y - down, x - right
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        known[part] &= (along / half) ** 2 + (across / other) ** 2 > 1
    return known
