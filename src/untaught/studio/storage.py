"""The studio's folder on disk: the only place that the studio, its workers and its file reader write to.

::

    token                       the secret that opens the page, and that a client sends as `Authorization: Bearer`
    sessions.json               hashes of the cookies of logged-in browsers, and the studio's host name
    open.html                   leads the browser to the page at the start, so that the token is in no list of processes
    lock, address               held by the server that uses the folder, and where it answers
    worker.log                  what worker processes print before they have a job; worker.old.log is the one before
    examples/NAME/              example pictures with damage, and their masks
    pictures/ID/original.EXT    the uploaded file, unchanged
                guide.EXT, other.EXT, kernel.EXT, with .json: second pictures, for tasks that need one
                mask.png        the mask as last saved: white is known, black is missing
                info.json, view.png, thumbnail.jpg
    jobs/ID/request.json        what the user asked for
            state.json          queued, running, paused, done, failed or cancelled
            log.jsonl, worker.log, moments/, checkpoint, result.EXT, result.json, record.json, ...
    .new-*, .results-*.zip      uploads and downloads on their way, deleted at their end or at the next start
    settings.json               how much may be stored before the page asks what to remove
    damaged/                    entries that cannot be read; the studio never deletes them

Read: this folder, the page's own files and scikit-image's example pictures. Deleted: what the user deletes; unfinished
uploads; cleared masks; previews beyond the last sixty; the older worker log. Nothing is deleted for its age or
size: the page shows what is stored, and asks.

ID is 16 random hexadecimal digits. Nothing that a client sends becomes part of a path. The server writes request.json
and state.json, the worker writes the rest of a job. Small files are written under a temporary name and then renamed.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import platformdirs

from untaught.imaging.files import write_text

__all__ = [
    "LEAST_TOKEN",
    "DamagedError",
    "FullError",
    "Kind",
    "MissingError",
    "Store",
    "default_folder",
    "is_full",
    "read_json",
    "set_file_aside",
    "shown_name",
    "write_json",
    "write_private",
    "write_private_text",
]

LEAST_TOKEN = 16
"""Length of the shortest token, in characters."""

Kind = Literal["pictures", "jobs"]

_IDENTITY = re.compile(r"[0-9a-f]{16}")
_LARGEST = 20 * 2**30

_log = logging.getLogger(__name__)


class MissingError(LookupError):
    """The store has no entry of that name."""


class FullError(OSError):
    """The disk has too little free space."""

    def __init__(self, message: str = "the disk is full: free some space, or remove pictures and jobs") -> None:
        super().__init__(message)


class DamagedError(Exception):
    """A file of the store is missing, empty or cut.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name} {reason}")
        self.path = path


