"""Does a batch: each picture once, several at a time, on past every error."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from untaught.batches.execution import by_executor, by_processes, processors
from untaught.batches.items import Item, find_items
from untaught.batches.ledger import Ledger, Row, Stage
from untaught.batches.summary import write_summary
from untaught.batches.worker import Order
from untaught.errors import InputError
from untaught.imaging.addresses import address, elsewhere
from untaught.imaging.files import exists, reason, resolved
from untaught.tasks.registry import find_task

__all__ = ["BatchReport", "batch"]

_KEPT = ".untaught"
"""Folder below the results: the ledger, records, and checkpoints of pictures that are not done."""

_SHARE = 0.02
"""Most of the time that the observer takes; a report of many pictures takes a while."""


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """What has become of a batch.

    Attributes:
        rows: of each picture, in the order of the inputs.
        folder: of the results.
        done_now: how many were done by this call; the others were done before.
    """

    rows: tuple[Row, ...]
    folder: Path
    done_now: int = 0

    @property
    def failed(self) -> tuple[Row, ...]:
        """The pictures that could not be done; ``facts["error"]`` says why."""
        return tuple(row for row in self.rows if row.stage is Stage.FAILED)

    @property
    def waiting(self) -> tuple[Row, ...]:
        """The pictures that are still to be done."""
        return tuple(row for row in self.rows if row.stage in (Stage.WAITING, Stage.RUNNING))


def batch(
    task: str,
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    beside: Mapping[str, str | os.PathLike[str]] | None = None,
    name: str = "{stem}{suffix}",
    recursive: bool = True,
    workers: int | None = None,
    retry: bool = False,
    dry_run: bool = False,
    executor: Executor | None = None,
    observer: Callable[[BatchReport], object] | None = None,
    **options: Any,
) -> BatchReport:
    """Do a task with many pictures; call it again to do only what is missing or has changed.

    One picture that cannot be done does not end the batch. A batch that was killed goes on where it was, also in the
    middle of a picture.

    Args:
        task: name of the task, such as "denoise".
        inputs: files, folders, patterns such as ``scans/*.png``, and manifests (.csv or .jsonl: a row for each picture,
            with the columns picture, mask and so on, output, and any option).
        output: the folder of results. Ledger, records and checkpoints are in ``.untaught`` in it, a summary beside it.
        beside: for each other file of the task, such as "mask": a folder with a file of the same stem for each picture,
            or one file for all.
        name: of a result; {stem}, {suffix} and {folder} stand for the picture's own.
        recursive: look into the folders in folders too.
        workers: processes that work side by side; None for one for each two gigabytes of free memory, and no more than
            there are processors.
        retry: do again what failed before.
        dry_run: find and check everything, and do nothing.
        executor: does the work instead, in the manner of `concurrent.futures`, on machines that see the same files.
        observer: called with how things stand after each picture, or each few where there are very many.
        **options: the task's own options, and those that every task takes.

    Returns:
        What has become of each picture.

    Raises:
        InputError: for inputs that are not there, and a folder in which another batch is at work.
        SettingError: for unknown options and impossible values.
        UntaughtError: when the executor is lost; the same call goes on from there.
        Interrupted: on Ctrl-C; the pictures in work have left checkpoints.
    """
    entry, folder = find_task(task), Path(output)
    several = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    others = {role: Path(where) for role, where in (beside or {}).items()}
    unknown = sorted(set(others) - set(entry.roles))
    if unknown or not entry.picture:
        raise InputError(f"{task} takes no {unknown[0] if unknown else 'picture'}")
    if workers is not None and workers < 1:
        raise InputError(f"workers is a number from 1: found {workers}")
    items = find_items(entry, several, folder, options, beside=others, name=name, recursive=recursive)
    if dry_run:
        rows = tuple(
            Row(
                name=item.name,
                fingerprint="",
                stage=Stage.FAILED if item.problem else Stage.WAITING,
                facts={"error": item.problem} if item.problem else {},
            )
            for item in items
        )
        return BatchReport(rows=rows, folder=folder)
    with Ledger(_ledger_of(folder)) as ledger:
        fingerprints = _planned(task, items, ledger, retry=retry)
        report = _Report(items, ledger, folder, observer)
        orders = {
            item.name: _order(task, item, folder, fingerprints[item.name])
            for item in items
            if item.name in fingerprints
        }
        try:
            if executor is None:
                by_processes(orders, report.note, workers or _usual_workers())
            else:
                by_executor(executor, orders, report.note)
            report.tell()
        finally:
            found = report.now()
            write_summary(found.rows, {item.name: item for item in items}, folder)
    return found


def _ledger_of(folder: Path) -> Path:
    """Where the ledger is: beside the results, or on this machine if they are elsewhere."""
    if not elsewhere(folder):
        return folder / _KEPT
    name = hashlib.sha256(address(folder).encode()).hexdigest()[:24]
    return platformdirs.user_state_path("untaught") / "batches" / name


def _planned(task: str, items: Sequence[Item], ledger: Ledger, *, retry: bool) -> dict[str, str]:
    """Write what is to be done into the ledger.

    Returns:
        The fingerprints of the pictures to be done, by name.
    """
    rows, todo = [], {}
    for item in items:
        before, problem, fingerprint = ledger.read(item.name), item.problem, ""
        if not problem:
            try:
                fingerprint = item.fingerprint(task)
            except (OSError, InputError) as error:
                problem = f"it cannot be read: {reason(error)}"
        if problem:
            rows.append(Row(name=item.name, fingerprint="", stage=Stage.FAILED, facts={"error": problem}))
            continue
        same = before is not None and before.fingerprint == fingerprint
        if same and before is not None and before.stage is Stage.DONE and exists(item.output):
            continue
        if same and before is not None and before.stage is Stage.FAILED and not retry:
            continue
        todo[item.name] = fingerprint
        rows.append(Row(name=item.name, fingerprint=fingerprint, stage=Stage.WAITING))
    ledger.write(*rows)
    return todo


def _order(task: str, item: Item, folder: Path, fingerprint: str) -> Order:
    # Names of any length and characters are kept under a hash.
    kept = hashlib.sha256(item.name.encode()).hexdigest()[:24]
    return Order(
        task=task,
        files={role: resolved(path) for role, path in item.files.items()},
        options=item.options,
        output=resolved(item.output),
        keep=resolved(folder / _KEPT / "pictures" / kept),
        fingerprint=fingerprint,
    )


class _Report:
    """How things stand, for the observer."""

    def __init__(
        self, items: Sequence[Item], ledger: Ledger, folder: Path, observer: Callable[[BatchReport], object] | None
    ) -> None:
        self._names = [item.name for item in items]
        self._rows = {name: row for name in self._names if (row := ledger.read(name)) is not None}
        self._ledger, self._folder, self._observer = ledger, folder, observer
        self._done, self._untold, self._next = 0, False, 0.0

    def note(self, *rows: Row) -> None:
        """Keep where pictures stand."""
        if rows:
            self._ledger.write(*rows)
        for row in rows:
            self._rows[row.name] = row
            self._done += row.stage is Stage.DONE
            self._untold |= row.stage in (Stage.DONE, Stage.FAILED)
        if time.monotonic() >= self._next:
            self.tell()

    def tell(self) -> None:
        """Call the observer, if something has ended since the last call."""
        if self._untold and self._observer is not None:
            begun = time.monotonic()
            self._observer(self.now())
            ended = time.monotonic()
            self._untold, self._next = False, ended + (ended - begun) / _SHARE

    def now(self) -> BatchReport:
        """The report of this moment."""
        rows = tuple(self._rows[name] for name in self._names if name in self._rows)
        return BatchReport(rows=rows, folder=self._folder, done_now=self._done)


def _usual_workers() -> int:
    """One for each processor, if each has two gigabytes."""
    import torch

    from untaught.backend.memory import available_memory

    free = available_memory(torch.device("cpu"))
    return max(1, min(processors(), processors() if free is None else int(free / 2e9)))
