"""Quality over time: what a fit has to show after so many seconds, against the classical method and its predecessor.

Protocol, fixed before the runs. PSNR in dB of the missing pixels only, of the answer that the fit would give at that
moment. No fit looks at the clean picture. Seconds of ``curves`` are the process's own, of one thread, from the call on;
those of ``wall`` are on the wall, of two. The classical method is the one that the fit begins with, and scikit-image's
biharmonic inpainting stands beside it.

* ``curves`` and ``wall``: eight pictures of 256 x 256 under three kinds of damage (half of the pixels dropped, writing,
  scratches), by today's `balanced` and by the one before, which showed patches of 512 pixels to a wider network,
  without groups.
* ``half``: barbara, boat and lena whole, half of their pixels dropped, by two threads: seconds on the wall.
* ``photo``: DATA/photo/bag_clean.jpg under bag_scratches.png, by two threads, by the width of the gaps.
* ``large``: a photograph of 12 and one of 100 megapixels with the same three scratches, by two threads.
* ``warm``: a crop of the bag of 256 x 256 with random weights and with those of another crop's finished fit.
* ``busy``: seconds of the same fit alone and beside two busy processes.
* ``estimate``: the seconds that are told before six fits begin, and those that they take, by two threads.

    python -m benchmarks.anytime DATA --study curves wall half photo large warm busy estimate

Rows that are there already are not run again. Writes docs/figures/anytime.json, docs/figures/anytime.png and the tables
of docs/lab-notes/anytime.md.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.reference import DOCS
from benchmarks.tables import replace_table
from untaught.processes import environment

if TYPE_CHECKING:
    from untaught.fitting.run import Run

RESULTS = DOCS / "figures/anytime.json"
PLOT = DOCS / "figures/anytime.png"
PAGE = DOCS / "lab-notes/anytime.md"

MARKS = (1, 2, 5, 10, 20, 30, 45, 60)
PICTURES = ("barbara", "boat", "lena", "kate", "coffee", "brick", "page", "bag")
DAMAGES = ("half", "writing", "scratches")
STUDIES = ("curves", "wall", "half", "photo", "large", "warm", "busy", "estimate")
WIDTHS = {"to 3": (0, 1.5), "3 to 6": (1.5, 3), "6 to 12": (3, 6), "12 to 24": (6, 12), "wider": (12, 1e9)}
"""Classes of gaps, in pixels across: twice the distance from the nearest known pixel, in pixels."""

Row = dict[str, Any]
Picture = NDArray[np.float64]


def clean_picture(name: str, data: Path) -> Picture:
    """One of the pictures, (256, 256) or (256, 256, 3), in [0, 1]."""
    from skimage import data as photographs

    if name in ("barbara", "boat", "lena"):
        corner = 256 if name == "barbara" else 128
        return np.asarray(Image.open(data / f"restore/{name}.png").convert("L"))[corner:, corner:][:256, :256] / 255
    if name == "bag":
        return np.asarray(Image.open(data / "photo/bag_clean.jpg"))[1000:1256, 1500:1756] / 255
    if name == "page":
        return np.pad(photographs.page(), ((0, 65), (0, 0)), mode="reflect")[:, 64:320] / 255
    image = Image.open(data / "inpaint/kate.png") if name == "kate" else Image.fromarray(getattr(photographs, name)())
    return (
        np.asarray(image.convert("L" if name == "brick" else "RGB").resize((256, 256), Image.Resampling.LANCZOS)) / 255
    )


def known_pixels(damage: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W), False where the picture is damaged."""
    from untaught.imaging import damage as made

    if damage == "half":
        return made.dropped_pixels(*size)
    return made.writing(*size) if damage == "writing" else made.scratches(*size)


