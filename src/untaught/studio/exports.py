"""What a result can be saved as: other formats, and before and after in one file."""

from __future__ import annotations

import dataclasses
import importlib.util

from untaught.errors import PictureError
from untaught.imaging import reading
from untaught.imaging.files import write_bytes
from untaught.imaging.writing import check_writable, write
from untaught.studio.previews import as_film, as_shown, in_turns, side_by_side

__all__ = ["BOTH", "FORMS", "export", "offered"]

FORMS = {
    "jpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "tiff": ("tif", "image/tiff"),
    "webp": ("webp", "image/webp"),
    "pair": ("png", "image/png"),
    "gif": ("gif", "image/gif"),
    "mp4": ("mp4", "video/mp4"),
}
"""The ending of the file and its media type, by the name of the form."""

BOTH = ("pair", "gif", "mp4")
"""Those that show the picture before as well."""


def offered() -> list[str]:
    """The forms that this machine can write: a film needs PyAV."""
    return [form for form in FORMS if form != "mp4" or importlib.util.find_spec("av") is not None]


def export(result: str, view: str, before: str, name: str, form: str, quality: str, pages: str = "") -> None:
    """Write the picture in a file in another format, or with the one before: next to it, in turns, or as a film.

    Args:
        result: path of the result.
        view: path of the result as a browser shows it; of a volume one slice.
        before: the same of the picture before.
        name: of the file to write.
        form: a key of `FORMS`.
        quality: of a JPEG or WebP, 1 to 100.
        pages: number of slices of a volume, which only a TIFF holds; empty for a picture.
    """
    if form in BOTH:
        pair = reading.read(before), reading.read(view)
        if form == "pair":
            write(name, side_by_side(*pair))
        else:
            write_bytes(name, (in_turns if form == "gif" else as_film)(*pair))
        return
    whole = bool(pages) and form == "tiff"
    picture = reading.read(view if pages and not whole else result, volume=whole)
    try:
        check_writable(name, picture)
    except PictureError:
        # The format holds no more than 8 bits, or three colours.
        shown = as_shown(reading.read(view))
        picture = dataclasses.replace(shown, alpha=None) if form == "jpeg" else shown
    write(name, picture, quality=int(quality))
