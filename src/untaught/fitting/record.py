"""The record of a run: everything that is needed to repeat it, and its result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

import untaught
from untaught.errors import InputError
from untaught.fitting.run import Job
from untaught.fitting.state import Restoration
from untaught.imaging.addresses import elsewhere, exists, named
from untaught.imaging.files import read_bytes

__all__ = ["check_request", "differences", "file_entry", "make_record", "make_request", "read_record"]


def file_entry(path: Path) -> dict[str, str]:
    """A file's path and the SHA-256 of its content."""
    return {"path": named(path), "sha256": hashlib.sha256(read_bytes(path)).hexdigest()}


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


class _File(TypedDict):
    path: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Engine(TypedDict):
    device: str
    precision: str


class _Request(TypedDict):
    task: str
    files: dict[str, _File]
    options: dict[str, Any]
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    time_budget: NotRequired[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None]
    recipe: dict[str, Any]
    engine: _Engine


_SCHEMA: TypeAdapter[_Request] = TypeAdapter(_Request)

_MOST_BYTES = 2**28
"""No record is larger: ten million iterations have less."""


def differences(request: Mapping[str, Any], job: Job) -> tuple[str, ...]:
    """What may make a repeated run differ from the run of a record in its last bits, as a sentence."""
    then, now = request["engine"], job.engine.record()
    names = ["device", "precision", "kernels", "torch", *([] if now["kernels"] else ["threads"])]
    changed = [f"{name} {then.get(name)} then and {now[name]} now" for name in names if then.get(name) != now[name]]
    return (f"the picture may differ in its last bits: {', '.join(changed)}",) if changed else ()


def read_record(path: Path) -> dict[str, Any]:
    """Read a record and check that its input files have not changed.

    Raises:
        InputError: for a file that is no record, or input files that are missing or have changed.
    """
    try:
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is not a record of untaught: it has {path.stat().st_size / 1e6:.0f} MB")
        record = json.loads(read_bytes(path).decode())
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"there is no record {path}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a record of untaught (a JSON file as --record writes it)") from error
    check_request(record, path)
    return record  # type: ignore[no-any-return]


def check_request(request: Any, origin: Path) -> None:
    """Check what a run is repeated or resumed from: all parts are there, and the input files have not changed.

    Args:
        request: see `make_request`.
        origin: the file that it was read from.

    Raises:
        InputError: for parts that are missing or impossible, and input files that are missing or have changed.
    """
    try:
        _SCHEMA.validate_python(request, strict=True)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))[:80]
        part = f"its {place} is missing or impossible" if place else "it has no parts by name"
        raise InputError(f"{origin} is not a record of untaught, or it is damaged: {part}") from None
    for role, entry in request["files"].items():
        source = Path(entry["path"])
        # A name may be impossible.
        if not (exists(source) if elsewhere(source) else os.path.isfile(source)):  # noqa: PTH113
            raise InputError(f"the {role} that {origin.name} was made from is not there: {source}")
        if file_entry(source)["sha256"] != entry["sha256"]:
            raise InputError(f"the {role} has changed since {origin.name} was made: {source}")
