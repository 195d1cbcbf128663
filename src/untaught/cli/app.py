"""The command line: parse, call, print. Whatever is heavy is imported inside the commands.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 130 interrupted (the best picture so far has been written).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import untaught
from untaught.errors import InputError, Interrupted, SettingError, UntaughtError
from untaught.tasks.catalogue import (
    SHORT_MODELS,
    TASKS,
    Options,
    Setting,
    Task,
    duration,
    find_task,
    positive,
    settings_of,
    whole,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from untaught.fitting.checkpoint import Snapshot
    from untaught.fitting.observers import LiveDisplay, PlainLines, ReferenceMeter
    from untaught.fitting.problem import Problem
    from untaught.fitting.run import Job
    from untaught.fitting.state import Restoration, State
    from untaught.imaging.picture import Picture

__all__ = ["main"]

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_ABOUT = "Restore a damaged picture from that picture alone, with an untrained network. No data, no download."

_REPEAT = "Do again what a record tells of, with the same settings, seed and input."
_RESUME = "Go on with a run that was interrupted or killed, from its checkpoint, to the same result."
_DEMO = "Restore two bundled photographs and compare with biharmonic inpainting."
_STUDIO = "Open a local web page: paint over what is missing, and watch the picture come back. Needs untaught[studio]."
_COMPARE = "Say how near two pictures are to each other, or both to a reference, in PSNR (dB) and SSIM."
_INSPECT = "Say what is wrong with a picture, and the command that would treat it."
_DOCTOR = "Say what this machine has and how untaught would run on it, and why."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    options.words = words
    try:
        return int(options.command(options))
    except InputError as error:
        return _fail(error, BAD_INPUT)
    except UntaughtError as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        print("untaught: interrupted before there was a picture; nothing was written", file=sys.stderr)
        return INTERRUPTED
    except MemoryError:
        return _fail("there is not enough memory for a picture of this size: crop it or make it smaller", FAILED)


def _as_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(error: object, code: int) -> int:
    print(f"untaught: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="untaught", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"untaught {untaught.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for task in TASKS.values():
        _task_arguments(_command(commands, task.name, task.about, _task, task.example), task)

    repeat = _command(commands, "repeat", _REPEAT, _repeat, "untaught repeat run.json -o again.png")
    repeat.add_argument("record_file", metavar="RECORD", type=Path, help="a file that --record has written")
    _output_arguments(repeat)
    _model_argument(repeat)

    resume = _command(commands, "resume", _RESUME, _resume, "untaught resume restored.png.checkpoint")
    resume.add_argument("checkpoint_file", metavar="CHECKPOINT", type=Path, help="a checkpoint that a run has left")
    resume.add_argument(
        "--continue-for",
        type=_word(positive),
        metavar="N",
        help="fit N iterations from there, whatever the stop rule says, even if the run had ended",
    )
    _output_arguments(resume, "the run's own")
    _model_argument(resume)

    demo = _command(commands, "demo", _DEMO, _demo, "untaught demo -o demo")
    demo.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=Path("untaught-demo"), help=_HELP_FOLDER)
    demo.add_argument(
        "--iterations", type=_word(positive), metavar="N", help="iterations for each picture (default: 320 and 240)"
    )

    studio = _command(commands, "studio", _STUDIO, _studio, "untaught studio --folder pictures")
    studio.add_argument(
        "--port",
        type=_word(_port),
        metavar="N",
        help="port to listen on (default: 8791, or a free one where that is taken)",
    )
    studio.add_argument("--no-browser", action="store_true", help="print the address, and do not open it")
    studio.add_argument(
        "--folder",
        metavar="FOLDER",
        type=Path,
        default=Path.home() / ".untaught" / "studio",
        help="where pictures and jobs are kept (default: .untaught/studio in your home)",
    )
    studio.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on; one that others can reach needs --token (default: 127.0.0.1, this machine only)",
    )
    studio.add_argument("--token", metavar="TEXT", default="", help=_HELP_ACCESS)

    compare = _command(
        commands, "compare", _COMPARE, _compare, "untaught compare damaged.png restored.png --reference clean.png"
    )
    compare.add_argument("first", metavar="A", type=Path, help="a picture")
    compare.add_argument("second", metavar="B", type=Path, help="another, of the same size")
    compare.add_argument("--reference", metavar="CLEAN", type=Path, help="what both are compared with")
    compare.add_argument(
        "-o", "--output", metavar="OUT", type=Path, help="write A, B and the brightened difference of B, side by side"
    )
    compare.add_argument(
        "--baselines",
        metavar="RECORD",
        type=Path,
        help="the record of the run that made B: add what classical methods make of the same input, timed; needs "
        "--reference",
    )
    _settings_arguments(
        compare, [setting for setting in settings_of(Options) if setting.name in ("value_range", "volume")]
    )
    compare.add_argument("--json", action="store_true", help="print one JSON object instead of sentences")

    inspect = _command(commands, "inspect", _INSPECT, _inspect, "untaught inspect photo.jpg")
    inspect.add_argument("picture", metavar="PICTURE", type=Path, help="PNG, JPEG, TIFF or WebP of any depth")
    _settings_arguments(inspect, [setting for setting in settings_of(Options) if setting.name == "value_range"])
    inspect.add_argument("--json", action="store_true", help="print one JSON object instead of sentences")

    doctor = _command(commands, "doctor", _DOCTOR, _doctor, "untaught doctor")
    _settings_arguments(
        doctor, [setting for setting in settings_of(Options) if setting.name in ("device", "precision")]
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of sentences")
    return parser


_HELP_ACCESS = "what a client has to know, 16 characters or more (default: one made at random, kept in the folder)"
_HELP_FOLDER = "folder for the pictures and their figures, made if need be (default: untaught-demo)"


def _command(
    commands: Any, name: str, about: str, run: Callable[[argparse.Namespace], int], example: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=about, epilog=f"example: {example}"
    )
    parser.set_defaults(command=run, name=name)
    return parser


def _task_arguments(parser: argparse.ArgumentParser, task: Task) -> None:
    if task.picture:
        parser.add_argument("picture", metavar="PICTURE", type=Path, help="PNG, JPEG, TIFF or WebP of any depth")
    for file in task.files:
        parser.add_argument(
            f"--{file.role}", metavar=file.role.upper(), type=Path, required=file.required, help=file.about
        )
    _settings_arguments(parser, task.own_settings)
    for setting in _common_settings(task):
        named = ", ".join(task.recipes)
        _settings_arguments(
            parser,
            [dataclasses.replace(setting, about=f"{setting.about} {named}") if setting.name == "recipe" else setting],
        )
    _output_arguments(parser)


def _common_settings(task: Task) -> list[Setting]:
    """The settings of all tasks, but for those that only a picture has a use for."""
    return [setting for setting in settings_of(Options) if task.picture or setting.name != "value_range"]


def _model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="of invert and activate: the model of the run, said again, so that it may be imported and called "
        f"(not needed for {', '.join(SHORT_MODELS)})",
    )


def _settings_arguments(parser: argparse.ArgumentParser, settings: Iterable[Setting]) -> None:
    for setting in settings:
        named: dict[str, Any] = {"dest": setting.name, "default": setting.default, "help": setting.about}
        if setting.required:
            named["required"] = True
        if isinstance(setting.default, bool):
            parser.add_argument(setting.flag, action=f"store_{not setting.default}".lower(), **named)
        elif isinstance(setting.metavar, tuple):
            parser.add_argument(
                setting.flag, nargs=len(setting.metavar), type=_word(setting.read), metavar=setting.metavar, **named
            )
        else:
            parser.add_argument(
                setting.flag, type=_word(setting.read), metavar=setting.metavar, choices=setting.choices, **named
            )


def _word(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of words whose errors argparse shows."""

    def read_word(text: str) -> Any:
        try:
            return read(text)
        except SettingError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read_word


