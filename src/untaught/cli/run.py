"""Run a task from files to files: read and check everything, fit, write."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from untaught.cli.options import OutputOptions
from untaught.errors import InputError, Interrupted

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from untaught.fitting.checkpoint import Snapshot
    from untaught.fitting.observers import ReferenceMeter
    from untaught.fitting.problem import Problem
    from untaught.fitting.run import Job, Run
    from untaught.fitting.state import Restoration, State
    from untaught.imaging.picture import Picture

__all__ = ["DONE", "INTERRUPTED", "RunArguments", "prepared", "run_files"]

DONE, INTERRUPTED = 0, 130


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """One run that the command line asks for.

    Attributes:
        task: name of the task.
        files: the input files, by role.
        options: the task's own options, value_range and volume, as the record keeps them.
        fit: the other options of `FitOptions`.
        output: what to write, and where.
        words: the words of the command line.
        saved: a checkpoint to go on from; None to start.
        continue_for: iterations to fit from there, whatever the stop rule says.
    """

    task: str
    files: Mapping[str, Path]
    options: Mapping[str, Any]
    fit: Mapping[str, Any]
    output: OutputOptions
    words: Sequence[str]
    saved: Snapshot | None = None
    continue_for: int | None = None

    @property
    def sources(self) -> dict[str, Path]:
        """All input files, by role; the clean picture too."""
        reference = self.output.reference
        return {**self.files, **({} if reference is None else {"reference": reference})}

    @property
    def checkpoint(self) -> Path:
        """The file for the checkpoint."""
        output = self.output
        return output.checkpoint or output.output.with_name(f"{output.output.name}.checkpoint")


def run_files(arguments: RunArguments) -> int:
    """Run a task; nothing is fitted before every check that can be made has passed.

    Returns:
        The exit code.
    """
    from untaught.cli.display import make_console, make_display
    from untaught.fitting import record
    from untaught.fitting.observers import Preview, ReferenceMeter, Throttle
    from untaught.imaging import writing
    from untaught.imaging.arrays import in_unit_range
    from untaught.imaging.files import check_writable

    output = arguments.output
    for path in (output.record, output.checkpoint):
        if path is not None:
            check_writable(path, arguments.sources.values())
    job, picture = prepared(arguments.task, arguments.files, arguments.options, **arguments.fit)
    result = picture.with_pixels(job.blank())
    for target, shown in ((output.output, result), (output.uncertainty, _as_floats(result))):
        if target is not None:
            inputs = list(arguments.sources.values())
            writing.check_writable(target, shown, inputs=inputs, overwrite=output.overwrite)
    reference = None if output.reference is None else _read_reference(output.reference, result)
    console = make_console(quiet=output.quiet)
    for note in job.problem.notes:
        console.print(f"note: {note}")
    run = job.begin(arguments.saved)
    if arguments.continue_for:
        run.continue_for(arguments.continue_for)

    stated = job.problem.layout.figures_range if "picture" in arguments.files else None

    def unit(pixels: Any) -> NDArray[Any]:
        return in_unit_range(pixels, stated, volume=arguments.options["volume"])

    request = record.make_request(
        job,
        command=shlex.join(["untaught", *arguments.words]),
        files={role: path.resolve() for role, path in arguments.sources.items()},
        options=arguments.options,
    )
    meter = None
    if reference is not None:
        meter = ReferenceMeter(unit(reference), lambda state: unit(job.picture(state)))
    preview_path = _beside(output.output, "preview")

    def preview(state: State) -> None:
        writing.write(preview_path, picture.with_pixels(job.picture(state)).middle())

    def keep() -> None:
        _keep(run, request, arguments)

    display = (
        None
        if output.quiet
        else make_display(console, meter, output.preview_every, lambda state: job.preview(state, 400))
    )
    code = DONE
    with _Interruption() as interruption:
        observers = [
            meter,
            display,
            Preview(preview, output.preview_every) if output.preview_every else None,
            Throttle(keep, output.checkpoint_every, share=math.inf) if output.checkpoint_every else None,
            interruption,
        ]
        try:
            with display or nullcontext():
                restoration = run.finish([observer for observer in observers if observer is not None])
        except Interrupted as interrupted:
            if interrupted.restoration is None:
                raise
            restoration, code = interrupted.restoration, INTERRUPTED
    _write(restoration, picture, output, console)
    if output.preview_every:
        preview_path.unlink(missing_ok=True)
    if output.checkpoint_every and code == INTERRUPTED and interruption.asked:
        keep()
        console.print(f"go on with: {shlex.join(['untaught', 'resume', str(arguments.checkpoint)])}")
    elif output.checkpoint is not None and output.checkpoint_every:
        keep()
    elif code == DONE and output.checkpoint is None and output.checkpoint_every:
        arguments.checkpoint.unlink(missing_ok=True)
    figures = {} if meter is None else _figures(unit(restoration.picture), meter, job.problem)
    made = record.make_record(request, restoration, figures)
    _report(output, console, restoration, made, new_notes=restoration.notes[len(job.problem.notes) :])
    return code


def check_trust(request: Mapping[str, Any], allowed: str | None = None) -> None:
    """Refuse a record that would make Python import and call a model, unless the user names it again.

    Raises:
        InputError: a file from somebody else must not decide what Python imports.
    """
    from untaught.tasks.invert import SHORT_MODELS

    model = request["options"].get("model")
    if model is not None and model not in SHORT_MODELS and model != allowed:
        raise InputError(f"the run would import and call {model}: allow it by --model {model}")


def prepared(
    task: str, sources: Mapping[str, Path], options: Mapping[str, Any], **fit_options: Any
) -> tuple[Job, Picture]:
    """Read the input files of a task.

    Args:
        task: name of the task.
        sources: the input files, by role.
        options: the task's own options, value_range and volume.
        **fit_options: the other options of `FitOptions`.

    Returns:
        The job, and the picture among the files, or a blank one if there is none.
    """
    import numpy as np

    from untaught.imaging import reading
    from untaught.imaging.picture import Picture
    from untaught.tasks.preparation import filled_in, prepare
    from untaught.tasks.registry import find_task

    given: Picture | None = None
    more: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    options = dict(options)
    if "picture" in sources:
        given = reading.read(sources["picture"], volume=options["volume"])
    size = (0, 0) if given is None else given.size
    for file in find_task(task).files:
        if not (file.in_picture_file or file.role in sources):
            continue
        source = sources[file.role if file.role in sources else "picture"]
        if file.kind == "mask" and given is not None and "mask_marks" in options:
            marks, grow = options["mask_marks"], options.get("grow")
            mask = reading.read_mask(source, size, given, marks=marks, grow=grow)
            more[file.role], notes = mask.known, mask.notes
            options |= {"mask_marks": "known", "grow": 0}
        else:
            more[file.role] = reading.read_input(source, file.kind, size)
    if given is None:
        job = prepare(task, None, **more, **options, **fit_options)
        return job, Picture(np.asarray(job.blank()))
    if given.levels is not None and options.get("value_range") is None and not find_task(task).absolute:
        options["value_range"] = given.levels
        notes += (f"the file says that black and white are {given.levels[0]:g} and {given.levels[1]:g}",)
    job = prepare(task, given.pixels, **more, hidden=given.hidden, nodata=given.nodata, **options, **fit_options)
    job = dataclasses.replace(job, problem=dataclasses.replace(job.problem, notes=(*notes, *job.problem.notes)))
    return job, given if given.hidden is None else given.with_holes_filled(filled_in(job.problem))


class _Interruption:
    """Turns the first Ctrl-C, or SIGTERM, into an end between two iterations; the second one ends at once.

    Python lets only the main thread handle signals; in another one, this does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._previous: list[tuple[signal.Signals, Any]] = []

    def _ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __call__(self, state: State) -> None:  # noqa: ARG002
        if self.asked:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGINT, signal.SIGTERM)
            self._previous = [(number, signal.signal(number, self._ask)) for number in numbers]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)


