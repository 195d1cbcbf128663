"""Write files atomically: under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

__all__ = ["check_writable", "write_bytes", "write_text"]


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check whether a file can be created beside this path.

    Raises:
        OSError: if not.
    """
    trial = _temporary(Path(path))
    trial.touch(exist_ok=False)
    trial.unlink()


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
