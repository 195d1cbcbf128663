"""The small pictures under *What is wrong with it?* in the studio: `python -m benchmarks.task_cards [NAME ...]`.

Each is a damaged picture on the left, and on the right what untaught makes of it with its shipped settings; nothing is
retouched. Writes src/untaught/studio/static/cards/NAME.webp, 192 x 128 pixels: a part of 96 x 64, each pixel twice as
large. The pictures are scikit-image's: the astronaut is NASA's and in the public domain; coffee, cat and cameraman are
under CC0.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

import untaught
from untaught.imaging.damage import dropped_pixels

Bytes = NDArray[np.uint8]
FOLDER = Path(untaught.__file__).parent / "studio/static/cards"
HEIGHT, WIDTH = 64, 96
"""Of the part that is shown."""
Pair = tuple[Bytes, Bytes]


def bytes_of(picture: NDArray[np.floating]) -> Bytes:
    return picture.round().clip(0, 255).astype(np.uint8)


def part(picture: Bytes, top: int, left: int) -> Bytes:
    """A part with some surroundings, from which to restore it: 128 x 160 pixels."""
    return np.ascontiguousarray(picture[top : top + 128, left : left + 160])


def halved(picture: Bytes) -> Bytes:
    height, width = (side // 2 for side in picture.shape[:2])
    return bytes_of(picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean((1, 3)).squeeze())


def doubled(picture: Bytes) -> Bytes:
    """Each pixel twice as large."""
    return picture.repeat(2, 0).repeat(2, 1)


def noisy(picture: Bytes, level: float) -> Bytes:
    return bytes_of(picture + np.random.default_rng(0).normal(0, level, picture.shape))


def filled(photo: Bytes, known: NDArray[np.bool_], colour: list[int]) -> Pair:
    before = np.where(known[..., None], photo, np.array(colour, np.uint8))
    return before, untaught.inpaint(before, known).picture


def scratches() -> Pair:
    photo = part(data.chelsea(), 60, 110)
    page = Image.new("L", (160, 128), 255)
    draw = ImageDraw.Draw(page)
    for line, width in (
        ([(30, 28), (72, 52), (128, 58)], 2),
        ([(52, 20), (64, 66), (60, 110)], 2),
        ([(88, 26), (84, 100)], 1),
        ([(36, 84), (90, 72), (130, 92)], 2),
        ([(104, 30), (112, 64), (104, 100)], 2),
    ):
        draw.line(line, fill=0, width=width, joint="curve")
    draw.ellipse((44, 66, 58, 78), fill=0)
    draw.ellipse((100, 40, 108, 47), fill=0)
    return filled(photo, np.asarray(page) == 255, [244, 240, 228])


def writing() -> Pair:
    photo = part(data.coffee(), 140, 190)
    page = Image.new("L", (160, 128), 255)
    ImageDraw.Draw(page).text((80, 66), "24 12 1998", font=ImageFont.load_default(17), fill=0, anchor="mm")
    return filled(photo, np.asarray(page) > 160, [255, 150, 30])


def pixels() -> Pair:
    photo = part(data.coffee(), 60, 230)
    known = dropped_pixels(128, 160, 0.5)
    before = photo * known[..., None]
    return before, untaught.restore(before, known).picture


def noise() -> Pair:
    before = noisy(part(data.camera(), 60, 160), 32)
    return before, untaught.denoise(before).picture


def guide() -> Pair:
    flash = part(halved(data.astronaut()), 2, 40)
    before = noisy(bytes_of(flash * np.array([0.55, 0.42, 0.28]) + 8), 24)
    after = untaught.guide(before, flash).picture
    for picture in (before, after):
        inset = halved(flash[32:96, 40:104])[4:28, :28]  # the better picture, in the corner
        picture[32 : 32 + 26, 32 : 32 + 30] = 255
        picture[33 : 33 + 24, 33 : 33 + 28] = inset
    return before, after


def small() -> Pair:
    photo = part(data.chelsea(), 84, 96)
    little = bytes_of(photo.reshape(32, 4, 40, 4, 3).mean((1, 3)))
    return little.repeat(4, 0).repeat(4, 1), untaught.upscale(little, 4, kernel="area").picture


def blur() -> Pair:
    import torch

    page = Image.new("RGB", (160, 128), (236, 230, 214))
    draw = ImageDraw.Draw(page)
    for line, text in enumerate(("nothing but this", "sharp or blurred", "one picture tells")):
        draw.text((80, 44 + 22 * line), text, font=ImageFont.load_default(19), fill=(30, 40, 70), anchor="mm")
    lens = untaught.Blur(untaught.blur_kernel("disk", 3))
    sharp = torch.tensor(np.asarray(page)).permute(2, 0, 1)[None] / 255
    before = bytes_of(lens(sharp)[0].permute(1, 2, 0).numpy() * 255)
    return before, untaught.deblur(before, blur="disk", radius=3).picture


def jpeg() -> Pair:
    file = io.BytesIO()
    Image.fromarray(part(halved(data.astronaut())[..., 1], 0, 32)).save(file, "JPEG", quality=8)
    before = np.asarray(Image.open(file))
    return doubled(before), doubled(untaught.dejpeg(before).picture)


def mosaic() -> Pair:
    colours = halved(halved(data.astronaut()))
    raw = colours[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = colours[::2, ::2, 0], colours[1::2, 1::2, 2]
    after = untaught.demosaic(raw).picture
    return doubled(part(np.stack([raw] * 3, -1), 20, 0)), doubled(part(after, 20, 0))


def layers() -> Pair:
    first, second = part(halved(data.astronaut()), 2, 40) / 255, part(data.coffee(), 140, 150) / 255
    mixed = [bytes_of(255 * ((1 - share) * first + share * second)) for share in (0.45, 0.75)]
    return mixed[0], untaught.separate(*mixed).picture


MADE: dict[str, Callable[[], Pair]] = {
    "inpaint": scratches,
    "writing": writing,
    "restore": pixels,
    "denoise": noise,
    "guide": guide,
    "upscale": small,
    "deblur": blur,
    "dejpeg": jpeg,
    "demosaic": mosaic,
    "separate": layers,
}
"""What makes each picture, by the name of its card."""


def shown(before: Bytes, after: Bytes) -> Image.Image:
    """The middle of a pair: the left half of one and the right half of the other."""
    top, left = (before.shape[0] - HEIGHT) // 2, (before.shape[1] - WIDTH) // 2
    both = before.copy()
    both[:, left + WIDTH // 2 :] = after[:, left + WIDTH // 2 :]
    middle = Image.fromarray(both[top : top + HEIGHT, left : left + WIDTH]).convert("RGB")
    large = middle.resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.NEAREST)
    ImageDraw.Draw(large).rectangle((WIDTH - 1, 0, WIDTH, 2 * HEIGHT), fill="white")
    return large


def main() -> None:
    """Make the pictures that are named, or all."""
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MADE:
        path = FOLDER / f"{name}.webp"
        shown(*MADE[name]()).save(path, quality=70, method=6)
        print(name, path.stat().st_size, flush=True)


if __name__ == "__main__":
    main()