def _keep(run: Run, request: Mapping[str, Any], arguments: RunArguments) -> None:
    """Write a checkpoint."""
    from untaught.fitting import checkpoint

    moment = run.snapshot()
    values = {**moment.values, "request": {**request, "output": str(arguments.output.output.resolve())}}
    checkpoint.save(arguments.checkpoint, checkpoint.Snapshot(moment.tensors, values))


def _write(restoration: Restoration, picture: Picture, output: OutputOptions, console: Console) -> None:
    """Write the picture, and what else was found."""
    from untaught.imaging import writing

    writing.write(output.output, picture.with_pixels(restoration.picture))
    for name, found in restoration.found.items():
        path = _beside(output.output, name)
        writing.write(path, picture.with_pixels(found))
        console.print(f"wrote {path}")
    if output.uncertainty is not None and restoration.uncertainty is not None:
        writing.write(output.uncertainty, _as_floats(picture.with_pixels(restoration.uncertainty)))


def _beside(output: Path, name: str) -> Path:
    """The file for a picture that is written besides the restored one."""
    return output.with_name(f"{output.stem}.{name}{output.suffix}")


def _as_floats(picture: Picture) -> Picture:
    """The pixels as a picture of floats, without alpha and metadata."""
    from untaught.imaging.picture import Picture

    return Picture(picture.pixels.astype("float32"), volume=picture.volume)


