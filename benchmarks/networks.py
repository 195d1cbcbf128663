"""How well each network restores a picture with its authors' settings: PSNR over iterations, and CPU seconds.

Protocol, fixed before the runs. The middle 128 x 128 pixels of each picture. Seed 0 for mask, noise, weights and input.
No stopping rule, and no fit looks at the clean picture. Plain torch in float32 on one thread, without compiled kernels.

* ``half``: half of the pixels dropped, restore/; PSNR in dB over the missing pixels.
* ``noise``: normal noise of 25/255, clipped to [0, 1], denoise/; PSNR in dB over the whole picture.

Two figures a moment: the network's own output, and the exponential average of its outputs (0.99). Langevin sampling
gives the mean of its samples instead, after a burn-in of 7/20 of the iterations, as in its authors' code. Seconds are
the process's own and leave the measuring out.

    python -m benchmarks.networks DATA --iterations 2000 --networks deep-decoder siren

Rows that are there already are not run again. Writes docs/figures/networks.json and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.reference import DOCS
from untaught.fitting.langevin import Langevin, PosteriorMean
from untaught.fitting.state import State
from untaught.imaging.metrics import psnr
from untaught.priors.conv_decoder import ConvDecoder
from untaught.priors.deep_decoder import DeepDecoder
from untaught.priors.encoder_decoder import PRESETS, EncoderDecoder
from untaught.priors.siren import Siren
from untaught.priors.unet import UNet

RESULTS = DOCS / "figures/networks.json"
FOLDERS = {"half": "restore", "noise": "denoise"}
SIDE = 128
Row = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """A network and how its authors fit it.

    Attributes:
        build: from the number of output channels and the generator to the network.
        channels: of its input.
        rate: learning rate of Adam.
        scale: the input is uniform noise in [0, scale), or a coordinate grid if zero.
        shaken: standard deviation of the noise added to the input in each iteration.
        langevin: whether noise is added to the weights, and the samples averaged.
    """

    build: Callable[[int, torch.Generator], nn.Module]
    channels: int
    rate: float
    scale: float = 0.1
    shaken: float = 0.0
    langevin: bool = False


def encoder_decoder(channels: int, generator: torch.Generator) -> nn.Module:
    """The deep image prior's own network."""
    return EncoderDecoder(PRESETS["paper"], channels, generator)


METHODS = {
    "encoder-decoder": Method(encoder_decoder, 32, 0.01, shaken=1 / 30),
    "encoder-decoder, Langevin": Method(encoder_decoder, 32, 0.01, shaken=1 / 30, langevin=True),
    "deep-decoder": Method(DeepDecoder().build, 128, 0.01),
    "conv-decoder": Method(ConvDecoder(head="sigmoid").build, 160, 0.008, scale=1.0),
    "siren": Method(Siren().build, 2, 1e-4, scale=0.0),
    "u-net": Method(UNet().build, 32, 0.001),
}


def crop(path: Path) -> NDArray[np.float64]:
    """The middle of a picture: (H, W, C) in [0, 1]."""
    picture = np.atleast_3d(np.asarray(Image.open(path)) / 255)
    top, left = (picture.shape[0] - SIDE) // 2, (picture.shape[1] - SIDE) // 2
    return picture[top : top + SIDE, left : left + SIDE]