def before(task: str) -> Any:
    """`balanced` as it was before: the network sees patches of 512 pixels and corrects a pull-push guess."""
    from untaught.fitting.optimisers import OptimiserSettings
    from untaught.fitting.recipe import Recipe
    from untaught.fitting.stopping import HeldOut
    from untaught.priors.encoder_decoder import NetworkSettings
    from untaught.priors.masked_input import MaskedInput

    channels = (48, 96, 128, 128, 128) if task == "restore" else (32, 64, 64, 64, 64)
    shown = MaskedInput() if task == "restore" else MaskedInput(pattern="shapes", least=0.7, most=0.7)
    rule = HeldOut(patience=200, refit=0.5) if task == "restore" else HeldOut(pattern="shapes", patience=100)
    return Recipe(
        name="before",
        network=NetworkSettings(
            down_channels=channels, up_channels=channels, skip_channels=(channels[0],) * 5, head="none"
        ),
        input=shown,
        optimiser=OptimiserSettings(name="muon", learning_rate=0.02),
        averaging=0.98,
        classical=True,
        stopping=rule,
        iterations=800 if task == "restore" else 600,
    )


def psnr(picture: Any, clean: NDArray[Any], where: NDArray[np.bool_], white: float = 1.0) -> float:
    """PSNR in dB over some pixels of pictures whose white is ``white``; only those are converted, to spare memory."""
    difference = np.asarray(picture)[where].astype(float) - clean[where].astype(float)
    return round(float(-10 * np.log10(np.square(difference / white).mean())), 2)


def biharmonic(clean: Picture, known: NDArray[np.bool_]) -> Picture:
    """scikit-image's biharmonic inpainting, channel by channel."""
    from skimage.restoration import inpaint_biharmonic

    layers = np.atleast_3d(clean)
    filled = [inpaint_biharmonic(np.where(known, layers[..., c], 0), ~known) for c in range(layers.shape[2])]
    result: Picture = np.stack(filled, -1).clip(0, 1).reshape(clean.shape)
    return result


def followed(
    task: str, clean: Picture, damage: str, clock: Callable[[], float], seconds: float, **options: Any
) -> tuple[Run, Row]:
    """A fit, and its row: what it has after so many seconds of a clock, and at the end."""
    from untaught.tasks.preparation import prepare

    known = known_pixels(damage, clean.shape[:2])
    classical = psnr(biharmonic(clean, known), clean, ~known)
    started = clock()
    given = np.where(known if clean.ndim == 2 else known[..., None], clean, 0).astype(np.float32)
    job = prepare(task, given, known, device="cpu", **options)
    points: dict[str, float] = {}
    marks = [mark for mark in (*MARKS, 90, 120, 180, 240, 300, 450, 600) if mark <= seconds]
    run = job.begin()
    for state in run:
        while marks and clock() - started >= marks[0]:
            points[str(marks.pop(0))] = psnr(job.picture(state), clean, ~known)
        if clock() - started >= seconds:
            break
    took, result = clock() - started, run.restoration()
    final, whole = (psnr(result.picture, clean, where) for where in (~known, np.ones_like(known)))
    return run, {
        "points": points,
        "end": final,
        "whole": whole,
        "seconds": round(took, 1),
        "iterations": result.iterations,
        "biharmonic": classical,
    }


def curve(case: Row, data: Path, seconds: float) -> Row:
    """One fit, followed for so many seconds: of one thread, or of two on the wall."""
    clean, task = clean_picture(case["picture"], data), "restore" if case["damage"] == "half" else "inpaint"
    chosen = before(task) if case["recipe"] == "before" else case["recipe"]
    clock = time.perf_counter if case["study"] == "wall" else time.process_time
    row = followed(task, clean, case["damage"], clock, seconds, recipe=chosen, precision=case["precision"])[1]
    # A fit that has ended gives its result.
    return {**row, "points": {str(mark): row["points"].get(str(mark), row["end"]) for mark in MARKS if mark <= seconds}}


