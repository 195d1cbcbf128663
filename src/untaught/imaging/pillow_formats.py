"""PNG, JPEG and WebP: decoded and encoded by Pillow, 16-bit PNG by imagecodecs (Pillow reduces it to 8 bits)."""

from __future__ import annotations

import dataclasses
import io
import math
import struct
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from untaught.errors import PictureError
from untaught.imaging import exif, jpeg_frame, png_chunks, xmp
from untaught.imaging.metadata import Metadata
from untaught.imaging.picture import MAX_PIXELS, Picture, assemble, check_size, native

__all__ = ["decode", "encode_jpeg", "encode_png", "encode_webp", "metadata_of"]

_BARE = {b"\x89PNG": png_chunks.bare, b"\xff\xd8": jpeg_frame.bare}
_IPTC = 0x0404
"""Number of the block in Photoshop's segment of a JPEG."""


def decode(content: bytes) -> Picture:
    """Decode a PNG, JPEG or WebP file.

    Raises:
        PictureError: for an animation, or for more than `untaught.imaging.picture.MAX_PIXELS` pixels.
        Exception: of any kind, for a damaged file.
    """
    try:
        return _decoded(content)
    except (PictureError, MemoryError):
        raise
    except Exception:
        bare = next((bare for start, bare in _BARE.items() if content.startswith(start)), None)
        if bare is None:
            raise
        # A part that says something else may be damaged: it must not make the pixels unreadable.
        picture = _decoded(bare(content))
    return dataclasses.replace(picture, notes=("what the file says besides its pixels is damaged and left out",))


def _decoded(content: bytes) -> Picture:
    with warnings.catch_warnings():
        # Pillow warns of large pictures, which check_size judges, and of unusual metadata, which does no harm.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
        except Image.DecompressionBombError as error:
            raise PictureError(
                f"is too large by its header: the limit is {MAX_PIXELS:,} pixels in all; crop it"
            ) from error
        with image:
            check_size(*image.size)
            frames = getattr(image, "n_frames", 1)
            if image.format in ("PNG", "WEBP") and frames > 1:
                raise PictureError(f"is an animation of {frames} pictures: one is wanted; save one of them")
            if image.format == "PNG" and content[24] == 16:
                pixels = native(imagecodecs.png_decode(content))
            else:
                pixels = np.asarray(_plain_mode(image))
            metadata, orientation, notes = metadata_of(image, content)
    has_alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4) and not metadata.cmyk
    picture = assemble(pixels, has_alpha=has_alpha, orientation=orientation, metadata=metadata)
    return dataclasses.replace(picture, notes=notes)


def metadata_of(image: Image.Image, content: bytes) -> tuple[Metadata, int, tuple[str, ...]]:
    """What the file says besides its pixels, the orientation that it had, and notes."""
    resolution, comment, packet = (image.info.get(name) for name in ("dpi", "comment", "xmp"))
    if resolution == (72, 72) and not image.info.get("jfif_unit") and image.format in ("JPEG", "MPO"):
        resolution = None  # Pillow's own, where the file says none
    block, orientation, notes = _exif(image)
    across, down = (0.0, 0.0) if resolution is None else map(float, resolution)
    if orientation >= 5:
        across, down = down, across
    is_jpeg = image.format in ("JPEG", "MPO")
    iptc = image.info["photoshop"].get(_IPTC) if "photoshop" in image.info else None
    if image.format == "MPO":
        notes += ("the file holds more pictures, such as a preview or a gain map: they are left out",)
    metadata = Metadata(
        icc_profile=image.info.get("icc_profile"),
        exif=block,
        resolution=(across, down) if across > 0 and down > 0 and math.isfinite(across + down) else None,
        cmyk=image.mode == "CMYK",
        xmp=xmp.upright(packet.encode() if isinstance(packet, str) else packet) if packet else None,
        iptc=iptc if isinstance(iptc, bytes) and iptc else None,
        comment=comment.decode(errors="replace") if is_jpeg and isinstance(comment, bytes) and comment else None,
        chunks=png_chunks.kept(content) if image.format == "PNG" else (),
    )
    return metadata, orientation, notes


