"""Fits the weights of the damage detectors on made damage: `python -m benchmarks.detection_weights DATA`.

Logistic regression of measured features: of chains of ridges, of spots, of colours. The pictures are those of
`benchmarks.detection_cases.FITTED`, whole and at half size; their damage has other seeds than that of the benchmark.
Writes src/untaught/imaging/detection/weights.py.
"""

from __future__ import annotations

import argparse
import itertools
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.optimize import minimize

from benchmarks.detection_cases import COLOURS, FITTED, damage, lay, picture
from untaught.imaging.damage import scratches, specks, writing
from untaught.imaging.detection import colours, lines
from untaught.imaging.detection import specks as spots_module

TARGET = Path(colours.__file__).with_name("weights.py")
OPAQUE = (0.35, 0.5, 0.65)
"""Of faint scratches."""

Bytes = NDArray[np.uint8]
Sample = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
Samples = dict[str, list[Sample]]
Fitted = tuple[NDArray[np.float64], float]


def gather(samples: Samples, pixels: NDArray[np.uint8], known: NDArray[np.bool_] | None, kind: str) -> None:
    """Add features, whether they are of damage, and their weights."""
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    gray = channels.mean(2, dtype=np.float32) / np.float32(255)
    missing = np.zeros(gray.shape, bool) if known is None else ~known
    near = ndimage.binary_dilation(missing, np.ones((3, 3)))
    for sigma in lines.SCALES if kind == "clean" or "scratches" in kind else ():
        chains = lines.find_chains(gray, sigma)
        if chains.count:
            features, length = lines.describe(chains)
            share = np.bincount(chains.chain, weights=near[chains.row, chains.column]) / length
            use = (length >= 10) & ((share > 0.7) | (share < 0.3))
            weights = length[use].astype(np.float64) * (10.0 if known is None else 1.0)
            samples[f"lines {sigma}"].append((features[use], (share > 0.5)[use].astype(np.float64), weights))
    if kind in ("clean", "dust", "soft dust, JPEG"):
        spots = spots_module.find_spots(gray)
        truth = missing[spots.row, spots.column].astype(np.float64)
        weights = np.full(len(truth), 4.0 if known is None else 1.0)
        samples["specks"].append((spots_module.describe(spots), truth, weights))
    if kind != "single pixels":
        level, candidates = colours.brightness(channels), colours.candidate_pixels(channels)
        for spike in colours.find_spikes(level, candidates):
            measured = colours.measure(channels, level, candidates, spike)
            if measured is not None:
                precise = float((measured[1] & near).sum() / measured[1].sum())
                if precise > 0.8 or precise < 0.6:
                    weight = float(measured[1].mean() ** 0.5) * (5 if known is None else 1)
                    samples["colours"].append((measured[0][None], np.array([float(precise > 0.7)]), np.array([weight])))


SIGNS = {
    "lines": "+-+++-+--.++.+--++++..+",
    "specks": ".++++.-..+............+.",
    "colours": "+++++..+-+.+.++.++.+",
}
"""What a feature may do: speak for damage, against it, or either. So no weight says that a longer line is none."""

SETTINGS = {"lines": (0.3, 1.0), "specks": (0.1, 3.0), "colours": (0.0, 1.0)}
"""Weight of all damage, to that of all else (0 for as it is), and of the squared weights."""


