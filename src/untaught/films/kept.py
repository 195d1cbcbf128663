"""What is kept of a film in work: its finished frames and a small ledger, so that it goes on where it was ended."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError
from untaught.films.sources import Pictures
from untaught.imaging import reading, writing
from untaught.imaging.files import read_bytes, reason, write_bytes, write_text
from untaught.processes import locked

__all__ = ["Kept", "Loose", "Sequence", "Store", "kept_in"]


@dataclass
class Kept:
    """The ledger of a film.

    Attributes:
        folder: where it is kept.
        fingerprint: of the film, its mask and its settings.
        finished: so many frames are written, from the first.
        shots: first frames of the shots.
        measured: what was measured in a shot, by its first frame.
    """

    folder: Path
    fingerprint: str
    finished: int = 0
    shots: list[int] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        """Write it, so that it is whole on the disk."""
        facts = {name: value for name, value in vars(self).items() if name != "folder"}
        write_text(self.folder / "film.json", json.dumps(facts))

    def shot(self, number: int) -> int:
        """The first frame of the shot of a frame that was seen."""
        return max((start for start in self.shots if start <= number), default=0)


@contextlib.contextmanager
def kept_in(folder: Path, fingerprint: str) -> Iterator[Kept]:
    """The ledger of a film in its folder, which no second process can have; a new one where it is another film's.

    Raises:
        InputError: when another process works on the film, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = locked(folder / "lock")
    except BlockingIOError as error:
        raise InputError(f"the film in {folder} is being worked on: wait for its end") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {reason(error)}") from error
    try:
        yield _read(folder, fingerprint)
    finally:
        lock.close()


def _read(folder: Path, fingerprint: str) -> Kept:
    try:
        found = json.loads(read_bytes(folder / "film.json"))
        if found["fingerprint"] == fingerprint:
            return Kept(folder, **found)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return Kept(folder, fingerprint)


class Store(Protocol):
    """Where finished frames go."""

    def write(self, number: int, pixels: NDArray[Any]) -> None:
        """Write the frame of a number; it is whole or not there."""
        ...

    def read(self, number: int) -> NDArray[Any]:
        """The frame of a number, as it was given."""
        ...


class Loose(Store):
    """Frames of a video, without loss, until they are encoded.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08}.png"

    def write(self, number: int, pixels: NDArray[Any]) -> None:
        """Write a frame of uint8 or uint16."""
        write_bytes(self._path(number), bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=1)))

    def read(self, number: int) -> NDArray[Any]:
        """Read it again."""
        pixels: NDArray[Any] = imagecodecs.png_decode(read_bytes(self._path(number)))
        return pixels

    def remove(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)


class Sequence(Store):
    """Frames of a sequence of pictures, with the names and the metadata of the originals.

    Args:
        source: the originals.
        folder: where the results are.
    """

    def __init__(self, source: Pictures, folder: Path) -> None:
        self._source, self._folder = source, folder

    def _path(self, number: int) -> Path:
        return self._folder / self._source.files[number].name

    def write(self, number: int, pixels: NDArray[Any]) -> None:
        """Write a frame in the format of its original."""
        writing.write(self._path(number), self._source.read(number).with_pixels(pixels))

    def read(self, number: int) -> NDArray[Any]:
        """Read it again: of a JPEG, not exactly what was given."""
        return reading.read(self._path(number)).pixels
