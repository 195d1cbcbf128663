"""What one step costs, in time and memory, beside the same network in plain torch; and where the time goes.

A step is a forward and a backward pass, the optimiser (Adam, 0.01) and the shaking of the input by fresh normal noise
of 0.03, for the mean squared error over half of the pixels of a random picture of one channel. Compared are

* plain: the network as published, layer after layer in float32, with torch's own functions, optimiser and noise;
* untaught: what `untaught.fitting.build.build_fit` puts together for this machine's processor;
* paper code: with ``--paper-code FOLDER``, the paper's authors' own network from your checkout of it, for ``paper``.

The sides take turns, step by step, so that a drift of the machine meets them all: reported are the medians over the
rounds, and the median of the rounds' own ratios. Peak memory is that of two steps in a process of their own; bytes a
pixel are what it takes beyond the same for a 64 x 64 picture: libraries, weights and optimiser are there at any size.

    python -m benchmarks.speed

Writes docs/figures/speed.json, docs/figures/speed.png and the tables of docs/lab-notes/speed.md. To be run on an idle
machine: threads that wait for each other lose far more than their share to another job.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import gc
import importlib
import json
import platform
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.tables import replace_table
from untaught.backend.cpu import parts
from untaught.backend.cpu.im2col import Im2col
from untaught.backend.engine import Engine, choose_engine
from untaught.fitting.build import build_fit
from untaught.fitting.loop import Fit
from untaught.fitting.losses import MeanSquaredError
from untaught.fitting.optimisers import OptimiserSettings
from untaught.fitting.problem import Problem
from untaught.imaging.arrays import Layout
from untaught.physics.linear import Identity
from untaught.priors.blocks import Convolution
from untaught.priors.encoder_decoder import PRESETS, EncoderDecoder
from untaught.priors.inputs import NoiseInput, PerturbationSettings, PerturbedSampler
from untaught.priors.interpolation import upsample
from untaught.recipes import Recipe

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/lab-notes/speed.md"
TABLES = ("speed", "breakdown", "savings")

PLAIN, UNTAUGHT, PAPER_CODE = "plain", "untaught", "paper code"
SIDES = (PLAIN, UNTAUGHT, PAPER_CODE)

NOISE = PerturbationSettings(kind="fresh", standard_deviation=0.03)
RATE = 0.01
MOST_MEMORY = 20e9
MANY, MANY_SIZE = 8, 128
# Sides that five scales halve without a rest, and the least one that the innermost scale can still be padded in.
UNIT, LEAST = 32, 64

Step = Callable[[], None]


# The sides ------------------------------------------------------------------------------------------------------------


class PlainNetwork(nn.Module):
    """An encoder-decoder evaluated as published: layer after layer, the head after the last upsampling.

    Args:
        network: whose layers are used; without kernels, for an input that needs no widening.
    """

    def __init__(self, network: EncoderDecoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W) to (N, output_channels, H, W)."""
        network, settings = self.network, self.network.settings
        x = network.features(x)
        if settings.skip_tap == "output":
            x = upsample(x, network.upsampling[0])
        x = network.head(x)
        return torch.sigmoid(x) if settings.head == "sigmoid" else x


def plain_network(preset: str) -> PlainNetwork:
    return PlainNetwork(EncoderDecoder(PRESETS[preset], 1, torch.Generator().manual_seed(0)))


