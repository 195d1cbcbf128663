"""The tags of GeoTIFF: where on the map a picture lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["KEPT", "NAMES", "NODATA", "PLACE", "nodata", "scaled"]

NODATA = 42113
_PIXEL_SCALE, _TIE_POINTS, _MATRIX = 33550, 33922, 34264
NAMES = {
    _PIXEL_SCALE: f"{_PIXEL_SCALE}, the size of a pixel on the map,",
    _TIE_POINTS: f"{_TIE_POINTS}, the place on the map,",
    _MATRIX: f"{_MATRIX}, the place on the map,",
}
PLACE = (_PIXEL_SCALE, _TIE_POINTS, _MATRIX, 50844)
"""Tags that are true of the whole, upright picture only."""
KEPT = (*PLACE, 34735, 34736, 34737, 42112, NODATA)
"""Tags that are carried over: the place, its projection, GDAL's notes and the value that means no data."""


def nodata(tags: Mapping[int, tuple[int, int, Any]]) -> tuple[float, ...]:
    """The values that mean no data."""
    try:
        return (float(str(tags[NODATA][2]).strip("\0 ")),)
    except (KeyError, ValueError):
        return ()


def scaled(tags: Mapping[int, tuple[int, int, Any]], down: float, across: float) -> dict[int, tuple[int, int, Any]]:
    """The tags of the same area with more pixels, or fewer.

    Args:
        tags: type, count and value by number.
        down: new height by old height.
        across: new width by old width.
    """
    found = dict(tags)
    if _PIXEL_SCALE in found:
        kind, count, (x, y, *rest) = found[_PIXEL_SCALE]
        found[_PIXEL_SCALE] = kind, count, (x / across, y / down, *rest)
    if _TIE_POINTS in found:
        kind, count, values = found[_TIE_POINTS]
        factors = (across, down, 1, 1, 1, 1)
        found[_TIE_POINTS] = kind, count, tuple(value * factors[at % 6] for at, value in enumerate(values))
    if _MATRIX in found:
        kind, count, values = found[_MATRIX]
        divisors = (across, down, 1, 1)
        found[_MATRIX] = kind, count, tuple(value / divisors[at % 4] for at, value in enumerate(values))
    found.pop(50844, None)  # a camera model by polynomials of the pixel
    return found
