"""A mask that the command line finds by itself: proposed, written beside the result, and used like any other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from untaught.errors import InputError

__all__ = ["check_mask", "written_proposal"]


def check_mask(task: str, mask: Path | None, propose: str | None) -> None:
    """Check that there is one way to a mask.

    Raises:
        InputError: for none, or for two.
    """
    if mask is None and propose is None:
        raise InputError(f"{task} needs --mask MASK, or --propose auto to have the damage found")
    if mask is not None and propose is not None:
        raise InputError(f"{mask} is the mask, and --propose would make another: leave one of them out")


def written_proposal(
    picture: Path, kind: str, output: Path, *, page: int | None, volume: bool, taken: Iterable[Path], quiet: bool
) -> Path:
    """Find the damage of a picture, write a mask beside the output, and say how much is marked.

    Args:
        picture: its file.
        kind: of damage.
        output: the file for the result.
        page: of the picture's file, from 1; None for its only one.
        volume: whether the file holds a volume.
        taken: files that are not replaced; nor is any other that is there.
        quiet: whether to say nothing.

    Returns:
        The file of the mask, white where the picture is known.

    Raises:
        InputError: if nothing is found, or for a volume.
    """
    import numpy as np

    from untaught.cli.display import make_console
    from untaught.imaging import reading, writing
    from untaught.imaging.detection.proposal import propose
    from untaught.imaging.files import free_name
    from untaught.imaging.picture import Picture

    if volume:
        raise InputError("--propose looks at pictures, and this is a volume: give a --mask")
    found = propose(reading.read(picture, page=page).pixels, kind)
    if found.known.all():
        sought = "no damage stands out" if kind == "auto" else f"no damage of the kind {kind} stands out"
        raise InputError(f"{sought} in {picture}: give a --mask that you have painted, for instance in untaught studio")
    path = free_name(output.with_name(f"{output.stem}.mask.png"), taken)
    writing.write(path, Picture(found.known.astype(np.uint8) * 255))
    make_console(quiet=quiet).print(f"marked {found.marked:.2%} as {found.names}; see {path}")
    return path