def fit(parts: list[Sample], kind: str) -> Fitted:
    """Logistic regression with the signs of `SIGNS`."""
    features, truth, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    middle, scale = features.mean(0), features.std(0) + 1e-9
    made = np.c_[(features - middle) / scale, np.ones(len(features))]
    positive, ridge = SETTINGS[kind]
    if positive:
        weights[truth == 1] *= positive * weights[truth == 0].sum() / weights[truth == 1].sum()
    weights = weights / weights.mean()

    def loss(guess: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = made @ guess
        value = (weights * (np.logaddexp(0, score) - truth * score)).sum() + ridge * (guess @ guess) / 2
        return float(value), made.T @ (weights * (1 / (1 + np.exp(-score)) - truth)) + ridge * guess

    limits = {"+": (0, None), "-": (None, 0), ".": (None, None)}
    bounds = [limits[sign] for sign in (*SIGNS[kind], ".")]
    found = minimize(loss, np.zeros(made.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes = found[:-1] / scale
    return slopes, float(found[-1] - (slopes * middle).sum())


def text_of(fitted: dict[str, Fitted]) -> str:
    def one(name: str) -> str:
        weights, constant = fitted[name]
        numbers = ", ".join(f"{weight:.4g}" for weight in weights)
        return f"(\n{textwrap.fill(f'[{numbers}],', 100)}\n{constant:.4g},\n)"

    scales = ", ".join(f"{sigma}: {one(f'lines {sigma}')}" for sigma in lines.SCALES)
    return f'''"""The weights of the detectors' features, as ``python -m benchmarks.detection_weights`` fits them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "LINES", "SPECKS", "Weights", "score"]

Weights = tuple[list[float], float]

LINES: dict[float, Weights] = {{{scales}}}

SPECKS: Weights = {one("specks")}

COLOURS: Weights = {one("colours")}


def score(features: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """The logarithm of the odds that what was measured, (N, features), is damage: (N,)."""
    found: NDArray[np.float64] = features @ np.array(weights[0]) + weights[1]
    return found
'''


def soft_scenes(whole: Bytes, seed: int) -> Iterator[tuple[Bytes, NDArray[np.bool_] | None, str]]:
    """A picture out of focus, with noise: clean, with a few straight lines, and with dust, of any gray."""
    random = np.random.default_rng(seed)
    axes = (4, 4, 0)[: whole.ndim]
    height, width = whole.shape[:2]
    for kind in ("clean", "scratches", "scratches", "dust"):
        soft = ndimage.gaussian_filter(whole.astype(float), axes)
        soft += random.normal(0, random.uniform(0.3, 6), whole.shape)
        plain = np.rint(soft).clip(0, 255).astype(np.uint8)
        known = None
        if kind == "dust":
            known = specks(height, width, seed=seed)
        elif kind == "scratches":
            page = Image.new("L", (width, height), 255)
            for _ in range(random.integers(1, 6)):
                ends = random.uniform(-20, 20 + np.array([width, height] * 2))
                ImageDraw.Draw(page).line(tuple(ends), 0, int(random.integers(1, 5)))
            known = np.asarray(page) > 127
        if known is not None:
            plain = np.where(known if whole.ndim == 2 else known[..., None], plain, np.uint8(random.integers(256)))
        yield plain, known, kind


def faint_scenes(whole: Bytes) -> Iterator[tuple[Bytes, NDArray[np.bool_], str]]:
    """A picture with scratches that it shines through."""
    for place, (colour, opaque) in enumerate(itertools.product(("white", "black", "pure white", "pure black"), OPAQUE)):
        known = scratches(whole.shape[0], whole.shape[1], 200 + place)
        soft, quality = (0.5, 0.7, 0.9)[place // len(OPAQUE) % 3], (0, 90)[place // len(OPAQUE) % 2]
        yield *lay(whole, known, colour, soft=soft, opaque=opaque, quality=quality), "faint scratches"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    samples: Samples = defaultdict(list)
    for name in sorted(FITTED):
        whole = picture(name, data)
        half = np.asarray(Image.fromarray(whole).reduce(2))
        for pixels in (whole, half):
            gather(samples, pixels, None, "clean")
        for case in (one for one in damage(name, whole, data, shift=100) if one.kind != "date"):
            gather(samples, case.pixels, case.known, case.kind)
        for pixels, known, kind in (*soft_scenes(whole, len(name)), *faint_scenes(whole)):
            gather(samples, pixels, known, kind)
        for place, colour in enumerate(colour for colour in COLOURS if whole.ndim == 3 or colour != "red"):
            known = writing(whole.shape[0], whole.shape[1], (12, 24, 20, 14, 18, 16)[place])
            for quality in (70, 92):
                gather(samples, *lay(whole, known, colour, quality=quality), "text, JPEG")
    fitted = {name: fit(parts, name.split()[0]) for name, parts in samples.items()}
    TARGET.write_text(text_of(fitted), encoding="utf-8")


if __name__ == "__main__":
    main()
