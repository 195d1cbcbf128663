"""What concerns processes that are ours, the command line and the workers: their environment, and locks between them.

The library itself changes nothing in the process that imports it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

__all__ = ["environment", "locked"]


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment with what has to be set before torch is loaded, unless the user has set it.

    Threads of OpenMP that wait for each other spin for a few microseconds only. Beside other work a fit would take
    several times as long otherwise: docs/lab-notes/anytime.md.

    Args:
        given: the environment to begin with; that of this process if None.
    """
    return {"GOMP_SPINCOUNT": "1000", **(os.environ if given is None else given)}


def locked(path: Path) -> BinaryIO:
    """Lock a file, which is made if it is not there.

    The system gives the lock up when the file is closed, or when the process ends, however it ends.

    Raises:
        BlockingIOError: when it is locked already, also by this process.
        OSError: when it cannot be made, or its disk knows no locks.
    """
    file = path.open("a+b")
    try:
        if os.name == "nt":
            import msvcrt

            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            except PermissionError as error:
                raise BlockingIOError(*error.args) from error
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file
