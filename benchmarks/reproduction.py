"""The published page of the reproduction, and the paper's figures beside it, run again by one command.

Protocol, fixed before the runs. Seed 0 for masks and fits. Nothing in a fit looks at the clean picture; measured every
250 iterations and at the end. PSNR in dB over the whole picture, values clipped to [0, 1]: *own* is the network's own
answer everywhere, *kept* has the known pixels as they were given, *missing* is over the missing pixels only. Our
recipes are measured by the picture that they hand out, which holds the known pixels: *own* and *kept* are the same. The
published recipes are followed to their own number of iterations; ``printed-8000`` is ``printed`` followed to 8000.

* ``text``: DATA/inpaint/kate.png under kate_mask.png, as printed (2000 and 8000) and as in the paper.
* ``holes``: the same portrait with 10, 25 and 45 % of its pixels in large holes (`untaught.imaging.damage.holes`).
* ``half``: 50 % of the pixels dropped from the classic pictures; 70 and 90 % for our recipes. Pictures are those of
  DATA/restore and of ``--pictures FOLDER``, by their names.
* ``ambiguities``: how the text can be read: join, perturbation, upsampling, downsampling; kate and boat at half size.
* ``alternative``: photographs that come with scikit-image, scikit-learn and matplotlib, with writing and with
  scratches, by one recipe and no tuning.
* ``effect``: figure 2 of the paper: a photograph, the same with noise, with its pixels shuffled, and noise, 128 x 128,
  each fitted by the paper's network with an input that is not perturbed: the loss.

    python -m benchmarks.reproduction DATA --study text holes half ambiguities alternative effect

A row that is there, by the same settings, is not run again, and a fit that was ended goes on where it was. Writes
docs/figures/reproduction.json, figures beside it, and the tables of docs/lab-notes/reproduction.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import untaught
from benchmarks.quality import find_row
from benchmarks.reference import DOCS, variants
from benchmarks.tables import replace_table
from untaught.fitting.checkpoint import load
from untaught.fitting.run import Job
from untaught.fitting.state import State
from untaught.imaging.damage import dropped_pixels, holes, scratches, writing
from untaught.imaging.files import write_text
from untaught.imaging.metrics import psnr
from untaught.recipes import Recipe, find_recipe
from untaught.tasks.preparation import prepare

PAGE, FIGURES = DOCS / "lab-notes/reproduction.md", DOCS / "figures"
EVERY = 250
Row = dict[str, Any]
Picture = NDArray[np.float64]
Known = NDArray[np.bool_]

PUBLISHED = {
    "barbara": (32.52, 32.22),
    "man": (32.23, 32.20),
    "lena": (35.08, 36.16),
    "boat": (32.93, 33.06),
    "hill": (33.03, 32.77),
    "couple": (32.39, 32.52),
}
"""Half of the pixels dropped, own output: the reproduction and the paper."""

OTHERS = {"Self2Self, eleven pictures": (35.14, 31.06, 25.91), "convolutional sparse coding": (32.97, 28.44, 24.34)}
SHARES = (0.5, 0.7, 0.9)
OURS = ("fast", "balanced", "best")
HALF = ("printed", "paper", *OURS)
HOLES = ("biharmonic", "printed", "paper", "paper-hole", "balanced", "best")
PHOTOGRAPHS = ("chelsea", "grass", "brick", "rocket", "china", "flower", "grace_hopper")


@dataclass(frozen=True)
class Setting:
    """Where things are, and how small they are made in a test.

    Attributes:
        data: the folder with inpaint/ and restore/.
        pictures: a folder with more of the classic pictures; None for none.
        work: where unfinished fits are kept.
        figures: where figures go.
        side: pictures are made this small; None for their own size.
        iterations: no fit is longer; None for its own length.
    """

    data: Path
    pictures: Path | None
    work: Path
    figures: Path
    side: int | None = None
    iterations: int | None = None


@dataclass(frozen=True)
class Case:
    """A row to be: what it is called, and how it is measured."""

    key: Row
    record: str
    measure: Callable[[], Row]


# Fits that go on where they were ------------------------------------------------------------------------------------


def settings_of(recipe: Recipe) -> str:
    """A hash of all settings of a recipe."""
    return hashlib.sha256(json.dumps(recipe.record(), sort_keys=True, default=str).encode()).hexdigest()[:16]


def followed(job: Job, name: str, setting: Setting, look: Callable[[State], Any], every: int) -> tuple[list[Any], Any]:
    """Fit to the end and look at some states; a fit that was ended goes on, with what was seen before."""
    setting.work.mkdir(parents=True, exist_ok=True)
    checkpoint, seen_before = setting.work / f"{name}.checkpoint", setting.work / f"{name}.json"
    seen: list[Any] = []
    saved = None
    if checkpoint.exists() and seen_before.exists():
        saved = load(checkpoint)
        seen = [point for point in json.loads(seen_before.read_text()) if point[0] <= saved.values["now"]["iteration"]]
    run, written = job.begin(saved), time.monotonic()
    for state in run:
        if state.iteration % every == 0 or state.iteration == state.iterations:
            seen.append([state.iteration, look(state)])
        if time.monotonic() - written > 120:
            write_text(seen_before, json.dumps(seen))
            run.save(checkpoint)
            written = time.monotonic()
    result = run.restoration()
    checkpoint.unlink(missing_ok=True)
    seen_before.unlink(missing_ok=True)
    return seen, result


def chosen(task: str, name: str, setting: Setting) -> Recipe:
    """A recipe by its name, and no longer than a test wants it."""
    recipe = find_recipe(task, name.removesuffix("-8000"))
    if name.endswith("-8000"):
        recipe = dataclasses.replace(recipe, iterations=8000)
    if setting.iterations is not None:
        recipe = dataclasses.replace(recipe, iterations=min(recipe.iterations, setting.iterations))
    return recipe


def damaged(clean: Picture, known: Known) -> Picture:
    """Black where nothing is known."""
    return np.where(known if clean.ndim == 2 else known[..., None], clean, 0)


def filled(task: str, clean: Picture, known: Known, recipe: Recipe, name: str, setting: Setting, *, sheet: bool) -> Row:
    """A picture whose missing pixels are filled in."""
    # Ours give an answer that holds the known pixels; of the published ones it is the network's own picture.
    job = prepare(task, damaged(clean, known), known, recipe=recipe, keep_known=recipe.classical)

    def look(state: State) -> float:
        own = np.asarray(job.picture(state))
        if sheet:
            small = Image.fromarray((own.clip(0, 1) * 255).round().astype(np.uint8))
            small.resize((128, 128), Image.Resampling.LANCZOS).save(setting.work / f"{name}-{state.iteration}.png")
        return round(psnr(own, clean, ~known), 2)

    points, result = followed(job, name, setting, look, min(EVERY, recipe.iterations))
    if sheet:
        files = [setting.work / f"{name}-{iteration}.png" for iteration, _ in points]
        contact_sheet(files, setting.figures / f"reproduction-text-{recipe.name}-{recipe.iterations}.jpg")
    own = np.asarray(result.picture)
    return {
        **figures(own, clean, known),
        "points": points,
        "seconds": round(result.seconds),
        "iterations": result.iterations,
    }


def contact_sheet(files: list[Path], path: Path) -> None:
    """Small pictures in rows of eight."""
    sheet = Image.new("RGB", (128 * min(8, len(files)), 128 * -(-len(files) // 8)), "white")
    for number, file in enumerate(files):
        sheet.paste(Image.open(file), (128 * (number % 8), 128 * (number // 8)))
    sheet.save(path, quality=88)


def figures(own: Picture, clean: Picture, known: Known) -> Row:
    """PSNR of a picture in three ways."""
    kept = np.where(known if clean.ndim == 2 else known[..., None], clean, own)
    return {
        "own": round(psnr(own, clean), 2),
        "kept": round(psnr(kept, clean), 2),
        "missing": round(psnr(own, clean, ~known), 2),
    }


def biharmonic(clean: Picture, known: Known) -> Row:
    """The classical method beside ours."""
    from skimage.restoration import inpaint_biharmonic

    started = time.perf_counter()
    axis = -1 if clean.ndim == 3 else None
    picture = inpaint_biharmonic(damaged(clean, known), ~known, channel_axis=axis)
    return {**figures(picture, clean, known), "seconds": round(time.perf_counter() - started), "iterations": 0}


def fit_case(
    study: str, task: str, clean: Picture, known: Known, recipe: str | Recipe, setting: Setting, **key: Any
) -> Case:
    """A case of filling in, by a recipe or by the classical method."""
    if recipe == "biharmonic":
        return Case({"study": study, "recipe": recipe, **key}, "", functools.partial(biharmonic, clean, known))
    settings = chosen(task, recipe, setting) if isinstance(recipe, str) else recipe
    full = {"study": study, "recipe": recipe if isinstance(recipe, str) else recipe.name, **key}
    full |= {"side": setting.side} if setting.side else {}
    record = settings_of(settings)
    name = hashlib.sha256(json.dumps([full, record], sort_keys=True).encode()).hexdigest()[:16]
    measure = functools.partial(filled, task, clean, known, settings, name, setting, sheet=study == "text")
    return Case(full, record, measure)


# The studies --------------------------------------------------------------------------------------------------------


def opened(path: Path, mode: str, setting: Setting) -> NDArray[np.uint8]:
    """A picture, made small where a test wants it."""
    image = Image.open(path).convert(mode)
    return np.asarray(image.resize((setting.side,) * 2, Image.Resampling.BOX) if setting.side else image)


def portrait(setting: Setting) -> tuple[Picture, Known]:
    """Kate, and what is known of her under her own text."""
    clean = opened(setting.data / "inpaint/kate.png", "RGB", setting) / 255
    return clean, opened(setting.data / "inpaint/kate_mask.png", "L", setting) == 255


def text_cases(setting: Setting) -> Iterator[Case]:
    clean, known = portrait(setting)
    for recipe in ("biharmonic", "printed", "printed-8000", "paper", "balanced"):
        yield fit_case("text", "inpaint", clean, known, recipe, setting, picture="kate")


def holes_cases(setting: Setting) -> Iterator[Case]:
    clean, _ = portrait(setting)
    for share in (0.10, 0.25, 0.45):
        known = holes(clean.shape[0], clean.shape[1], share)
        for recipe in HOLES:
            yield fit_case("holes", "inpaint", clean, known, recipe, setting, picture="kate", share=share)


def half_cases(setting: Setting) -> Iterator[Case]:
    folders = [setting.data / "restore", *([setting.pictures] if setting.pictures else [])]
    files = {path.stem: path for folder in folders for path in sorted(folder.glob("*.png"))}
    for name in PUBLISHED:
        for share in SHARES if name in files else ():
            clean = opened(files[name], "L", setting) / 255
            known = dropped_pixels(clean.shape[0], clean.shape[1], share)
            for recipe in HALF if share == 0.5 else OURS:
                yield fit_case("half", "restore", clean, known, recipe, setting, picture=name, share=share)


def ambiguities_cases(setting: Setting) -> Iterator[Case]:
    clean, known = portrait(setting)
    boat = opened(setting.data / "restore/boat.png", "L", setting) / 255
    pictures = {
        "kate": (clean[::2, ::2], known[::2, ::2]),
        "boat": (boat[::2, ::2], dropped_pixels(*boat[::2, ::2].shape)),
    }
    for name, (picture, seen) in pictures.items():
        for reading, recipe in readings(setting).items():
            named = dataclasses.replace(recipe, name=reading)
            yield fit_case("ambiguities", "restore", picture, seen, named, setting, picture=name)


def readings(setting: Setting) -> dict[str, Recipe]:
    """Each way to read the text, by its name; what a name does not say is as printed."""
    length = min(2000, setting.iterations or 2000)
    found = {", ".join(reading): recipe for reading, recipe in variants(length).items()}
    printed = chosen("restore", "printed", setting)
    for field, kinds in (("upsampling", ("nearest", "bilinear")), ("downsampling", ("average", "max", "lanczos2"))):
        for kind in kinds:
            network = dataclasses.replace(printed.network, **{field: kind})
            found[f"printed, {field} {kind}"] = dataclasses.replace(printed, network=network)
    return found


def photograph(name: str) -> Picture | None:
    """A photograph that comes with a package, at most 256 pixels high and wide; None where the package is missing."""
    try:
        if name in ("china", "flower"):
            from sklearn.datasets import load_sample_image

            picture = np.asarray(load_sample_image(f"{name}.jpg"))
        elif name == "grace_hopper":
            import matplotlib as mpl

            picture = np.asarray(Image.open(Path(mpl.get_data_path()) / "sample_data/grace_hopper.jpg"))
        else:
            from skimage import data

            picture = np.asarray(getattr(data, name)())
    except ImportError:
        return None
    top, left = (max(0, length - 256) // 2 for length in picture.shape[:2])
    return picture[top : top + 256, left : left + 256] / 255


def alternative_cases(setting: Setting) -> Iterator[Case]:
    for name in PHOTOGRAPHS:
        clean = photograph(name)
        if clean is None:
            continue
        clean = clean[: setting.side, : setting.side]
        for damage, mask in (("writing", writing), ("scratches", scratches)):
            known = mask(*clean.shape[:2])
            for recipe in ("biharmonic", "fast"):
                yield fit_case("alternative", "inpaint", clean, known, recipe, setting, picture=name, damage=damage)


EFFECT = ("photograph", "with noise", "shuffled", "noise")


def effect_cases(setting: Setting) -> Iterator[Case]:
    from skimage import data

    side = setting.side or 128
    draw = np.random.default_rng(0)
    photo = np.asarray(data.camera()[60 : 60 + side, 160 : 160 + side] / 255, np.float32)
    shown = {
        "photograph": photo,
        "with noise": photo + draw.normal(0, 0.1, photo.shape).astype(np.float32),
        "shuffled": draw.permutation(photo.ravel()).reshape(photo.shape),
        "noise": draw.random(photo.shape, np.float32),
    }
    paper = find_recipe("fit", "paper")
    recipe = dataclasses.replace(
        paper,
        name="effect",
        input=untaught.NoiseInput(),
        optimiser=untaught.OptimiserSettings(learning_rate=0.01),
        averaging=0.0,
        iterations=min(500, setting.iterations or 500),
    )
    for name in EFFECT:
        key = {"study": "effect", "recipe": "effect", "picture": name, **({"side": side} if setting.side else {})}
        yield Case(key, settings_of(recipe), functools.partial(effect, shown[name], recipe, name, setting))


def effect(picture: NDArray[np.float32], recipe: Recipe, name: str, setting: Setting) -> Row:
    """The loss of a fit to a whole picture."""
    run = untaught.fit(torch.tensor(picture)[None, None], recipe=recipe, clip=False)
    name = f"effect-{name.replace(' ', '-')}-{settings_of(recipe)}"
    points, result = followed(run.job, name, setting, lambda state: float(state.loss), 10)
    return {"points": points, "seconds": round(result.seconds), "iterations": result.iterations}


# Tables and figures -------------------------------------------------------------------------------------------------


def table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def shown(row: Row | None, quantity: str = "own") -> str:
    return "not run yet" if row is None else f"{row[quantity]:.2f}"


def text_table(rows: list[Row]) -> str:
    lines = []
    for recipe in ("biharmonic", "printed", "printed-8000", "paper", "balanced"):
        row = find_row(rows, {"recipe": recipe})
        points: dict[int, float] = dict((row or {}).get("points", []))
        best = max(points, key=points.__getitem__) if points else None
        seen = "" if best is None else f"{points[best]:.2f} after {best}"
        cells = [shown(row, one) for one in ("own", "kept", "missing")]
        lines.append([recipe, *cells, seen, "" if row is None else str(row["seconds"])])
    return table(["recipe", "own", "kept", "missing", "best moment, missing", "seconds"], lines)


def holes_table(rows: list[Row]) -> str:
    shares = (0.10, 0.25, 0.45)
    lines = [
        [recipe, *(shown(find_row(rows, {"recipe": recipe, "share": share}), "missing") for share in shares)]
        for recipe in HOLES
    ]
    return table(["recipe", *(f"{share:.0%} in holes" for share in shares)], lines)


def half_table(rows: list[Row]) -> str:
    lines = []
    for name, published in PUBLISHED.items():
        found = [find_row(rows, {"picture": name, "share": 0.5, "recipe": recipe}) for recipe in HALF]
        cells = ["not run yet" if row is None else f"{row['own']:.2f} ({row['kept']:.2f})" for row in found]
        lines.append([name, *(f"{figure:.2f}" for figure in published), *cells])
    first = table(["picture", "published: reproduction", "published: paper", *HALF], lines)
    lines = [[name, *(f"{one:.2f}" for one in values)] for name, values in OTHERS.items()]
    for recipe in OURS:
        cells = []
        for share in SHARES:
            some = [row["own"] for row in rows if (row["recipe"], row["share"]) == (recipe, share)]
            cells.append(f"{mean(some):.2f}, {len(some)} pictures" if some else "not run yet")
        lines.append([recipe, *cells])
    return f"{first}\n\n{table(['mean', *(f'{share:.0%} dropped' for share in SHARES)], lines)}"


def ambiguities_table(rows: list[Row]) -> str:
    setting = Setting(Path(), None, Path(), Path())
    lines = [
        [
            reading,
            *(shown(find_row(rows, {"picture": name, "recipe": reading}), "missing") for name in ("kate", "boat")),
        ]
        for reading in readings(setting)
    ]
    return table(["reading", "kate, missing", "boat, missing"], lines)


def alternative_table(rows: list[Row]) -> str:
    lines = []
    for name in PHOTOGRAPHS:
        keys = [(damage, recipe) for damage in ("writing", "scratches") for recipe in ("biharmonic", "fast")]
        found = [find_row(rows, {"picture": name, "damage": damage, "recipe": recipe}) for damage, recipe in keys]
        lines.append([name, *(shown(row, "missing") for row in found)])
    return table(["picture", "writing: biharmonic", "fast", "scratches: biharmonic", "fast"], lines)


def effect_table(rows: list[Row]) -> str:
    marks = (10, 50, 200, 500)
    lines = []
    for name in EFFECT:
        row = find_row(rows, {"picture": name})
        points = dict((row or {}).get("points", []))
        lines.append([name, *(f"{points[mark]:.2g}" if mark in points else "not run yet" for mark in marks)])
    return table(["what is fitted", *(f"loss after {mark}" for mark in marks)], lines)


def draw_curves(rows: list[Row], path: Path, label: str, *, logarithmic: bool) -> None:
    """What was seen of each fit over its iterations."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7, 3.6), layout="constrained")
    axis = drawn.subplots()
    for row in rows:
        if row.get("points"):
            axis.plot(
                *zip(*row["points"], strict=True), label=f"{row['picture']} {row['recipe']}".removesuffix(" effect")
            )
    axis.set(
        xlabel="iteration",
        ylabel=label,
        xscale="log" if logarithmic else "linear",
        yscale="log" if logarithmic else "linear",
    )
    axis.legend(fontsize=7)
    drawn.savefig(path, dpi=110)


