"""The ledger of a batch: an SQLite file beside the results that knows what has become of each picture.

It is written before a picture is begun and after it is done, so that a batch that is killed goes on where it was.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from untaught.errors import InputError
from untaught.imaging.files import reason
from untaught.processes import locked

__all__ = ["Ledger", "Row", "Stage"]

_VERSION = 1

_TABLE = """
CREATE TABLE IF NOT EXISTS pictures (
    name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, stage TEXT NOT NULL, facts TEXT NOT NULL,
    changed TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID
"""


class Stage(StrEnum):
    """Where a picture stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the ledger knows of a picture.

    Attributes:
        name: of its result.
        fingerprint: of its files and settings.
        stage: where it stands.
        facts: of the result, as JSON holds them: "seconds", "iterations", "expected_psnr", "notes", or "error".
    """

    name: str
    fingerprint: str
    stage: Stage
    facts: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """The ledger of one folder of results; a context manager that no second process can enter.

    Args:
        folder: where it is kept; it is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"

    def __enter__(self) -> Self:
        """Open it.

        Raises:
            InputError: when another process works with it, or it cannot be opened.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = locked(self.path.with_name("lock"))
        except BlockingIOError as error:
            raise InputError(
                f"another batch is at work in {self.path.parent.parent}: wait for its end, or choose another folder"
            ) from error
        except OSError as error:
            raise InputError(f"the ledger {self.path} cannot be opened: {reason(error)}") from error
        try:
            self._rows = sqlite3.connect(self.path, isolation_level=None)
            self._rows.execute("PRAGMA journal_mode=WAL")
            (version,) = self._rows.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise InputError(f"the ledger {self.path} is of version {version}; this program reads {_VERSION}")
            self._rows.execute(_TABLE)
            self._rows.execute(f"PRAGMA user_version={_VERSION}")
        except InputError:
            self.__exit__()
            raise
        except sqlite3.Error as error:
            self.__exit__()
            raise InputError(
                f"the ledger {self.path} is damaged ({error}): move it away, and the pictures are done again"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_rows"):
            self._rows.close()
        self._lock.close()

    def read(self, name: str) -> Row | None:
        """A picture's row; None for one that was never seen."""
        query = "SELECT name, fingerprint, stage, facts FROM pictures WHERE name = ?"
        found = self._rows.execute(query, (name,)).fetchone()
        return None if found is None else _row(found)

    def write(self, *rows: Row) -> None:
        """Write rows, all or none; they are on the disk when this returns."""
        values = [(row.name, row.fingerprint, str(row.stage), json.dumps(dict(row.facts))) for row in rows]
        with closing(self._rows.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany(
                "INSERT INTO pictures (name, fingerprint, stage, facts) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO "
                "UPDATE SET fingerprint = excluded.fingerprint, stage = excluded.stage, facts = excluded.facts, "
                "changed = CURRENT_TIMESTAMP",
                values,
            )
            cursor.execute("COMMIT")

    def __iter__(self) -> Iterator[Row]:
        """All rows, by name."""
        query = "SELECT name, fingerprint, stage, facts FROM pictures ORDER BY name"
        yield from map(_row, self._rows.execute(query).fetchall())


def _row(found: tuple[str, str, str, str]) -> Row:
    name, fingerprint, stage, facts = found
    return Row(name=name, fingerprint=fingerprint, stage=Stage(stage), facts=json.loads(facts))
