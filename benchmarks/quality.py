"""How good the restored pictures are, unattended, and how near the stop comes to the best moment.

Protocol, fixed before the runs. Masks and noise are drawn from the seed, which is the fit's seed too. One recipe for
all pictures of a task. Nothing in a run looks at the clean picture. PSNR in dB, values clipped to [0, 1]:

* *own output*: over the whole picture, nothing put back. A thinned network has the known values among its inputs, and
  where one was shown, the output is that value; so this is what the network gives, but not the same feat as for a
  network that draws from noise.
* *known kept*: over the whole picture, known pixels as they were given, as a user gets it.
* *missing*: over the missing pixels only.

The studies:

* ``restore``: half of the pixels dropped from barbara, lena and boat, 512 x 512; seeds 0, 1 and 2; biharmonic
  inpainting beside it.
* ``stop``: 54 fits of 128 x 128 crops over tasks, pictures, damage and seeds, each looked at every tenth iteration
  with the clean picture in hand: how far is what it returned from the best averaged output of the same run? One that
  ended before its recipe's last iteration is gone through a second time without patience, so that what would have come
  later counts; ``denoise``, which has no rule, goes on for as long again. On barbara, boat and lena with seed 0 a
  stricter question besides: the best moment of a fit that had every known value from its first iteration, and no
  rule. For noise what is compared is the network's averaged output, before the filter that ends the task.
* ``denoise``: normal noise of 10, 25 and 50 of 255, clipped to [0, 1], on f16 and house, the level told to everyone;
  non-local means (scikit-image) and BM3D (package ``bm3d``, where it is installed; colours together) beside it.
* ``half``: the same with noise of 25 at half size (256 and 128), where the paper's settings are affordable for their
  own 3000 iterations: by our engine, and with ``--paper-code FOLDER`` by the authors' own network, plain Adam and plain
  torch. Theirs gives two figures: its last output, and the exponential average of its outputs.
* ``writing``: recipes under writing, PSNR of the missing pixels: kate with her own mask, lena, boat, barbara, astronaut
  and brick, all 512 x 512, and crops of coffee and chelsea with another's.
* ``windows``: lena, boat, barbara and brick side by side, 1024 x 1024, with writing: by windows of 512 and of 256, and
  whole. PSNR of the missing pixels; seconds are the process's own. The network has nothing to gain from four pictures.
* ``time``: kate, boat and the stripes of barbara, 256 x 256. The paper's recipe is fitted for its own number of
  iterations (by our engine, which follows the plain network: docs/lab-notes/speed.md), and what it took in plain torch
  is that number times the plain step's time, of ten steps measured before and after `balanced` in the same process:
  when it reaches the paper's quality, looking every fifth iteration, and when it ends by itself. PSNR with known
  pixels kept. To be run with one thread: what is counted is the process's own time on the processor. Other work beside
  it counts for little, but for something: a plain step is bound by memory.

    python -m benchmarks.quality DATA --study restore --recipes balanced best

Rows that are there already are not run again, so a study can be done in pieces. Writes docs/figures/quality.json and
the tables of docs/lab-notes/quality.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data as photographs
from skimage.restoration import inpaint_biharmonic

from benchmarks.reference import DOCS, half_size, load
from benchmarks.speed import PlainNetwork, paper_code_network, plain_step
from benchmarks.tables import replace_table
from untaught.fitting.run import Job
from untaught.fitting.state import Restoration, State, StopReason
from untaught.fitting.stopping import StoppingSettings
from untaught.imaging.damage import dropped_pixels, writing
from untaught.imaging.files import write_text
from untaught.imaging.metrics import psnr
from untaught.priors.encoder_decoder import EncoderDecoder
from untaught.recipes import Recipe, find_recipe
from untaught.tasks.preparation import prepare

RESULTS = DOCS / "figures/quality.json"
SEEDS = (0, 1, 2)
Row = dict[str, Any]
Case = tuple[dict[str, Any], Callable[[], Row]]


def read(path: Path) -> NDArray[np.float64]:
    """A picture in [0, 1]."""
    return np.asarray(Image.open(path)) / 255


# Half of the pixels dropped -----------------------------------------------------------------------------------------


def restore_cases(data: Path, recipes: list[str]) -> Iterator[Case]:
    for recipe in recipes:
        for seed in SEEDS:
            for name in ("barbara", "boat", "lena"):
                key = {"study": "restore", "recipe": recipe, "picture": name, "seed": seed}
                clean = read(data / f"restore/{name}.png")
                yield key, functools.partial(restore_row, clean, recipe, seed)


def restore_row(clean: NDArray[np.float64], recipe: str, seed: int) -> Row:
    known = dropped_pixels(clean.shape[0], clean.shape[1], seed=seed)
    damaged = np.where(known, clean, 0)
    result = prepare("restore", damaged, known, recipe=recipe, seed=seed, keep_known=False).run()
    kept = np.where(known, clean, result.picture)
    error = np.abs(result.picture - clean)
    return {
        "own": psnr(result.picture, clean),
        "kept": psnr(kept, clean),
        "missing": psnr(kept, clean, ~known),
        "expected": result.expected_psnr,
        "coverage": float((error <= result.uncertainty)[~known].mean()),
        "biharmonic": psnr(inpaint_biharmonic(damaged, ~known), clean),
        "iterations": result.iterations,
        "seconds": result.seconds,
        "stop": str(result.stop_reason),
    }


PUBLISHED = {"barbara": 32.52, "boat": 33.06, "lena": 36.16}
"""The higher of the reproduction's and the paper's figures, own output."""


def restore_table(rows: list[Row]) -> str:
    lines = [
        "| recipe | picture | own output, by seed | published | known kept, by seed | biharmonic | missing: expected | "
        "measured | coverage of 90 % | iterations |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        gains: list[tuple[float, float]] = []
        for name in PUBLISHED:
            own = [row for row in rows if row["recipe"] == recipe and row["picture"] == name]
            if not own:
                continue

            def shown(quantity: str, own: list[Row] = own) -> str:
                return ", ".join(f"{row[quantity]:.2f}" for row in own)

            def average(quantity: str, own: list[Row] = own) -> float:
                return float(mean(row[quantity] for row in own))

            gains.append((average("own") - PUBLISHED[name], average("kept") - average("biharmonic")))
            lines.append(
                f"| {recipe} | {name} | {shown('own')} | {PUBLISHED[name]:.2f} | {shown('kept')} | "
                f"{average('biharmonic'):.2f} | {average('expected'):.2f} | {average('missing'):.2f} | "
                f"{average('coverage'):.1%} | {', '.join(str(row['iterations']) for row in own)} |"
            )
        over_published, over_biharmonic = (mean(gain) for gain in zip(*gains, strict=True))
        lines.append(
            f"| {recipe} | **mean gain** | | **{over_published:+.2f}** | | **{over_biharmonic:+.2f}** | | | | |"
        )
    return "\n".join(lines)


# The stop -----------------------------------------------------------------------------------------------------------


def crops(data: Path) -> dict[str, NDArray[np.float64]]:
    """128 x 128, smooth, textured, a face, line art."""
    page = photographs.page() / 255
    return {
        "barbara": read(data / "restore/barbara.png")[330:458, 330:458],
        "boat": read(data / "restore/boat.png")[100:228, 130:258],
        "lena": read(data / "restore/lena.png")[220:348, 220:348],
        "coffee": photographs.coffee()[100:228, 220:348] / 255,
        "page": page[20:148, 100:228],
        "brick": photographs.brick()[:128, :128] / 255,
    }


def stop_cases(data: Path, recipes: list[str]) -> Iterator[Case]:
    pictures = crops(data)
    for recipe in recipes:
        for name in ("lena", "coffee", "page"):
            known = writing(128, 128, 12)
            key = {"study": "stop", "recipe": recipe, "task": "inpaint", "picture": name, "seed": 0}
            yield {**key, "damage": "writing"}, functools.partial(stop_row, pictures[name], known, "inpaint", recipe)
        for name in ("boat", "coffee", "brick"):
            known = dropped_pixels(128, 128, 0.95, 0)
            key = {"study": "stop", "recipe": recipe, "task": "restore", "picture": name, "seed": 0}
            yield {**key, "damage": "95%"}, functools.partial(stop_row, pictures[name], known, "restore", recipe)
        for name in ("lena", "coffee", "page", "brick"):
            for level in (10, 25, 50):
                key = {"study": "stop", "recipe": recipe, "task": "denoise", "picture": name, "seed": 0}
                yield (
                    {**key, "damage": f"noise {level}"},
                    functools.partial(stop_noise_row, pictures[name], level / 255, recipe),
                )
        for seed in (0, 1):
            for name, clean in pictures.items():
                for missing in (0.1, 0.5, 0.8):
                    known = dropped_pixels(128, 128, missing, seed)
                    key = {"study": "stop", "recipe": recipe, "task": "restore", "picture": name, "seed": seed}
                    yield (
                        {**key, "damage": f"{missing:.0%}"},
                        functools.partial(
                            stop_row, clean, known, "restore", recipe, seed, strict=seed == 0 and name in PUBLISHED
                        ),
                    )


class BestMoment:
    """Looks at a fit with the clean picture in hand: the best averaged output of every tenth iteration."""

    def __init__(self, job: Job, clean: NDArray[np.float64], where: NDArray[np.bool_] | None = None) -> None:
        self.job, self.clean, self.where = job, clean, where
        self.psnr, self.iteration = -np.inf, 0

    def __call__(self, state: State) -> None:
        """Look at one state."""
        if state.iteration % 10 == 0:
            figure = psnr(np.asarray(self.job.picture(state)), self.clean, self.where)
            if figure > self.psnr:
                self.psnr, self.iteration = figure, state.iteration


def stop_row(
    clean: NDArray[np.float64],
    known: NDArray[np.bool_],
    task: str,
    recipe: str,
    seed: int = 0,
    *,
    strict: bool = False,
) -> Row:
    damaged = np.where(known if clean.ndim == 2 else known[..., None], clean, 0)
    settings = find_recipe(task, recipe)

    def watched(settings: Recipe) -> tuple[Restoration, BestMoment]:
        job = prepare(task, damaged, known, recipe=settings, seed=seed)
        moment = BestMoment(job, clean, ~known)
        return job.run([moment]), moment

    unattended, best = watched(settings)
    if unattended.stop_reason is not StopReason.ITERATIONS:
        patient = dataclasses.replace(settings.stopping, patience=settings.iterations, refit=0.0)
        _, later = watched(dataclasses.replace(settings, stopping=patient))
        best = max(best, later, key=lambda moment: moment.psnr)
    row = {
        "unattended": psnr(unattended.picture, clean, ~known),
        "best": best.psnr,
        "iterations": unattended.iterations,
        "best_iteration": best.iteration,
        "limit": settings.iterations,
        "stop": str(unattended.stop_reason),
        "expected": unattended.expected_psnr,
        "coverage": None,
    }
    if unattended.uncertainty is not None:
        covered = np.abs(np.asarray(unattended.picture) - clean) <= np.asarray(unattended.uncertainty)
        row["coverage"] = float(covered[~known].mean())
    if strict:
        _, everything = watched(dataclasses.replace(settings, stopping=StoppingSettings()))
        row["everything"] = everything.psnr
    return row


def stop_noise_row(clean: NDArray[np.float64], noise: float, recipe: str) -> Row:
    seen = np.clip(clean + np.random.default_rng(0).normal(0, noise, clean.shape), 0, 1)
    job = prepare("denoise", seen, noise=noise, recipe=recipe)
    best, run = BestMoment(job, clean), job.begin()
    for state in run:
        best(state)
    ended, iterations = psnr(np.asarray(job.picture(state)), clean), state.iteration
    run.continue_for(iterations)
    for state in run:
        best(state)
    return {"unattended": ended, "best": best.psnr, "iterations": iterations, "best_iteration": best.iteration}


def stop_table(rows: list[Row]) -> str:
    lines = [
        "| task | damage | picture | seed | unattended | best moment | difference | iterations | best at | with every "
        "value, no rule | coverage of 90 % |",
        "| --- " * 11 + "|",
    ]
    ordered = sorted(rows, key=lambda row: row["unattended"] - row["best"])
    for row in ordered:
        everything = f"{row['unattended'] - row['everything']:+.2f}" if "everything" in row else ""
        coverage = f"{row['coverage']:.0%}" if row.get("coverage") else ""
        lines.append(
            f"| {row['task']} | {row['damage']} | {row['picture']} | {row['seed']} | {row['unattended']:.2f} | "
            f"{row['best']:.2f} | {row['unattended'] - row['best']:+.2f} | {row['iterations']} | "
            f"{row['best_iteration']} | {everything} | {coverage} |"
        )
    near = mean(row["unattended"] > row["best"] - 0.3 for row in rows)
    strict = [row["unattended"] > row["everything"] - 0.3 for row in rows if "everything" in row]
    covered = [row["coverage"] for row in rows if row.get("coverage")]
    lines.append(
        f"| **{len(rows)} fits** | | | | | | **within 0.3 dB: {near:.0%}** | | | **{mean(strict):.0%} of "
        f"{len(strict)}** | **mean {mean(covered):.1%}** |"
    )
    return "\n".join(lines)


# Noise --------------------------------------------------------------------------------------------------------------


def denoise_cases(data: Path, recipes: list[str]) -> Iterator[Case]:
    for name in ("house", "f16"):
        clean = read(data / f"denoise/{name}.png")
        for level in (25, 10, 50):
            noise = level / 255
            seen = np.clip(clean + np.random.default_rng(0).normal(0, noise, clean.shape), 0, 1)
            key = {"study": "denoise", "picture": name, "noise": level}
            yield {**key, "method": "non-local means"}, functools.partial(classical_row, clean, seen, non_local, noise)
            if importlib.util.find_spec("bm3d"):
                yield {**key, "method": "BM3D"}, functools.partial(classical_row, clean, seen, block_matching, noise)
            for recipe in recipes:
                yield {**key, "method": recipe}, functools.partial(denoise_row, clean, seen, noise, recipe)


def non_local(seen: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    from skimage.restoration import denoise_nl_means

    return np.asarray(denoise_nl_means(seen, 5, 6, h=0.6 * noise, sigma=noise, channel_axis=-1))


def block_matching(seen: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    import bm3d

    return np.asarray(bm3d.bm3d_rgb(seen, noise))


def classical_row(
    clean: NDArray[np.float64],
    seen: NDArray[np.float64],
    method: Callable[[NDArray[np.float64], float], NDArray[np.float64]],
    noise: float,
) -> Row:
    started = time.perf_counter()
    restored = method(seen, noise).clip(0, 1)
    return {"psnr": psnr(restored, clean), "seconds": time.perf_counter() - started}


def denoise_row(clean: NDArray[np.float64], seen: NDArray[np.float64], noise: float, recipe: str) -> Row:
    result = prepare("denoise", seen, noise=noise, recipe=recipe).run()
    return {"psnr": psnr(result.picture, clean), "seconds": result.seconds, "iterations": result.iterations}


def denoise_table(rows: list[Row]) -> str:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [f"| picture | noise | {' | '.join(methods)} |", "| --- " * (len(methods) + 2) + "|"]
    for name in dict.fromkeys(row["picture"] for row in rows):
        for level in sorted({row["noise"] for row in rows}):
            own = {row["method"]: row for row in rows if row["picture"] == name and row["noise"] == level}
            shown = (
                f"{own[m]['psnr']:.2f} ({own[m]['seconds']:.0f} s{on_gpu(own[m])})" if m in own else "" for m in methods
            )
            lines.append(f"| {name} | {level} | {' | '.join(shown)} |")
    return "\n".join(lines)


def on_gpu(row: Row) -> str:
    return "" if row.get("device", "cpu") == "cpu" else " on a GPU"


# The paper's own settings -------------------------------------------------------------------------------------------


def half_cases(data: Path, recipes: list[str], paper_code: Path | None = None) -> Iterator[Case]:
    for name in ("house", "f16"):
        clean = half_size(np.asarray(Image.open(data / f"denoise/{name}.png"))) / 255
        noise = 25 / 255
        seen = np.clip(clean + np.random.default_rng(0).normal(0, noise, clean.shape), 0, 1)
        key = {"study": "half", "picture": name, "noise": 25}
        for recipe in (*recipes, "paper"):
            yield {**key, "method": recipe}, functools.partial(denoise_row, clean, seen, noise, recipe)
        if paper_code is not None:
            yield {**key, "method": "the paper's code"}, functools.partial(paper_code_row, clean, seen, paper_code)


def paper_code_row(clean: NDArray[np.float64], seen: NDArray[np.float64], folder: Path) -> Row:
    """The authors' network, fitted as their notebook on denoising does, in plain torch."""
    torch.manual_seed(0)
    network, recipe = paper_code_network(folder, channels=3), find_recipe("denoise", "paper")
    observed = torch.from_numpy(np.moveaxis(seen, -1, 0)[None].copy()).float()
    base = torch.rand(1, recipe.network.input_channels, *observed.shape[2:]) * 0.1
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.optimiser.learning_rate)
    average, started = None, time.perf_counter()
    for _ in range(recipe.iterations):
        optimiser.zero_grad()
        output = network(base + recipe.input.perturbation.standard_deviation * torch.randn_like(base))
        torch.autograd.backward(torch.nn.functional.mse_loss(output, observed))
        optimiser.step()
        last = output.detach()
        average = last if average is None else 0.99 * average + 0.01 * last
    assert average is not None
    figures = [psnr(np.moveaxis(one[0].numpy(), 0, -1).clip(0, 1), clean) for one in (average, last)]
    seconds = time.perf_counter() - started
    return {"psnr": figures[0], "last": figures[1], "seconds": seconds, "iterations": recipe.iterations}