def half(picture: str, recipe: str, data: Path, seconds: float) -> Row:
    """Half of a whole picture's pixels, on the wall."""
    clean = np.asarray(Image.open(data / f"restore/{picture}.png").convert("L")) / 255
    chosen, own = before("restore") if recipe == "before" else recipe, time.process_time()
    row = followed("restore", clean, "half", time.perf_counter, seconds, recipe=chosen)[1]
    return {**row, "own": round(time.process_time() - own, 1)}


def warm(damage: str, start: str, data: Path, seconds: float) -> Row:
    """A crop of a photograph, by random weights or by those of a finished fit of another crop."""
    photograph = np.asarray(Image.open(data / "photo/bag_clean.jpg")) / 255
    task = "restore" if damage == "half" else "inpaint"
    path = None
    with tempfile.TemporaryDirectory() as folder:
        if start == "another crop":
            path = Path(folder) / "checkpoint"
            followed(task, photograph[600:856, 600:856], damage, time.process_time, 600)[0].save(path)
        clean = photograph[1000:1256, 1500:1756]
        return followed(task, clean, damage, time.process_time, seconds, start_from=path)[1]


def photo(data: Path) -> Row:
    """The photograph of the bag with default settings, by the width of the gaps."""
    from scipy import ndimage
    from skimage.restoration import inpaint_biharmonic

    from untaught.tasks.preparation import prepare

    clean = np.asarray(Image.open(data / "photo/bag_clean.jpg"))
    known = np.asarray(Image.open(data / "photo/bag_scratches.png").convert("L")) > 128
    depth = ndimage.distance_transform_edt(~known)
    # In one byte a pixel, because the memory of the fit is measured.
    classes = np.digitize(depth, [low for low, _ in WIDTHS.values()], right=True).astype(np.uint8)
    del depth

    def by_width(picture: NDArray[Any]) -> dict[str, float]:
        values = {name: psnr(picture, clean, classes == number, 255) for number, name in enumerate(WIDTHS, start=1)}
        return {**values, "all": psnr(picture, clean, ~known, 255)}

    started = time.perf_counter()
    job = prepare("inpaint", clean, known, device="cpu")
    run = job.begin()
    points: dict[str, dict[str, float]] = {}
    marks = [0, 10, 20, 40, 60, 90, 120, 150, 180]
    first = None
    for state in run:
        now = time.perf_counter() - started
        first = now if first is None else first
        while marks and now >= marks[0]:
            points[str(marks.pop(0))] = by_width(np.asarray(job.picture(state)))
    result = run.restoration()
    seconds = round(time.perf_counter() - started, 1)
    peak = _peak()
    given = np.where(known[..., None], clean / 255, 0)
    bent = inpaint_biharmonic(given, ~known, split_into_regions=True, channel_axis=-1).clip(0, 1)
    row = {"first": round(first or 0.0, 1), "points": points, "end": by_width(result.picture), "seconds": seconds}
    row |= {"peak_mb": peak, "biharmonic": by_width(bent * 255), "notes": list(result.notes)}
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError:
        return row
    for name, flag in (("Telea", cv2.INPAINT_TELEA), ("Navier-Stokes", cv2.INPAINT_NS)):
        row[name] = by_width(cv2.inpaint(clean, (~known).astype(np.uint8), 3, flag))
    return row


def large(megapixels: int, data: Path) -> Row:
    """Three scratches on a large photograph, which is the bag's enlarged."""
    import untaught

    scale = (megapixels * 1e6 / (2784 * 1856)) ** 0.5
    size = (round(2784 * scale), round(1856 * scale))
    picture = np.asarray(Image.open(data / "photo/bag_clean.jpg").resize(size, Image.Resampling.BICUBIC))
    known = np.ones(picture.shape[:2], bool)
    for number in range(3):
        steps = np.arange(700)
        rows, columns = 400 + 500 * number + steps // 2, 300 + 300 * number + steps
        for width in range(2 + number):
            known[rows, columns + width] = False
    held = _peak()
    started = time.perf_counter()
    result = untaught.inpaint(picture, known, device="cpu")
    row = {"seconds": round(time.perf_counter() - started, 1), "iterations": result.iterations}
    picture_mb = round(picture.nbytes / 1e6)
    psnrs = {"end": psnr(result.picture, picture, ~known, 255)} if megapixels < 50 else {}
    return {**row, **psnrs, "peak_mb": _peak(), "before_mb": held, "picture_mb": picture_mb}


