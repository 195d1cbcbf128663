"""The pictures of a batch are given to processes of this machine, or to somebody else's executor."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import queue
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

from untaught.batches.ledger import Row, Stage
from untaught.batches.worker import Order, prepare_process, restore
from untaught.errors import Interrupted, UntaughtError

__all__ = ["by_executor", "by_processes", "processors"]

_ATTEMPTS = 2
"""A picture whose process was killed so often, while it worked alone, is given up."""

_IN_FLIGHT = 1000
"""So many pictures at most are known to an executor at a time: it keeps each in memory."""

_CALLED_OFF = 20
"""A picture that an executor has called off so often waits for the next batch."""

Note = Callable[..., None]
"""Keeps rows: where pictures stand."""


def _outcome(order: Order, name: str, facts: Mapping[str, Any] | None) -> Row:
    if facts is None:
        stage, facts = Stage.WAITING, {}
    else:
        stage = Stage.FAILED if "error" in facts else Stage.DONE
    return Row(name=name, fingerprint=order.fingerprint, stage=stage, facts=facts)


def _running(order: Order, name: str) -> Row:
    return Row(name=name, fingerprint=order.fingerprint, stage=Stage.RUNNING)


# Somebody else's executor -------------------------------------------------------------------------------------------


def by_executor(executor: Executor, orders: Mapping[str, Order], note: Note) -> None:
    """Give everything to somebody else's executor, a thousand at a time.

    What it calls off, as the client of a scheduler that is gone does, is given to it again, until it takes no more.

    Raises:
        UntaughtError: when it takes no more; what it had waits.
        Interrupted: on Ctrl-C; what has not begun is called off, and waits.
    """
    waiting, again = deque(orders), Counter[str]()
    working: dict[Future[Any], str] = {}
    ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    try:
        while waiting or working:
            _hand_in(executor, orders, waiting, working, ended, note)
            rows = []
            for future in _all_of(ended) if working else ():
                name, facts = working.pop(future), None
                if _called_off(future):
                    again[name] += 1
                    waiting.extend([name] if again[name] < _CALLED_OFF else [])
                else:
                    facts = _facts(future)
                rows.append(_outcome(orders[name], name, facts))
            note(*rows)
    except BaseException as error:
        for future in working:
            future.cancel()
        note(*(_outcome(orders[name], name, None) for name in working.values()))
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(None) from None
        raise


def _hand_in(
    executor: Executor,
    orders: Mapping[str, Order],
    waiting: deque[str],
    working: dict[Future[Any], str],
    ended: queue.SimpleQueue[Future[Any]],
    note: Note,
) -> None:
    """Hand in what waits, so that the executor has as much as it may have."""
    names = [waiting.popleft() for _ in range(min(len(waiting), _IN_FLIGHT - len(working)))]
    note(*(_running(orders[name], name) for name in names))
    for number, name in enumerate(names):
        try:
            future = executor.submit(restore, orders[name])
        # Each library has errors of its own.
        except Exception as error:
            note(*(_outcome(orders[one], one, None) for one in names[number:]))
            raise UntaughtError(
                f"the pictures cannot be handed in any more ({type(error).__name__}: {error}); the same again goes on "
                "from here"
            ) from error
        working[future] = name
        future.add_done_callback(ended.put)


def _all_of(ended: queue.SimpleQueue[Future[Any]]) -> Iterator[Future[Any]]:
    """All that have ended, and at least one."""
    yield ended.get()
    with suppress(queue.Empty):
        while True:
            yield ended.get_nowait()


def _called_off(future: Future[Any]) -> bool:
    """Whether it says nothing of its picture."""
    return future.cancelled() or isinstance(future.exception(), concurrent.futures.BrokenExecutor)


def _facts(future: Future[Any]) -> dict[str, Any] | None:
    """What has become of a picture."""
    try:
        facts: dict[str, Any] | None = future.result()
    # Whatever an executor raises for a lost machine.
    except Exception as error:  # noqa: BLE001
        return {"error": f"its worker was lost: {type(error).__name__}: {error}"}
    return facts


# Processes of this machine ------------------------------------------------------------------------------------------


def by_processes(orders: Mapping[str, Order], note: Note, workers: int) -> None:
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
        with _pool(side_by_side, max(1, processors() // side_by_side)) as (pool, stopping):
            # One more than can be worked on, so that no process waits for the next; but nothing beside a suspect.
            most = 1 if alone else workers + 1
            lost = _emptied(pool, suspects if alone else waiting, orders, note, most, stopping)
        for name in lost:
            attempts[name] += alone
            if attempts[name] < _ATTEMPTS:
                suspects.append(name)
            else:
                error = "its process was killed, perhaps because the memory ran out"
                note(_outcome(orders[name], name, {"error": error}))


def _emptied(
    pool: ProcessPoolExecutor,
    names: deque[str],
    orders: Mapping[str, Order],
    note: Note,
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
                note(_running(orders[name], name))
                futures[pool.submit(restore, orders[name])] = name
                names.popleft()
            done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                facts = future.result()
                name = futures.pop(future)
                note(_outcome(orders[name], name, facts))
    except BrokenProcessPool:
        return list(futures.values())
    except KeyboardInterrupt:
        stopping.set()
        for future, name in futures.items():
            if not future.cancel():
                facts = None
                with suppress(BrokenProcessPool, concurrent.futures.CancelledError):
                    facts = future.result()
                note(_outcome(orders[name], name, facts))
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


def processors() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
