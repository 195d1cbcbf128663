"""What an iteration costs on a GPU, beside the same network in plain torch there; and whether the host ever waits.

Compared on one device, in turns, over rounds of so many iterations each with one wait at a round's end: plain (our
layers, in float32 and not captured, torch's Adam and noise), the paper's authors' own code if its folder is given, and
untaught's loop, captured as it is captured for a user. The states of the loop are let go unread, as between previews.

    python -m benchmarks.accelerator --sizes 512 1024 [--paper-code FOLDER] [--device cuda]

Prints one JSON object a measurement and writes docs/figures/accelerator.json. With ``--device cpu`` it only shows that
it runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.speed import RATE, ROOT, paper_code_network, picture, plain_network, plain_step, problem, step_recipe
from untaught.backend.engine import Engine, choose_engine
from untaught.fitting.build import build_fit
from untaught.fitting.loop import iterate
from untaught.fitting.losses import MeanSquaredError
from untaught.physics.linear import Identity
from untaught.priors.encoder_decoder import PRESETS

WAITS = ("Synchronize", "Memcpy DtoH")


def wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def untaught_side(preset: str, size: int, engine: Engine) -> Callable[[], None]:
    """One iteration of untaught's own loop."""
    observed, known = (tensor.to(engine.device) for tensor in picture(size))
    fit = build_fit(problem(observed, known), step_recipe(preset), engine=engine, seed=0)
    objective = MeanSquaredError(observed, Identity(), known)
    states = iterate(
        fit,
        objective=objective,
        rate=lambda _: RATE,
        iterations=10**9,
        averaging=0.99,
        engine=engine,
        channels=1,
    )

    def step() -> None:
        next(states)

    return step


def measure(
    preset: str, size: int, engine: Engine, folder: Path | None, iterations: int, rounds: int
) -> dict[str, Any]:
    """Milliseconds an iteration of each side, and what of untaught's made the host wait."""
    device = engine.device
    sides = {
        "plain": plain_step(plain_network(preset), size, device),
        "untaught": untaught_side(preset, size, engine),
    }
    if folder is not None and preset == "paper":
        sides["paper code"] = plain_step(paper_code_network(folder), size, device)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, step in sides.items():
            wait(device)
            started = time.perf_counter()
            for _ in range(iterations):
                step()
            wait(device)
            if number:  # the first round warms up, and captures
                seconds[name].append((time.perf_counter() - started) / iterations)
    report: dict[str, Any] = {"preset": preset, "size": size, "device": device.type}
    report["ms"] = {name: 1000 * median(own) for name, own in seconds.items()}
    report["ratios"] = {
        name: median(a / b for a, b in zip(seconds[name], seconds["untaught"], strict=True))
        for name in sides
        if name != "untaught"
    }
    report["waits"] = waits(sides["untaught"], device, min(iterations, engine.guard_interval - 1))
    return report


def waits(step: Callable[[], None], device: torch.device, iterations: int) -> dict[str, int] | None:
    """Calls that made the host wait during iterations between two looks of the guard; None without CUDA."""
    if device.type != "cuda":
        return None
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(iterations):
            step()
        names = Counter(event.name for event in profile.events() or () if any(one in event.name for one in WAITS))
    return dict(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512])
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--iterations", type=int, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paper-code", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    engine = choose_engine(options.device, options.precision)
    rows = []
    for preset in options.presets:
        for size in options.sizes:
            rows.append(measure(preset, size, engine, options.paper_code, options.iterations, options.rounds))
            print(json.dumps(rows[-1]), flush=True)
    if engine.device.type == "cpu":
        return
    name = torch.cuda.get_device_name() if engine.device.type == "cuda" else engine.device.type
    report = {"device": name, "engine": engine.record(), "rows": rows}
    (ROOT / "docs/figures/accelerator.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
