"""The chunks of a PNG that say something besides its pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import imagecodecs

__all__ = ["COLOUR", "GAMMA", "bare", "chunk", "described", "kept", "profile", "text_chunk", "with_chunks"]

_SIGNATURE = 8
_AFTER_HEADER = _SIGNATURE + 25
COLOUR = (b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI", b"mDCv", b"cLLi")
"""Chunks that say what colours the values are."""
GAMMA = (b"gAMA", b"cHRM")
"""Those of them that a colour profile says as well."""
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_KEPT = (*COLOUR, *_TEXT, b"tIME")
_ELSEWHERE = (b"XML:com.adobe.xmp", b"Raw profile type ")
"""Texts that are other metadata."""
_SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
"""Chromaticities of white, red, green and blue, as cHRM holds them."""
_DESCRIBED = {b"Description": 270, b"Author": 315, b"Copyright": 33432, b"Software": 305, b"Comment": 0, b"Title": 270}


def kept(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the chunks of a PNG that are carried over: name and content."""
    return tuple(
        (name, data)
        for name, data in _chunks(content)
        if name in _KEPT and not (name in _TEXT and data.startswith(_ELSEWHERE))
    )


def bare(content: bytes) -> bytes:
    """Return a PNG that holds its pixels alone, as far as its chunks are whole."""
    kept = (chunk(name, data) for name, data in _chunks(content) if name in _PIXELS)
    return content[:_SIGNATURE] + b"".join(kept) + chunk(b"IEND", b"")


def profile(chunks: Sequence[tuple[bytes, bytes]], channels: int) -> bytes | None:
    """Return a colour profile that says what the chunks do, for formats without chunks; None where they say nothing."""
    found = dict(chunks)
    # The first of these that is there says all.
    if channels not in (1, 3) or b"cICP" in found or b"sRGB" in found or len(found.get(b"gAMA", b"")) != 4:
        return None
    (gamma,) = struct.unpack(">I", found[b"gAMA"])
    points = struct.unpack(">8I", found[b"cHRM"]) if len(found.get(b"cHRM", b"")) == 32 else _SRGB
    if not gamma or not all(points[1::2]):
        return None
    white, *primaries = ((points[at] / 1e5, points[at + 1] / 1e5, 1.0) for at in (0, 2, 4, 6))
    options = {"whitepoint": white, "primaries": sum(primaries, ())} if channels == 3 else {}
    made: bytes = imagecodecs.cms_profile("rgb" if channels == 3 else "gray", gamma=1e5 / gamma, **options)
    return made


def described(chunks: Sequence[tuple[bytes, bytes]]) -> tuple[dict[int, str], str | None, list[int]]:
    """Return plain texts as descriptive tags, and the comment, for formats without chunks.

    Returns:
        Text by tag number, the comment or None, and the positions of the chunks that these are.
    """
    texts: dict[int, str] = {}
    used = []
    for at, (name, data) in enumerate(chunks):
        keyword, _, rest = data.partition(b"\0")
        number = _DESCRIBED.get(keyword)
        if number is None or number in texts or name == b"zTXt":
            continue
        if name == b"tEXt":
            texts[number] = rest.decode("latin-1")
        elif rest[:1] == b"\0":  # iTXt that is not compressed: method, language, translated keyword, text
            texts[number] = rest[2:].split(b"\0", 2)[-1].decode(errors="replace")
        else:
            continue
        used.append(at)
    comment = texts.pop(0, None)
    return texts, comment, used


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk as a file holds it."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def text_chunk(keyword: bytes, text: bytes) -> bytes:
    """Return a chunk with a text in UTF-8."""
    return chunk(b"iTXt", keyword + b"\0\0\0\0\0" + text)


def with_chunks(content: bytes, added: Sequence[bytes]) -> bytes:
    """Put chunks before the pixels of a PNG."""
    return content[:_AFTER_HEADER] + b"".join(added) + content[_AFTER_HEADER:]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks before the end, as far as they are whole."""
    at = _SIGNATURE
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name = content[at + 4 : at + 8]
        if name == b"IEND" or at + 12 + length > len(content):
            return
        yield name, content[at + 8 : at + 8 + length]
        at += 12 + length
