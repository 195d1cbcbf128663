"""Where a run writes: every name is checked before the fit, and no picture is lost at its end."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from untaught.errors import InputError, UntaughtError
from untaught.imaging import files
from untaught.imaging.addresses import named, spelled
from untaught.imaging.files import check_writable, free_name, is_special, reason, same_file

if TYPE_CHECKING:
    from untaught.cli.options import RepeatedOutput
    from untaught.imaging.picture import Picture

__all__ = ["Targets", "complain", "picture_writer", "put", "remove"]


def complain(text: object) -> None:
    """Print a sentence on standard error, also with ``--quiet``."""
    # A name may hold line breaks, or codes that a terminal obeys.
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in spelled(str(text)))
    print(f"untaught: {shown}", file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The files of a run.

    Attributes:
        picture: the result.
        uncertainty: the half-widths of the intervals; None for none.
        record: None for none.
        found: of each further result, by its name.
        preview: None for none.
        checkpoint: None for none.
        notes: sentences for the user.
        losses: sentences about metadata of the picture that will be lost.
    """

    picture: Path
    uncertainty: Path | None = None
    record: Path | None = None
    found: Mapping[str, Path] = field(default_factory=dict)
    preview: Path | None = None
    checkpoint: Path | None = None
    notes: tuple[str, ...] = ()
    losses: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        output: RepeatedOutput,
        picture: Path,
        inputs: Mapping[str, Path],
        origin: Path | None,
        found: Iterable[str],
    ) -> Targets:
        """Choose all names. Files that the user has not named replace no file that is there.

        Args:
            output: what the user has named.
            picture: the file for the result.
            inputs: the input files, by role.
            origin: the record or checkpoint that the run was read from; None if there is none.
            found: names of further results.

        Raises:
            InputError: for two names of one file, or a name of an input.
        """
        names = {
            "the output": picture,
            "--uncertainty": output.uncertainty,
            "--record": output.record,
            "--checkpoint": output.checkpoint,
        }
        given = {name: path for name, path in names.items() if path is not None}
        for (one, path), (other, second) in itertools.combinations(given.items(), 2):
            if same_file(path, second):
                raise InputError(f"{one} and {other} are the same file, {path}: give each a name of its own")
        for name, path in given.items():
            goes_on = name == "--checkpoint"
            if origin is not None and not goes_on and same_file(path, origin):
                raise InputError(f"{path} is read by this run and would be overwritten by {name}: choose another name")
            if goes_on and not (origin is not None and same_file(path, origin)):
                _check_checkpoint(path, inputs)
        if output.record is not None:
            check_writable(output.record, inputs.values())
        taken = [*given.values(), *inputs.values(), *([] if origin is None else [origin])]

        def beside(name: str) -> Path:
            path = free_name(picture.with_name(f"{picture.stem}.{name}{picture.suffix}"), taken)
            taken.append(path)
            return path

        results = {}
        for name in found:
            path = picture.with_name(f"{picture.stem}.{name}{picture.suffix}")
            replaces = output.overwrite and not path.is_dir() and not any(same_file(path, other) for other in taken)
            results[name] = path if replaces else beside(name)
        checkpoint, notes = _checkpoint(output, picture, inputs, taken)
        return cls(
            picture=picture,
            uncertainty=output.uncertainty,
            record=output.record,
            found=results,
            preview=beside("preview") if output.preview_every else None,
            checkpoint=checkpoint,
            notes=notes,
        )


def _check_checkpoint(path: Path, inputs: Mapping[str, Path]) -> None:
    for role, source in inputs.items():
        if is_special(source):
            raise InputError(
                f"a run whose {role} comes from a pipe cannot be resumed: save the {role} as a file, or leave out "
                "--checkpoint"
            )
    check_writable(path, inputs.values())
    if path.is_fifo():
        raise InputError(f"{path} is a pipe, and a checkpoint is written again and again: name a file")


def _checkpoint(
    output: RepeatedOutput, picture: Path, inputs: Mapping[str, Path], taken: Sequence[Path]
) -> tuple[Path | None, tuple[str, ...]]:
    """The file for the checkpoint, and what to say about it."""
    if not output.checkpoint_every or output.checkpoint is not None:
        return output.checkpoint if output.checkpoint_every else None, ()
    streams = [role for role, path in inputs.items() if is_special(path)]
    if streams:
        return None, (
            f"the {' and the '.join(streams)} cannot be read again from a pipe: there are no checkpoints, and a record "
            "cannot be repeated",
        )
    default = picture.with_name(f"{picture.name}.checkpoint")
    path = free_name(default, taken)
    if path.name == default.name or len(os.fsencode(default.name)) > len(os.fsencode(path.name)):
        return path, ()
    return path, (f"{named(default)} is there already and stays as it is: the checkpoint is {named(path)}",)


def picture_writer(picture: Picture, told: Sequence[str]) -> Callable[[Path], None]:
    """A function that writes a picture, and says which metadata are lost that the user has not been told about.

    Args:
        picture: what to write.
        told: the sentences of `untaught.imaging.writing.check_writable`.
    """
    from untaught.imaging import writing

    def write(path: Path) -> None:
        losses = writing.write(path, picture)
        new = [loss for loss in losses if not any(note.startswith(loss) for note in told)]
        if new:
            complain(f"{path} is without some of its metadata: {'; '.join(new)}")

    return write


def put(
    what: str, path: Path, write: Callable[[Path], object], make_room: Callable[[], bool] | None = None
) -> Path | None:
    """Write a file; if that fails, write it in the current folder, at home, or among the temporary files, and say so.

    Args:
        what: its content, for the sentence.
        path: where it should be.
        write: writes it to a path.
        make_room: removes something from its disk, if it can; called once there is a copy elsewhere.

    Returns:
        Where it is; None if it could not be written at all.
    """
    try:
        write(path)
    except UntaughtError as error:
        why = str(error)
    except (OSError, MemoryError) as error:
        why = f"{path} cannot be written: {reason(error)}"
    else:
        return path
    for folder in _folders():
        there = free_name(folder / path.name)
        with contextlib.suppress(UntaughtError, OSError, MemoryError):
            write(there)
            break
    else:
        complain(f"{why}; {what} is lost")
        return None
    if make_room is not None and make_room():
        with contextlib.suppress(UntaughtError, OSError, MemoryError):
            write(path)
            remove(there)
            return path
    complain(f"{why}; {what} is in {there}")
    return there


def remove(path: Path) -> None:
    """Remove a file if it is there and can be removed."""
    with contextlib.suppress(OSError, UntaughtError):
        files.remove(path)


def _folders() -> Iterable[Path]:
    for find in (Path.cwd, Path.home, lambda: Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError, RuntimeError):
            yield find()
