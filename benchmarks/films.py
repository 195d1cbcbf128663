"""Films against the same tasks frame by frame: PSNR, flicker and time.

Protocol: 240 frames of 640 x 360 at 24 a second, from photographs that scikit-image ships. The first 150 move over
three of them, side by side, by about two pixels a frame and slowly nearer, while a fourth, round, crosses the other
way; then, after a cut, 90 frames stand still. "logo" has letters and a dot in place of its pixels, the same in each
frame; "noise" has normal noise of 20 of 255, rounded and clipped; "small" has the mean of 2 x 2 pixels in place of
them. They are written as FFV1 and restored with default settings, one thread: for the logo the 80 frames around the
cut, 110 to 189, for the others 40, 130 to 169. Frame by frame, the classical method that a fit begins with (surfaces
completed by groups of blocks; two steps of the collaborative filter; bicubic enlargement) and, as the study "network",
the tasks themselves by the recipe fast see a pair of neighbouring frames of each shot (--pairs); all rows are of these.

PSNR in dB is that of the hidden pixels for the logo, and of all pixels for the noise. Flicker is the root mean square,
in levels of 255, of how the change from one frame to the next differs from that of the clean film; for the logo in the
hidden pixels. Seconds are of the processor, for each frame.

    python -m benchmarks.films [STUDY ...] [--pairs N] [--out FILE.json]

Studies: logo, noise, small, cuts, motion, network. Results go into the file, docs/figures/films.json by default, and
from there into the tables of docs/lab-notes/films.md.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import data
from torch.nn import functional

from benchmarks.docs import rows
from benchmarks.tables import replace_table

Array = NDArray[Any]

HEIGHT, WIDTH, FRAMES, CUT, RATE = 360, 640, 240, 150, 24
NOISE = 20
NOTES = Path("docs/lab-notes/films.md")
PARTS = {"logo": range(110, 190), "noise": range(130, 170), "small": range(130, 170)}
"""The frames that are restored."""
STUDIES = ("logo", "noise", "small", "cuts", "motion", "network")


@functools.cache
def clean() -> list[Array]:
    """The frames, (360, 640, 3), uint8."""
    return list(_drawn())


def _drawn() -> Iterator[Array]:
    parts = [data.astronaut()[60:460], data.coffee(), data.rocket()[:400]]
    wide = np.concatenate([np.pad(one, ((0, 0), (0, 0), (0, 0))) for one in parts], 1).astype(np.float32)
    strip = [ndimage.spline_filter(wide[..., channel], 3) for channel in range(3)]
    cat = data.chelsea()[:300, 70:370].astype(np.float32)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for number in range(CUT):
        near = 0.98 - 0.12 * number / CUT
        rows_ = (y - HEIGHT / 2) * near + 200 + 15 * np.sin(number / 20)
        columns = (x - WIDTH / 2) * near + 330 + 2.2 * number
        made = [ndimage.map_coordinates(one, [rows_, columns], prefilter=False, mode="mirror") for one in strip]
        frame = np.stack(made, -1)
        top, left = 150 + 30 * np.sin(number / 15), 560 - 3.3 * number
        own = [(y - top) * 2, (x - left) * 2]
        disc = ((own[0] - 150) / 140) ** 2 + ((own[1] - 150) / 140) ** 2
        there = np.clip((1 - disc) * 35, 0, 1)[..., None]
        photo = np.stack([ndimage.map_coordinates(cat[..., c], own, order=1, mode="nearest") for c in range(3)], -1)
        yield (frame + there * (photo - frame)).round().clip(0, 255).astype(np.uint8)
    still = data.coffee()
    still = np.concatenate([still, still[:, ::-1]], 1)[20 : 20 + HEIGHT, :WIDTH]
    for _ in range(CUT, FRAMES):
        yield still


def logo() -> NDArray[np.bool_]:
    """Where a frame is known."""
    drawn = Image.new("L", (WIDTH, HEIGHT), 255)
    draw = ImageDraw.Draw(drawn)
    draw.text((430, 290), "UNTAUGHT", fill=0, font=ImageFont.load_default(32), stroke_width=1)
    draw.ellipse((600, 285, 626, 311), fill=0)
    known: NDArray[np.bool_] = np.asarray(drawn) > 200
    return known


def noisy(frames: Iterable[Array]) -> Iterator[Array]:
    """With noise."""
    random = np.random.default_rng(0)
    for frame in frames:
        yield (frame + random.normal(0, NOISE, frame.shape)).round().clip(0, 255).astype(np.uint8)


def halved(frame: Array) -> Array:
    """The mean of 2 x 2 pixels."""
    mean = frame.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean((1, 3))
    return np.asarray(mean.round().astype(np.uint8))


def written(path: Path, frames: Iterable[Array]) -> None:
    """As a video without loss."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=RATE)
        for number, pixels in enumerate(frames):
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "bgr0"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def pairs(count: int, frames: range) -> list[int]:
    """Frames to look at: so many pairs of neighbours from each shot."""
    parts = ((frames.start + 6, CUT - 8), (CUT + 6, frames.stop - 8))
    starts = [int(one) for part in parts for one in np.linspace(*part, count + 2)[1:-1]]
    return [number for start in starts for number in (start, start + 1)]