def busy_seconds(policy: str) -> Row:
    """Milliseconds of an iteration in a process of its own, alone and beside two busy ones."""
    script = (
        "import time, numpy as np\nfrom untaught.tasks.preparation import prepare\n"
        "r = np.random.default_rng(0)\n"
        "job = prepare('inpaint', r.random((256, 256, 3)), r.random((256, 256)) > 0.1, device='cpu')\n"
        "t = []\nfor s in job.begin():\n    t.append(time.perf_counter())\n    if s.iteration == 120: break\n"
        "print(1000 * float(np.median(np.diff(t[20:]))), 1000 * (t[-1] - t[20]) / (len(t) - 21))\n"
    )
    plain = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    own = environment(plain) if policy == "ours" else plain
    row: Row = {}
    for name, command in (("alone", []), ("busy", ["-m", "benchmarks.busy", "2", sys.executable])):
        words = [sys.executable, *command, "-c", script]
        row[name] = [round(float(one), 1) for one in subprocess.check_output(words, env=own, text=True).split()]
    return row


def told(case: str, data: Path) -> Row:
    """What a fit takes and what is told of it before."""
    from untaught.tasks.preparation import prepare

    what, _, recipe = case.partition(", ")
    if what == "the bag's scratches":
        clean = np.asarray(Image.open(data / "photo/bag_clean.jpg"))
        known = np.asarray(Image.open(data / "photo/bag_scratches.png").convert("L")) > 128
        job = prepare("inpaint", clean, known, device="cpu", recipe=recipe)
    elif what == "camera's noise":
        noisy = np.asarray(Image.open(data / "noise/cc/5dmark3_iso3200_2_noisy.png"))
        job = prepare("denoise", noisy, device="cpu", recipe=recipe)
    else:
        clean = np.asarray(Image.open(data / "restore/lena.png").convert("L")) / 255
        known = known_pixels("half", clean.shape)
        job = prepare("restore", np.where(known, clean, 0).astype(np.float32), known, device="cpu", recipe=recipe)
    started = time.perf_counter()
    run = job.begin()
    before = run.estimate()
    assert before is not None
    result = run.finish()
    seconds = round(time.perf_counter() - started, 1)
    return {"told": round(before.seconds, 1), "seconds": seconds, "iterations": [before.iterations, result.iterations]}


def _peak() -> int:
    """Peak memory of this process, in megabytes."""
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def cases(studies: list[str], precisions: list[str]) -> Iterator[Row]:
    """The keys of all rows."""
    for study in ("curves", "wall"):
        if study in studies:
            names = ("study", "precision", "picture", "damage", "recipe")
            for row in itertools.product((study,), precisions, PICTURES, DAMAGES, ("before", "balanced")):
                yield dict(zip(names, row, strict=True))
    if "half" in studies:
        for recipe in ("fast", "balanced", "best"):
            for picture in ("barbara", "boat", "lena"):
                yield {"study": "half", "picture": picture, "recipe": recipe}
    if "photo" in studies:
        yield {"study": "photo"}
    if "large" in studies:
        yield from ({"study": "large", "megapixels": size} for size in (12, 100))
    if "warm" in studies:
        for damage in ("half", "scratches"):
            yield from ({"study": "warm", "damage": damage, "start": start} for start in ("random", "another crop"))
    if "estimate" in studies:
        for what in ("half of lena's pixels", "the bag's scratches", "camera's noise"):
            yield from ({"study": "estimate", "fit": f"{what}, {recipe}"} for recipe in ("fast", "balanced"))
    if "busy" in studies:
        yield from ({"study": "busy", "policy": policy} for policy in ("ours", "torch's"))


