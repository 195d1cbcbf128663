"""Does a batch: each picture once, several at a time, on past every error."""

from __future__ import annotations

import concurrent.futures
import hashlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untaught.batches.items import Item, find_items
from untaught.batches.ledger import Ledger, Row, Stage
from untaught.batches.summary import write_summary
from untaught.batches.worker import Order, prepare_process, restore
from untaught.errors import InputError, Interrupted
from untaught.imaging.files import reason
from untaught.tasks.registry import find_task

__all__ = ["BatchReport", "batch"]

_KEPT = ".untaught"
"""Folder below the results: the ledger, records, and checkpoints of pictures that are not done."""

_ATTEMPTS = 2
"""A picture whose process was killed so often, while it worked alone, is given up."""


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
        observer: called after each picture with how things stand.
        **options: the task's own options, and those that every task takes.

    Returns:
        What has become of each picture.

    Raises:
        InputError: for inputs that are not there, and a folder in which another batch is at work.
        SettingError: for unknown options and impossible values.
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
    with Ledger(folder / _KEPT) as ledger:
        fingerprints = _planned(task, items, ledger, retry=retry)
        report = _Report(items, ledger, folder, observer)
        orders = {
            item.name: _order(task, item, folder, fingerprints[item.name])
            for item in items
            if item.name in fingerprints
        }
        try:
            if executor is None:
                _by_processes(orders, ledger, report, workers or _usual_workers())
            else:
                _by_executor(executor, orders, ledger, report)
        finally:
            found = report.now()
            write_summary(found.rows, {item.name: item for item in items}, folder)
    return found


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
        if same and before is not None and before.stage is Stage.DONE and item.output.is_file():
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
        files={role: path.resolve() for role, path in item.files.items()},
        options=item.options,
        output=item.output.resolve(),
        keep=(folder / _KEPT / "pictures" / kept).resolve(),
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
        self._done = 0

    def note(self, row: Row) -> None:
        """Keep what has become of a picture."""
        self._ledger.write(row)
        self._rows[row.name] = row
        if row.stage in (Stage.DONE, Stage.FAILED):
            self._done += row.stage is Stage.DONE
            if self._observer is not None:
                self._observer(self.now())

    def now(self) -> BatchReport:
        """The report of this moment."""
        rows = tuple(self._rows[name] for name in self._names if name in self._rows)
        return BatchReport(rows=rows, folder=self._folder, done_now=self._done)


def _outcome(order: Order, name: str, facts: Mapping[str, Any] | None) -> Row:
    if facts is None:
        stage, facts = Stage.WAITING, {}
    else:
        stage = Stage.FAILED if "error" in facts else Stage.DONE
    return Row(name=name, fingerprint=order.fingerprint, stage=stage, facts=facts)


def _running(order: Order, name: str) -> Row:
    return Row(name=name, fingerprint=order.fingerprint, stage=Stage.RUNNING)


def _by_executor(executor: Executor, orders: Mapping[str, Order], ledger: Ledger, report: _Report) -> None:
    """Give everything to somebody else's executor."""
    ledger.write(*(_running(order, name) for name, order in orders.items()))
    futures: dict[Future[Any], str] = {executor.submit(restore, order): name for name, order in orders.items()}
    for future in concurrent.futures.as_completed(futures):
        name = futures[future]
        try:
            facts = future.result()
        # Whatever an executor raises for a lost machine.
        except Exception as error:  # noqa: BLE001
            facts = {"error": f"its worker was lost: {type(error).__name__}: {error}"}
        report.note(_outcome(orders[name], name, facts))


def _by_processes(orders: Mapping[str, Order], ledger: Ledger, report: _Report, workers: int) -> None:
    """Do everything in processes of this machine.

    Raises:
        Interrupted: on Ctrl-C.
    """
    waiting, suspects = deque(orders), deque[str]()
    attempts = dict.fromkeys(orders, 0)
    workers = min(workers, max(1, len(orders)))
    while waiting or suspects:
        # A process that is killed takes the whole pool with it. Which picture was the reason shows when each of them is
        # alone.
        alone = bool(suspects)
        side_by_side = 1 if alone else workers
        with _pool(side_by_side, max(1, _processors() // side_by_side)) as (pool, stopping):
            # One more than can be worked on, so that no process waits for the next; but nothing beside a suspect.
            most = 1 if alone else workers + 1
            lost = _emptied(pool, suspects if alone else waiting, orders, ledger, report, most, stopping)
        for name in lost:
            attempts[name] += alone
            if attempts[name] < _ATTEMPTS:
                suspects.append(name)
            else:
                error = "its process was killed, perhaps because the memory ran out"
                report.note(_outcome(orders[name], name, {"error": error}))


def _emptied(
    pool: ProcessPoolExecutor,
    names: deque[str],
    orders: Mapping[str, Order],
    ledger: Ledger,
    report: _Report,
    most: int,
    stopping: Any,
) -> list[str]:
    """Do the pictures of a queue until it is empty, at most so many at a time.

    Returns:
        The pictures that were in work when a process was killed.

    Raises:
        Interrupted: on Ctrl-C, after the pictures in work have left checkpoints.
    """
    futures: dict[Future[Any], str] = {}
    try:
        while names or futures:
            while names and len(futures) < most:
                name = names[0]
                ledger.write(_running(orders[name], name))
                futures[pool.submit(restore, orders[name])] = name
                names.popleft()
            done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                facts = future.result()
                name = futures.pop(future)
                report.note(_outcome(orders[name], name, facts))
    except BrokenProcessPool:
        return list(futures.values())
    except KeyboardInterrupt:
        stopping.set()
        for future, name in futures.items():
            if not future.cancel():
                facts = None
                with suppress(BrokenProcessPool, concurrent.futures.CancelledError):
                    facts = future.result()
                report.note(_outcome(orders[name], name, facts))
        raise Interrupted(None) from None
    return []


@contextmanager
def _pool(workers: int, threads: int) -> Iterator[tuple[ProcessPoolExecutor, Any]]:
    """Processes that start fresh, which is safe beside threads, and know when the batch is to end."""
    context = multiprocessing.get_context("spawn")
    stopping = context.Event()
    pool = ProcessPoolExecutor(workers, context, initializer=prepare_process, initargs=(threads, stopping))
    try:
        yield pool, stopping
    finally:
        pool.shutdown(cancel_futures=True)


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _usual_workers() -> int:
    """One for each processor, if each has two gigabytes."""
    import torch

    from untaught.backend.memory import available_memory

    free = available_memory(torch.device("cpu"))
    return max(1, min(_processors(), _processors() if free is None else int(free / 2e9)))
