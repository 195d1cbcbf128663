"""``untaught batch TASK``: a task for a folder, a list or a table of pictures."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from untaught.cli.outputs import complain
from untaught.cli.parsing import Command
from untaught.cli.run import DONE, FAILED, INTERRUPTED
from untaught.errors import InputError, Interrupted
from untaught.settings import check_names, plain, settings
from untaught.tasks.options import Count, FitOptions, Switch, Usage
from untaught.tasks.registry import TASKS, Task

if TYPE_CHECKING:
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
        Field(description="processes that work side by side (default: as many as memory and processors allow)"),
        Usage(metavar="N"),
    ] = None
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
        report = batch(
            task.name,
            inputs,
            output.output,
            beside={role: path for role, path in vars(beside).items() if path is not None},
            name=output.name,
            recursive=not output.only_folder,
            workers=output.workers,
            retry=output.retry,
            dry_run=output.dry_run,
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
    print(
        f"{report.done_now} pictures done{earlier}, {len(report.failed)} failed; see {report.folder / 'summary.html'}"
    )