def is_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, is that the disk or the user's share of it is full."""
    while error is not None:
        if isinstance(error, FullError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def default_folder() -> Path:
    """Return the folder that the studio uses unless it is told another one.

    This is the user's data folder, or ``~/.untaught/studio``, the place of earlier versions, if it exists.
    """
    old = Path.home() / ".untaught" / "studio"
    return old if old.is_dir() else Path(platformdirs.user_data_dir("untaught", appauthor=False)) / "studio"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of the store.

    Raises:
        DamagedError: if it is missing, empty or not a JSON object.
    """
    try:
        content = json.loads(path.read_bytes() or b"null")
    except FileNotFoundError:
        raise DamagedError(path, "is missing") from None
    except OSError as error:
        raise DamagedError(path, f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise DamagedError(path, "is not valid JSON") from None
    if not isinstance(content, dict):
        raise DamagedError(path, "is empty" if content is None else "holds no JSON object")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file of the store, whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file of the store that nobody else can read."""
    write_private_text(path, json.dumps(content) + "\n")


def write_private_text(path: Path, text: str) -> None:
    """Write a file that nobody else can read at any time."""
    made = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def set_file_aside(path: Path, reason: object) -> None:
    """Rename a damaged file to NAME.damaged, so that a new one can be written, and log it."""
    with suppress(OSError):
        path.replace(path.with_name(f"{path.name}.damaged"))
    _log.warning("%s: %s; what there was is now %s.damaged", path.parent, reason, path.name)


def shown_name(name: str) -> str:
    """Return the stem of a client's file name, safe to show and to suggest for downloads; never used as a path."""
    last = re.split(r"[/\\]", name)[-1]
    stem = last.rpartition(".")[0] or last
    plain = "".join(letter if letter.isalnum() or letter in " ._()-',&+!" else "_" for letter in stem)
    return plain.strip(" .-_")[:60].strip() or "picture"


class Store:
    """The pictures and jobs in the studio's folder.

    Args:
        folder: made if it does not exist, readable by the user only.
        spare: bytes of disk space that stay free.
    """

    def __init__(self, folder: Path, *, spare: int = 2**30) -> None:
        self.folder = folder
        self.spare = spare
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("pictures", "jobs", "examples"):
            (folder / name).mkdir(exist_ok=True, mode=0o700)
        for unfinished in folder.glob("*/.new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        for packed in folder.glob(".results-*.zip"):
            packed.unlink(missing_ok=True)

    def token(self) -> str:
        """Return this folder's token; it is made at the first start, and again if the file is damaged."""
        path = self.folder / "token"
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            token = ""
        if len(token) < LEAST_TOKEN:
            return self.renew_token()
        path.chmod(0o600)
        return token

    def renew_token(self) -> str:
        """Make a new token for this folder; the old one counts no longer."""
        token = secrets.token_urlsafe(24)
        write_private_text(self.folder / "token", token)
        return token

    @contextmanager
    def adding(self, kind: Kind) -> Iterator[tuple[str, Path]]:
        """Yield the name of a new entry and a folder to fill; the entry exists once the block ends without an error."""
        identity = secrets.token_hex(8)
        folder = self.folder / kind / f".new-{identity}"
        folder.mkdir(mode=0o700)
        try:
            yield identity, folder
            folder.rename(self.folder / kind / identity)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def entry(self, kind: Kind, identity: str) -> Path:
        """Return the folder of an entry.

        Raises:
            MissingError: if there is no such entry.
        """
        folder = self.folder / kind / identity
        if not _IDENTITY.fullmatch(identity) or not folder.is_dir():
            raise MissingError(f"{kind} has no entry of this name; it may have been removed")
        return folder

    def entries(self, kind: Kind) -> list[str]:
        """Return the names of all entries."""
        return [
            path.name for path in (self.folder / kind).iterdir() if _IDENTITY.fullmatch(path.name) and path.is_dir()
        ]

    def remove(self, kind: Kind, identity: str) -> None:
        """Remove an entry."""
        folder = self.entry(kind, identity)
        # Renamed first, so that the entry is gone at once, however long its files take.
        gone = folder.with_name(f".new-gone-{identity}")
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def set_aside(self, kind: Kind, identity: str, reason: object) -> None:
        """Move an entry that cannot be read to ``damaged/``, and log it."""
        target = self.folder / "damaged" / f"{kind}-{identity}"
        try:
            target.parent.mkdir(exist_ok=True, mode=0o700)
            self.entry(kind, identity).rename(target)
            where = f"now {target}"
        except OSError as error:
            where = f"where it was: it cannot be moved ({error.strerror})"
        _log.warning("%s/%s: %s; its folder is %s", kind, identity, reason, where)

    def check_room(self, wanted: int = 0) -> None:
        """Check that this many more bytes may be written.

        Raises:
            FullError: if the disk has too little free space.
        """
        if shutil.disk_usage(self.folder).free < self.spare + wanted:
            raise FullError

    def contents(self) -> list[dict[str, Any]]:
        """Return kind, name, size in bytes and time of the last change of every entry, the oldest first."""
        found = []
        kinds: tuple[Kind, ...] = ("pictures", "jobs")
        for kind in kinds:
            for identity in self.entries(kind):
                with suppress(OSError):  # it may be removed meanwhile
                    changed, size = _age_and_size(self.folder / kind / identity)
                    found.append({"kind": kind, "id": identity, "bytes": size, "changed": changed})
        return sorted(found, key=lambda one: one["changed"])

    @property
    def largest(self) -> int:
        """Size of all entries in bytes from which on the page asks what to remove; the user can change it."""
        try:
            return max(0, int(read_json(self.folder / "settings.json")["largest"]))
        except (DamagedError, KeyError, TypeError, ValueError):
            return _LARGEST

    @largest.setter
    def largest(self, size: int) -> None:
        write_json(self.folder / "settings.json", {"largest": size})


def _age_and_size(folder: Path) -> tuple[float, int]:
    """Return the time of the last change in a folder, and its size in bytes."""
    changed, size = folder.stat().st_mtime, 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                facts = (Path(directory) / name).stat()
                changed, size = max(changed, facts.st_mtime), size + facts.st_size
    return changed, size
