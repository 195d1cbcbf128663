"""What a film comes from: a video file, or a sequence of pictures; and its masks, one for all or one for each frame."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError
from untaught.films.video import Video
from untaught.imaging import reading
from untaught.imaging.formats.registry import SUFFIXES
from untaught.imaging.masks import file_mask, grown
from untaught.imaging.picture import Picture

__all__ = ["Pictures", "masks_of", "open_film"]

Mask = NDArray[np.bool_]
"""(H, W): where a frame is known."""


class Pictures:
    """A film as a sequence of picture files, in the order of their names; numbers in names count as numbers.

    Args:
        files: the pictures.

    Attributes:
        files: the same, in order.
        count: how many there are.
    """

    def __init__(self, files: list[Path]) -> None:
        self.files = sorted(files, key=_by_number)
        self.count = len(files)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Frames: (H, W) or (H, W, C), in the type of the files, without alpha."""
        return (self.read(number).pixels for number in range(self.count))

    def read(self, number: int) -> Picture:
        """The picture of a number, with its metadata."""
        return reading.read(self.files[number])


def _by_number(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def open_film(path: Path) -> Video | Pictures:
    """A film: a video file, a folder of pictures, or a pattern such as ``shot/*.png``.

    Raises:
        InputError: for none of these.
    """
    if path.is_dir():
        found = [one for one in path.iterdir() if _is_picture(one) and not one.name.startswith(".")]
    elif path.is_file():
        if _is_picture(path):
            raise InputError(f"{path} is one picture: a film is a video, a folder of pictures or a pattern of names")
        return Video(path)
    else:
        found = [Path(one) for one in glob.glob(str(path)) if _is_picture(Path(one))]  # noqa: PTH207 - of any folder
    if not found:
        raise InputError(f"there is no film {path}: a video, a folder of pictures or a pattern such as 'shot/*.png'")
    return Pictures(found)


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def masks_of(path: Path, first: NDArray[Any], marks: str, grow: int | None) -> tuple[Callable[[], Iterator[Mask]], str]:
    """The masks of a film's frames.

    Args:
        path: one picture for all frames; or a film of as many frames.
        first: the film's first frame, (H, W) or (H, W, C).
        marks: what white means: "known", "missing" or "auto".
        grow: pixels by which what is missing is widened; None for what suits the mask.

    Returns:
        What begins to read them, and a sentence on how the mask was understood, or an empty one.

    Raises:
        InputError: for a mask that cannot be used.
    """
    size = first.shape[:2]
    if path.is_file() and _is_picture(path):
        understood = reading.read_mask(path, size, Picture(first), marks=marks, grow=grow)
        if understood.known.ndim == 3:
            understood = reading.read_mask(path, size, None, marks=marks, grow=grow)
        known = understood.known
        return lambda: itertools.repeat(known), "; ".join(understood.notes)
    film = open_film(path)
    meaning = marks if marks != "auto" else _meaning(film)
    widened = int(isinstance(film, Video)) if grow is None else grow

    def read() -> Iterator[Mask]:
        for number, pixels in enumerate(film):
            if pixels.shape[:2] != size:
                found, wanted = (f"{one[1]} x {one[0]}" for one in (pixels.shape, size))
                raise InputError(f"frame {number} of the mask {path} is {found} pixels and the film {wanted}")
            white = _white(pixels)
            missing = white if meaning == "missing" else ~white
            yield ~grown(missing, widened, (0, 1))

    white = "missing" if meaning == "missing" else "known"
    return read, "" if marks != "auto" else f"white in the moving mask is taken as {white}"


def _white(pixels: NDArray[Any]) -> Mask:
    """Where a frame of a mask is white."""
    gray = pixels if pixels.ndim == 2 else pixels.mean(-1)
    most = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    white: Mask = gray > most / 2
    return white


def _meaning(film: Video | Pictures) -> str:
    """What white means, by the first mask that has both."""
    for pixels in film:
        white = _white(pixels)
        if white.any() and not white.all():
            known = file_mask(Picture(white.astype(np.uint8) * 255)).known
            return "known" if known[white].all() else "missing"
    raise InputError("every mask is all white or all black: nothing is missing, or everything is")