def judged(result: dict[int, Array], truth: dict[int, Array], where: Array | None) -> dict[str, float]:
    """PSNR and flicker of each shot."""

    def values(frames: dict[int, Array], number: int) -> NDArray[np.float64]:
        frame = frames[number].astype(np.float64)
        return frame if where is None else frame[where]

    found = {}
    for name, shot in (("moving", range(CUT)), ("still", range(CUT, FRAMES))):
        there = [number for number in truth if number in shot]
        error = np.mean([((values(result, one) - values(truth, one)) ** 2).mean() for one in there])
        changes = [
            (values(result, one + 1) - values(result, one)) - (values(truth, one + 1) - values(truth, one))
            for one in there
            if one + 1 in truth
        ]
        found[name] = float(10 * np.log10(255**2 / max(error, 1e-9)))
        found[f"{name} flicker"] = float(np.sqrt(np.mean([(one**2).mean() for one in changes])))
    return found


def written_as(name: str, path: Path) -> None:
    """A damaged film."""
    known, part = logo(), slice(PARTS[name].start, PARTS[name].stop)
    frames = clean()[part]
    if name == "logo":
        written(path, (np.where(known[..., None], one, 255).astype(np.uint8) for one in frames))
    else:
        written(path, noisy(frames) if name == "noise" else map(halved, frames))


def study(name: str, count: int) -> dict[str, Any]:
    """The rows of a film, but for that of the network."""
    from untaught.films.driver import film
    from untaught.films.video import Video

    part = PARTS[name]
    looked = pairs(count, part)
    truth, hidden = {number: clean()[number] for number in looked}, ~logo() if name == "logo" else None
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        source, made, mask = (Path(temporary) / name for name in ("in.mkv", "out.mkv", "mask.png"))
        written_as(name, source)
        given = {number: one for number, one in zip(part, Video(source), strict=True) if number in looked}
        Image.fromarray(logo()).save(mask)
        if name != "small":
            found["as it is"] = judged(given, truth, hidden)
        began = time.process_time()
        if name == "logo":
            film("inpaint", source, made, mask=mask)
        elif name == "noise":
            film("denoise", source, made)
        else:
            film("upscale", source, made, factor=2, kernel="area")
        seconds = (time.process_time() - began) / len(part)
        result = {number: one for number, one in zip(part, Video(made), strict=True) if number in looked}
        found["film"] = {**judged(result, truth, hidden), "seconds": seconds}
    found["frame by frame, classical"] = _alone(_classical(name, logo()), given, truth, hidden)
    print(json.dumps(found), flush=True)
    return found