def _read_reference(path: Path, picture: Picture) -> NDArray[Any]:
    from untaught.imaging import reading

    reference = reading.read(path, volume=picture.volume).pixels
    if reference.shape != picture.pixels.shape:
        found, wanted = (" x ".join(map(str, shape)) for shape in (reference.shape, picture.pixels.shape))
        raise InputError(
            f"the reference is {found} and the picture {wanted} (height x width x channels, a volume's depth before "
            "them): they must be alike"
        )
    return reference


def _figures(restored: NDArray[Any], meter: ReferenceMeter, problem: Problem) -> dict[str, Any]:
    """Distances of (H, W, C) or (D, H, W, C), in [0, 1], to the reference; None for an infinite one."""
    from untaught.imaging.metrics import finite, psnr, psnr_and_ssim

    figures = psnr_and_ssim(restored, meter.reference)
    if problem.operator is None and problem.missing:
        missing = ~problem.known[0].movedim(0, -1).numpy()
        figures["psnr_missing"] = psnr(restored, meter.reference, missing)
    return {**finite(figures), "reference_history": meter.points}


def _report(
    output: OutputOptions,
    console: Console,
    restoration: Restoration,
    record: dict[str, Any],
    *,
    new_notes: Sequence[str],
) -> None:
    """Write the record and print the result."""
    from untaught.imaging.files import write_text

    if output.record is not None:
        write_text(output.record, json.dumps(record, indent=1) + "\n")
    if output.json:
        shown = {name: value for name, value in record.items() if name != "history"}
        print(json.dumps({**shown, "output": str(output.output)}))
    say = console.print
    if restoration.expected_psnr is not None:
        say(
            f"expect about {restoration.expected_psnr:.1f} dB on the missing pixels: the error on known pixels that "
            "were held out"
        )
    for note in new_notes:
        say(f"note: {note}")
    if restoration.rollbacks:
        say(f"note: the fit diverged {restoration.rollbacks} times and was restarted with a lower learning rate")
    figures = record["result"]
    texts = [
        ("PSNR {:.2f} dB", "psnr"),
        ("SSIM {:.4f}", "ssim"),
        ("PSNR of the missing pixels {:.2f} dB", "psnr_missing"),
    ]
    parts = [text.format(figures[name]) for text, name in texts if figures.get(name) is not None]
    if parts:
        say(", ".join(parts))
    say(
        f"{restoration.iterations} iterations in {restoration.seconds:.1f} s, until {restoration.stop_reason}; "
        f"wrote {output.output}"
    )
