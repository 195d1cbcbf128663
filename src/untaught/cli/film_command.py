"""``untaught film TASK``: a task for a video or a sequence of pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from untaught.cli.batch_command import readable
from untaught.cli.outputs import complain
from untaught.cli.parsing import Command
from untaught.cli.run import DONE, INTERRUPTED
from untaught.errors import InputError, Interrupted
from untaught.settings import check_names, plain, settings
from untaught.tasks.options import NotBool, Switch, Usage, ValueRange
from untaught.tasks.registry import TASKS

__all__ = ["film_command"]

_ABLE = ("inpaint", "denoise", "restore", "upscale")


@settings
class _Inputs:
    """What is done, and with which film."""

    task: Annotated[
        str,
        Field(description="inpaint, denoise, restore or upscale; its options are listed by untaught film TASK --help"),
        Usage(positional=True),
    ]
    source: Annotated[
        Path,
        Field(description="a video file, a folder of pictures, or a pattern such as 'shot/*.png'"),
        Usage(positional=True, metavar="FILM"),
    ]


@settings
class FilmOptions:
    """What is written, and how."""

    output: Annotated[
        Path,
        Field(description="for a video a file, such as clean.mp4; for pictures a folder"),
        Usage(metavar="OUT", names=("-o",)),
    ]
    mask: Annotated[
        Path | None,
        Field(
            description="for inpaint and restore: one picture for all frames, or a folder, a pattern or a video with a "
            "mask for each; white = known, black = missing"
        ),
        Usage(metavar="FILE_OR_FOLDER"),
    ] = None
    codec: Annotated[
        str | None,
        Field(description="of a video, such as h264, hevc or ffv1 (default: that of the film)"),
        Usage(metavar="NAME"),
    ] = None
    quality: Annotated[
        int | None,
        Field(
            ge=0,
            le=63,
            description="the encoder's own figure (crf, or quantiser): smaller is better (default: hard to tell from "
            "the original by eye)",
        ),
        NotBool,
        Usage(metavar="N"),
    ] = None
    value_range: ValueRange = None
    quiet: Annotated[Switch, Field(description="print nothing but errors")] = False


def film_command(words: Sequence[str]) -> Command:
    """The command, with the options of the task that the words name."""
    task = TASKS[words[1]] if words[:1] == ["film"] and len(words) > 1 and words[1] in _ABLE else None

    def run(inputs: _Inputs, output: FilmOptions, *given: Any) -> int:
        check_names([inputs.task], _ABLE, kind="task for films:")
        if task is None:
            raise InputError(f"the name of the task comes first: untaught film {inputs.task} ...")
        return _run(task.name, inputs.source, output, *given)

    options: dict[str, type] = {"input": _Inputs, "film": FilmOptions}
    if task is not None:
        options |= {f"options of {task.name}": task.settings}
    return Command(
        name="film",
        about="Restore a video or a sequence of pictures, each frame with the help of those around it.",
        example="untaught film inpaint holiday.mp4 --mask logo.png -o without.mp4",
        options=options,
        run=run,
    )


def _run(task: str, source: Path, output: FilmOptions, own: Any) -> int:
    from untaught.films.driver import film

    began, first = time.monotonic(), 0
    told = began

    def tell(done: int, total: int) -> None:
        nonlocal first, told
        first = first or done - 1
        now = time.monotonic()
        if output.quiet or (now - told < 5 and done != total):
            return
        told = now
        left = (now - began) / (done - first) * (total - done)
        more = f" of {total}, about {readable(left)} to go" if total > done else ""
        print(f"{done} frames{more}", flush=True)

    try:
        report = film(
            task,
            source,
            output.output,
            mask=output.mask,
            codec=output.codec,
            quality=output.quality,
            value_range=output.value_range,
            observer=tell,
            **plain(own),
        )
    except Interrupted:
        complain("interrupted: the same command goes on from here")
        return INTERRUPTED
    if not output.quiet:
        for note in report.notes:
            print(f"note: {note}")
        shots = f" in {len(report.shots)} shots" if len(report.shots) > 1 else ""
        print(f"{report.frames} frames{shots}; see {report.output}")
    return DONE