def half_table(rows: list[Row]) -> str:
    lines = [
        "| picture | method | PSNR | its last output | iterations | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: (row["picture"], row["psnr"])):
        last = f"{row['last']:.2f}" if "last" in row else ""
        lines.append(
            f"| {row['picture']} | {row['method']} | {row['psnr']:.2f} | {last} | {row['iterations']} | "
            f"{row['seconds']:.0f} |"
        )
    return "\n".join(lines)


# Patches of a large picture -----------------------------------------------------------------------------------------


def windows_cases(data: Path, recipes: list[str]) -> Iterator[Case]:
    lena, boat, barbara = (read(data / f"restore/{name}.png") for name in ("lena", "boat", "barbara"))
    clean = np.block([[lena, boat], [barbara, photographs.brick() / 255]])
    for recipe in recipes:
        for window in (512, 256, 1024):
            key = {"study": "windows", "recipe": recipe, "window": window}
            yield key, functools.partial(windows_row, clean, recipe, window)


def windows_row(clean: NDArray[np.float64], recipe: str, window: int) -> Row:
    settings = find_recipe("inpaint", recipe)
    assert settings.patch is not None, "a network that draws from noise sees the whole picture"
    patches = dataclasses.replace(settings.input, patch=window)
    settings = dataclasses.replace(settings, input=patches)
    known, started = writing(*clean.shape), time.process_time()
    result = prepare("inpaint", np.where(known, clean, 0), known, recipe=settings).run()
    seconds = time.process_time() - started
    parts = {"lena": (0, 0), "boat": (0, 512), "barbara": (512, 0), "brick": (512, 512)}
    cut = {name: (slice(top, top + 512), slice(left, left + 512)) for name, (top, left) in parts.items()}
    missing = {name: psnr(result.picture[own], clean[own], ~known[own]) for name, own in cut.items()}
    return {"missing": missing, "iterations": result.iterations, "seconds": seconds, "stop": str(result.stop_reason)}


def windows_table(rows: list[Row]) -> str:
    names = list(rows[0]["missing"])
    lines = [f"| recipe | window | {' | '.join(names)} | iterations | seconds |", "| --- " * (len(names) + 4) + "|"]
    for row in rows:
        window = "whole" if row["window"] == 1024 else row["window"]
        shown = " | ".join(f"{row['missing'][name]:.2f}" for name in names)
        lines.append(f"| {row['recipe']} | {window} | {shown} | {row['iterations']} | {row['seconds']:.0f} |")
    return "\n".join(lines)


# Time ---------------------------------------------------------------------------------------------------------------


def writing_cases(data: Path, recipes: list[str]) -> Iterator[Case]:
    pictures = {name: read(data / f"restore/{name}.png") for name in ("lena", "boat", "barbara")}
    pictures |= {
        "astronaut": photographs.astronaut() / 255,
        "brick": photographs.brick() / 255,
        "coffee": photographs.coffee()[:400, 100:500] / 255,
        "chelsea": photographs.chelsea()[:300, 60:360] / 255,
    }
    kate = np.asarray(Image.open(data / "inpaint/kate.png").convert("RGB")) / 255
    for name, clean in {"kate": kate, **pictures}.items():
        known = writing(*clean.shape[:2])
        if name == "kate":
            known = np.asarray(Image.open(data / "inpaint/kate_mask.png").convert("L")) == 255
        for recipe in recipes:
            key = {"study": "writing", "picture": name, "recipe": recipe}
            yield key, functools.partial(writing_row, clean, known, recipe)


def writing_row(clean: NDArray[np.float64], known: NDArray[np.bool_], recipe: str) -> Row:
    damaged = np.where(known if clean.ndim == 2 else known[..., None], clean, 0)
    result = prepare("inpaint", damaged, known, recipe=recipe).run()
    return {
        "psnr": psnr(result.picture, clean),
        "missing": psnr(result.picture, clean, ~known),
        "seconds": result.seconds,
        "iterations": result.iterations,
        "threads": torch.get_num_threads(),
    }


def writing_table(rows: list[Row]) -> str:
    names = list(dict.fromkeys(row["picture"] for row in rows))
    lines = [f"| recipe | {' | '.join(names)} | mean | seconds |", "| --- " * (len(names) + 3) + "|"]
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        own = {row["picture"]: row for row in rows if row["recipe"] == recipe}
        shown = [f"{own[name]['missing']:.2f}" if name in own else "" for name in names]
        whole = f"{mean(row['missing'] for row in own.values()):.2f}" if len(own) == len(names) else ""
        seconds = [f"{row['seconds']:.0f}" for row in own.values() if row["threads"] == 2]
        lines.append(f"| {recipe} | {' | '.join(shown)} | {whole} | {', '.join(seconds)} |")
    return "\n".join(lines)


# Time ---------------------------------------------------------------------------------------------------------------


def time_cases(data: Path, recipes: list[str], rows: list[Row]) -> Iterator[Case]:  # noqa: ARG001
    pictures = load(data)
    barbara = half_size(np.asarray(Image.open(data / "restore/barbara.png").convert("L")))
    pictures["barbara"] = (barbara, pictures["boat"][1])
    for name, (clean, known) in pictures.items():
        task = "inpaint" if name == "kate" else "restore"
        key = {"study": "time", "picture": name, "method": "paper"}
        yield key, functools.partial(paper_row, clean / 255, known, task)
        paper = find_row(rows, key)
        assert paper is not None, "the row asked for above is among the rows by now"
        yield {**key, "method": "balanced"}, functools.partial(time_row, clean / 255, known, task, paper)


def paper_row(clean: NDArray[np.float64], known: NDArray[np.bool_], task: str) -> Row:
    damaged = np.where(known if clean.ndim == 2 else known[..., None], clean, 0)
    started = time.process_time()
    # In the arithmetic of the plain network.
    result = prepare(task, damaged, known, recipe="paper", precision="float32").run()
    seconds = time.process_time() - started
    return {"psnr": psnr(result.picture, clean), "iterations": result.iterations, "seconds_engine": seconds}


def time_row(clean: NDArray[np.float64], known: NDArray[np.bool_], task: str, paper: Row) -> Row:
    damaged = np.where(known if clean.ndim == 2 else known[..., None], clean, 0)
    settings = find_recipe(task, "paper").network
    # Of one channel, for colours too: the head is less than a hundredth of the arithmetic.
    step = plain_step(PlainNetwork(EncoderDecoder(settings, 1, torch.Generator().manual_seed(0))), clean.shape[0])
    steps = plain_seconds(step)
    reached, looking = None, 0.0
    job = prepare(task, damaged, known)
    started = time.process_time()
    run = job.begin()
    for state in run:
        if reached is None and state.iteration % 5 == 0:
            stopped = time.process_time()
            if psnr(np.asarray(job.picture(state)), clean) >= paper["psnr"]:
                reached = {"iteration": state.iteration, "seconds": stopped - started - looking}
            looking += time.process_time() - stopped
    result, seconds = run.restoration(), time.process_time() - started - looking
    return {
        "psnr_paper": paper["psnr"],
        "iterations_paper": paper["iterations"],
        "step_plain": median(steps + plain_seconds(step)),
        "reached": reached,
        "psnr": psnr(result.picture, clean),
        "iterations": result.iterations,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
    }


def plain_seconds(step: Callable[[], None]) -> list[float]:
    """Of five steps, after one that is not counted."""
    step()
    seconds = []
    for _ in range(5):
        started = time.process_time()
        step()
        seconds.append(time.process_time() - started)
    return seconds


def time_table(rows: list[Row]) -> str:
    lines = [
        "| picture | the paper's settings, plain: PSNR | seconds | balanced reaches it in | times faster | "
        "balanced ends with | in | times faster |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in (row for row in rows if row["method"] == "balanced"):
        plain = row["iterations_paper"] * row["step_plain"]
        reached = row["reached"]
        when = f"{reached['seconds']:.0f} s | **{plain / reached['seconds']:.0f}**" if reached else "never | "
        lines.append(
            f"| {row['picture']} | {row['psnr_paper']:.2f} | {plain:.0f} | {when} | {row['psnr']:.2f} | "
            f"{row['seconds']:.0f} s | {plain / row['seconds']:.0f} |"
        )
    return "\n".join(lines)


STUDIES: dict[str, tuple[Callable[..., Iterator[Case]], Callable[[list[Row]], str]]] = {
    "restore": (restore_cases, restore_table),
    "stop": (stop_cases, stop_table),
    "denoise": (denoise_cases, denoise_table),
    "half": (half_cases, half_table),
    "writing": (writing_cases, writing_table),
    "windows": (windows_cases, windows_table),
    "time": (time_cases, time_table),
}


def find_row(rows: list[Row], key: Row) -> Row | None:
    """The row of this key, if it has been measured."""
    return next((row for row in rows if all(row.get(name) == value for name, value in key.items())), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--study", choices=list(STUDIES), required=True)
    parser.add_argument("--recipes", nargs="+", default=["balanced"])
    parser.add_argument("--paper-code", type=Path, metavar="FOLDER", help="a checkout of the paper's authors' code")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    options = parser.parse_args()
    cases, table = STUDIES[options.study]
    if options.study == "half" and options.paper_code is not None:
        cases = functools.partial(half_cases, paper_code=options.paper_code.resolve())
    rows: list[Row] = json.loads(options.results.read_text()) if options.results.exists() else []
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    if options.study == "time":
        cases = functools.partial(time_cases, rows=rows)
    for key, measure in cases(options.data, options.recipes):
        if find_row(rows, key) is not None:
            continue
        rows.append({**key, **measure(), "device": device})
        print(rows[-1], flush=True)
        write_text(options.results, json.dumps(rows, indent=1) + "\n")
    chosen = table([row for row in rows if row["study"] == options.study])
    replace_table(DOCS / "lab-notes/quality.md", options.study, chosen)


if __name__ == "__main__":
    main()
