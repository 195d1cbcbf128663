"""Options that several commands share: what is written, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.options import Count, Seconds, Switch, Usage
from untaught.tasks.registry import Task

__all__ = ["PICTURE", "OutputOptions", "Page", "Propose", "RepeatedOutput", "files_of", "proposes", "read_page"]

PICTURE = "PNG, JPEG, TIFF or WebP of any depth, or one of the formats that other libraries read"

Page = Annotated[
    Count | None,
    Field(description="page of a file that holds several pictures, from 1 (default: the only one that is no preview)"),
    Usage(metavar="N"),
]
"""Which page of a file is the picture."""


def read_page(options: dict[str, Any]) -> int | None:
    """Take the page out of the options of a record.

    Raises:
        InputError: for one that is no page.
    """
    page = options.pop("page", None)
    if page is not None and (not isinstance(page, int) or isinstance(page, bool) or page < 1):
        raise InputError(f"the record says page {page!r}: a page is a number from 1")
    return page


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


Propose = Annotated[
    Literal["auto", "scratches", "dust", "text", "pixels", "black"] | None,
    Field(
        description="instead of a mask: find the damage (auto for all, scratches, dust, text, dead or hot pixels; or "
        "black pixels), and write the mask beside OUT, as NAME.mask.png, for you to correct"
    ),
    Usage(metavar="KIND"),
]
"""A kind of `untaught.imaging.detection.proposal.KINDS`."""


def proposes(task: Task) -> bool:
    """Whether the command can find a mask for a task by itself: it needs one, and a picture."""
    return task.picture and any(file.role == file.kind == "mask" and file.required for file in task.files)


def files_of(task: Task) -> type:
    """The settings class of a task's input files."""
    kinds: dict[str, Any] = {}
    optional: dict[str, None] = {}
    proposed = proposes(task)
    if task.picture:
        kinds["picture"] = Annotated[Path, Field(description=PICTURE), Usage(positional=True)]
        kinds["page"], optional["page"] = Page, None
    for file in sorted(task.files, key=lambda file: not file.required):
        needed = file.required and not (proposed and file.role == "mask")
        kind: Any = Path if needed else Path | None
        kinds[file.role] = Annotated[kind, Field(description=file.about), Usage(metavar=file.role.upper())]
        if not needed:
            optional[file.role] = None
    if proposed:
        kinds["propose"], optional["propose"] = Propose, None
    return settings(type("Files", (), {"__annotations__": kinds, "__doc__": "Input files.", **optional}))