def damage(task: str, clean: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The damaged picture, and where it is known."""
    random = np.random.default_rng(seed)
    if task == "half":
        known = random.random(clean.shape[:2]) < 0.5
        return np.where(known[..., None], clean, 0), known
    noisy = np.clip(clean + random.normal(0, 25 / 255, clean.shape), 0, 1)
    return noisy, np.ones(clean.shape[:2], dtype=bool)


def as_tensor(picture: NDArray[Any]) -> Tensor:
    """(H, W, C) to (1, C, H, W), float32."""
    return torch.from_numpy(picture).float().movedim(-1, 0)[None]


def as_picture(tensor: Tensor) -> NDArray[np.float64]:
    """(1, C, H, W) to (H, W, C) in [0, 1]."""
    return tensor[0].movedim(0, -1).clamp(0, 1).double().numpy()


def draw_input(method: Method, generator: torch.Generator) -> Tensor:
    """The network's input: (1, channels, 128, 128)."""
    if method.scale:
        return method.scale * torch.rand(1, method.channels, SIDE, SIDE, generator=generator)
    line = torch.linspace(0, 1, SIDE)
    return torch.stack([line.expand(SIDE, SIDE), line[:, None].expand(SIDE, SIDE)])[None]


def moments(iterations: int) -> list[int]:
    """When to look: at 1, 2 and 5 times the powers of ten from 50, and at the end."""
    steps = [digit * 10**power for power in range(1, 6) for digit in (1, 2, 5)]
    return [*(step for step in steps if 50 <= step < iterations), iterations]


def fit(method: Method, task: str, clean: NDArray[np.float64], iterations: int, seed: int) -> Row:
    """One fit: PSNR at each moment, and the seconds until then."""
    damaged, known = damage(task, clean, seed)
    observed, where = as_tensor(damaged), as_tensor(known[..., None])
    compared = None if task == "noise" else ~known
    generator = torch.Generator().manual_seed(seed)
    network = method.build(clean.shape[2], generator)
    base = draw_input(method, generator)
    parameters = list(network.parameters())
    factory = Langevin(learning_rate=method.rate)
    optimiser = factory(parameters) if method.langevin else torch.optim.Adam(parameters, lr=method.rate)
    posterior = PosteriorMean(burn_in=iterations * 7 // 20)
    average, points, seconds = torch.zeros_like(observed), [], 0.0
    looks = moments(iterations)
    for iteration in range(1, iterations + 1):
        begun = time.process_time()
        x = base
        if method.shaken:
            x = base + method.shaken * torch.randn(base.shape, generator=generator)
        output = network(x)
        loss = ((output - observed) * where).square().sum() / (where.sum() * clean.shape[2])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        shown = output.detach()
        average = average.lerp_(shown, 0.01 if iteration > 1 else 1)
        if method.langevin:
            posterior(
                State(
                    iteration=iteration,
                    iterations=iterations,
                    loss=loss.detach(),
                    losses=loss.detach()[None],
                    output=shown,
                    average=average,
                    square=average.square(),
                )
            )
        seconds += time.process_time() - begun
        if iteration in looks:
            averaged = posterior.mean if posterior.samples else average
            points.append(
                {
                    "iteration": iteration,
                    "seconds": round(seconds, 2),
                    "output": round(psnr(as_picture(shown), clean, compared), 3),
                    "average": round(psnr(as_picture(averaged), clean, compared), 3),
                }
            )
    return {"parameters": sum(parameter.numel() for parameter in parameters), "points": points}


def table(rows: Iterable[Row]) -> str:
    """One row a task and network: the mean over its pictures of each moment's figures."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["network"]), []).append(row)
    looks = sorted({point["iteration"] for own in groups.values() for row in own for point in row["points"]})
    lines = [
        "| task | network | weights | " + " | ".join(f"{look}" for look in looks) + " | CPU ms per iteration |",
        "| --- " * (len(looks) + 4) + "|",
    ]
    for (task, network), own in groups.items():
        cells = []
        for look in looks:
            there = [point for row in own for point in row["points"] if point["iteration"] == look]
            output, averaged = (
                mean(point[kind] for point in there) if there else 0.0 for kind in ("output", "average")
            )
            cells.append(f"{output:.2f} / {averaged:.2f}" if there else "")
        pace = mean(1000 * row["points"][-1]["seconds"] / row["points"][-1]["iteration"] for row in own)
        weights = own[-1]["parameters"]
        lines.append(f"| {task} | {network} | {weights} | " + " | ".join(cells) + f" | {pace:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with restore/ and denoise/")
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--networks", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--tasks", nargs="+", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = json.loads(given.output.read_text()) if given.output.exists() else []
    for task, network in itertools.product(given.tasks, given.networks):
        for path in sorted((given.data / FOLDERS[task]).glob("*.png")):
            key = {"task": task, "network": network, "picture": path.stem, "seed": given.seed}
            key["iterations"] = given.iterations
            if any(all(row[name] == value for name, value in key.items()) for row in rows):
                continue
            rows.append({**key, **fit(METHODS[network], task, crop(path), given.iterations, given.seed)})
            given.output.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