def measure(case: Row, data: Path, seconds: float) -> Row:
    """One row, in this process."""
    study = case["study"]
    if study in ("curves", "wall"):
        return curve(case, data, min(seconds, MARKS[-1]))
    if study == "half":
        return half(case["picture"], case["recipe"], data, seconds)
    if study == "photo":
        return photo(data)
    if study == "estimate":
        return told(case["fit"], data)
    if study == "warm":
        return warm(case["damage"], case["start"], data, min(seconds, 30))
    return large(case["megapixels"], data) if study == "large" else busy_seconds(case["policy"])


def write(rows: list[Row]) -> None:
    """Everything that is made of the rows."""
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    curves = [row for row in rows if row["study"] == "curves"]
    if curves:
        plot(curves)
    tables = (
        ("curves", curves_table),
        ("wall", curves_table),
        ("half", half_table),
        ("photo", photo_table),
        ("large", large_table),
        ("warm", warm_table),
        ("busy", busy_table),
        ("estimate", estimate_table),
    )
    for study, table in tables:
        some = [row for row in rows if row["study"] == study]
        if some:
            replace_table(PAGE, study, table(some))


def curves_table(rows: list[Row]) -> str:
    """The mean over the pictures, damage by damage, and how many are below the classical method."""
    marks = [str(mark) for mark in MARKS if all(str(mark) in row["points"] for row in rows)]
    lines = [
        f"| damage | recipe | arithmetic | pictures | {' | '.join(marks)} s | biharmonic |",
        "| --- " * (5 + len(marks)) + "|",
    ]
    keys = sorted({(row["damage"], row["precision"], row["recipe"]) for row in rows})
    for damage, precision, recipe in keys:
        some = [row for row in rows if (row["damage"], row["precision"], row["recipe"]) == (damage, precision, recipe)]
        values = [f"{mean(row['points'][mark] for row in some):.2f}" for mark in marks]
        classical = f"{mean(row['biharmonic'] for row in some):.2f}"
        lines.append(f"| {damage} | {recipe} | {precision} | {len(some)} | {' | '.join(values)} | {classical} |")
    return "\n".join(lines)


def half_table(rows: list[Row]) -> str:
    """Missing pixels, on the wall."""
    marks = ["5", "10", "20", "30", "60", "120"]
    lines = [
        f"| picture | recipe | {' | '.join(marks)} s | end | seconds | of one thread | whole picture | biharmonic |",
        "| --- " * (7 + len(marks)) + "|",
    ]
    for row in rows:
        values = [f"{row['points'][mark]:.2f}" if mark in row["points"] else "" for mark in marks]
        lines.append(
            f"| {row['picture']} | {row['recipe']} | {' | '.join(values)} | {row['end']:.2f} | {row['seconds']:.0f} | "
            f"{row['own']:.0f} | {row['whole']:.2f} | {row['biharmonic']:.2f} |"
        )
    return "\n".join(lines)


def photo_table(rows: list[Row]) -> str:
    """By the width of the gaps."""
    row = rows[-1]
    names = [*WIDTHS, "all"]
    lines = [f"| after | {' | '.join(names)} |", "| --- " * (1 + len(names)) + "|"]
    entries = [(f"{row['first'] if mark == '0' else mark} s", point) for mark, point in row["points"].items()]
    entries.append((f"end, {row['seconds']:.0f} s", row["end"]))
    entries += [(name, row[name]) for name in ("biharmonic", "Telea", "Navier-Stokes") if name in row]
    lines += [f"| {name} | {' | '.join(f'{point[one]:.2f}' for one in names)} |" for name, point in entries]
    return "\n".join([*lines, "", f"Peak memory {row['peak_mb']} MB."])


def large_table(rows: list[Row]) -> str:
    """Time and memory."""
    lines = [
        "| megapixels | seconds | peak memory, MB | the picture, MB | iterations |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['megapixels']} | {row['seconds']} | {row['peak_mb']} | {row['picture_mb']} | {row['iterations']} |"
        for row in rows
    ]
    return "\n".join(lines)