def network(name: str, count: int) -> dict[str, float]:
    """The row of a task frame by frame, by the recipe fast."""
    import untaught
    from untaught.films.video import Video

    part = PARTS[name]
    looked = pairs(count, part)
    truth, hidden = {number: clean()[number] for number in looked}, ~logo() if name == "logo" else None
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "in.mkv"
        written_as(name, source)
        given = {number: one for number, one in zip(part, Video(source), strict=True) if number in looked}

    def run(frame: Array) -> Array:
        if name == "logo":
            return np.asarray(untaught.inpaint(frame, logo(), recipe="fast").picture)
        if name == "small":
            return np.asarray(untaught.upscale(frame, 2, kernel="area", recipe="fast").picture)
        return np.asarray(untaught.denoise(frame, recipe="fast").picture)

    found = _alone(run, given, truth, hidden)
    print(json.dumps({name: found}), flush=True)
    return found


def _alone(
    run: Callable[[Array], Array], given: dict[int, Array], truth: dict[int, Array], hidden: Array | None
) -> dict[str, float]:
    began = time.process_time()
    result = {number: run(frame) for number, frame in given.items()}
    return {**judged(result, truth, hidden), "seconds": (time.process_time() - began) / len(result)}


def _classical(name: str, known: Array) -> Callable[[Array], Array]:
    from untaught.imaging.collaborative_filter import two_step_filter
    from untaught.imaging.group_completion import GroupCompletion
    from untaught.tasks.classical import fill

    there = torch.from_numpy(known)[None, None].expand(1, 3, -1, -1)

    def run(frame: Array) -> Array:
        planes = torch.from_numpy(frame).movedim(-1, 0)[None].float() / 255
        if name == "small":
            made = functional.interpolate(planes, (HEIGHT, WIDTH), mode="bicubic", align_corners=False)
        elif name == "noise":
            made = two_step_filter(planes, NOISE / 255)
        else:
            completion = GroupCompletion(fill(torch.where(there, planes, 0), there), there)
            while not completion.finished:
                completion.step()
            made = completion.picture
        return (made[0].movedim(0, -1) * 255).round().clamp(0, 255).byte().numpy()

    return run


def cuts() -> dict[str, Any]:
    """How much neighbouring frames differ within a shot and across a cut."""
    from untaught.films.shots import difference

    def small(frame: Array) -> NDArray[np.float32]:
        planes = torch.from_numpy(frame.astype(np.float32)).movedim(-1, 0)[None] / 255
        made: NDArray[np.float32] = functional.avg_pool2d(planes, 8)[0].numpy()
        return made

    film = clean()[:CUT]
    random = np.random.default_rng(0)

    def with_noise(frame: Array) -> Array:
        return (frame + random.normal(0, 50, frame.shape)).clip(0, 255)

    found: dict[str, list[float]] = {
        "film above": [difference(small(a), small(b)) for a, b in itertools.pairwise(film)],
        "every fifth frame (11 pixels)": [difference(small(a), small(b)) for a, b in itertools.pairwise(film[::5])],
        "every tenth frame (22 pixels)": [difference(small(a), small(b)) for a, b in itertools.pairwise(film[::10])],
        "every twentieth frame (44 pixels)": [
            difference(small(a), small(b)) for a, b in itertools.pairwise(film[::20])
        ],
        "noise of 50": [
            difference(small(with_noise(a)), small(with_noise(b))) for a, b in itertools.pairwise(film[::5])
        ],
        "fade to black in 24 frames": [
            difference(small(film[0] * (1 - k / 24)), small(film[1] * (1 - (k + 1) / 24))) for k in range(23)
        ],
    }
    pictures = [
        one[:300, :450]
        for one in (data.astronaut(), data.coffee(), data.rocket(), data.chelsea(), data.immunohistochemistry())
    ]
    pictures += [np.repeat(one[:300, :450, None], 3, 2) for one in (data.camera(), data.moon(), data.page()[:, :384])]
    pictures = [np.asarray(Image.fromarray(one).resize((WIDTH, HEIGHT))) for one in pictures]
    pictures += [film[0], film[70], film[149]]
    found["a cut"] = [difference(small(a), small(b)) for a, b in itertools.permutations(pictures, 2)]
    quantiles = (0, 0.01, 0.5, 0.99, 1)
    return {name: [float(np.quantile(one, share)) for share in quantiles] for name, one in found.items()}


