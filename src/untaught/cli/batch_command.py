"""``untaught batch TASK``: a task for a folder, a list or a table of pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from untaught.cli.outputs import complain
from untaught.cli.parsing import Command
from untaught.cli.run import DONE, FAILED, INTERRUPTED
from untaught.errors import InputError, Interrupted, SettingError
from untaught.imaging.addresses import named
from untaught.settings import check_names, plain, settings
from untaught.tasks.options import Count, FitOptions, Switch, Usage
from untaught.tasks.registry import TASKS, Task

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from untaught.batches.driver import BatchReport

__all__ = ["batch_command", "readable"]


@settings
class BatchOptions:
    """What a batch does, and how."""

    output: Annotated[
        Path,
        Field(description="folder of the results, with summary.html and summary.csv"),
        Usage(metavar="FOLDER", names=("-o",)),
    ]
    name: Annotated[
        str,
        Field(description="name of a result; {stem}, {suffix} and {folder} stand for the picture's own"),
        Usage(metavar="NAME"),
    ] = "{stem}{suffix}"
    only_folder: Annotated[Switch, Field(description="do not look into the folders in folders")] = False
    workers: Annotated[
        Count | None,
        Field(
            description="processes that work side by side (default: as many as memory and processors allow), or the "
            "workers of --cluster"
        ),
        Usage(metavar="N"),
    ] = None
    scheduler: Annotated[
        str | None,
        Field(description="the workers of this Dask scheduler do it; they see the same files"),
        Usage(metavar="ADDRESS"),
    ] = None
    cluster: Annotated[
        Literal["slurm", "pbs", "lsf", "sge", "kubernetes"] | None,
        Field(description="workers are asked for from this, by dask-jobqueue or dask-kubernetes, and given back"),
        Usage(metavar="NAME"),
    ] = None
    cluster_option: Annotated[
        tuple[str, ...],
        Field(description="an option of that library, such as cores=4 or walltime=02:00:00; may be repeated"),
        Usage(metavar="NAME=VALUE"),
    ] = ()
    retry: Annotated[Switch, Field(description="do again what failed before")] = False
    dry_run: Annotated[Switch, Field(description="list what would be done, and do nothing")] = False
    quiet: Annotated[Switch, Field(description="print nothing but errors")] = False
    json: Annotated[Switch, Field(description="print what has become of each picture, a JSON object a line")] = False


@settings
class _Inputs:
    """What is done, and with which pictures."""

    task: Annotated[
        str,
        Field(description="name of a task; its options are listed by untaught batch TASK --help"),
        Usage(positional=True),
    ]
    inputs: Annotated[
        tuple[str, ...],
        Field(
            description="files, folders, patterns such as 'scans/*.png', and tables (.csv, .jsonl) with a row for each "
            "picture: columns picture, mask and so on, output, and any option",
        ),
        Usage(positional=True),
    ]


def batch_command(words: Sequence[str]) -> Command:
    """The command, with the options of the task that the words name."""
    task = TASKS[words[1]] if words[:1] == ["batch"] and len(words) > 1 and words[1] in _able() else None

    def run(inputs: _Inputs, output: BatchOptions, *given: Any) -> int:
        check_names([inputs.task], _able(), kind="task")
        if task is None:
            raise InputError(f"the name of the task comes first: untaught batch {inputs.task} ...")
        return _run(task, inputs.inputs, output, *given)

    options: dict[str, type] = {"input": _Inputs, "batch": BatchOptions}
    if task is not None:
        options |= {
            "other files": _beside(task),
            f"options of {task.name}": task.settings,
            "options of every task": FitOptions,
        }
    return Command(
        name="batch",
        about="Do a task with many pictures, each once; given again, do only what is missing or has changed.",
        example="untaught batch denoise scans/ --output clean/",
        options=options,
        run=run,
        shown={} if task is None else {"options of every task": task.common_options},
    )


def _able() -> list[str]:
    """The tasks that start from a picture."""
    return [name for name, task in TASKS.items() if task.picture]


def _beside(task: Task) -> type:
    """The settings class of a task's other files."""
    kinds: dict[str, Any] = {
        file.role: Annotated[
            Path | None,
            Field(description=f"{file.about}: one for all, or a folder with one of the same name for each picture"),
            Usage(metavar="FILE_OR_FOLDER"),
        ]
        for file in task.files
    }
    empty = dict.fromkeys(kinds)
    return settings(type("Beside", (), {"__annotations__": kinds, "__doc__": "Other files.", **empty}))


