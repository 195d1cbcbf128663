"""What else was tried for a recipe, and what it brought: coarse to fine, other inputs, total variation and more.

Protocol, fixed before the runs. 128 x 128 crops (those of `benchmarks.quality`), masks by the seed of the fit, no rule
and no values held out: PSNR in dB of the averaged output over the missing pixels only, at four moments of each fit. No
fit looks at the clean picture. Seconds are the process's own, of one thread.

* ``writing``: under writing, a change at a time to what `noise` of ``inpaint`` was, which draws from noise and has
  bilinear upsampling at its outermost scale only; with two such scales it is what it has become.
* ``half``: half of the pixels dropped, a change at a time to `balanced` of ``restore``, which is shown known values.

    python -m benchmarks.ideas DATA --study writing half

Rows that are there already are not run again. Writes docs/figures/ideas.json and the tables of
docs/lab-notes/recipes.md.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic
from torch import Tensor, nn

import untaught
from benchmarks.quality import crops, find_row
from benchmarks.reference import DOCS
from benchmarks.tables import replace_table
from untaught.fitting.optimisers import OptimiserSettings
from untaught.fitting.run import Run
from untaught.fitting.stopping import NeverStop
from untaught.imaging.damage import dropped_pixels, writing
from untaught.imaging.files import write_text
from untaught.imaging.metrics import psnr
from untaught.priors.blocks import Upsampling
from untaught.priors.deep_decoder import DeepDecoder
from untaught.priors.encoder_decoder import NetworkSettings
from untaught.priors.inputs import CoordinateInput, NoiseInput, PerturbationSettings, PerturbedSampler
from untaught.priors.sampler import Batch, InputSampler, Measurement
from untaught.recipes import Recipe, find_recipe

RESULTS = DOCS / "figures/ideas.json"

PICTURES = {"writing": ("lena", "page", "boat"), "half": ("barbara", "lena")}

RUNS = 4

Row = dict[str, Any]


class Trial:
    """A damaged picture, and the figures of one fit of it.

    Attributes:
        observed: (1, C, H, W), float32, zero where it is unknown.
        known: the same shape, bool.
    """

    def __init__(self, clean: NDArray[np.float64], where: NDArray[np.bool_], seed: int) -> None:
        self.clean, self.missing, self.seed = clean, ~where, seed
        picture = torch.from_numpy(np.atleast_3d(clean)).float().movedim(-1, 0)[None]
        self.known = torch.from_numpy(where).expand_as(picture)
        self.observed = torch.where(self.known, picture, 0)
        self.figures: list[float] = []
        self.average: Tensor | None = None

    def begin(self, recipe: Recipe, **changes: Any) -> Run:
        """The run of a recipe without its rule, and with other parts where they are given."""
        own: dict[str, Any] = {"recipe": recipe, "seed": self.seed, "stopping": NeverStop(), **changes}
        return untaught.fit(self.observed, mask=self.known, **own)

    def measure(self, run: Run) -> None:
        """Fit to the end, with a figure after each quarter."""
        for state in run:
            if state.iteration % (state.iterations // 4) == 0:
                self.average = state.average
                self.figures.append(self.figure(self.average))

    def smaller(self, step: int) -> Trial:
        """The same picture at a fraction of its size: means of the known values in squares of so many pixels."""
        smaller = copy.copy(self)
        share = F.avg_pool2d(self.known.float(), step)
        smaller.observed, smaller.known = F.avg_pool2d(self.observed, step) / share.clamp_min(1e-6), share > 0
        return smaller

    def figure(self, average: Tensor) -> float:
        """PSNR of the missing pixels."""
        picture = average[0].movedim(0, -1).double().numpy()
        return psnr(picture.reshape(self.clean.shape), self.clean, self.missing)


Idea = Callable[[Trial, Recipe], None]


def as_it_is(trial: Trial, recipe: Recipe) -> None:
    """Fit by the recipe itself."""
    trial.measure(trial.begin(recipe))


def changed(**changes: Any) -> Idea:
    """The recipe with other settings."""

    def fit(trial: Trial, recipe: Recipe) -> None:
        as_it_is(trial, dataclasses.replace(recipe, **changes))

    return fit


def with_bilinear(network: NetworkSettings, scales: int) -> NetworkSettings:
    """The network with bilinear upsampling at so many outer scales and nearest at the others."""
    kinds: list[Upsampling] = ["bilinear" if scale < scales else "nearest" for scale in range(network.scales)]
    return dataclasses.replace(network, upsampling=tuple(kinds))


def bilinear(scales: int) -> Idea:
    """Bilinear upsampling at so many outer scales."""

    def fit(trial: Trial, recipe: Recipe) -> None:
        as_it_is(trial, dataclasses.replace(recipe, network=with_bilinear(recipe.network, scales)))

    return fit


def wider(trial: Trial, recipe: Recipe) -> None:
    """The widths of `best` for as many iterations."""
    as_it_is(trial, dataclasses.replace(recipe, network=find_recipe("restore", "best").network))


@dataclasses.dataclass
class FadingNoise:
    """Noise as input, with fresh noise whose standard deviation goes from one value to another."""

    first: float
    last: float
    iterations: int
    channels: int = 32

    def build(self, measurement: Measurement, generator: torch.Generator) -> InputSampler:
        """Make the sampler of one picture."""
        noise = NoiseInput(channels=self.channels).first(measurement.size, generator)
        return FadingSampler(noise, self, generator)


class FadingSampler(PerturbedSampler):
    """The sampler of `FadingNoise`."""

    def __init__(self, first: Tensor, fading: FadingNoise, generator: torch.Generator) -> None:
        super().__init__(first, PerturbationSettings(kind="fresh"), generator)
        self.fading = fading
        self.drawn = 0

    def draw(self) -> Batch:
        """The next iteration's input."""
        deviation = self.fading.first + (self.fading.last - self.fading.first) * self.drawn / self.fading.iterations
        self.perturbation = PerturbationSettings(kind="fresh", standard_deviation=deviation)
        self.drawn += 1
        return super().draw()


