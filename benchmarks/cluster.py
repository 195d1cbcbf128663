"""A batch on a Dask cluster of 64 workers, by simulation: what the scheduler and the driver need for each picture.

Protocol: a scheduler in a process of its own, and 64 workers of one thread in four processes. The batch is a list of
10 000 or 100 000 rows, all of one small picture, each with a result of its own. In place of a fit a worker sleeps: the
times of twelve pictures of a batch that is done first, scaled down to 30 ms on the mean, so that the scheduler limits.
Everything else is as in a batch: the list is read and checked, pictures are hashed, the ledger is written, and orders
go through the scheduler. Once the executor has as many pictures at a time as `untaught.batch` gives it, and once all of
them. Memory is what a process has more than before the batch, the scheduler at most and the driver in the end; time is
that of the processor.

    python -m benchmarks.cluster [--workers N] [TASKS ...]

Writes the table of docs/lab-notes/batches.md. It takes about half an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.batches import made
from benchmarks.docs import rows
from benchmarks.tables import replace_table
from untaught.batches.worker import Order

NOTE = Path(__file__).parent.parent / "docs/lab-notes/batches.md"
PROCESSES = 4
VARIABLE = "RECORDED_SECONDS"
"""Of the environment: how long workers sleep."""
MEAN = 0.03
"""64 workers could then do two thousand pictures a second."""
MEGABYTE = 1e6


def slept(order: Order) -> dict[str, Any]:
    """In place of a fit."""
    number, times = int(order.output.stem), json.loads(os.environ[VARIABLE])
    seconds = times[number % len(times)]
    time.sleep(seconds)
    return {"seconds": seconds, "iterations": 100, "expected_psnr": None, "missing": 0, "notes": []}


def recorded() -> list[float]:
    """Seconds of pictures, scaled."""
    import untaught

    with tempfile.TemporaryDirectory() as name:
        options: dict[str, Any] = {"noise": 20, "iterations": 10}
        folder, output = Path(name) / "in", Path(name) / "out"
        made(folder, 12)
        report = untaught.batch("denoise", folder, output, workers=1, **options)
    seconds = [float(row.facts["seconds"]) for row in report.rows]
    return [one * MEAN * len(seconds) / sum(seconds) for one in seconds]


def main(counts: Sequence[int], workers: int) -> None:
    os.environ[VARIABLE] = json.dumps(recorded())
    # 64 profilers in four processes would take most of the time.
    os.environ["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"
    os.environ["DASK_LOGGING__DISTRIBUTED"] = "critical"
    found = []
    for count in counts:
        for at_once in (0, count):
            facts = measured(count, at_once, workers)
            print(facts, flush=True)
            found.append(facts)
    head = [
        "pictures",
        "at a time",
        "scheduler, memory",
        "scheduler, a picture",
        "driver, memory",
        "driver, a picture",
        "pictures a second",
    ]
    lines = [
        [
            f"{one['count']:,}",
            f"{one['in_flight']:,}",
            f"{one['scheduler_memory'] / MEGABYTE:.0f} MB",
            f"{one['scheduler_seconds'] / one['count'] * 1000:.2f} ms",
            f"{one['driver_memory'] / MEGABYTE:.0f} MB",
            f"{one['driver_seconds'] / one['count'] * 1000:.2f} ms",
            f"{one['count'] / one['clock']:.0f}",
        ]
        for one in found
    ]
    table = rows(head, lines)
    print(table)
    replace_table(NOTE, "cluster", table)


def measured(count: int, in_flight: int, workers: int) -> dict[str, Any]:
    """One batch on a fresh cluster."""
    import psutil

    begun: list[subprocess.Popen[str]] = []

    def begin(*words: object, piped: bool = False) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.cluster", *map(str, words)]
        begun.append(subprocess.Popen(command, text=True, stdout=subprocess.PIPE if piped else None))
        return begun[-1]

    try:
        scheduler = begin("--child", "scheduler", piped=True)
        assert scheduler.stdout is not None
        address = scheduler.stdout.readline().strip()
        for number in range(PROCESSES):
            many = workers // PROCESSES + (number < workers % PROCESSES)
            begin("--child", "workers", address, many)
        watched = psutil.Process(scheduler.pid)
        driver = begin("--child", "driver", address, count, in_flight, workers, piped=True)
        assert driver.stdout is not None
        # It says so once all workers are there.
        driver.stdout.readline()
        before, spent, most = watched.memory_info().rss, sum(watched.cpu_times()[:2]), 0
        ended = threading.Event()

        def watch() -> None:
            nonlocal most
            while not ended.wait(0.1):
                most = max(most, watched.memory_info().rss)

        thread = threading.Thread(target=watch)
        thread.start()
        facts: dict[str, Any] = json.loads(driver.stdout.readline())
        ended.set()
        thread.join()
        seconds = sum(watched.cpu_times()[:2]) - spent
        return {**facts, "count": count, "scheduler_memory": most - before, "scheduler_seconds": seconds}
    finally:
        for process in begun:
            process.kill()
            process.wait()


def child(role: str, *words: str) -> None:
    """One of the processes."""
    if role == "driver":
        address, count, in_flight, workers = words
        drive(address, int(count), int(in_flight), int(workers))
    else:
        asyncio.run(schedule() if role == "scheduler" else work(words[0], int(words[1])))


async def schedule() -> None:
    from distributed import Scheduler

    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()


async def work(address: str, count: int) -> None:
    from distributed import Worker

    options: dict[str, Any] = {"nthreads": 1, "memory_limit": 0}
    workers = [await Worker(address, **options) for _ in range(count)]
    await asyncio.gather(*(worker.finished() for worker in workers))


def drive(address: str, count: int, in_flight: int, workers: int) -> None:
    """The batch; prints its facts."""
    import psutil
    from distributed import Client

    import untaught
    from benchmarks import cluster
    from untaught.batches import execution

    execution.restore = cluster.slept  # type: ignore[attr-defined]  # by its name in a module, as workers know it
    execution._IN_FLIGHT = in_flight or execution._IN_FLIGHT
    own = psutil.Process()
    with tempfile.TemporaryDirectory() as name, Client(address, set_as_default=False) as client:
        folder = Path(name)
        Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64).astype(np.uint8)).save(folder / "one.png")
        lines = (json.dumps({"picture": "one.png", "output": f"{number:08}.png"}) for number in range(count))
        (folder / "list.jsonl").write_text("\n".join(lines))
        client.wait_for_workers(workers)
        print("ready", flush=True)
        before, spent, clock = own.memory_info().rss, time.process_time(), time.perf_counter()
        executor = client.get_executor(pure=False)
        options: dict[str, Any] = {"noise": 20, "iterations": 10}
        report = untaught.batch("denoise", folder / "list.jsonl", folder / "out", executor=executor, **options)
        assert report.done_now == count
        facts = {
            "in_flight": execution._IN_FLIGHT,
            "driver_memory": own.memory_info().rss - before,
            "driver_seconds": time.process_time() - spent,
            "clock": time.perf_counter() - clock,
        }
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(description="A batch on a simulated cluster.")
        parser.add_argument("tasks", nargs="*", type=int, default=[10_000, 100_000])
        parser.add_argument("--workers", type=int, default=64)
        given = parser.parse_args()
        main(given.tasks, given.workers)
