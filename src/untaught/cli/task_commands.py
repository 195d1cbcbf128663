"""The commands that run a task, and those that run one again: repeat and resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from untaught.cli.options import OutputOptions, RepeatedOutput, files_of, proposes, read_page
from untaught.cli.parsing import Command
from untaught.cli.proposing import check_mask
from untaught.cli.run import RunArguments, check_trust, run_files
from untaught.errors import InputError
from untaught.imaging.addresses import elsewhere, named
from untaught.settings import check_names, plain, settings
from untaught.tasks.invert import SHORT_MODELS
from untaught.tasks.options import Count, FitOptions, Usage, build
from untaught.tasks.registry import TASKS, Task, find_task

__all__ = ["again_commands", "task_commands"]

_IN_RECORD = ("value_range", "missing_value", "volume")
"""Options of every task that say how files are read: they are kept with the task's own."""


def _to_record(read: Mapping[str, Any]) -> dict[str, Any]:
    """These options as a record has them."""
    return {name: list(value) if name == "missing_value" else value for name, value in read.items() if value != ()}


def task_commands(words: Sequence[str]) -> list[Command]:
    """One command for each task."""
    return [_task_command(task, words) for task in TASKS.values()]


def _task_command(task: Task, words: Sequence[str]) -> Command:
    def run(files: Any, own: Any, fit: FitOptions, output: OutputOptions) -> int:
        chosen = {field.name: getattr(fit, field.name) for field in dataclasses.fields(fit)}
        read = {name: chosen.pop(name) for name in _IN_RECORD}
        given = {role: getattr(files, role) for role in task.roles}
        if proposes(task):
            check_mask(task.name, given["mask"], files.propose)
        return run_files(
            RunArguments(
                task=task.name,
                files={role: path for role, path in given.items() if path is not None},
                options={**plain(own), **_to_record(read)},
                fit=chosen,
                output=output,
                words=words,
                page=getattr(files, "page", None),
                propose=getattr(files, "propose", None),
            )
        )

    return Command(
        name=task.name,
        about=task.about,
        example=task.example,
        options={
            "input": files_of(task),
            f"options of {task.name}": task.settings,
            "options of every task": FitOptions,
            "output": OutputOptions,
        },
        shown={"options of every task": task.common_options},
        run=run,
    )


@settings
class _Record:
    """Which record to repeat."""

    record_file: Annotated[
        Path, Field(description="a file that --record has written"), Usage(positional=True, metavar="RECORD")
    ]


@settings
class _Checkpoint:
    """Which checkpoint to go on from."""

    checkpoint_file: Annotated[
        Path, Field(description="a checkpoint of a run"), Usage(positional=True, metavar="CHECKPOINT")
    ]
    continue_for: Annotated[
        Count | None,
        Field(
            description="fit N iterations from there, whatever the stop rule says, even if the run had ended (default: "
            "to the run's own end)"
        ),
        Usage(metavar="N"),
    ] = None


@settings
class _Trust:
    """What a file may make this program import."""

    model: Annotated[
        str | None,
        Field(
            description="of invert and activate: the model of the run, given again to allow its import and call (not "
            f"needed for {', '.join(SHORT_MODELS)})"
        ),
        Usage(metavar="NAME"),
    ] = None


def again_commands(words: Sequence[str]) -> list[Command]:
    """The commands that run a task again."""

    def repeat(record: _Record, trust: _Trust, output: OutputOptions) -> int:
        from untaught.fitting.record import read_record

        request = read_record(record.record_file)
        return run_files(_arguments_of(request, trust, output, words, record.record_file))

    def resume(given: _Checkpoint, trust: _Trust, output: RepeatedOutput) -> int:
        from untaught.fitting.checkpoint import load
        from untaught.fitting.record import check_request

        path = given.checkpoint_file
        saved = load(path)
        request, finished = saved.values.get("request"), saved.values.get("finished")
        if not isinstance(request, dict) or not isinstance(request.get("output"), str):
            raise InputError(f"{path} is the checkpoint of another program: one of untaught's own is wanted")
        check_request(request, path)
        there = Path(request["output"])
        if output.output is None and elsewhere(there):
            raise InputError(f"the run would send its picture to {named(there)}: allow it by -o {named(there)}")
        if finished and not given.continue_for:
            raise InputError(f"the run of {path} has come to its end: fit on with --continue-for N")
        chosen = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
        chosen |= {"output": output.output or there, "checkpoint": output.checkpoint or path}
        arguments = _arguments_of(request, trust, OutputOptions(**chosen), words, path)
        return run_files(dataclasses.replace(arguments, saved=saved, continue_for=given.continue_for))

    return [
        Command(
            name="repeat",
            about="Do again what a record describes, with the same settings, seed and input.",
            example="untaught repeat run.json -o again.png",
            options={"input": _Record, "options": _Trust, "output": OutputOptions},
            run=repeat,
        ),
        Command(
            name="resume",
            about="Go on with an interrupted run from its checkpoint, to the same result.",
            example="untaught resume restored.png.checkpoint",
            options={"input": _Checkpoint, "options": _Trust, "output": RepeatedOutput},
            run=resume,
        ),
    ]


def _arguments_of(
    request: Mapping[str, Any], trust: _Trust, output: OutputOptions, words: Sequence[str], origin: Path
) -> RunArguments:
    """The run that a record or a checkpoint describes."""
    from untaught.recipes import recipe_from_record

    task = find_task(request["task"])
    options = dict(request["options"])
    page = read_page(options)
    names = [option.name for option in task.own_options]
    check_names(options, [*names, *_IN_RECORD], kind=f"option of {task.name} in the record:")
    own, read = build(options, task.settings, FitOptions)
    check_trust(request, trust.model)
    return RunArguments(
        task=task.name,
        files={role: Path(request["files"][role]["path"]) for role in task.roles if role in request["files"]},
        options={**plain(own), **_to_record({name: getattr(read, name) for name in _IN_RECORD})},
        fit={
            "recipe": recipe_from_record(request["recipe"]),
            "time_budget": request.get("time_budget"),
            "start_from": Path(request["files"]["start"]["path"]) if "start" in request["files"] else None,
            "seed": request["seed"],
            "device": request["engine"]["device"],
            "precision": request["engine"]["precision"],
        },
        output=output,
        words=words,
        page=page,
        origin=origin,
        request=request,
    )
