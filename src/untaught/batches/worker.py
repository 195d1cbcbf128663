"""One picture of a batch, in a process of its own: read, fit, write. What happens to it leaves the others alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import untaught
from untaught.errors import UntaughtError
from untaught.imaging.addresses import elsewhere
from untaught.imaging.files import make_folder, read_bytes, reading_streams_once, remove, write_text
from untaught.processes import environment, locked
from untaught.settings import plain

__all__ = ["Order", "Stopping", "prepare_process", "restore"]

_CHECKPOINT_SECONDS = 30.0
_LOOK_SECONDS = 0.2


class Stopping(Protocol):
    """Says whether the batch is to end."""

    def is_set(self) -> bool:
        """Whether it is."""
        ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is to do; plain values, so that it travels to another process or machine.

    Attributes:
        task: name of the task.
        files: by role.
        options: the task's own and those of `FitOptions`.
        output: where the result goes.
        keep: where record and checkpoint are kept, without their suffixes.
        fingerprint: of files and settings.
        checkpoint_every: seconds between two checkpoints.
        version: of untaught; results of another one are others.
    """

    task: str
    files: Mapping[str, Path]
    options: Mapping[str, Any]
    output: Path
    keep: Path
    fingerprint: str
    checkpoint_every: float = _CHECKPOINT_SECONDS
    version: str = untaught.__version__


_stopping: Stopping | None = None


def prepare_process(threads: int, stopping: Stopping) -> None:
    """Set up a worker's process, before torch is loaded."""
    global _stopping
    _stopping = stopping
    os.environ.update(environment())
    # Who has set it knows better.
    threads = int(os.environ.setdefault("OMP_NUM_THREADS", str(threads)).partition(",")[0])
    # Ctrl-C reaches the whole group of processes; the batch tells its workers to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End when the batch's own process is killed: nobody would take the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def restore(order: Order) -> dict[str, Any] | None:
    """Do one picture, or go on with it.

    Returns:
        The facts of the result; {"error": ...} for a picture that cannot be done; None when the batch is to end first.
    """
    if order.version != untaught.__version__:
        return {
            "error": f"its worker has untaught {untaught.__version__}, and the batch {order.version}: install the same"
        }
    try:
        with reading_streams_once(), _alone(order) as alone:
            return (_done_before(order) or _restored(order)) if alone else None
    except UntaughtError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "there is not enough memory for a picture of this size: crop it or make it smaller"}
    # A mistake of ours in one picture must not end the others.
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {error}"}


@contextlib.contextmanager
def _alone(order: Order) -> Iterator[bool]:
    """No second worker is at this picture, such as one that is left over from a batch whose driver was killed.

    Yields:
        False if the batch is to end before the other one has.
    """
    if elsewhere(order.keep):  # a store knows no locks
        yield True
        return
    order.keep.parent.mkdir(parents=True, exist_ok=True)
    path = order.keep.with_name(f"{order.keep.name}.lock")
    held = None
    while held is None:
        try:
            held = locked(path)
        except BlockingIOError:
            if _stopping is not None and _stopping.is_set():
                yield False
                return
            time.sleep(_LOOK_SECONDS)
        except OSError:  # a disk that knows no locks
            break
    try:
        yield True
    finally:
        if held is not None:
            held.close()
        # Who waits for it still, or makes it anew, finds the result.
        with contextlib.suppress(OSError):
            path.unlink()


def _restored(order: Order) -> dict[str, Any] | None:
    from untaught.fitting import checkpoint, record
    from untaught.fitting.observers import SafetyNet, Throttle
    from untaught.imaging import writing
    from untaught.tasks.from_files import prepared

    options = dict(order.options)
    page = options.pop("page", None)
    job, picture = prepared(order.task, order.files, options, page=page)
    make_folder(order.output.parent)
    blank = picture.with_pixels(job.blank())
    notes = writing.check_writable(order.output, blank, inputs=list(order.files.values()), overwrite=False)
    path = order.keep.with_name(f"{order.keep.name}.checkpoint")
    run = job.begin(_saved(path, order.fingerprint))

    def keep() -> None:
        checkpoint.save(path, run.snapshot().beside(fingerprint=order.fingerprint))

    complaints: list[str] = []
    net = SafetyNet(Throttle(keep, order.checkpoint_every), "checkpoints are", complaints.append)
    for state in run:
        net(state)
        if _stopping is not None and _stopping.is_set() and not run.finished:
            keep()
            return None
    restoration = run.restoration()
    writing.write(order.output, picture.with_pixels(restoration.picture))
    request = record.make_request(job, command="", files=order.files, options=plain(options))
    made = record.make_record(request, restoration, {})
    facts = {
        "seconds": round(restoration.seconds, 2),
        "iterations": restoration.iterations,
        "expected_psnr": restoration.expected_psnr,
        "missing": restoration.missing,
        "notes": [*picture.notes, *notes, *restoration.notes, *complaints],
    }
    made["batch"] = {"fingerprint": order.fingerprint, "sha256": _sha256(order.output), "facts": facts}
    write_text(_record(order), json.dumps(made, indent=1) + "\n")
    remove(path)
    return facts


def _done_before(order: Order) -> dict[str, Any] | None:
    """The facts of a result that a batch wrote before it was killed; None if there is none, or it has changed."""
    try:
        made = json.loads(read_bytes(_record(order)))["batch"]
        same = made["fingerprint"] == order.fingerprint and made["sha256"] == _sha256(order.output)
        facts: dict[str, Any] = dict(made["facts"])
    except (OSError, UntaughtError, ValueError, LookupError, TypeError):
        return None
    return facts if same else None


def _saved(path: Path, fingerprint: str) -> Any:
    """The checkpoint to go on from; None if there is none of the same picture and settings."""
    from untaught.fitting import checkpoint

    try:
        saved = checkpoint.load(path)
    except UntaughtError:
        return None
    return saved if saved.values.get("fingerprint") == fingerprint else None


def _record(order: Order) -> Path:
    return order.keep.with_name(f"{order.keep.name}.json")


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()