def _plain_mode(image: Image.Image) -> Image.Image:
    """Convert palettes, bits and transparent colours to gray or RGB, with alpha where there is any."""
    transparent = "transparency" in image.info
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if transparent or image.mode == "PA" else "RGB")
    if transparent and image.mode in ("1", "L", "RGB"):
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _exif(image: Image.Image) -> tuple[bytes | None, int, tuple[str, ...]]:
    """The EXIF block with its orientation reset and without its thumbnail, the orientation it had, and notes."""
    block = image.info.get("exif")
    try:
        if block is None:
            tags = image.getexif()  # a PNG may hold it as text
            block = tags.tobytes() if len(tags) else None
        return (None, 1, ()) if block is None else (*exif.upright(block), ())
    except Exception:  # noqa: BLE001 - a broken EXIF block must not make the picture unreadable
        return None, 1, ("the EXIF block is damaged and left out",)


def encode_png(picture: Picture) -> bytes:
    """Encode uint8 or uint16, gray or RGB, as PNG."""
    metadata = picture.metadata
    if picture.pixels.dtype == np.uint8:
        encoded = _encode(picture, "PNG")
    else:
        encoded = bytes(imagecodecs.png_encode(picture.with_alpha()))
    chunk = png_chunks.chunk
    colour = [chunk(name, data) for name, data in metadata.chunks if name in png_chunks.COLOUR]
    texts = [chunk(name, data) for name, data in metadata.chunks if name not in png_chunks.COLOUR]
    if metadata.icc_profile is not None:
        colour = [chunk(b"iCCP", b"profile\0\0" + zlib.compress(metadata.icc_profile))]
    if metadata.resolution is not None:
        per_metre = [round(value / 0.0254) for value in metadata.resolution]
        texts.append(chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    block = exif.with_texts(metadata.exif, metadata.texts)
    if block is not None:
        texts.append(chunk(b"eXIf", block.removeprefix(b"Exif\0\0")))
    if metadata.xmp is not None:
        texts.append(png_chunks.text_chunk(b"XML:com.adobe.xmp", metadata.xmp))
    if metadata.comment is not None:
        texts.append(png_chunks.text_chunk(b"Comment", metadata.comment.encode(errors="replace")))
    return png_chunks.with_chunks(encoded, [*colour, *texts])


def encode_jpeg(picture: Picture, quality: int = 95) -> bytes:
    """Encode uint8, gray, RGB or CMYK, as JPEG with full chroma."""
    metadata = picture.metadata
    segments = []
    if metadata.xmp is not None:
        segments.append((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + metadata.xmp))
    if metadata.iptc is not None:
        resource = struct.pack(">4sHHI", b"8BIM", _IPTC, 0, len(metadata.iptc)) + metadata.iptc
        segments.append((0xED, b"Photoshop 3.0\0" + resource + bytes(len(resource) % 2)))
    # struct refuses a segment that is too long.
    extra = b"".join(struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments)
    options: dict[str, Any] = {"quality": quality, "subsampling": 0, "extra": extra}
    texts, comment, _ = png_chunks.described(metadata.chunks)
    comment = metadata.comment or comment
    if comment is not None:
        options["comment"] = comment.encode(errors="replace")
    return _encode(picture, "JPEG", **_carried(metadata, texts), **options)


def encode_webp(picture: Picture, quality: int = 100) -> bytes:
    """Encode uint8, gray or RGB, as WebP; a quality of 100 is lossless."""
    # exact keeps the colours of fully transparent pixels.
    texts, _, _ = png_chunks.described(picture.metadata.chunks)
    more = _carried(picture.metadata, texts)
    if picture.metadata.xmp is not None:
        more["xmp"] = picture.metadata.xmp
    return _encode(
        picture, "WEBP", exact=True, **({"lossless": True} if quality == 100 else {"quality": quality}), **more
    )


def _carried(metadata: Metadata, texts: Mapping[int, str]) -> dict[str, Any]:
    """Options of Pillow that write the profile, EXIF and resolution."""
    options: dict[str, Any] = {"icc_profile": metadata.icc_profile}
    block = exif.with_texts(metadata.exif, {**texts, **metadata.texts})
    if block is not None:
        options["exif"] = block
    if metadata.resolution is not None:
        options["dpi"] = metadata.resolution
    return options


def _encode(picture: Picture, format_name: str, **options: Any) -> bytes:
    values = picture.for_encoder()
    image = Image.fromarray(values)
    if picture.metadata.cmyk:
        image = Image.frombytes("CMYK", image.size, values.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()