def paper_code_network(folder: Path, channels: int = 1) -> nn.Module:
    """The network of the preset ``paper``, built by the authors' own code."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    settings = PRESETS["paper"]
    network: nn.Module = importlib.import_module("models").get_net(
        settings.input_channels,
        "skip",
        settings.padding,
        settings.upsampling,
        n_channels=channels,
        act_fun="LeakyReLU",
        skip_n33d=128,
        skip_n33u=128,
        skip_n11=4,
        num_scales=settings.scales,
        downsample_mode="stride",
    )
    return network


def picture(size: int, pictures: int = 1) -> tuple[Tensor, Tensor]:
    """Random pictures of one channel, and which half of their pixels is known."""
    generator = torch.Generator().manual_seed(1)
    shape = (pictures, 1, size, size)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator) < 0.5


def plain_step(network: nn.Module, size: int, device: torch.device | None = None) -> Step:
    """A step of a network in plain torch, contiguous and in float32; on the processor if no device is named."""
    network = network.to(device)
    observed, known = (tensor.to(device) for tensor in picture(size))
    generator, mask = torch.Generator(device or "cpu").manual_seed(0), known.float()
    base = NoiseInput().first((size, size), generator)
    noise = torch.empty_like(base)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)

    def step() -> None:
        shaken = base + noise.normal_(0, NOISE.standard_deviation, generator=generator)
        loss = F.mse_loss(network(shaken) * mask, observed * mask)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()

    return step


def problem_of(observed: Tensor, known: Tensor) -> Problem:
    """The problem of pictures, (N, C, H, W), in [0, 1], of which some values are known."""
    size = (observed.shape[2], observed.shape[3])
    layout = Layout(observed, 0.0, 1.0)
    return Problem(observed=observed, known=known, channels=observed.shape[1], size=size, layout=layout)


def step_recipe(preset: str) -> Recipe:
    """The settings of the steps that are measured."""
    return Recipe(
        name=preset,
        source="benchmarks.speed",
        network=PRESETS[preset],
        input=NoiseInput(perturbation=NOISE),
        optimiser=OptimiserSettings(learning_rate=RATE),
        iterations=1,
    )


def problem(observed: Tensor, known: Tensor) -> Problem:
    """The problem of restoring pictures, (N, 1, H, W)."""
    layout = Layout(observed, 0, 1)
    return Problem(observed=observed, known=known, channels=1, size=tuple(observed.shape[2:]), layout=layout)


def untaught_fit(preset: str, size: int, engine: Engine, pictures: int = 1) -> tuple[Fit, Step]:
    """What `untaught.fitting.build` puts together, and a step of it."""
    observed, known = picture(size, pictures)
    fit = build_fit(problem(observed, known), step_recipe(preset), engine=engine, seed=0)
    objective = MeanSquaredError(observed, Identity(), known)

    def step() -> None:
        drawn = fit.sampler.draw()
        loss = objective(engine.run(fit.network, drawn.input), drawn.compared)
        fit.optimiser.zero_grad()
        torch.autograd.backward(loss.sum())
        fit.optimiser.step()

    return fit, step


def make_step(side: str, preset: str, size: int, engine: Engine, folder: Path | None) -> Step:
    if side == UNTAUGHT:
        return untaught_fit(preset, size, engine)[1]
    if side == PLAIN:
        return plain_step(plain_network(preset), size)
    assert folder is not None
    return plain_step(paper_code_network(folder), size)


# Measuring ------------------------------------------------------------------------------------------------------------


def alternate(steps: Mapping[str, Step], repeats: int) -> dict[str, list[float]]:
    """Seconds of each step in each round, after one that is not counted."""
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median of the rounds' own ratios."""
    return median(one / other for one, other in zip(numerators, denominators, strict=True))


def milliseconds(seconds: Sequence[float]) -> dict[str, Any]:
    return {"ms": 1000 * median(seconds), "ms_of_rounds": [round(1000 * one, 3) for one in seconds]}


def best_time(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some runs, after one that is not counted."""
    return min(alternate({"work": lambda: (work(), None)[1]}, repeats)["work"])


def measure_limits(engine: Engine) -> dict[str, Any]:
    """The most that this machine does: arithmetic in a large matrix product, and moving of memory."""
    side, teraflops = 4096, {}
    for dtype in dict.fromkeys((torch.float32, engine.arithmetic)):
        one, other = torch.rand(2, side, side).to(dtype)
        teraflops[str(dtype).removeprefix("torch.")] = 2 * side**3 / best_time(lambda: one @ other, 3) / 1e12  # noqa: B023
    source = torch.ones(2**27)
    target = torch.empty_like(source)
    seconds = best_time(lambda: target.copy_(source), 5)
    return {"matrix_product_teraflops": teraflops, "copy_gigabytes_per_second": 2 * source.nbytes / seconds / 1e9}


def multiply_adds(preset: str, size: int) -> int:
    """Multiply-adds of all convolutions of the plain network's forward pass."""
    network, total = plain_network(preset).to("meta"), 0

    def add(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, Convolution)
        total += output.numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, Convolution):
            module.register_forward_hook(add)
    network(torch.empty(1, PRESETS[preset].input_channels, size, size, device="meta"))
    return total


