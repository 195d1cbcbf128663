"""Options that several commands share: what is written, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from untaught.settings import settings
from untaught.tasks.options import Count, Seconds, Switch, Usage
from untaught.tasks.registry import Task

__all__ = ["PICTURE", "OutputOptions", "RepeatedOutput", "files_of"]

PICTURE = "PNG, JPEG, TIFF or WebP of any depth"


@settings
class RepeatedOutput:
    """What a run that is resumed writes, and where."""

    output: Annotated[
        Path | None, Field(description="file to write (default: the run's own)"), Usage(metavar="OUT", names=("-o",))
    ] = None
    overwrite: Annotated[
        Switch,
        Field(description="OUT may be one of the input files, and what is found besides may replace what is there"),
    ] = False
    reference: Annotated[
        Path | None,
        Field(description="the clean picture: print PSNR (dB) and SSIM against it"),
        Usage(metavar="CLEAN"),
    ] = None
    preview_every: Annotated[
        Count | None,
        Field(
            description="every N iterations, write the picture so far beside OUT, as NAME.preview.EXT (default: never)"
        ),
        Usage(metavar="N"),
    ] = None
    uncertainty: Annotated[
        Path | None,
        Field(description="write the half-width of each pixel's 90 % interval, in the picture's units"),
        Usage(metavar="FILE.tif"),
    ] = None
    record: Annotated[
        Path | None, Field(description="write all that is needed to repeat the run"), Usage(metavar="FILE.json")
    ] = None
    checkpoint: Annotated[
        Path | None,
        Field(
            description="keep a checkpoint for `untaught resume` in this file, also after the end (default: "
            "OUT.checkpoint, removed at the end)"
        ),
        Usage(metavar="FILE"),
    ] = None
    checkpoint_every: Annotated[
        Seconds,
        Field(description="time between two checkpoints, such as 10s or 5m; 0 for none (default: 30s)"),
        Usage(metavar="TIME"),
    ] = 30.0
    quiet: Annotated[Switch, Field(description="print nothing but errors")] = False
    json: Annotated[Switch, Field(description="print the result as one JSON object on standard output")] = False


@settings
class OutputOptions(RepeatedOutput):
    """What a run writes, and where."""

    output: Annotated[Path, Usage(metavar="OUT", names=("-o",))] = Field(..., description="file to write")


def files_of(task: Task) -> type:
    """The settings class of a task's input files."""
    kinds: dict[str, Any] = {}
    optional: dict[str, None] = {}
    if task.picture:
        kinds["picture"] = Annotated[Path, Field(description=PICTURE), Usage(positional=True)]
    for file in sorted(task.files, key=lambda file: not file.required):
        kind: Any = Path if file.required else Path | None
        kinds[file.role] = Annotated[kind, Field(description=file.about), Usage(metavar=file.role.upper())]
        if not file.required:
            optional[file.role] = None
    return settings(type("Files", (), {"__annotations__": kinds, "__doc__": "Input files.", **optional}))
