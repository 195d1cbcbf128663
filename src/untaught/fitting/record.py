"""The record of a run: everything that is needed to repeat it, and its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import untaught
from untaught.errors import InputError
from untaught.fitting.run import Job
from untaught.fitting.state import Restoration

__all__ = ["check_request", "file_entry", "make_record", "make_request", "read_record"]


def file_entry(path: Path) -> dict[str, str]:
    """A file's path and the SHA-256 of its content."""
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def make_request(job: Job, *, command: str, files: Mapping[str, Path], options: Mapping[str, Any]) -> dict[str, Any]:
    """The first part of a record: everything that is needed to repeat the run.

    Args:
        job: the task, read and checked.
        command: the command line of the run.
        files: the input files by role ("picture", "mask", "reference"); a task may have none.
        options: the task's own options, and those that say how files are read, as plain values.
    """
    return {
        "untaught": untaught.__version__,
        "command": command,
        "task": job.task,
        "files": {role: file_entry(path) for role, path in files.items()},
        "options": dict(options),
        "range": [job.problem.layout.low, job.problem.layout.high],
        "seed": job.seed,
        "time_budget": job.time_budget,
        "recipe": job.recipe.record(),
        "engine": job.engine.record(),
    }


def make_record(request: Mapping[str, Any], restoration: Restoration, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Put a record together.

    Args:
        request: see `make_request`.
        restoration: the result of the run.
        figures: distances to a reference, if there was one.
    """
    return {
        **request,
        "result": {
            "iterations": restoration.iterations,
            "seconds": restoration.seconds,
            "stop_reason": str(restoration.stop_reason),
            "rollbacks": restoration.rollbacks,
            "missing": restoration.missing,
            "expected_psnr": restoration.expected_psnr,
            "notes": list(restoration.notes),
            **figures,
        },
        "history": dict(restoration.history),
    }


def read_record(path: Path) -> dict[str, Any]:
    """Read a record and check that its input files have not changed.

    Raises:
        InputError: for a file that is no record, or input files that are missing or have changed.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        check_request(record, path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a record of untaught (a JSON file as --record writes it)") from error
    return record  # type: ignore[no-any-return]


def check_request(request: Mapping[str, Any], origin: Path) -> None:
    """Check that the input files of a request are there and have not changed.

    Args:
        request: see `make_request`.
        origin: the file that it was read from.

    Raises:
        InputError: for input files that are missing or have changed.
        KeyError: for a request with a part missing.
    """
    for name in ("task", "recipe", "seed", "options", "engine"):
        request[name]
    for role, entry in request["files"].items():
        source = Path(entry["path"])
        if not source.is_file():
            raise InputError(f"the {role} that {origin.name} was made from is not there: {source}")
        if file_entry(source)["sha256"] != entry["sha256"]:
            raise InputError(f"the {role} has changed since {origin.name} was made: {source}")
