"""The commands that look at something and fit nothing: compare, inspect and doctor."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

import untaught
from untaught.cli.options import PICTURE, Page, read_page
from untaught.cli.parsing import Command
from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.options import Device, Precision, Switch, Usage, ValueRange

__all__ = ["REPORT_COMMANDS"]

_Json = Annotated[Switch, Field(description="print one JSON object instead of sentences")]


@settings
class CompareOptions:
    """Options of compare."""

    a: Annotated[Path, Field(description="a picture"), Usage(positional=True)]
    b: Annotated[Path, Field(description="another, of the same size"), Usage(positional=True)]
    reference: Annotated[
        Path | None, Field(description="compare both with this clean picture"), Usage(metavar="CLEAN")
    ] = None
    output: Annotated[
        Path | None,
        Field(description="write A, B and the brightened difference of B, side by side"),
        Usage(metavar="OUT", names=("-o",)),
    ] = None
    baselines: Annotated[
        Path | None,
        Field(
            description="the record of the run that made B: add the results of classical methods on the same input, "
            "with their times; needs --reference"
        ),
        Usage(metavar="RECORD"),
    ] = None
    value_range: ValueRange = None
    volume: Annotated[Switch, Field(description="the pictures are volumes: TIFFs whose pages are slices")] = False
    json: _Json = False


@settings
class InspectOptions:
    """Options of inspect."""

    picture: Annotated[Path, Field(description=PICTURE), Usage(positional=True)]
    page: Page = None
    value_range: ValueRange = None
    json: _Json = False


@settings
class DoctorOptions:
    """Options of doctor."""

    device: Device = "auto"
    precision: Precision = "auto"
    json: _Json = False


def _compare(options: CompareOptions) -> int:
    from untaught.imaging import reading, writing
    from untaught.imaging.arrays import as_values, in_unit_range
    from untaught.imaging.comparison import closeness, side_by_side
    from untaught.imaging.metrics import finite
    from untaught.imaging.picture import Picture
    from untaught.imaging.ranges import working_range

    paths = [path for path in (options.a, options.b, options.reference) if path is not None]
    value_range, volume = options.value_range, options.volume
    pictures = [reading.read(path, volume=volume).pixels for path in paths]
    if value_range is None:
        # Of the cleanest one: the reference, or the first.
        range_ = working_range(as_values(pictures[-1 if options.reference else 0], volume=volume)[0], None)
        value_range = range_.stated
    first, second, *more = (in_unit_range(pixels, value_range, volume=volume) for pixels in pictures)
    reference = more[0] if more else None
    if options.baselines is not None:
        if reference is None:
            raise InputError("--baselines are compared with the clean picture: give it by --reference")
        if options.output is not None and first.shape != second.shape:
            raise InputError("A and B are of different sizes and cannot be shown side by side: leave out --output")
    if reference is None:
        found = {"between": closeness(second, first)}
    elif first.shape != reference.shape and options.baselines is not None:
        # A is the small or raw picture that B was made of.
        found = {"second": closeness(second, reference)}
    else:
        found = {"first": closeness(first, reference), "second": closeness(second, reference)}
    seconds: dict[str, float] = {}
    if options.baselines is not None and reference is not None:
        for name, (made, taken) in _baselines(options.baselines).items():
            found[name], seconds[name] = closeness(in_unit_range(made, value_range, volume=volume), reference), taken
    figures: dict[str, Any] = {name: dict(finite(vars(near))) for name, near in found.items()}
    for name, spent in seconds.items():
        figures[name]["seconds"] = spent
    if options.output is not None:
        shown, figures["difference_gain"] = side_by_side(first, second, reference)
        picture = Picture(shown[..., 0] if shown.shape[-1] == 1 else shown, volume=volume)
        writing.check_writable(options.output, picture, inputs=paths)
        writing.write(options.output, picture)
    if options.json:
        print(json.dumps(figures))
        return 0
    called = {"between": "between them", "first": str(options.a), "second": str(options.b)}
    for name, near in found.items():
        timed = f", in {seconds[name]:.1f} s" if name in seconds else ""
        print(f"{called.get(name, name)}: PSNR {near.psnr:.2f} dB, SSIM {near.ssim:.4f}{timed}")
    if options.output is not None:
        print(f"wrote {options.output}; the difference is brightened {figures['difference_gain']:.1f} times")
    return 0


def _baselines(record_file: Path) -> dict[str, tuple[Any, float]]:
    """The results of classical methods on the input that a record names, and the seconds that each takes."""
    from untaught.cli.run import check_trust
    from untaught.fitting.record import read_record
    from untaught.tasks.classical import classical
    from untaught.tasks.from_files import prepared

    request = read_record(record_file)
    check_trust(request)
    sources = {role: Path(entry["path"]) for role, entry in request["files"].items()}
    options = {"value_range": None, "volume": False, **request["options"]}
    page = read_page(options)
    job, _ = prepared(request["task"], sources, options, page=page, seed=request["seed"])
    made = {}
    for name, method in classical(job).items():
        started = time.perf_counter()
        made[name] = method(), time.perf_counter() - started
    if not made:
        raise InputError(f"there are no classical methods for {job.task} here: leave out --baselines")
    return made


def _inspect(options: InspectOptions) -> int:
    from untaught.imaging import reading
    from untaught.imaging.inspection import inspect

    path, value_range = options.picture, options.value_range
    picture = reading.read(path, page=options.page)
    compression = reading.read_input(path, "compression", picture.pixels.shape[:2])
    found = inspect(picture.pixels, value_range, compression=compression)
    command = None
    if found.treatment:
        task, *more = found.treatment
        output = path.with_name(f"{path.stem}-restored{'.png' if path.suffix in ('.jpg', '.jpeg') else path.suffix}")
        range_ = [] if value_range is None else ["--value-range", *(f"{value:g}" for value in value_range)]
        page = [] if options.page is None else ["--page", str(options.page)]
        command = shlex.join(["untaught", task, str(path), *more, *page, *range_, "-o", str(output)])
    if options.json:
        told: dict[str, Any] = {finding.name: finding.value for finding in found.findings}
        print(json.dumps({**told, "command": command, "doubt": found.doubt}))
        return 0
    print(found)
    if command is not None:
        print(f"treat it with: {command}")
    else:
        print(f"not sure: {found.doubt}" if found.doubt else "nothing here would treat it")
    return 0


def _doctor(options: DoctorOptions) -> int:
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
        return 0
    for name, value in facts.items():
        print(f"{name:12} {value if value is not None else 'none'}")
    other = _other_torch(torch.version.cuda, torch.accelerator.is_available(), Path("/proc/driver/nvidia").exists())
    if other:
        print(other)
    print("untaught would run on")
    for reason in engine.reasons:
        print(f"  {reason}")
    return 0


def _other_torch(cuda: str | None, accelerated: bool, nvidia: bool) -> str:
    """A sentence on a build of torch that suits the machine better, or nothing."""
    if cuda is not None and not accelerated and not nvidia:
        return (
            f"this torch brings gigabytes of CUDA {cuda}, and there is no NVIDIA GPU: the build for the processor does "
            "the same here (pip install torch --index-url https://download.pytorch.org/whl/cpu)"
        )
    if cuda is None and not accelerated and nvidia:
        return (
            "there is an NVIDIA GPU, and this torch is the build for the processor: with CUDA a fit takes seconds "
            "(pip install --force-reinstall torch)"
        )
    return ""


REPORT_COMMANDS = [
    Command(
        name="compare",
        about="Say how close two pictures are to each other, or both to a reference, in PSNR (dB) and SSIM.",
        example="untaught compare damaged.png restored.png --reference clean.png",
        options={"options": CompareOptions},
        run=_compare,
    ),
    Command(
        name="inspect",
        about="Say what is wrong with a picture, and the command that would treat it.",
        example="untaught inspect photo.jpg",
        options={"options": InspectOptions},
        run=_inspect,
    ),
    Command(
        name="doctor",
        about="Say what this machine has, how untaught would run on it, and why.",
        example="untaught doctor",
        options={"options": DoctorOptions},
        run=_doctor,
    ),
]
"""The commands that look at something."""
