"""``untaught tiles TASK``: a task for a picture that is too large for the memory, one tile at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from untaught.cli.outputs import complain
from untaught.cli.parsing import Command
from untaught.cli.run import DONE, INTERRUPTED
from untaught.errors import InputError, SettingError
from untaught.settings import check_names, plain, settings
from untaught.tasks.options import FitOptions, Switch, Usage
from untaught.tasks.registry import TASKS

__all__ = ["tiles_command"]

_ABLE = ("inpaint", "restore", "denoise")


@settings
class _Inputs:
    """What is done, and with which picture."""

    task: Annotated[
        str,
        Field(description="inpaint, restore or denoise; its options are listed by untaught tiles TASK --help"),
        Usage(positional=True),
    ]
    image: Annotated[
        Path,
        Field(description="an OME-Zarr, a TIFF or a .npy file of any size"),
        Usage(positional=True, metavar="PICTURE"),
    ]


@settings
class TilesOptions:
    """What is written, and of which part."""

    output: Annotated[
        Path,
        Field(description="an OME-Zarr (.zarr), a TIFF or a .npy file; the first two get a pyramid"),
        Usage(metavar="FILE", names=("-o",)),
    ]
    mask: Annotated[
        Path | None,
        Field(description="a file of the same height and width, read in parts too: 0 is missing"),
        Usage(metavar="FILE"),
    ] = None
    select: Annotated[
        tuple[str, ...],
        Field(description="places of an axis, from 0, such as C=1 or T=0:5 (the last one excluded); may be repeated"),
        Usage(metavar="AXIS=PLACE"),
    ] = ()
    axes: Annotated[
        str | None,
        Field(description="the names of the axes, such as TCZYX (default: what the file says)"),
        Usage(metavar="NAMES"),
    ] = None
    quiet: Annotated[Switch, Field(description="print nothing but errors")] = False


def tiles_command(words: Sequence[str]) -> Command:
    """The command, with the options of the task that the words name."""
    task = TASKS[words[1]] if words[:1] == ["tiles"] and len(words) > 1 and words[1] in _ABLE else None

    def run(inputs: _Inputs, output: TilesOptions, *given: Any) -> int:
        check_names([inputs.task], _ABLE, kind="task for tiles:")
        if task is None:
            raise InputError(f"the name of the task comes first: untaught tiles {inputs.task} ...")
        return _run(task.name, inputs.image, output, *given)

    options: dict[str, type] = {"input": _Inputs, "tiles": TilesOptions}
    if task is not None:
        options |= {f"options of {task.name}": task.settings, "options of every task": FitOptions}
    return Command(
        name="tiles",
        about="Restore a picture of any size, one tile at a time, by a network that learns from parts of the whole.",
        example="untaught tiles denoise slide.zarr -o clean.zarr",
        options=options,
        run=run,
        shown={} if task is None else {"options of every task": task.common_options},
    )


def _run(task: str, image: Path, output: TilesOptions, own: Any, fit: FitOptions) -> int:
    from untaught.batches.tiles import tiles

    def tell(done: int, total: int) -> None:
        if not output.quiet and 20 * done // total > 20 * (done - 1) // total:
            print(f"{done} of {total} tiles", flush=True)

    chosen = {field.name: getattr(fit, field.name) for field in dataclasses.fields(fit)}
    try:
        report = tiles(
            task,
            image,
            output.output,
            mask=output.mask,
            select=dict(map(_place, output.select)),
            axes=output.axes,
            observer=tell,
            **{**plain(own), **chosen},
        )
    except KeyboardInterrupt:
        complain("interrupted: the same command goes on from here")
        return INTERRUPTED
    if not output.quiet:
        for note in report.notes:
            print(f"note: {note}")
        left = f", {report.left} of them as they were" if report.left else ""
        print(f"{report.tiles} tiles done{left}; see {report.output}")
    return DONE


def _place(text: str) -> tuple[str, int | tuple[int, int]]:
    """An axis and its places."""
    axis, _, place = text.partition("=")
    start, colon, stop = place.partition(":")
    try:
        return axis, (int(start), int(stop)) if colon else int(start)
    except ValueError as error:
        raise SettingError(f"found --select {text}: it is an axis and its places, such as C=1 or T=0:5") from error