def _output_arguments(parser: argparse.ArgumentParser, default: str = "") -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=not default,
        help=f"file to write (default: {default})" if default else "file to write (required)",
    )
    parser.add_argument("--overwrite", action="store_true", help="OUT may be one of the input files")
    parser.add_argument(
        "--reference", metavar="CLEAN", type=Path, help="the clean picture: print PSNR (dB) and SSIM against it"
    )
    parser.add_argument(
        "--preview-every",
        type=_word(positive),
        metavar="N",
        help="every N iterations, write the picture so far beside OUT, as NAME.preview.EXT (default: never)",
    )
    parser.add_argument(
        "--uncertainty",
        metavar="FILE.tif",
        type=Path,
        help="write how far off each pixel may be, nine times out of ten, in the picture's units",
    )
    parser.add_argument("--record", metavar="FILE.json", type=Path, help="write all that is needed to repeat the run")
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        help="where to keep what `untaught resume` goes on from, also when the run has ended "
        "(default: OUT.checkpoint, removed at the end)",
    )
    parser.add_argument(
        "--checkpoint-every",
        type=_word(duration),
        metavar="TIME",
        default=30.0,
        help="time between two checkpoints, such as 10s or 5m; 0 for none (default: 30s)",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on standard output")


def _port(text: str) -> int:
    value = whole(text)
    if value > 65535:
        raise SettingError(f"a port is a number up to 65535: found {text}")
    return value


def _task(options: argparse.Namespace) -> int:
    """Commands that restore a picture."""
    task = TASKS[options.name]
    given = {setting.name: getattr(options, setting.name) for setting in (*task.own_settings, *_common_settings(task))}
    own = {setting.name: given.pop(setting.name) for setting in task.own_settings}
    # What says how the files are read is not in the recipe, and a record has to tell it.
    own |= {name: given.pop(name) for name in ("value_range", "volume") if name in given}
    own.setdefault("value_range", None)
    files = {role: getattr(options, role) for role in _roles(task)}
    return _run(options, task=task.name, files=files, settings=own, **given)


def _roles(task: Task) -> list[str]:
    """What goes in as files."""
    return [*(["picture"] if task.picture else []), *(file.role for file in task.files)]


def _repeat(options: argparse.Namespace) -> int:
    from untaught.fitting.record import read_record

    return _run_again(options, read_record(options.record_file))


def _resume(options: argparse.Namespace) -> int:
    from untaught.fitting.checkpoint import load
    from untaught.fitting.record import check_request

    saved = load(options.checkpoint_file)
    try:
        request = saved.values["request"]
        check_request(request, options.checkpoint_file)
        options.output = options.output or Path(request["output"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{options.checkpoint_file} has not all that is needed to go on") from error
    if saved.values["finished"] and not options.continue_for:
        raise InputError(f"the run of {options.checkpoint_file} had come to its end: fit on with --continue-for N")
    options.checkpoint = options.checkpoint or options.checkpoint_file
    return _run_again(options, request, saved)


def _run_again(options: argparse.Namespace, request: dict[str, Any], saved: Snapshot | None = None) -> int:
    from untaught.recipes import recipe_from_record

    task = find_task(request["task"])
    files = {role: Path(request["files"][role]["path"]) for role in _roles(task) if role in request["files"]}
    model = request["options"].get("model")
    # A file from somebody else must not decide what Python imports and calls.
    if model is not None and model not in SHORT_MODELS and model != options.model:
        raise InputError(f"the run would import and call {model}: allow it by --model {model}")
    return _run(
        options,
        task=task.name,
        files=files,
        settings=request["options"],
        saved=saved,
        recipe=recipe_from_record(request["recipe"]),
        iterations=None,
        time_budget=request.get("time_budget"),
        seed=request["seed"],
        device=request["engine"]["device"],
        precision=request["engine"]["precision"],
    )


class _Interruption:
    """Turns the first Ctrl-C into an end between two iterations, where everything is whole; the second ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self._previous = [signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)]

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __call__(self, state: State) -> None:  # noqa: ARG002
        if self.asked:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), self._previous, strict=True):
            signal.signal(number, handler)


def _run(
    options: argparse.Namespace,
    *,
    task: str,
    files: Mapping[str, Path | None],
    settings: dict[str, Any],
    saved: Snapshot | None = None,
    **fit_options: Any,
) -> int:
    """Read and check everything, fit, write. Nothing is fitted before every check that can be made has passed."""
    from rich.console import Console

    from untaught.fitting import checkpoint
    from untaught.fitting import record as records
    from untaught.fitting.observers import Preview, ReferenceMeter, Regularly
    from untaught.imaging import writing
    from untaught.imaging.arrays import in_unit_range

    sources = {role: path for role, path in {**files, "reference": options.reference}.items() if path is not None}
    for path in (options.record, options.checkpoint):
        if path is not None:
            _check_path(path, sources)
    value_range = None if settings["value_range"] is None else tuple(settings["value_range"])
    volume = settings.get("volume", False)
    job, picture = _prepared(task, sources, settings, **fit_options)
    result = picture.with_pixels(job.blank())
    for target, shown in ((options.output, result), (options.uncertainty, _as_floats(result))):
        if target is not None:
            writing.check_writable(target, shown, inputs=list(sources.values()), overwrite=options.overwrite)
    reference = None if options.reference is None else _read_reference(options.reference, result)
    console = Console(stderr=True, quiet=options.quiet)
    for note in job.problem.notes:
        console.print(f"note: {note}", highlight=False)
    run = job.begin(saved)
    if getattr(options, "continue_for", None):
        run.continue_for(options.continue_for)

    def unit(pixels: Any) -> NDArray[Any]:
        return in_unit_range(pixels, value_range, volume=volume)

    command = shlex.join(["untaught", *options.words])
    request = records.make_request(
        job, command=command, files={role: path.resolve() for role, path in sources.items()}, options=settings
    )
    checkpoint_path = options.checkpoint or options.output.with_name(f"{options.output.name}.checkpoint")

    def keep() -> None:
        moment = run.snapshot()
        values = {**moment.values, "request": {**request, "output": str(options.output.resolve())}}
        checkpoint.save(checkpoint_path, checkpoint.Snapshot(moment.tensors, values))

    meter = None
    if reference is not None:
        meter = ReferenceMeter(unit(reference), lambda state: unit(job.picture(state)))
    display = _display(console, meter, options)
    preview_path = _beside(options.output, "preview")
    preview = None
    if options.preview_every:
        preview = Preview(
            lambda state: writing.write(preview_path, picture.with_pixels(job.picture(state)).middle()),
            options.preview_every,
        )
    keeper = Regularly(keep, options.checkpoint_every) if options.checkpoint_every else None
    code = DONE
    with _Interruption() as interruption:
        observers = [meter, display, preview, keeper, interruption]
        try:
            with display or nullcontext():
                restoration = run.finish([observer for observer in observers if observer is not None])
        except Interrupted as interrupted:
            if interrupted.restoration is None:
                raise
            restoration, code = interrupted.restoration, INTERRUPTED
    writing.write(options.output, picture.with_pixels(restoration.picture))
    for name, found in restoration.found.items():
        path = _beside(options.output, name)
        writing.write(path, picture.with_pixels(found))
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if options.uncertainty is not None and restoration.uncertainty is not None:
        writing.write(options.uncertainty, _as_floats(picture.with_pixels(restoration.uncertainty)))
    if options.preview_every:
        preview_path.unlink(missing_ok=True)
    if options.checkpoint_every and code == INTERRUPTED and interruption.asked:
        keep()
        console.print(f"go on with: untaught resume {checkpoint_path}", highlight=False, soft_wrap=True)
    elif options.checkpoint is not None and options.checkpoint_every:
        keep()
    elif code == DONE:
        checkpoint_path.unlink(missing_ok=True)
    figures: dict[str, Any] = {}
    if meter is not None:
        figures = _figures(unit(restoration.picture), meter, job.problem)
    record = records.make_record(request, restoration, figures)
    _report(options, console, restoration, record, figures, job.problem.notes)
    return code


def _beside(output: Path, name: str) -> Path:
    """Where a picture goes that was found besides the restored one."""
    return output.with_name(f"{output.stem}.{name}{output.suffix}")


def _prepared(
    task: str, sources: Mapping[str, Path], settings: Mapping[str, Any], **fit_options: Any
) -> tuple[Job, Picture]:
    """The job of a task and its input files, and the picture among them, or a blank one where there is none."""
    import numpy as np

    from untaught.imaging import reading
    from untaught.imaging.picture import Picture
    from untaught.tasks.preparation import prepare

    given = None
    if "picture" in sources:
        given = reading.read(sources["picture"], volume=settings.get("volume", False))
    size = (0, 0) if given is None else given.size
    more = {
        file.role: reading.read_input(sources[file.role if file.role in sources else "picture"], file.kind, size)
        for file in find_task(task).files
        if file.own or file.role in sources
    }
    value_range = None if settings["value_range"] is None else tuple(settings["value_range"])
    pixels = None if given is None else given.pixels
    job = prepare(task, pixels, **more, **{**settings, "value_range": value_range}, **fit_options)
    picture = given or Picture(np.asarray(job.blank()))
    return job, picture


def _as_floats(picture: Picture) -> Picture:
    """A map as a picture of floats, without alpha and metadata."""
    from untaught.imaging.picture import Picture

    return Picture(picture.pixels.astype("float32"), volume=picture.volume)


def _check_path(path: Path, files: dict[str, Path]) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: a file in a folder that exists is wanted")
    if any(path.exists() and path.samefile(source) for source in files.values()):
        raise InputError(f"an input file would be overwritten: {path}")


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


def _display(
    console: Console, meter: ReferenceMeter | None, options: argparse.Namespace
) -> LiveDisplay | PlainLines | None:
    from untaught.fitting.observers import LiveDisplay, PlainLines

    if options.quiet:
        return None
    if console.is_terminal:
        return LiveDisplay(console, meter, options.preview_every)
    return PlainLines(console, meter)


def _figures(restored: NDArray[Any], meter: ReferenceMeter, problem: Problem) -> dict[str, Any]:
    """Distances of (H, W, C) or (D, H, W, C), in [0, 1], to the reference; None where there is no finite one."""
    from untaught.imaging.metrics import psnr, ssim

    figures = {"psnr": psnr(restored, meter.reference), "ssim": ssim(restored, meter.reference)}
    if problem.operator is None and problem.missing:
        missing = ~problem.known[0].movedim(0, -1).numpy()
        figures["psnr_missing"] = psnr(restored, meter.reference, missing)
    finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    return {**finite, "reference_history": meter.points}


def _report(
    options: argparse.Namespace,
    console: Console,
    restoration: Restoration,
    record: dict[str, Any],
    figures: dict[str, Any],
    before: Sequence[str],
) -> None:
    """Write the record and print what came of the run, but for the notes that were printed before it."""
    from untaught.imaging.files import write_text

    if options.record is not None:
        write_text(options.record, json.dumps(record, indent=1) + "\n")
    if options.json:
        del record["history"]
        print(json.dumps({**record, "output": str(options.output)}))
    if restoration.expected_psnr is not None:
        console.print(
            f"expect about {restoration.expected_psnr:.1f} dB on the missing pixels: so well were known pixels guessed "
            "before they were shown",
            highlight=False,
            soft_wrap=True,
        )
    for note in restoration.notes[len(before) :]:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if restoration.rollbacks:
        console.print(
            f"note: the fit diverged {restoration.rollbacks} times and was taken back, at a lower rate", highlight=False
        )
    shown = [
        ("PSNR {:.2f} dB", "psnr"),
        ("SSIM {:.4f}", "ssim"),
        ("PSNR of the missing pixels {:.2f} dB", "psnr_missing"),
    ]
    parts = [text.format(figures[name]) for text, name in shown if figures.get(name) is not None]
    if parts:
        console.print(", ".join(parts), highlight=False)
    console.print(
        f"{restoration.iterations} iterations in {restoration.seconds:.1f} s, until {restoration.stop_reason}; "
        f"wrote {options.output}",
        highlight=False,
        soft_wrap=True,
    )


def _demo(options: argparse.Namespace) -> int:
    from untaught.cli.demo import run_demo

    return run_demo(options.output, options.iterations)


def _studio(options: argparse.Namespace) -> int:
    if options.token and len(options.token) < 16:
        raise InputError("a token has 16 characters or more")
    if options.host not in ("127.0.0.1", "localhost", "::1") and not options.token:
        raise InputError(f"{options.host} can be reached by others: choose a token that they have to know, by --token")
    try:
        from untaught.studio.server import serve
    except ImportError as error:
        if (error.name or "").startswith("untaught"):
            raise
        raise InputError('the studio is an extra: pip install "untaught[studio]"') from error
    # The server has its own way to end; until it is up, and after, an interruption is no failure.
    with suppress(KeyboardInterrupt):
        serve(options.folder, host=options.host, port=options.port, token=options.token, browser=not options.no_browser)
    return DONE


def _compare(options: argparse.Namespace) -> int:
    from untaught.imaging import reading, writing
    from untaught.imaging.arrays import in_unit_range
    from untaught.imaging.comparison import closeness, side_by_side
    from untaught.imaging.picture import Picture

    paths = [path for path in (options.first, options.second, options.reference) if path is not None]
    value_range = None if options.value_range is None else tuple(options.value_range)
    volume = options.volume
    first, second, *more = (
        in_unit_range(reading.read(path, volume=volume).pixels, value_range, volume=volume) for path in paths
    )
    reference = more[0] if more else None
    seconds: dict[str, float] = {}
    if options.baselines is not None:
        if reference is None:
            raise InputError("--baselines are compared with the clean picture: give it by --reference")
        if options.output is not None and first.shape != second.shape:
            raise InputError("A and B are of different sizes and cannot be shown side by side: leave out --output")
    if reference is None:
        found = {"between": closeness(second, first)}
    elif first.shape != reference.shape and options.baselines is not None:
        # A small or raw picture that B was made of.
        found = {"second": closeness(second, reference)}
    else:
        found = {"first": closeness(first, reference), "second": closeness(second, reference)}
    if options.baselines is not None and reference is not None:
        for name, (made, taken) in _baselines(options.baselines).items():
            found[name], seconds[name] = closeness(in_unit_range(made, value_range, volume=volume), reference), taken
    figures: dict[str, Any] = {
        name: {key: value if math.isfinite(value) else None for key, value in dataclasses.asdict(near).items()}
        for name, near in found.items()
    }
    for name, spent in seconds.items():
        figures[name]["seconds"] = spent
    if options.output is not None:
        shown, figures["difference_gain"] = side_by_side(first, second, reference)
        picture = Picture(shown[..., 0] if shown.shape[-1] == 1 else shown, volume=volume)
        writing.check_writable(options.output, picture, inputs=paths)
        writing.write(options.output, picture)
    if options.json:
        print(json.dumps(figures))
        return DONE
    called = {"between": "between them", "first": str(options.first), "second": str(options.second)}
    for name, near in found.items():
        timed = f", in {seconds[name]:.1f} s" if name in seconds else ""
        print(f"{called.get(name, name)}: PSNR {near.psnr:.2f} dB, SSIM {near.ssim:.4f}{timed}")
    if options.output is not None:
        print(f"wrote {options.output}; the difference is brightened {figures['difference_gain']:.1f} times")
    return DONE


def _baselines(record_file: Path) -> dict[str, tuple[Any, float]]:
    """What classical methods make of the input that a record names, and the seconds that each takes."""
    import time

    from untaught.fitting.record import read_record
    from untaught.tasks.classical import classical

    request = read_record(record_file)
    sources = {role: Path(entry["path"]) for role, entry in request["files"].items()}
    job, _ = _prepared(request["task"], sources, request["options"], seed=request["seed"])
    made = {}
    for name, method in classical(job).items():
        started = time.perf_counter()
        made[name] = method(), time.perf_counter() - started
    if not made:
        raise InputError(f"there are no classical methods for {job.task} here")
    return made


def _inspect(options: argparse.Namespace) -> int:
    from untaught.imaging import reading
    from untaught.imaging.inspection import inspect

    path: Path = options.picture
    value_range = None if options.value_range is None else tuple(options.value_range)
    picture = reading.read(path)
    compression = reading.read_input(path, "compression", picture.pixels.shape[:2])
    found = inspect(picture.pixels, value_range, compression=compression)
    command = None
    if found.treatment:
        task, *more = found.treatment
        output = path.with_name(f"{path.stem}-restored{'.png' if path.suffix in ('.jpg', '.jpeg') else path.suffix}")
        range_ = [] if value_range is None else ["--value-range", *(f"{value:g}" for value in value_range)]
        command = shlex.join(["untaught", task, str(path), *more, *range_, "-o", str(output)])
    if options.json:
        told: dict[str, Any] = {finding.name: finding.value for finding in found.findings}
        print(json.dumps({**told, "command": command}))
        return DONE
    print(found)
    print("nothing here would treat it" if command is None else f"treat it with: {command}")
    return DONE


def _doctor(options: argparse.Namespace) -> int:
    import platform

    import torch

    from untaught.backend.engine import choose_engine

    engine = choose_engine(options.device, options.precision)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    facts = {
        "untaught": untaught.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "accelerator": None if accelerator is None else str(accelerator),
    }
    if options.json:
        print(json.dumps({**facts, "engine": engine.record(), "reasons": engine.reasons}))
        return DONE
    for name, value in facts.items():
        print(f"{name:12} {value if value is not None else 'none'}")
    print("untaught would run on")
    for reason in engine.reasons:
        print(f"  {reason}")
    return DONE