def process_memory(name: str) -> int:
    """Bytes of this process: resident now (VmRSS) or at most so far (VmHWM)."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: there Linux lets a process begin with the peak of the one that started it.
        return 1024 * int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith(name)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def free_memory() -> float:
    """Bytes that may still be taken."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return MOST_MEMORY
    return 1024.0 * int(next(line.split()[1] for line in info.read_text().splitlines() if line.startswith("MemAvail")))


def memory_here(side: str, preset: str, size: int, engine: Engine, folder: Path | None) -> int:
    """Bytes that two steps take at most, in a process that has done nothing else."""
    before = process_memory("VmRSS")
    step = make_step(side, preset, size, engine, folder)
    step()
    step()
    return process_memory("VmHWM") - before


def memory_of(side: str, preset: str, size: int, precision: str, folder: Path | None) -> int:
    """The same, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed", "--memory-of", side, "--presets", preset]
    command += ["--sizes", str(size), "--precision", precision]
    command += [] if folder is None else ["--paper-code", str(folder)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1])


class Room:
    """Measures peak memory, and says beforehand what there is no room for.

    Args:
        measure: peak memory of a side, a preset and a size.
    """

    def __init__(self, measure: Callable[[str, str, int], int]) -> None:
        self._measure = measure
        self._per_pixel: dict[tuple[str, str], float] = {}
        self._least: dict[tuple[str, str], int] = {}

    def take(self, side: str, preset: str, size: int, beside: float = 0) -> dict[str, Any]:
        """Peak memory, also a pixel; or why it cannot be had, as "skipped".

        Args:
            side: what is measured.
            preset: the network.
            size: of the picture.
            beside: bytes that another side holds while this one is timed.
        """
        if size > 512 and (side, preset) not in self._per_pixel:
            self._measured(side, preset, 256)
        expected = self._per_pixel.get((side, preset), 0.0) * size**2
        if expected > MOST_MEMORY or expected + beside > 0.9 * free_memory():
            return {"skipped": f"would take about {expected / 1e9:.0f} GB"}
        return self._measured(side, preset, size)

    def _measured(self, side: str, preset: str, size: int) -> dict[str, Any]:
        key = side, preset
        if key not in self._least:
            self._least[key] = self._measure(side, preset, LEAST)
        if size == LEAST:
            return {"peak_bytes": self._least[key]}
        peak = self._measure(side, preset, size)
        self._per_pixel[key] = (peak - self._least[key]) / (size**2 - LEAST**2)
        return {"peak_bytes": peak, "bytes_per_pixel": self._per_pixel[key]}


def measure_size(
    preset: str, size: int, repeats: int, engine: Engine, folder: Path | None, room: Room, limit: float
) -> dict[str, Any]:
    """All sides of one network at one size; ``limit``: TFLOP/s of a matrix product in the engine's type."""
    wanted = [side for side in SIDES if side != PAPER_CODE or (folder is not None and preset == "paper")]
    sides = {UNTAUGHT: room.take(UNTAUGHT, preset, size)}
    held = sides[UNTAUGHT].get("peak_bytes", 0)
    sides = {side: sides[side] if side in sides else room.take(side, preset, size, held) for side in wanted}
    there = [side for side in wanted if "skipped" not in sides[side]]
    seconds = alternate({side: make_step(side, preset, size, engine, folder) for side in there}, repeats)
    gc.collect()
    count = multiply_adds(preset, size)
    operations = 2 * 3 * count  # the gradients of the input and of the weights are a forward pass's arithmetic each
    for side in there:
        middle = median(seconds[side])
        sides[side] |= {
            **milliseconds(seconds[side]),
            "ms_per_megapixel": 1e9 * middle / size**2,
            "teraflops": operations / middle / 1e12,
        }
    return {
        "preset": preset,
        "size": size,
        "multiply_adds_forward": count,
        "arithmetic_alone_ms": operations / limit / 1e9,
        "sides": sides,
        "ratios": {
            side: ratio(seconds[side], seconds[UNTAUGHT]) for side in there if side != UNTAUGHT and UNTAUGHT in there
        },
    }


