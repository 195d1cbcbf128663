"""Run a task from files to files: read and check everything, fit, write."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untaught.cli.options import OutputOptions
from untaught.cli.outputs import Targets, complain, picture_writer, put, remove
from untaught.cli.proposing import written_proposal
from untaught.cli.safety import Checkpoints, Interruption, out_of_memory
from untaught.errors import InputError, Interrupted, SettingError, UntaughtError
from untaught.imaging.addresses import named
from untaught.imaging.files import is_special, reading_streams_once, resolved, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from untaught.fitting.checkpoint import Snapshot
    from untaught.fitting.observers import ReferenceMeter
    from untaught.fitting.problem import Problem
    from untaught.fitting.run import Run
    from untaught.fitting.state import Observer, Restoration, State
    from untaught.imaging.picture import Picture

__all__ = ["DONE", "FAILED", "INTERRUPTED", "RunArguments", "run_files"]

DONE, FAILED, INTERRUPTED = 0, 1, 130


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
        page: the page of the picture's file, from 1; None for its only one.
        propose: the kind of damage to find a mask for; None if a mask is given or not needed.
        saved: a checkpoint to go on from; None to start.
        continue_for: iterations to fit from there, whatever the stop rule says.
        origin: the record or the checkpoint that this was read from; None if there is none.
        request: what it says about the run; None if there is none.
    """

    task: str
    files: Mapping[str, Path]
    options: Mapping[str, Any]
    fit: Mapping[str, Any]
    output: OutputOptions
    words: Sequence[str]
    page: int | None = None
    propose: str | None = None
    saved: Snapshot | None = None
    continue_for: int | None = None
    origin: Path | None = None
    request: Mapping[str, Any] | None = None

    @property
    def sources(self) -> dict[str, Path]:
        """All input files, by role; the clean picture and the checkpoint to start from too."""
        more = {"reference": self.output.reference, "start": self.fit.get("start_from")}
        return {**self.files, **{role: path for role, path in more.items() if path is not None}}


def run_files(arguments: RunArguments) -> int:
    """Run a task; nothing is fitted before every check that can be made has passed.

    Returns:
        The exit code.
    """
    with reading_streams_once():
        return _run(arguments)


def _run(arguments: RunArguments) -> int:
    from untaught.cli.display import make_console, make_display
    from untaught.fitting import record
    from untaught.fitting.observers import ReferenceMeter, SafetyNet
    from untaught.imaging import writing
    from untaught.imaging.arrays import in_unit_range
    from untaught.tasks.from_files import prepared

    if arguments.propose is not None:
        arguments = _with_proposal(arguments)
    output, inputs = arguments.output, arguments.sources
    job, picture = prepared(arguments.task, arguments.files, arguments.options, page=arguments.page, **arguments.fit)
    result = picture.with_pixels(job.blank())
    losses: list[str] = []
    for target, shown in ((output.output, result), (output.uncertainty, _as_floats(result))):
        if target is not None:
            may = output.overwrite and target is output.output
            losses += writing.check_writable(target, shown, inputs=list(inputs.values()), overwrite=may)
    targets = Targets.of(output, output.output, inputs, arguments.origin, _names_of_found(job.problem))
    targets = dataclasses.replace(targets, losses=losses)
    reference = None if output.reference is None else _read_reference(output.reference, result)
    console = make_console(quiet=output.quiet)
    differing = () if arguments.request is None else record.differences(arguments.request, job)
    for note in (*picture.notes, *losses, *job.problem.notes, *targets.notes, *differing):
        console.print(f"note: {note}")
    run = job.begin(arguments.saved)
    if output.uncertainty is not None and not run.tells_uncertainty:
        raise SettingError(
            "--uncertainty goes by values that are held out of the fit, and this one holds none out: leave it out"
        )
    if arguments.continue_for:
        run.continue_for(arguments.continue_for)
    elif arguments.saved is None and not output.quiet and (estimate := run.estimate()) is not None:
        console.print(f"note: {estimate}")

    stated = job.problem.layout.figures_range if "picture" in arguments.files else None

    def unit(pixels: Any) -> NDArray[Any]:
        return in_unit_range(pixels, stated, volume=arguments.options["volume"])

    request = record.make_request(
        job,
        command=shlex.join(["untaught", *arguments.words]),
        files={role: path.absolute() if is_special(path) else resolved(path) for role, path in inputs.items()},
        options=arguments.options if arguments.page is None else {**arguments.options, "page": arguments.page},
    )
    meter = None
    if reference is not None:
        meter = ReferenceMeter(unit(reference), lambda state: unit(job.picture(state)))
    checkpoints = Checkpoints(run, {**request, "output": named(resolved(output.output))}, targets.checkpoint)
    display = None
    if not output.quiet:
        display = make_display(console, meter, output.preview_every, lambda state: job.preview(state, 400))
    with Interruption() as interruption:
        nets = _safety_nets(run, picture, targets, output, meter, checkpoints)
        if display is not None:
            nets.insert(0, SafetyNet(display, "the display of progress is", complain))
        with display or nullcontext():
            restoration, error = _fitted(run, [*nets, interruption])
        place, failed = _write(restoration, picture, targets, console, checkpoints if error is None else None)
        figures = {} if meter is None else _figures(unit(restoration.picture), meter, job.problem)
        made = record.make_record(request, restoration, figures)
        if targets.record is not None:
            text = json.dumps(made, indent=1) + "\n"
            failed |= put("the record", targets.record, lambda path: write_text(path, text)) != targets.record
        if error is None and place is not None:
            checkpoints.keep_last() if output.checkpoint is not None else checkpoints.remove()
        else:
            say = complain if place is None else console.print
            checkpoints.keep_for_resuming(say, finished=error is None, between=interruption.between)
    _report(output, place, console, restoration, made, new_notes=restoration.notes[len(job.problem.notes) :])
    if error is None:
        return FAILED if failed else DONE
    if isinstance(error, Interrupted):
        return INTERRUPTED
    if not out_of_memory(error):
        raise error
    complain(f"the memory ran out after {restoration.iterations} iterations: the picture is the best until then")
    return FAILED


