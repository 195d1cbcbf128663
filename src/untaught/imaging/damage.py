"""Made damage for examples, tests and benchmarks: masks of writing, dates, pixels, scratches, specks and large holes.

Every mask is a boolean array (height, width), True where the picture is known and False where it is damaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

__all__ = ["DATE_STYLES", "date_stamp", "dropped_pixels", "holes", "scratches", "specks", "writing"]

_TEXT = "Lorem ipsum dolor sit amet, consectetur adipisici elit, sed eiusmod tempor incidunt ut labore et dolore magna"

DATE_STYLES = ("segments", "dots", "letters")
"""How a camera prints the digits of a date."""

_SEGMENTS = ("012456", "25", "02346", "02356", "1235", "01356", "013456", "025", "0123456", "012356")
"""Of each digit: top, upper left, upper right, middle, lower left, lower right, bottom."""


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


def date_stamp(
    height: int, width: int, text: str = "'98  7 21", style: str = "segments", size: float = 0.045, corner: int = 0
) -> NDArray[np.bool_]:
    """Make a mask of a date as cameras print it into a corner.

    Args:
        height: of the mask, in pixels.
        width: of the mask, in pixels.
        text: digits, spaces and apostrophes.
        style: one of `DATE_STYLES`.
        size: height of a digit, as a share of the shorter side; nine pixels at least.
        corner: 0 to 3, the lower right one first, then clockwise; 4 and 5 are sideways at the right and the left edge.

    Returns:
        (height, width), False under the digits.
    """
    if corner > 3:
        upright = date_stamp(width, height, text, style, size, 0)
        return np.ascontiguousarray(np.rot90(upright, 1 if corner == 4 else -1))
    tall = max(9, round(size * min(height, width)))
    page = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(1.35 * tall)
    step, wide, thick = 0.78 * tall, 0.52 * tall, max(2, round(tall / 8))
    long = step * len(text)
    x = width - long - tall if corner in (0, 3) else float(tall)
    y = height - 2.2 * tall if corner in (0, 1) else 1.2 * tall
    for index, letter in enumerate(text):
        left = x + index * step
        if style == "letters":
            draw.text((left, y + tall), letter, font=font, fill=0, anchor="ls")
        elif letter == "'":
            draw.line([(left + wide, y), (left + wide * 0.8, y + tall / 4)], fill=0, width=thick)
        elif letter.isdigit():
            for one in _SEGMENTS[int(letter)]:
                _draw_segment(draw, int(one), (left, y, wide, tall), thick, dots=style == "dots")
    known: NDArray[np.bool_] = np.asarray(page) > 127
    return known


def _draw_segment(
    draw: ImageDraw.ImageDraw, segment: int, box: tuple[float, float, float, float], thick: int, *, dots: bool
) -> None:
    """Draw one of the seven parts of a digit into a box (left, top, width, height), as a bar or as four dots."""
    left, top, wide, tall = box
    row = (0, 0, 0, 1, 1, 1, 2)[segment] * tall / 2
    if segment in (0, 3, 6):
        start, end = (left, top + row), (left + wide, top + row)
    else:
        right = wide if segment in (2, 5) else 0
        start, end = (left + right, top + row), (left + right, top + row + tall / 2)
    gap = 0 if dots else thick * 0.4
    span = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    points = [
        tuple(one + (two - one) * share for one, two in zip(start, end, strict=True))
        for share in (np.linspace(0, 1, 4) if dots else (gap / span, 1 - gap / span))
    ]
    if dots:
        for right, down in points:
            draw.ellipse([right - thick / 2, down - thick / 2, right + thick / 2, down + thick / 2], fill=0)
    else:
        draw.line([(right, down) for right, down in points], fill=0, width=thick)


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
