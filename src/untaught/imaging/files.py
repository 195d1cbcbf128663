"""Files that are whole or not there: written under a temporary name beside their own, then renamed."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

__all__ = ["check_writable", "write_bytes", "write_text"]


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out whether a file could be written.

    Raises:
        OSError: if not.
    """
    trial = _temporary(Path(path))
    trial.touch(exist_ok=False)
    trial.unlink()


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file, replacing one that is there only when all of the new one is on the disk."""
    target = Path(path).resolve()  # a link goes on pointing at what it pointed at
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
    """Write a text file, in UTF-8."""
    write_bytes(path, text.encode())


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
