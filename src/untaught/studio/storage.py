"""The studio's folder: pictures and jobs under names of our own making, written whole or not at all, cleared in time.

::

    token                       what the page's cookie and a plug-in have to say
    examples/NAME/              pictures to begin with
    pictures/ID/original.EXT    as it came
                mask.png        as last painted: white known, black missing
                info.json, view.png, thumbnail.jpg
    jobs/ID/request.json        what was asked for
            state.json          where it stands; only the server writes it
            log.jsonl, moments/, checkpoint, result.EXT, record.json, ...      only the worker writes these

Nothing that a client sends becomes part of a path.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from untaught.imaging.files import write_text

__all__ = ["FullError", "Kind", "MissingError", "Store", "read_json", "shown_name", "write_json"]

Kind = Literal["pictures", "jobs"]

_IDENTITY = re.compile(r"[0-9a-f]{16}")
_DAY = 24 * 3600.0


class MissingError(LookupError):
    """There is nothing of that name in the store."""


class FullError(OSError):
    """The disk has not enough room left."""


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the store's JSON files."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write one, whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def shown_name(name: str) -> str:
    """The stem of a file name from a client, safe to show and to offer for a download; never used on the disk."""
    last = re.split(r"[/\\]", name)[-1]
    stem = last.rpartition(".")[0] or last
    plain = "".join(letter if letter.isalnum() or letter in " ._()-" else "_" for letter in stem)
    return plain.strip(" .-_")[:60].strip() or "picture"


class Store:
    """Everything the studio keeps.

    Args:
        folder: where; made if need be, for the user alone.
        largest: bytes; beyond them the oldest entries that are not in use are cleared.
        oldest: seconds after which an entry is cleared.
        spare: bytes that are left free on the disk.
    """

    def __init__(
        self, folder: Path, *, largest: int = 20 * 2**30, oldest: float = 60 * _DAY, spare: int = 2**30
    ) -> None:
        self.folder = folder
        self.largest = largest
        self.oldest = oldest
        self.spare = spare
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("pictures", "jobs", "examples"):
            (folder / name).mkdir(exist_ok=True, mode=0o700)
        for unfinished in folder.glob("*/.new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)

    def token(self) -> str:
        """The secret of this folder, made at its first start. Who can read it can read the pictures beside it."""
        path = self.folder / "token"
        if not path.exists():
            write_text(path, secrets.token_urlsafe(24))
            path.chmod(0o600)
        return path.read_text(encoding="utf-8").strip()

    @contextmanager
    def adding(self, kind: Kind) -> Iterator[tuple[str, Path]]:
        """A new entry's name, and a folder to fill, which becomes the entry when all has gone well."""
        identity = secrets.token_hex(8)
        folder = self.folder / kind / f".new-{identity}"
        folder.mkdir(mode=0o700)
        try:
            yield identity, folder
            folder.rename(self.folder / kind / identity)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def entry(self, kind: Kind, identity: str) -> Path:
        """The folder of an entry.

        Raises:
            MissingError: if there is none.
        """
        folder = self.folder / kind / identity
        if not _IDENTITY.fullmatch(identity) or not folder.is_dir():
            raise MissingError(f"there is nothing of that name among the {kind}")
        return folder

    def entries(self, kind: Kind) -> list[str]:
        """The names of all entries."""
        return [path.name for path in (self.folder / kind).iterdir() if _IDENTITY.fullmatch(path.name)]

    def remove(self, kind: Kind, identity: str) -> None:
        """Remove an entry."""
        folder = self.entry(kind, identity)
        # Renamed first, so that it is gone at once, however long its files take.
        gone = folder.with_name(f".new-gone-{identity}")
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def check_room(self, wanted: int = 0) -> None:
        """Find out whether so many bytes more may be written.

        Raises:
            FullError: if not.
        """
        if shutil.disk_usage(self.folder).free < self.spare + wanted:
            raise FullError("there is not enough room on the disk: free some, or remove jobs")

    def clear(self, in_use: set[str]) -> list[str]:
        """Remove what is too old, then the oldest until the rest is small enough; returns the names removed.

        Args:
            in_use: names of entries to leave alone.
        """
        found: list[tuple[float, int, Kind, str]] = []
        kinds: tuple[Kind, ...] = ("pictures", "jobs")
        for kind in kinds:
            for identity in self.entries(kind):
                with suppress(OSError):  # it may be removed while we look
                    found.append((*_age_and_size(self.folder / kind / identity), kind, identity))
        found.sort()
        total, removed, now = sum(size for _, size, _, _ in found), [], time.time()
        for changed, size, kind, identity in found:
            if identity in in_use or (now - changed < self.oldest and total <= self.largest):
                continue
            with suppress(MissingError):
                self.remove(kind, identity)
            total -= size
            removed.append(identity)
        return removed


def _age_and_size(folder: Path) -> tuple[float, int]:
    """When anything in a folder was last changed, and the bytes it takes."""
    changed, size = folder.stat().st_mtime, 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                facts = (Path(directory) / name).stat()
                changed, size = max(changed, facts.st_mtime), size + facts.st_size
    return changed, size
