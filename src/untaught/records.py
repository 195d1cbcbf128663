"""The record of a run: everything that is needed to repeat it, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import untaught
from untaught.contracts import Restoration
from untaught.errors import InputError

__all__ = ["file_entry", "make_record", "read_record"]


def file_entry(path: Path) -> dict[str, str]:
    """A file's name and the SHA-256 of what is in it."""
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def make_record(
    restoration: Restoration,
    *,
    command: str,
    files: Mapping[str, Path],
    options: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> dict[str, Any]:
    """Put a record together.

    Args:
        restoration: what came of the run.
        command: the command line that started it.
        files: what went in, by role ("picture", "mask", "reference").
        options: settings outside the recipe, such as how the mask is marked.
        figures: distances to a reference, if there was one.
    """
    return {
        "untaught": untaught.__version__,
        "command": command,
        "task": restoration.task,
        "files": {role: file_entry(path) for role, path in files.items()},
        "options": dict(options),
        "seed": restoration.seed,
        "recipe": dict(restoration.recipe),
        "engine": dict(restoration.engine),
        "result": {
            "iterations": restoration.iterations,
            "seconds": restoration.seconds,
            "stop_reason": str(restoration.stop_reason),
            "rollbacks": restoration.rollbacks,
            "missing": restoration.missing,
            "notes": list(restoration.notes),
            **figures,
        },
        "history": dict(restoration.history),
    }


def read_record(path: Path) -> dict[str, Any]:
    """Read a record and check that the files it names are still those that it was made from.

    Raises:
        InputError: for a file that is no record, or input files that are gone or have changed.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        files, _ = record["files"], (record["task"], record["recipe"], record["seed"], record["options"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a record of untaught (a JSON file as --record writes it)") from error
    for role, entry in files.items():
        source = Path(entry["path"])
        if not source.is_file():
            raise InputError(f"the {role} that {path.name} was made from is not there: {source}")
        if file_entry(source)["sha256"] != entry["sha256"]:
            raise InputError(f"the {role} has changed since {path.name} was made: {source}")
    return record  # type: ignore[no-any-return]