@contextlib.contextmanager
def timed(functions: Sequence[tuple[Any, str]]) -> Iterator[dict[str, float]]:
    """Let functions, given as holder and name, add up their seconds by name for a while."""
    totals: dict[str, float] = defaultdict(float)

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments, **named)
            totals[name] += time.perf_counter() - started
            return result

        return call

    with contextlib.ExitStack() as stack:
        for holder, name in functions:
            stack.enter_context(mock.patch.object(holder, name, clocked(name, getattr(holder, name))))
        yield totals


def measure_breakdown(preset: str, size: int, engine: Engine, steps: int = 3) -> dict[str, Any]:
    """Where the time of a step goes, in steps of their own: the clocks cost a little too."""
    fit, step = untaught_fit(preset, size, engine)
    step()
    kernels = engine.kernels
    passes = [] if kernels is None else [(kernels, name) for name, kernel in vars(kernels).items() if callable(kernel)]
    with timed([*passes, (torch, "mm"), (torch, "bmm"), (torch, "addmm"), (fit.optimiser, "step")]) as totals:
        started = time.perf_counter()
        for _ in range(steps):
            step()
        whole = time.perf_counter() - started
    optimiser = totals.pop("step", 0.0)
    rows = sorted(totals.items(), key=lambda row: -row[1])
    rows += [("optimiser", optimiser), ("everything else", whole - sum(totals.values()) - optimiser)]
    return {
        "preset": preset,
        "size": size,
        "ms": 1000 * whole / steps,
        "ms_by_operation": {name: 1000 * seconds / steps for name, seconds in rows},
    }


def measure_savings(preset: str, size: int, repeats: int, engine: Engine) -> dict[str, Any]:
    """What a step takes with one of the savings left out, each against the whole engine in turns."""
    without = dataclasses.replace(engine, kernels=None)
    steps = {"plain network in the engine's type, channels last": untaught_fit(preset, size, without)[1]}
    if engine.kernels is not None:
        with mock.patch.object(parts, "three_by_three", Im2col):
            columns = untaught_fit(preset, size, engine)[1]
            columns()  # the algorithms are chosen at the first evaluation
        steps["kernels, gathered columns in place of Winograd tiles"] = columns
        fit, step = untaught_fit(preset, size, engine)
        generator = torch.Generator().manual_seed(0)
        fit.sampler = PerturbedSampler(NoiseInput().first((size, size), generator), NOISE, generator)
        steps["kernels, torch's noise"] = step
    whole = untaught_fit(preset, size, engine)[1]
    rows, wholes = [], []
    for name, step in steps.items():
        seconds = alternate({name: step, UNTAUGHT: whole}, repeats)
        wholes += seconds[UNTAUGHT]
        rows.append({"what": name, **milliseconds(seconds[name]), "ratio": ratio(seconds[name], seconds[UNTAUGHT])})
    rows.append({"what": "untaught", **milliseconds(wholes), "ratio": 1.0})
    return {"preset": preset, "size": size, "rows": rows}


def measure_many(preset: str, repeats: int, engine: Engine) -> dict[str, Any]:
    """Several fits in one batch against as many one after the other."""
    together = untaught_fit(preset, MANY_SIZE, engine, MANY)[1]
    alone = [untaught_fit(preset, MANY_SIZE, engine)[1] for _ in range(MANY)]

    def one_after_the_other() -> None:
        for step in alone:
            step()

    seconds = alternate({"alone": one_after_the_other, "together": together}, repeats)
    return {
        "preset": preset,
        "size": MANY_SIZE,
        "fits": MANY,
        **{name: milliseconds(values) for name, values in seconds.items()},
        "ratio": ratio(seconds["alone"], seconds["together"]),
    }


def processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


# Showing --------------------------------------------------------------------------------------------------------------


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows))


def number(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def memory(side: Mapping[str, Any]) -> str:
    per_pixel = side.get("bytes_per_pixel")
    return f"{side['peak_bytes'] / 1e6:.0f}" + ("" if per_pixel is None else f" ({per_pixel:.0f})")


def speed_table(report: Mapping[str, Any]) -> str:
    rows = report["speed"]
    sides = [side for side in SIDES if any(side in row["sides"] for row in rows)]
    others = [side for side in sides if side != UNTAUGHT]
    heads = ["network", "side", *(f"{side}, ms" for side in sides), *(f"{side} / {UNTAUGHT}" for side in others)]
    heads += ["arithmetic alone, ms", "TFLOP/s", *(f"{side}, MB (bytes a pixel)" for side in sides)]
    cells, notes = [], []
    for row in rows:

        def of(side: str, show: Callable[[Any], str], row: Mapping[str, Any] = row) -> str:
            found = row["sides"].get(side)
            return "" if found is None else "*" if "skipped" in found else show(found)

        line = [row["preset"], str(row["size"]), *(of(side, lambda found: number(found["ms"])) for side in sides)]
        line += [number(row["ratios"][side]) if side in row["ratios"] else "" for side in others]
        line += [number(row["arithmetic_alone_ms"]), of(UNTAUGHT, lambda found: f"{found['teraflops']:.3f}")]
        line += [of(side, memory) for side in sides]
        cells.append(line)
        skipped = [(side, found["skipped"]) for side, found in row["sides"].items() if "skipped" in found]
        notes += [f"\\* {side}, {row['preset']} at {row['size']}: {why}." for side, why in skipped]
    limits = report["limits"]
    products = [f"{value:.3f} TFLOP/s in {name}" for name, value in limits["matrix_product_teraflops"].items()]
    engine = report["engine"]
    kernels = "no kernels" if engine["kernels"] is None else f"kernels for {engine['kernels']}"
    notes += [
        f"{report['processor']}, {engine['threads']} threads, torch {report['torch']}; untaught in "
        f"{engine['precision']}, {kernels}. In the same run a 4096 x 4096 matrix product: {' and '.join(products)}; a "
        f"copy of memory: {number(limits['copy_gigabytes_per_second'])} GB/s, read and written.",
        f"*Arithmetic alone*: the plain network's multiply-adds at that product's speed in {engine['precision']}. "
        "*TFLOP/s*: the plain network's arithmetic in the time of untaught's step. Memory is the peak of two steps; in "
        f"brackets, by the pixel, what it is beyond that of a {LEAST} x {LEAST} picture.",
    ]
    return "\n\n".join((markdown(heads, cells), *notes))


def breakdown_table(report: Mapping[str, Any]) -> str:
    parts = report["breakdown"]
    names = dict.fromkeys(name for part in parts for name in part["ms_by_operation"])
    last = ("optimiser", "everything else")
    ordered = [*(name for name in names if name not in last), *last]
    heads = ["operation", *(f"{part['preset']} at {part['size']}, ms (share)" for part in parts)]

    def cell(part: Mapping[str, Any], name: str) -> str:
        found = part["ms_by_operation"].get(name)
        return "" if found is None else f"{number(found)} ({found / part['ms']:.1%})"

    rows = [[name, *(cell(part, name) for part in parts)] for name in ordered]
    return markdown(heads, [*rows, ["the step", *(number(part["ms"]) for part in parts)]])


def savings_table(report: Mapping[str, Any]) -> str:
    rows = [
        [part["preset"], str(part["size"]), row["what"], number(row["ms"]), number(row["ratio"])]
        for part in report["savings"]
        for row in part["rows"]
    ]
    many = [
        f"{part['fits']} fits of {part['size']} x {part['size']}, {part['preset']}: a step of all takes "
        f"{number(part['together']['ms'])} ms in one batch and {number(part['alone']['ms'])} ms one after the other, "
        f"ratio {number(part['ratio'])}."
        for part in report["many"]
    ]
    return "\n\n".join((markdown(["network", "side", "step", "ms", f"/ {UNTAUGHT}"], rows), *many))


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Time and memory a pixel over the size, where matplotlib is there to draw them."""
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        print(f"matplotlib is not installed: {path.name} is not drawn")
        return
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    presets = list(dict.fromkeys(row["preset"] for row in report["speed"]))
    for axis, key, label in zip(
        axes, ("ms_per_megapixel", "bytes_per_pixel"), ("ms a megapixel and step", "bytes a pixel"), strict=True
    ):
        for preset in presets:
            for side, style in zip(SIDES, ("--", "-", ":"), strict=True):
                points = [
                    (row["size"], row["sides"][side][key])
                    for row in report["speed"]
                    if row["preset"] == preset and key in row["sides"].get(side, {})
                ]
                if points:
                    colour = f"C{presets.index(preset)}"
                    axis.plot(*zip(*points, strict=True), style, color=colour, marker="o", label=f"{side}, {preset}")
        sizes = sorted({row["size"] for row in report["speed"]})
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.set_yscale("log")
        axis.set_xlabel("side of the picture")
        axis.set_ylabel(label)
        axis.grid(visible=True, which="both", alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=120)


def check_page() -> None:
    """Find out that a table has nowhere to go before anything is measured, not after."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    for name in TABLES:
        if f"<!-- table: {name} -->" not in text:
            raise SystemExit(f"{PAGE} has no marker <!-- table: {name} -->")


# The command ----------------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace, engine: Engine) -> dict[str, Any]:
    presets, sizes, repeats, folder = options.presets, sorted(options.sizes), options.repeats, options.paper_code
    chosen = next((size for size in sizes if size >= 512), sizes[-1])
    limits = measure_limits(engine)
    print(limits, flush=True)
    room = Room(functools.partial(memory_of, precision=options.precision, folder=folder))
    limit = limits["matrix_product_teraflops"][str(engine.arithmetic).removeprefix("torch.")]
    report: dict[str, Any] = {
        "processor": processor(),
        "torch": torch.__version__,
        "engine": engine.record(),
        "repeats": repeats,
        "limits": limits,
        "speed": [],
        "breakdown": [],
        "savings": [],
        "many": [],
    }
    for preset in presets:
        for size in sizes:
            report["speed"].append(measure_size(preset, size, repeats, engine, folder, room, limit))
            print(report["speed"][-1], flush=True)
        report["breakdown"].append(measure_breakdown(preset, chosen, engine))
        report["savings"].append(measure_savings(preset, chosen, repeats, engine))
        report["many"].append(measure_many(preset, repeats, engine))
        print(report["breakdown"][-1], report["savings"][-1], report["many"][-1], sep="\n", flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048], help="sides of the pictures")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=["printed", "paper"])
    parser.add_argument("--repeats", type=int, default=5, help="rounds of steps")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--paper-code", type=Path, metavar="FOLDER", help="a checkout of the paper's authors' code")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/figures/speed.json")
    parser.add_argument("--smoke", action="store_true", help="write nothing, only print")
    parser.add_argument("--memory-of", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.repeats < 1 or any(size < LEAST or size % UNIT for size in options.sizes):
        parser.error(f"at least one round is needed, and sizes from {LEAST} that are multiples of {UNIT}")
    if options.paper_code is not None:
        options.paper_code = options.paper_code.resolve()
        if not (options.paper_code / "models/skip.py").exists():
            parser.error(f"{options.paper_code} has no models/skip.py")
    engine = choose_engine("cpu", options.precision)
    if options.memory_of is not None:
        print(memory_here(options.memory_of, options.presets[0], options.sizes[0], engine, options.paper_code))
        return
    if not options.smoke:
        check_page()
    report = measure(options, engine)
    tables = dict(zip(TABLES, (speed_table(report), breakdown_table(report), savings_table(report)), strict=True))
    if options.smoke:
        print(*tables.values(), sep="\n\n")
        return
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name, table in tables.items():
        replace_table(PAGE, name, table)
    plot(report, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
