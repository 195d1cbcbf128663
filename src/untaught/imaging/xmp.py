"""XMP packets: what they say about size, orientation and the thumbnail, changed in place."""

from __future__ import annotations

import re

__all__ = ["resized", "upright"]

_THUMBNAILS = re.compile(rb"<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails>|<(xmp|xap):Thumbnails\b[^>]*/>", re.DOTALL)
_SIZES = ((rb"ImageLength|PixelYDimension", 0), (rb"ImageWidth|PixelXDimension", 1))


def upright(packet: bytes) -> bytes:
    """Return a packet for the picture turned upright, without thumbnails."""
    return _set(_THUMBNAILS.sub(b"", packet), rb"Orientation", b"1")


def resized(packet: bytes, height: int, width: int) -> bytes:
    """Return a packet that says another size in pixels, where it says one."""
    for names, axis in _SIZES:
        packet = _set(packet, names, b"%d" % (height, width)[axis])
    return packet


def _set(packet: bytes, names: bytes, value: bytes) -> bytes:
    """Set properties of the spaces tiff and exif, written as attributes or as elements."""
    name = rb"((?:tiff|exif):(?:" + names + rb"))"
    packet = re.sub(name + rb"(\s*=\s*)([\"'])\d+\3", rb"\1\2\g<3>" + value + rb"\3", packet)
    return re.sub(rb"<" + name + rb">\s*\d+\s*</", rb"<\1>" + value + rb"</", packet)