STUDIES: dict[str, tuple[Callable[[Setting], Iterator[Case]], Callable[[list[Row]], str]]] = {
    "text": (text_cases, text_table),
    "holes": (holes_cases, holes_table),
    "half": (half_cases, half_table),
    "ambiguities": (ambiguities_cases, ambiguities_table),
    "alternative": (alternative_cases, alternative_table),
    "effect": (effect_cases, effect_table),
}


def write(rows: list[Row], setting: Setting, page: Path) -> None:
    """The rows, the tables and the figures."""
    write_text(setting.figures / "reproduction.json", json.dumps(rows) + "\n")
    for study, (_, make) in STUDIES.items():
        some = [row for row in rows if row["study"] == study]
        replace_table(page, study, make(some))
        if some and study in ("effect", "ambiguities", "text"):
            label = "loss" if study == "effect" else "PSNR of the missing pixels, dB"
            path = setting.figures / f"reproduction-{study}.png"
            draw_curves(some, path, label, logarithmic=study == "effect")


def main(words: list[str] | None = None) -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--study", nargs="*", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--recipes", nargs="+", help="only these")
    parser.add_argument("--pictures", type=Path, help="a folder with more of the classic pictures")
    parser.add_argument("--work", type=Path, default=DOCS.parent / "build/reproduction", help="unfinished fits")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--side", type=int, help="make the pictures this small")
    parser.add_argument("--iterations", type=int, help="end every fit after so many")
    given = parser.parse_args(words)
    setting = Setting(given.data, given.pictures, given.work, given.figures, given.side, given.iterations)
    results = given.figures / "reproduction.json"
    rows: list[Row] = json.loads(results.read_text(encoding="utf-8")) if results.exists() else []
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    for study in given.study:
        for case in STUDIES[study][0](setting):
            if given.recipes and case.key["recipe"] not in given.recipes:
                continue
            if find_row(rows, {**case.key, "record": case.record}) is not None:
                continue
            row = {**case.key, "record": case.record, **case.measure(), "device": device}
            rows = [one for one in rows if find_row([one], case.key) is None] + [row]
            print({name: value for name, value in row.items() if name != "points"}, flush=True)
            write(rows, setting, given.page)
    write(rows, setting, given.page)


if __name__ == "__main__":
    main()
