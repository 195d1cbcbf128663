"""EXIF blocks: changed in place, so that a maker's own notes stay readable; moved into TIFF and out of it."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

__all__ = ["as_directories", "from_tiff", "resized", "smaller", "texts_of", "upright", "with_texts"]

EXIF, GPS = 34665, 34853
_MARK = b"Exif\0\0"
_ORIENTATION, _OFFSET_OF_THUMBNAIL, _LENGTH_OF_THUMBNAIL = 274, 513, 514
_HEIGHTS, _WIDTHS = (257, 40963), (256, 40962)
_POINTERS = (EXIF, GPS, 40965)
_Entry = tuple[int, int, int, int]  # tag, type, count, and where the value or its offset stands


def upright(block: bytes) -> tuple[bytes, int]:
    """Return a block whose orientation is upright and whose thumbnail is gone, and the orientation that it had.

    Raises:
        struct.error, ValueError: for a block that is damaged.
    """
    _, data, order = _opened(block)
    entries, after = _directory(data, order, _first(data, order))
    orientation = 1
    for tag, kind, _, place in entries:
        if tag == _ORIENTATION and kind == 3:
            orientation = struct.unpack_from(order + "H", data, place)[0]
            struct.pack_into(order + "H", data, place, 1)
    (thumbnail,) = struct.unpack_from(order + "I", data, after)
    if thumbnail:
        struct.pack_into(order + "I", data, after, 0)
        _erase(data, order, thumbnail)
    return _MARK + bytes(data), orientation if 1 <= orientation <= 8 else 1


def resized(block: bytes, height: int, width: int) -> bytes:
    """Return a block that says another size in pixels, where it says one."""
    try:
        mark, data, order = _opened(block)
        main, _ = _directory(data, order, _first(data, order))
        below = [struct.unpack_from(order + "I", data, place)[0] for tag, _, _, place in main if tag == EXIF]
        for entries in (main, *(_directory(data, order, offset)[0] for offset in below)):
            for tag, kind, count, place in entries:
                value = height if tag in _HEIGHTS else width if tag in _WIDTHS else None
                if value is not None and count == 1 and kind in (3, 4) and value < 2 ** (16 * (kind - 2)):
                    struct.pack_into(order + {3: "H", 4: "I"}[kind], data, place, value)
    except (struct.error, ValueError):
        return block
    return mark + bytes(data)


def texts_of(block: bytes | None, numbers: Mapping[int, str]) -> dict[int, str]:
    """Return the descriptive tags of a block, text by number."""
    found = {number: _loaded(block).get(number) for number in numbers} if block is not None else {}
    return {number: _text(value) for number, value in found.items() if value}


def with_texts(block: bytes | None, texts: Mapping[int, str]) -> bytes | None:
    """Return a block that also holds descriptive tags; its own are kept."""
    tags = _loaded(block)
    new = {number: text for number, text in texts.items() if not tags.get(number)}
    if not new:
        return block
    for number, text in new.items():
        tags[number] = text.encode(errors="replace")
    return _serialised(tags)


def from_tiff(content: bytes, offsets: Mapping[int, int]) -> bytes | None:
    """Return an EXIF block with the directories of a TIFF.

    Args:
        content: the file.
        offsets: where the directories stand, by `EXIF` and `GPS`.
    """
    tags = Image.Exif()
    head = content[: 16 if content[2:4] in (b"+\0", b"\0+") else 8]
    for number, offset in offsets.items():
        file = io.BytesIO(content)
        file.seek(offset)
        directory = TiffImagePlugin.ImageFileDirectory_v2(head, group=number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            directory.load(file)
            values = {tag: value for tag, value in dict(directory).items() if tag not in _POINTERS}
        if values:
            tags.get_ifd(number).update(values)
    return _serialised(tags) if any(tags.get_ifd(number) for number in offsets) else None


def as_directories(block: bytes | None) -> dict[int, TiffImagePlugin.ImageFileDirectory_v2]:
    """Return the directories below the first one, `EXIF` and `GPS`, as a little-endian TIFF holds them."""
    tags, found = _loaded(block), {}
    for number in (EXIF, GPS):
        values = {tag: value for tag, value in tags.get_ifd(number).items() if tag not in _POINTERS}
        if values:
            directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=number)
            for tag, value in values.items():
                directory[tag] = value
            found[number] = directory
    return found


def smaller(block: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield the block without its largest tag, its two largest and so on, and what was left out."""
    tags = _loaded(block)
    places: list[tuple[Any, int]] = [(tags, tag) for tag in tags if tag not in _POINTERS]
    places += [(ifd, tag) for ifd in (tags.get_ifd(EXIF), tags.get_ifd(GPS)) for tag in ifd]
    names = {**ExifTags.TAGS, 37500: "MakerNote"}
    left_out = []
    for directory, tag in sorted(places, key=lambda place: -_length(place[0][place[1]])):
        del directory[tag]
        left_out.append(names.get(tag, str(tag)))
        yield _serialised(tags), ", ".join(left_out)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, bytes | str | tuple) else 1


def _text(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    with_accents = text
    if not text.isascii():
        # Pillow reads ASCII tags as Latin-1; most programs write UTF-8.
        try:
            with_accents = text.encode("latin-1").decode()
        except (UnicodeEncodeError, UnicodeDecodeError):
            with_accents = text
    return with_accents.rstrip("\0")


def _loaded(block: bytes | None) -> Image.Exif:
    tags = Image.Exif()
    if block is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags.load(block)
            for number in (EXIF, GPS):
                tags.get_ifd(number)
    return tags


def _serialised(tags: Image.Exif) -> bytes:
    """The block, with texts in UTF-8 where Pillow would put question marks."""
    for directory in (tags, tags.get_ifd(EXIF), tags.get_ifd(GPS)):
        for tag, value in list(directory.items()):
            if isinstance(value, str) and not value.isascii():
                directory[tag] = _text(value).encode()
    return tags.tobytes()


def _opened(block: bytes) -> tuple[bytes, bytearray, str]:
    """The mark before a block, the block and its byte order."""
    mark = _MARK if block.startswith(_MARK) else b""
    data = bytearray(block[len(mark) :])
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        raise ValueError("not an EXIF block")
    return mark, data, order


def _first(data: bytearray, order: str) -> int:
    return int(struct.unpack_from(order + "I", data, 4)[0])


def _directory(data: bytearray, order: str, offset: int) -> tuple[list[_Entry], int]:
    """The entries of a directory, and where the offset of the next one stands."""
    (count,) = struct.unpack_from(order + "H", data, offset)
    entries = []
    for place in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", data, place)
        entries.append((tag, kind, number, place + 8))
    return entries, offset + 2 + 12 * count


def _erase(data: bytearray, order: str, offset: int) -> None:
    """Overwrite a thumbnail and its directory; cut them off where they are the end of the block."""
    try:
        entries, after = _directory(data, order, offset)
        values = {tag: struct.unpack_from(order + "I", data, place)[0] for tag, _, _, place in entries}
    except struct.error:
        return
    begin, length = values.get(_OFFSET_OF_THUMBNAIL, 0), values.get(_LENGTH_OF_THUMBNAIL, 0)
    if not begin:
        begin, length = values.get(273, 0), values.get(279, 0)  # a thumbnail that is not compressed, in one strip
    if begin:
        end = min(begin + length, len(data))
        data[begin:end] = bytes(max(0, end - begin))
    data[offset : after + 4] = bytes(after + 4 - offset)
    if begin and begin + length >= len(data) > begin:
        del data[begin:]