def motion() -> dict[str, Any]:
    """What ways of finding motion are worth: frames 70 and 71, restored among those from 60 to 83 or 66 to 75."""
    from untaught.films import filling
    from untaught.films import motion as module
    from untaught.films.denoising import denoised
    from untaught.films.frames import Frame, Values
    from untaught.imaging.ranges import Range
    from untaught.tasks.denoise import DenoiseSettings

    frames = clean()[60:84]
    damaged, known = list(noisy(frames))[6:16], logo()
    values = Values(Range(low=0, high=255, stated=(0, 255)), frames[0])

    def made(name: str) -> float:
        if name == "noise":
            given = [Frame(number, 0, values.planes(one)) for number, one in enumerate(damaged)]
            result = denoised(given, values, {}, DenoiseSettings(noise=NOISE))
        else:
            there = torch.from_numpy(known)
            given = [Frame(number, 0, values.planes(one), there) for number, one in enumerate(frames)]
            result = filling.filled(given, values, {}, lambda _: None)
        start = 4 if name == "noise" else 10
        pixels = [values.pixels(one.kept["result"]).astype(float) for one in result][start : start + 2]
        where: Any = slice(None) if name == "noise" else ~known
        error = np.mean([((a - b)[where] ** 2).mean() for a, b in zip(pixels, frames[10:12], strict=True)])
        return float(10 * np.log10(255**2 / error))

    def none(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
        return torch.zeros(2, *one.shape)

    def flow(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        before, module.coarse = module.coarse, none
        try:
            return field(one, other)
        finally:
            module.coarse = before

    found: dict[str, Any] = {}
    squares, field = module.coarse, module.field
    ways = {"none": none, "squares, by phase correlation": squares, "optical flow": flow, "both": field}
    for title, way in ways.items():
        spent = [0.0, 0]

        def timed(one: torch.Tensor, other: torch.Tensor, way: Any = way, spent: list[Any] = spent) -> torch.Tensor:
            began = time.process_time()
            result: torch.Tensor = way(one, other)
            spent[0] += time.process_time() - began
            spent[1] += 1
            return result

        module.field = filling.coarse = timed  # type: ignore[attr-defined]
        try:
            found[title] = {"logo": made("logo"), "noise": made("noise"), "seconds": spent[0] / spent[1]}
        finally:
            module.field, filling.coarse = field, squares  # type: ignore[attr-defined]
        print(json.dumps({title: found[title]}), flush=True)
    return found


def tables(found: dict[str, Any]) -> None:
    """Write what was measured into the notes."""
    head = ("", "moving", "still", "flicker, moving", "flicker, still", "seconds a frame")
    for name in ("logo", "noise", "small"):
        if name in found:
            lines = [
                (
                    title,
                    *(f"{one[key]:.2f}" for key in ("moving", "still", "moving flicker", "still flicker")),
                    f"{one['seconds']:.1f}" if "seconds" in one else "",
                )
                for title, one in found[name].items()
            ]
            replace_table(NOTES, name, rows(head, lines))
    if "cuts" in found:
        lines = [(title, *(f"{one:.2f}" for one in numbers)) for title, numbers in found["cuts"].items()]
        replace_table(NOTES, "cuts", rows(("", "least", "1 %", "median", "99 %", "most"), lines))
    if "motion" in found:
        lines = [
            (title, f"{one['logo']:.2f}", f"{one['noise']:.2f}", f"{one['seconds']:.2f}")
            for title, one in found["motion"].items()
        ]
        replace_table(NOTES, "motion", rows(("motion", "logo", "noise", "seconds a pair"), lines))


def main(studies: Sequence[str], count: int, out: Path) -> None:
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    torch.set_num_threads(1)
    for name in studies:
        if name == "network":
            for other in PARTS:
                found[other]["frame by frame, fast"] = network(other, count)
                out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            continue
        found[name] = cuts() if name == "cuts" else motion() if name == "motion" else study(name, count)
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    tables(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Films against the same tasks frame by frame.")
    parser.add_argument("studies", nargs="*", default=list(STUDIES), choices=[[], *STUDIES])
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/figures/films.json"))
    given = parser.parse_args()
    main(given.studies, given.pairs, given.out)