def fading_perturbation(first: float, last: float) -> Idea:
    """Fresh noise whose standard deviation goes from one value to another."""

    def fit(trial: Trial, recipe: Recipe) -> None:
        trial.measure(trial.begin(recipe, input=FadingNoise(first, last, recipe.iterations)))

    return fit


@dataclasses.dataclass
class BandLimitedNoise:
    """Noise without details finer than so many pixels, of the same range."""

    noise: NoiseInput
    pixels: int

    def build(self, measurement: Measurement, generator: torch.Generator) -> InputSampler:
        """Make the sampler of one picture."""
        noise, step = self.noise.first(measurement.size, generator), self.pixels
        smooth = F.interpolate(noise[..., ::step, ::step], size=noise.shape[2:], mode="bicubic")
        return PerturbedSampler(smooth, self.noise.perturbation, generator)


def band_limited(pixels: int) -> Idea:
    """Noise without details finer than so many pixels, of the same range."""

    def fit(trial: Trial, recipe: Recipe) -> None:
        trial.measure(trial.begin(recipe, input=BandLimitedNoise(recipe.input, pixels)))

    return fit


def fourier_input(trial: Trial, recipe: Recipe) -> None:
    """Sines and cosines of the coordinates, six octaves, in place of noise."""
    scheme = CoordinateInput(kind="fourier", channels=24, perturbation=recipe.input.perturbation)
    network = dataclasses.replace(recipe.network, input_channels=24)
    as_it_is(trial, dataclasses.replace(recipe, network=network, input=scheme))


def deep_decoder(channels: int, iterations: int) -> Idea:
    """The Deep Decoder (Heckel and Hand, 2019), with Adam at 0.01 as its authors fit it."""
    return changed(
        network=DeepDecoder(input_channels=channels, channels=channels),
        input=NoiseInput(channels=channels),
        optimiser=OptimiserSettings(learning_rate=0.01),
        iterations=iterations,
    )


def total_variation(weight: float) -> Idea:
    """The mean absolute difference of neighbours, weighted, in the loss."""
    return changed(regulariser=untaught.total_variation(weight))


@dataclasses.dataclass
class WarmStart:
    """An input scheme around another, which compares the first outputs with a whole picture."""

    scheme: NoiseInput
    whole: Tensor
    iterations: int

    def build(self, measurement: Measurement, generator: torch.Generator) -> InputSampler:
        """Make the sampler of one picture."""
        sampler = self.scheme.build(measurement, generator)
        return WarmSampler(sampler, self)


