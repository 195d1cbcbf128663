"""Write pictures and volumes to files. The suffix decides the format; a file is always either whole or not there."""

from __future__ import annotations

import dataclasses
import gzip
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from untaught.errors import PictureError
from untaught.imaging import exif, files, pillow_formats, png_chunks, tiff
from untaught.imaging.formats.registry import FORMATS, find_format
from untaught.imaging.metadata import Metadata, Part, part_name
from untaught.imaging.picture import Picture

__all__ = ["check_writable", "write"]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP"}
_LOSSY = ("JPEG", "WebP")
_OTHERS = {one.name: one for one in FORMATS if one.types}
_LONGEST_SIDE = {"JPEG": 65535, "WebP": 16383}
_ENCODERS: Mapping[str, Callable[..., bytes]] = {
    "PNG": pillow_formats.encode_png,
    "JPEG": pillow_formats.encode_jpeg,
    "WebP": pillow_formats.encode_webp,
    "TIFF": tiff.encode,
    **{name: one.encode for name, one in _OTHERS.items()},
}


def check_writable(
    path: str | os.PathLike[str], picture: Picture, *, inputs: Sequence[Path] = (), overwrite: bool = False
) -> tuple[str, ...]:
    """Check whether a picture can be written, before a long computation makes it.

    A tiny blank picture with all the metadata is encoded: what the format or its encoder does not take is left out.

    Args:
        path: file to write.
        picture: a picture like the one to write; its values do not matter.
        inputs: files that must not be overwritten.
        overwrite: allow to overwrite them.

    Returns:
        Sentences for the user about metadata that will be lost.

    Raises:
        PictureError: if it cannot, with the reason.
    """
    path = Path(path)
    kind = _format(path)
    files.check_writable(path, () if overwrite else inputs, "choose another name, or allow it by --overwrite")
    if problem := _cannot_hold(kind, picture):
        raise PictureError(f"{path} cannot be written: {problem}")
    return tuple(f"{loss} and will be lost" for loss in _lasting(kind, picture)[1])


def write(path: str | os.PathLike[str], picture: Picture, *, quality: int | None = None) -> tuple[str, ...]:
    """Write a picture in the format that the suffix names. Only JPEG is lossy, and WebP below a quality of 100.

    Metadata that the format or its encoder does not take is left out: it never costs the pixels.

    Args:
        path: file to write.
        picture: to write.
        quality: of a JPEG or WebP, 1 to 100; None for 95 and lossless.

    Returns:
        What is left out, as the beginnings of the sentences of `check_writable`.

    Raises:
        PictureError: if the suffix or the format does not allow it; see `check_writable`.
    """
    path = Path(path)
    kind = _format(path)
    if problem := _cannot_hold(kind, picture):
        raise PictureError(f"{path} cannot be written: {problem}")
    options = {} if quality is None or kind not in _LOSSY else {"quality": quality}
    content, losses = _encoded(kind, picture, options)
    if path.suffix.lower() == ".gz":
        content = gzip.compress(content, mtime=0)
    files.write_bytes(path, content)
    return losses


def _encoded(kind: str, picture: Picture, options: Mapping[str, int]) -> tuple[bytes, tuple[str, ...]]:
    metadata, losses = _lasting(kind, picture)
    try:
        return _ENCODERS[kind](dataclasses.replace(picture, metadata=metadata), **options), losses
    except MemoryError:
        raise
    # What a tiny picture's encoder took, a large one's may not: the pixels are worth more than what is said of them.
    except Exception:
        if not metadata.parts():
            raise
        bare = dataclasses.replace(picture, metadata=metadata.only(()))
        return _ENCODERS[kind](bare, **options), (f"all metadata cannot be written to {kind} with this picture",)


def _lasting(kind: str, picture: Picture) -> tuple[Metadata, tuple[str, ...]]:
    """What can be said of a picture in a format, and beginnings of sentences about what cannot."""
    try:
        metadata = picture.metadata.scaled_to(*picture.size[-2:])
    except Exception:  # noqa: BLE001 - what cannot be read cannot be true of a picture of another size
        metadata = dataclasses.replace(picture.metadata, tags={}, microscopy=None)
        metadata = dataclasses.replace(metadata, size=None).scaled_to(*picture.size[-2:])
        return metadata, ("what is said of scale and place cannot be read",)
    if kind != "PNG" and metadata.icc_profile is None:
        metadata = _with_profile(kind, picture, metadata)
    parts = metadata.parts()
    if not parts:
        return metadata, ()
    lost = [(part, why) for part in parts if (why := _unheld(kind, picture, metadata, part))]
    kept = [part for part in parts if part not in dict(lost)]
    notes: list[str] = []
    if not _encodes(kind, picture, metadata.only(kept)):
        tried, kept = kept, []
        for part in tried:
            if _encodes(kind, picture, metadata.only([*kept, part])):
                kept.append(part)
            elif part[0] == "exif" and (found := _smaller_exif(kind, picture, metadata, kept)):
                metadata, left_out = found
                kept.append(part)
                notes.append(f"{left_out} of the EXIF block cannot be written to {kind}")
            else:
                lost.append((part, f"cannot be written to {kind}"))
    reasons: dict[str, list[str]] = {}
    for part, why in lost:
        reasons.setdefault(why, []).append(part_name(metadata, part))
    notes += [f"{' and '.join(names)} {why}" for why, names in reasons.items()]
    return metadata.only(kept), tuple(notes)