def _with_proposal(arguments: RunArguments) -> RunArguments:
    """The same run, with a mask that is found and written first; from here on it is an input file like any other."""
    output = arguments.output
    mask = written_proposal(
        arguments.files["picture"],
        arguments.propose or "auto",
        output.output,
        page=arguments.page,
        volume=arguments.options["volume"],
        taken=[output.output, *arguments.sources.values()],
        quiet=output.quiet,
    )
    options = {**arguments.options, "mask_marks": "known"}
    return dataclasses.replace(arguments, files={**arguments.files, "mask": mask}, options=options, propose=None)


def check_trust(request: Mapping[str, Any], allowed: str | None = None) -> None:
    """Refuse a record that would make Python import and call a model, unless the user names it again.

    Raises:
        InputError: a file from somebody else must not decide what Python imports.
    """
    from untaught.tasks.invert import SHORT_MODELS

    model = request["options"].get("model")
    if model is not None and model not in SHORT_MODELS and model != allowed:
        raise InputError(f"the run would import and call {model}: allow it by --model {model}")


def _safety_nets(
    run: Run,
    picture: Picture,
    targets: Targets,
    output: OutputOptions,
    meter: ReferenceMeter | None,
    checkpoints: Checkpoints,
) -> list[Observer]:
    """The observers that the fit can go on without."""
    from untaught.fitting.observers import Preview, SafetyNet, Throttle
    from untaught.imaging import writing

    def preview(state: State) -> None:
        assert targets.preview is not None
        writing.write(targets.preview, picture.with_pixels(run.job.picture(state)).middle())

    nets: list[Observer] = []
    if meter is not None:
        nets.append(SafetyNet(meter, "the distance to the reference is", complain))
    if output.preview_every:
        nets.append(SafetyNet(Preview(preview, output.preview_every), "the preview is", complain))
    if targets.checkpoint is not None:
        nets.append(
            SafetyNet(Throttle(checkpoints.keep, output.checkpoint_every, share=math.inf), "checkpoints are", complain)
        )
    return nets


def _fitted(run: Run, observers: Sequence[Observer]) -> tuple[Restoration, BaseException | None]:
    """Fit to the end.

    Returns:
        The result, and the error that ended the fit early, if one did.
    """
    try:
        return run.finish(observers), None
    except Interrupted as interrupted:
        if interrupted.restoration is None:
            raise
        return interrupted.restoration, interrupted
    except UntaughtError:
        raise
    # Whatever ends a fit early, the picture so far is written first.
    except Exception as error:
        if run.last is None:
            raise
        return run.restoration(), error


def _names_of_found(problem: Problem) -> list[str]:
    """The names of what is found besides the picture."""
    import torch

    from untaught.physics.linear import Identity

    if problem.further_results is None:
        return []
    blank = torch.zeros(len(problem.observed), problem.channels, *problem.size, dtype=torch.float32)
    with torch.no_grad():
        return list(problem.further_results(problem.operator or Identity(), blank))


def _write(
    restoration: Restoration,
    picture: Picture,
    targets: Targets,
    console: Console,
    obsolete: Checkpoints | None,
) -> tuple[Path | None, bool]:
    """Write the picture, and what else was found.

    Args:
        restoration: the result.
        picture: with the metadata of the input.
        targets: where to write.
        console: to print on.
        obsolete: checkpoints that may be removed for the sake of the result; None if they may not.

    Returns:
        Where the picture is, None if it could not be written; and whether anything is not where it should be.
    """
    from untaught.imaging import writing

    if targets.preview is not None:
        remove(targets.preview)
    write = picture_writer(picture.with_pixels(restoration.picture), targets.losses)
    room = None if obsolete is None else obsolete.make_room
    place = put("the picture", targets.picture, write, room)
    failed = place != targets.picture
    for name, found in restoration.found.items():
        path = targets.found[name]
        there = put(f"the {name}", path, functools.partial(writing.write, picture=picture.with_pixels(found)))
        if there == path:
            console.print(f"wrote {path}")
        failed |= there != path
    if targets.uncertainty is not None and restoration.uncertainty is None:
        complain(f"{targets.uncertainty} is not written: so early in a fit the uncertainty is not known; fit longer")
        failed = True
    elif targets.uncertainty is not None:
        width = _as_floats(picture.with_pixels(restoration.uncertainty))
        there = put("the uncertainty", targets.uncertainty, functools.partial(writing.write, picture=width))
        failed |= there != targets.uncertainty
    return place, failed


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
    place: Path | None,
    console: Console,
    restoration: Restoration,
    record: dict[str, Any],
    *,
    new_notes: Sequence[str],
) -> None:
    """Print the result."""
    if output.json:
        shown = {name: value for name, value in record.items() if name != "history"}
        print(json.dumps({**shown, "output": None if place is None else str(place)}))
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
        f"wrote {'nothing' if place is None else place}"
    )