class WarmSampler(InputSampler):
    """The sampler of `WarmStart`."""

    def __init__(self, sampler: InputSampler, start: WarmStart) -> None:
        super().__init__(sampler.channels, sampler.generator)
        self.sampler, self.start, self.drawn = sampler, start, 0

    def draw(self) -> Batch:
        """The next iteration's input and, at first, another target."""
        self.drawn += 1
        batch, whole = self.sampler.draw(), self.start.whole
        if self.drawn > self.start.iterations:
            return batch
        return batch._replace(target=whole, compared=torch.ones_like(whole, dtype=torch.bool))


def warm_start(trial: Trial, recipe: Recipe) -> None:
    """A tenth of the iterations on the biharmonic guess, whole, and then the known values alone."""
    observed = trial.observed[0].movedim(0, -1).double().numpy()
    guess = inpaint_biharmonic(observed, trial.missing, channel_axis=-1)
    whole = torch.from_numpy(guess).float().movedim(-1, 0)[None]
    trial.measure(trial.begin(recipe, input=WarmStart(recipe.input, whole, recipe.iterations // 10)))


def restarts(trial: Trial, recipe: Recipe) -> None:
    """The learning rate falls to nothing along a cosine and starts anew, ten times (Loshchilov and Hutter, 2017)."""

    def schedule(iteration: int, iterations: int) -> float:
        period = max(1, iterations // 10)
        return (1 + math.cos(math.pi * ((iteration - 1) % period) / period)) / 2

    as_it_is(trial, dataclasses.replace(recipe, optimiser=dataclasses.replace(recipe.optimiser, schedule=schedule)))


def build(trial: Trial, network: NetworkSettings) -> nn.Module:
    """A network with the initial weights of a trial's seed."""
    return network.build(trial.observed.shape[1], torch.Generator().manual_seed(trial.seed))


def coarse_to_fine(trial: Trial, recipe: Recipe) -> None:
    """A fifth of the iterations at a quarter of the size, inner scales alone; a fifth at half; the rest at full size.

    Weights go over to the next network wherever it has some of the same place and shape. Figures of full size only.
    """
    network, short = recipe.network, recipe.iterations // 5
    upsampling = network.per_scale("upsampling")
    last: nn.Module | None = None
    for outermost in (2, 1, 0):
        inner = dataclasses.replace(
            network,
            down_channels=network.down_channels[outermost:],
            up_channels=network.up_channels[outermost:],
            skip_channels=network.skip_channels[outermost:],
            upsampling=upsampling[outermost:],
        )
        module = build(trial, inner)
        if last is not None:
            inherit(module, last)
        iterations = short if outermost else recipe.iterations - 2 * short
        at_size = trial.smaller(2**outermost) if outermost else trial
        run = at_size.begin(recipe, network=module, iterations=iterations)
        if outermost == 0:
            trial.measure(run)
        for _ in run:
            pass
        last = run.network


def inherit(network: nn.Module, inner: nn.Module) -> None:
    """Take over the weights of a fitted network without the outermost scale."""
    own = network.state_dict()
    for name, values in fitted_weights(inner).items():
        place = name
        if name.startswith("scales."):
            _, scale, rest = name.split(".", 2)
            place = f"scales.{int(scale) + 1}.{rest}"
        if place in own and own[place].shape == values.shape:
            own[place] = values
    network.load_state_dict(own)


def fitted_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights of the one network of a run."""
    return {name.removeprefix("network."): values for name, values in network.state_dict().items()}


def half_size_first(trial: Trial, recipe: Recipe) -> None:
    """The same network, a quarter of the iterations on the picture at half size, the rest at full size."""
    short = recipe.iterations // 4
    first = trial.smaller(2).begin(recipe, iterations=short)
    for _ in first:
        pass
    run = trial.begin(recipe, iterations=recipe.iterations - short)
    run.network.load_state_dict(first.network.state_dict())
    trial.measure(run)


IDEAS: dict[str, dict[str, Idea]] = {
    "writing": {
        "unchanged": as_it_is,
        "bilinear at two scales": bilinear(2),
        "bilinear at three scales": bilinear(3),
        "bilinear at all scales": bilinear(5),
        "coarse to fine": coarse_to_fine,
        "input of 8 pixels": band_limited(8),
        "input of 16 pixels": band_limited(16),
        "input of 4 pixels": band_limited(4),
        "total variation 0.001": total_variation(1e-3),
        "total variation 0.0001": total_variation(1e-4),
        "biharmonic warm start": warm_start,
        "restarts of the rate": restarts,
        "Adam 0.01": changed(optimiser=OptimiserSettings(learning_rate=0.01)),
        "fresh noise from 0.1 to 0.01": fading_perturbation(0.1, 0.01),
        "fresh noise from 0.03 to 0": fading_perturbation(0.03, 0.0),
        "Fourier input": fourier_input,
        "deep decoder 64": deep_decoder(64, 2000),
    },
    "half": {
        "unchanged": as_it_is,
        "Adam 0.003": changed(optimiser=OptimiserSettings(learning_rate=0.003)),
        "total variation 0.0001": total_variation(1e-4),
        "restarts of the rate": restarts,
        "half size first": half_size_first,
        "64-128 outermost": wider,
    },
}


def cases(data: Path, study: str, iterations: int | None) -> Iterator[tuple[Row, Callable[[], Row]]]:
    """What is measured."""
    pictures = crops(data)
    task = "inpaint" if study == "writing" else "restore"
    known = writing(128, 128, 12) if study == "writing" else dropped_pixels(128, 128, seed=0)
    recipe = find_recipe(task, "noise" if study == "writing" else "balanced")
    if study == "writing":
        recipe = dataclasses.replace(recipe, network=with_bilinear(recipe.network, 1))
    if iterations is not None:
        recipe = dataclasses.replace(recipe, iterations=iterations)
    for idea, fit in IDEAS[study].items():
        for name in PICTURES[study]:
            key = {"study": study, "picture": name, "idea": idea}
            yield key, functools.partial(measure, pictures[name], known, recipe, fit)
    for name in PICTURES[study]:
        key = {"study": study, "picture": name, "idea": "one, two and four runs"}
        yield key, functools.partial(several_runs, pictures[name], known, recipe)


def measure(clean: NDArray[np.float64], known: NDArray[np.bool_], recipe: Recipe, idea: Idea) -> Row:
    """The figures of one fit."""
    trial, started = Trial(clean, known, 0), time.process_time()
    idea(trial, recipe)
    return {"figures": trial.figures, "seconds": time.process_time() - started}


def several_runs(clean: NDArray[np.float64], known: NDArray[np.bool_], recipe: Recipe) -> Row:
    """The mean of one, two and four runs from different seeds, at their end."""
    averages, started = [], time.process_time()
    for seed in range(RUNS):
        trial = Trial(clean, known, seed)
        as_it_is(trial, recipe)
        assert trial.average is not None
        averages.append(trial.average)
    together = torch.stack(averages)
    figures = [trial.figure(together[:count].mean(0)) for count in (1, 2, RUNS)]
    return {"figures": figures, "seconds": time.process_time() - started}


def table(rows: list[Row]) -> str:
    """One line an idea: the figures at the four moments, and the mean gain at the best of them over what is changed."""
    names = list(dict.fromkeys(row["picture"] for row in rows))
    lines = [f"| | {' | '.join(names)} | mean gain | seconds |", "| --- " * (len(names) + 3) + "|"]
    own = {(row["idea"], row["picture"]): row for row in rows}
    for idea in dict.fromkeys(row["idea"] for row in rows):
        there = [name for name in names if (idea, name) in own]
        if idea == "one, two and four runs":
            gain = mean(own[idea, name]["figures"][-1] - own[idea, name]["figures"][0] for name in there)
        else:
            gain = mean(max(own[idea, name]["figures"]) - max(own["unchanged", name]["figures"]) for name in there)
        shown = (
            ", ".join(f"{figure:.2f}" for figure in own[idea, name]["figures"]) if name in there else ""
            for name in names
        )
        seconds = mean(own[idea, name]["seconds"] for name in there)
        lines.append(f"| {idea} | {' | '.join(shown)} | {gain:+.2f} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--study", choices=list(IDEAS), nargs="+", required=True)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    parser.add_argument("--ideas", nargs="+", help="these alone")
    parser.add_argument("--iterations", type=int, help="of each fit, to try it out (default: the recipe's)")
    options = parser.parse_args()
    rows: list[Row] = json.loads(options.results.read_text()) if options.results.exists() else []
    for study in options.study:
        for key, run in cases(options.data, study, options.iterations):
            if find_row(rows, key) is not None or key["idea"] not in (options.ideas or [key["idea"]]):
                continue
            rows.append({**key, **run()})
            print(rows[-1], flush=True)
            write_text(options.results, json.dumps(rows, indent=1) + "\n")
        if options.results == RESULTS:
            chosen = table([row for row in rows if row["study"] == study])
            replace_table(DOCS / "lab-notes/recipes.md", f"ideas-{study}", chosen)


if __name__ == "__main__":
    main()