def _run(task: Task, inputs: Sequence[str], output: BatchOptions, beside: Any, own: Any, fit: FitOptions) -> int:
    from untaught.batches.driver import batch

    chosen = {field.name: getattr(fit, field.name) for field in dataclasses.fields(fit)}
    started = time.monotonic()

    def tell(report: BatchReport) -> None:
        if not output.quiet and not output.json:
            print(_progress(report, time.monotonic() - started), flush=True)

    try:
        with _executor(output) as executor:
            report = batch(
                task.name,
                inputs,
                output.output,
                beside={role: path for role, path in vars(beside).items() if path is not None},
                name=output.name,
                recursive=not output.only_folder,
                workers=None if executor else output.workers,
                retry=output.retry,
                dry_run=output.dry_run,
                executor=executor,
                observer=tell,
                **{**plain(own), **chosen},
            )
    except Interrupted:
        complain("interrupted: the same command goes on from here")
        return INTERRUPTED
    if output.json:
        for row in report.rows:
            print(json.dumps({"name": row.name, "stage": str(row.stage), **row.facts}))
    elif not output.quiet:
        _tell_end(report, dry_run=output.dry_run)
    return FAILED if report.failed else DONE


@contextlib.contextmanager
def _executor(output: BatchOptions) -> Iterator[Executor | None]:
    """What does the work; None for processes of this machine.

    Raises:
        SettingError: for options that contradict each other.
    """
    if output.scheduler and output.cluster:
        raise SettingError("--scheduler and --cluster are two ways to workers: leave one of them out")
    if output.cluster_option and not output.cluster:
        raise SettingError("--cluster-option is for a cluster: name it by --cluster")
    if output.scheduler and output.workers:
        raise SettingError("a scheduler has its workers: leave out --workers")
    if output.cluster and not output.workers:
        raise SettingError("say by --workers how many the cluster is asked for")
    options = dict(map(_cluster_option, output.cluster_option))
    if output.dry_run or not (output.scheduler or output.cluster):
        yield None
        return
    from untaught.batches.clusters import connected

    with connected(output.scheduler, output.cluster, output.workers or 1, options) as executor:
        yield executor


def _cluster_option(text: str) -> tuple[str, Any]:
    """Name and value, which is JSON, such as a number or a list, or else a text."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise SettingError(f"found --cluster-option {text}: it is a name and a value, such as cores=4")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _progress(report: BatchReport, seconds: float) -> str:
    """The last picture, how many there are, and how long the rest will take if it goes on like this."""
    total, left = len(report.rows), len(report.waiting)
    ended = max(1, report.done_now + len(report.failed))
    more = f", about {readable(seconds / ended * left)} to go" if left else ""
    failed = f", {len(report.failed)} failed" if report.failed else ""
    return f"{total - left} of {total}{failed}{more}"


def readable(seconds: float) -> str:
    """A time in the largest unit that says enough."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _tell_end(report: BatchReport, *, dry_run: bool) -> None:
    for row in report.rows if dry_run else report.failed:
        print(f"{row.name}: {row.facts.get('error', 'to be done')}")
    if dry_run:
        print(f"{len(report.waiting)} pictures would be done")
        return
    before = len(report.rows) - len(report.failed) - len(report.waiting) - report.done_now
    earlier = f", {before} had been done before" if before else ""
    page = named(report.folder / "summary.html")
    print(f"{report.done_now} pictures done{earlier}, {len(report.failed)} failed; see {page}")