def warm_table(rows: list[Row]) -> str:
    """One thread."""
    marks = [str(mark) for mark in MARKS if all(str(mark) in row["points"] for row in rows)]
    lines = [f"| damage | weights | {' | '.join(marks)} s | biharmonic |", "| --- " * (3 + len(marks)) + "|"]
    for row in rows:
        values = " | ".join(f"{row['points'][mark]:.2f}" for mark in marks)
        lines.append(f"| {row['damage']} | {row['start']} | {values} | {row['biharmonic']:.2f} |")
    return "\n".join(lines)


def estimate_table(rows: list[Row]) -> str:
    """What is told, and what was so."""
    lines = ["| fit | told, s | taken, s | iterations at most | iterations |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {row['fit']} | {row['told']:.0f} | {row['seconds']:.0f} | {row['iterations'][0]} | {row['iterations'][1]} |"
        for row in rows
    ]
    return "\n".join(lines)


def busy_table(rows: list[Row]) -> str:
    """Milliseconds an iteration."""
    lines = ["| threads wait | alone, ms | beside two busy processes, ms | times |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {row['policy']} | {row['alone'][1]} | {row['busy'][1]} | {row['busy'][1] / row['alone'][1]:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def plot(rows: list[Row]) -> None:
    """The curves, relative to the classical method, a panel for each damage."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(DAMAGES), figsize=(11, 3.6), sharey=True)
    colours = {"before": "#b0662f", "balanced": "#2f6db0"}
    for axis, damage in zip(axes, DAMAGES, strict=True):
        for recipe, colour in colours.items():
            some = [
                row for row in rows if (row["damage"], row["recipe"], row["precision"]) == (damage, recipe, "float32")
            ]
            marks = [mark for mark in MARKS if some and all(str(mark) in row["points"] for row in some)]
            gains = [[row["points"][str(mark)] - row["biharmonic"] for mark in marks] for row in some]
            for line in gains:
                axis.plot(marks, line, color=colour, alpha=0.2, linewidth=0.8)
            if gains:
                axis.plot(marks, np.mean(gains, 0), color=colour, linewidth=2, label=recipe)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(title=damage, xscale="log", xlabel="seconds of one thread", ylim=(-1, 14))
    axes[0].set_ylabel("dB above biharmonic, missing pixels")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(PLOT, dpi=130)


def main() -> None:
    """Run what is missing, each row in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--study", nargs="+", default=list(STUDIES))
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--seconds", type=float, default=600.0, help="follow a fit for so long at most")
    parser.add_argument("--jobs", type=int, default=1, help="rows of one thread that are measured at the same time")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(json.loads(arguments.row), arguments.data, arguments.seconds)))
        return
    rows: list[Row] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    left = [
        case
        for case in cases(arguments.study, arguments.precision)
        if not any(case.items() <= row.items() for row in rows)
    ]
    while left:
        alone = left[0]["study"] != "curves"
        together, left = (left[:1], left[1:]) if alone else (left[: arguments.jobs], left[arguments.jobs :])
        running = []
        for case in together:
            extra = {} if alone else {"OMP_NUM_THREADS": "1"}
            words = [sys.executable, "-m", "benchmarks.anytime", str(arguments.data), "--row", json.dumps(case)]
            output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
            process = subprocess.Popen(
                [*words, "--seconds", str(arguments.seconds)], env={**environment(), **extra}, stdout=output
            )
            running.append((case, process, output))
        for case, process, output in running:
            if process.wait() != 0:
                raise SystemExit(f"failed: {case}")
            output.seek(0)
            rows.append({**case, **json.loads(output.read().splitlines()[-1])})
            print(json.dumps(rows[-1])[:220], flush=True)
        write(rows)
    write(rows)


if __name__ == "__main__":
    main()
