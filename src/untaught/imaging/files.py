"""Write files atomically: under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from untaught.errors import PictureError

__all__ = ["check_writable", "write_bytes", "write_text"]


def check_writable(path: Path, inputs: Iterable[Path] = (), advice: str = "choose another name") -> None:
    """Check whether a file can be written, before a long computation makes its content.

    Args:
        path: the file to write.
        inputs: files that must not be overwritten.
        advice: what to do if one of them would be.

    Raises:
        PictureError: if it cannot, with the reason.
    """
    if "\0" in str(path):
        raise PictureError(f"{str(path)!r} cannot be the name of a file: choose another name")
    try:
        is_folder, in_folder = path.is_dir(), path.parent.is_dir()
        is_input = path.exists() and any(_is_there(source) and path.samefile(source) for source in inputs)
    except OSError as error:
        raise PictureError(f"{path} cannot be written: {error.strerror}; choose another name") from error
    if is_folder:
        raise PictureError(f"{path} is a folder: a file name is wanted")
    if not in_folder:
        raise PictureError(f"{path} cannot be written: there is no folder {path.parent}; create it first")
    if is_input:
        raise PictureError(f"{path} is an input and would be overwritten: {advice}")
    trial = _temporary(path)
    try:
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise PictureError(f"{path} cannot be written: {error.strerror} in {path.parent}") from error


def _is_there(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is told where the file is read."""
    try:
        return path.exists()
    except OSError:
        return False


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file. An existing file is replaced only once the new one is complete on disk."""
    target = Path(path).resolve()  # replace the target of a link, not the link
    temporary = _temporary(target)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode())


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
