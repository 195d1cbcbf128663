"""The frame of a JPEG: what kind it is, and how much of a file that is cut off is there."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np

__all__ = ["bare", "found_in"]

_KINDS = {3: "lossless", 5: "hierarchical", 6: "hierarchical", 7: "hierarchical"}
_KINDS |= {11: "lossless", 13: "hierarchical", 14: "hierarchical", 15: "hierarchical"}
_ADVICE = "8 bits of the usual kinds can be read; convert it to a PNG or TIFF, of 16 bits if it has more than 8"


def bare(content: bytes) -> bytes:
    """Return a JPEG without what it says besides its pixels, but for the kind of its colours, if that is whole."""
    at, kept = 2, [content[:2]]
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        kind, end = content[at + 1], at + 2 + struct.unpack_from(">H", content, at + 2)[0]
        colours = kind == 0xE0 or (kind == 0xEE and end - at >= 16)
        if colours or not (0xE0 <= kind <= 0xEF or kind == 0xFE):
            kept.append(content[at:end])
        at = end
    return b"".join([*kept, content[at:]])


def found_in(content: bytes) -> str:
    """Say why a JPEG cannot be decoded.

    Returns:
        "is ..." for a kind that is not supported; how many rows are there, for one that is cut off; else nothing.
    """
    at = 2
    while at + 10 <= len(content) and content[at] == 0xFF:
        kind = content[at + 1]
        (length,) = struct.unpack_from(">H", content, at + 2)
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            bits, height = content[at + 4], struct.unpack_from(">H", content, at + 5)[0]
            if bits != 8:
                return f"is a JPEG of {bits} bits, which is not supported: {_ADVICE}"
            if kind - 0xC0 in _KINDS:
                return f"is a {_KINDS[kind - 0xC0]} JPEG, which is not supported: {_ADVICE}"
            rows = _rows(content)
            return f" beyond its upper {rows} of {height} rows" if 0 < rows < height else ""
        at += 1 if kind == 0xFF else 2 + length
    return ""


def _rows(content: bytes) -> int:
    """How many rows of a file that is cut off can be decoded."""
    try:
        values = imagecodecs.jpeg8_decode(content)
    except Exception:  # noqa: BLE001 - decoders raise exceptions of every kind on damaged files
        return 0
    rows = values.reshape(len(values), -1)
    # What has not been decoded has one value, black or gray.
    decoded = np.flatnonzero((rows != rows[-1, -1]).any(1))
    return int(decoded[-1]) + 1 if decoded.size else 0
