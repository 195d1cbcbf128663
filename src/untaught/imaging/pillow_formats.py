"""PNG, JPEG and WebP: decoded and encoded by Pillow, 16-bit PNG by imagecodecs (Pillow reduces it to 8 bits)."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from untaught.errors import PictureError
from untaught.imaging.picture import MAX_PIXELS, ORIENTATION, Metadata, Picture, assemble, check_size, native

__all__ = ["decode", "encode_jpeg", "encode_png", "encode_webp"]


def decode(content: bytes) -> Picture:
    """Decode a PNG, JPEG or WebP file.

    Raises:
        PictureError: for an animation, or for more than `untaught.imaging.picture.MAX_PIXELS` pixels.
        Exception: of any kind, for a damaged file.
    """
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
            resolution = image.info.get("dpi")
            exif, orientation = _exif(image)
            metadata = Metadata(
                icc_profile=image.info.get("icc_profile"),
                exif=exif,
                resolution=None if resolution is None else (float(resolution[0]), float(resolution[1])),
                cmyk=image.mode == "CMYK",
            )
    has_alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4) and not metadata.cmyk
    return assemble(pixels, has_alpha=has_alpha, orientation=orientation, metadata=metadata)


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


def _exif(image: Image.Image) -> tuple[bytes | None, int]:
    """Return the EXIF block with its orientation reset, and the orientation it had."""
    try:
        tags = image.getexif()
        orientation = int(tags.get(ORIENTATION, 1))
        if orientation == 1:
            block = image.info.get("exif")
            return block or (tags.tobytes() if len(tags) else None), 1
        tags[ORIENTATION] = 1
        return tags.tobytes(), orientation
    except Exception:  # noqa: BLE001 - a broken EXIF block must not make the picture unreadable
        return None, 1


def encode_png(picture: Picture) -> bytes:
    """Encode uint8 or uint16, gray or RGB, as PNG."""
    if picture.pixels.dtype == np.uint8:
        return _encode(picture, "PNG")
    metadata = picture.metadata
    encoded = bytes(imagecodecs.png_encode(picture.with_alpha()))
    chunks = b""
    if metadata.icc_profile is not None:
        chunks += _png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(metadata.icc_profile))
    if metadata.resolution is not None:
        per_metre = [round(value / 0.0254) for value in metadata.resolution]
        chunks += _png_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if metadata.exif is not None:
        chunks += _png_chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0"))
    after_header = 8 + 25  # the signature and the IHDR chunk
    return encoded[:after_header] + chunks + encoded[after_header:]


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def encode_jpeg(picture: Picture) -> bytes:
    """Encode uint8, gray, RGB or CMYK, as JPEG of quality 95 with full chroma."""
    return _encode(picture, "JPEG", quality=95, subsampling=0)


def encode_webp(picture: Picture) -> bytes:
    """Encode uint8, gray or RGB, as lossless WebP."""
    # exact keeps the colours of fully transparent pixels.
    return _encode(picture, "WEBP", lossless=True, exact=True)


def _encode(picture: Picture, format_name: str, **options: Any) -> bytes:
    values, metadata = picture.with_alpha(), picture.metadata
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    image = Image.fromarray(values)
    if metadata.cmyk:
        image = Image.frombytes("CMYK", image.size, values.tobytes())
    if metadata.resolution is not None:
        options["dpi"] = metadata.resolution
    if metadata.exif is not None:
        options["exif"] = metadata.exif
    buffer = io.BytesIO()
    image.save(buffer, format_name, icc_profile=metadata.icc_profile, **options)
    return buffer.getvalue()