def _with_profile(kind: str, picture: Picture, metadata: Metadata) -> Metadata:
    """The metadata with a colour profile in place of the gamma of a PNG, for a format that holds profiles."""
    profile = png_chunks.profile(metadata.chunks, picture.channels)
    found = dataclasses.replace(metadata, icc_profile=profile)
    if profile is None or _unheld(kind, picture, found, ("icc_profile", None)):
        return metadata
    return dataclasses.replace(found, chunks=tuple(one for one in found.chunks if one[0] not in png_chunks.GAMMA))


def _smaller_exif(kind: str, picture: Picture, metadata: Metadata, kept: Sequence[Part]) -> tuple[Metadata, str] | None:
    """The metadata with as much of the EXIF block as can be written, and what is left out."""
    try:
        for block, left_out in exif.smaller(metadata.exif or b""):
            less = dataclasses.replace(metadata, exif=block)
            if _encodes(kind, picture, less.only([*kept, ("exif", None)])):
                return less, left_out
    except Exception:  # noqa: BLE001 - a block that cannot be read is lost as a whole
        return None
    return None


def _encodes(kind: str, picture: Picture, metadata: Metadata) -> bool:
    """Whether a tiny blank picture can be encoded with some metadata, and is a picture again."""
    height, width = (min(side, 2) for side in picture.size[-2:])
    depth = picture.size[:-2]
    channels = picture.pixels.shape[len(picture.size) :]
    blank = Picture(
        np.zeros((*depth, height, width, *channels), picture.pixels.dtype),
        None if picture.alpha is None else np.zeros((height, width), picture.alpha.dtype),
        metadata,
        picture.volume,
    )
    try:
        encoded = _ENCODERS[kind](blank)
        if kind in _LONGEST_SIDE or kind == "PNG":
            pillow_formats.decode(encoded)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - encoders raise exceptions of every kind
        return False
    return True


_HELD = {
    "PNG": {"icc_profile", "exif", "resolution", "texts", "xmp", "comment", "chunks"},
    "JPEG": {"icc_profile", "exif", "resolution", "texts", "xmp", "iptc", "comment"},
    "WebP": {"icc_profile", "exif", "texts", "xmp"},
    "TIFF": {"icc_profile", "exif", "resolution", "texts", "xmp", "iptc", "comment", "tags", "microscopy", "entries"},
}
"""Parts of the metadata that each format holds."""
_COLOUR_SPACES = {b"GRAY": (1, 2), b"RGB ": (3,), b"CMYK": (4,)}


def _unheld(kind: str, picture: Picture, metadata: Metadata, part: Part) -> str:
    """Say why a format does not hold a part of the metadata; empty where it does."""
    name, key = part
    if name == "icc_profile":
        space = (metadata.icc_profile or b"")[16:20]
        fits = (
            picture.channels in _COLOUR_SPACES.get(space, (picture.channels,)) and (space == b"CMYK") == metadata.cmyk
        )
        return "" if fits else "is for other channels"
    if name == "chunks" and kind != "PNG":
        texts, comment, described = png_chunks.described(metadata.chunks)
        held = kind == "JPEG" or (kind == "WebP" and bool(texts)) or kind == "TIFF"
        return "" if held and key in described and (texts or comment) else f"is not kept in {kind}"
    if name == "header":
        assert metadata.header is not None
        return "" if kind == metadata.header.kind and _OTHERS[kind].header else f"is not kept in {kind}"
    return "" if name in (_OTHERS[kind].held if kind in _OTHERS else _HELD[kind]) else f"is not kept in {kind}"


def _format(path: Path) -> str:
    other = find_format(path=path)
    kind = _FORMATS.get(path.suffix.lower()) if other is None else other.name
    if other is not None and not other.types:
        raise PictureError(f"{path} cannot be written: {other.name} is read only; choose .tif")
    if kind is None:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise PictureError(f"{path} has {found}: the suffix chooses the format; use one of {', '.join(_FORMATS)}")
    return kind


def _cannot_hold(kind: str, picture: Picture) -> str | None:
    """Say why a format cannot hold a picture, and which can. None if it can."""
    if kind == "TIFF":
        return None
    if kind in _OTHERS:
        return _OTHERS[kind].cannot_hold(picture)
    if picture.volume:
        return f"{kind} holds one picture and this is a volume: choose .tif"
    pixels, metadata, channels = picture.pixels, picture.metadata, picture.channels
    if pixels.dtype.kind == "f":
        return f"{kind} holds whole numbers and this picture has floats: choose .tif"
    if pixels.dtype not in (np.uint8, np.uint16):
        return f"{kind} does not hold {pixels.dtype} values: choose .tif"
    if kind != "PNG" and pixels.dtype != np.uint8:
        return f"{kind} holds 8 bits per channel and this picture has 16: choose .png or .tif"
    if channels not in (1, 3) and not (kind == "JPEG" and metadata.cmyk):
        ink = " of ink" if metadata.cmyk else ""
        return f"{kind} holds gray or RGB and this picture has {channels} channels{ink}: choose .tif"
    if kind == "JPEG" and picture.alpha is not None:
        return "JPEG has no alpha channel and this picture has one: choose .png, .tif or .webp"
    if max(pixels.shape[:2]) > _LONGEST_SIDE.get(kind, 2**31 - 1):
        return f"{kind} holds sides of up to {_LONGEST_SIDE[kind]} pixels: choose .png or .tif"
    return None
