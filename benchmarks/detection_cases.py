"""Pictures and made damage for `benchmarks.detection`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from untaught.imaging.damage import DATE_STYLES, date_stamp, scratches, specks, writing

__all__ = ["COLOURS", "FITTED", "PICTURES", "Case", "bag_mask", "damage", "lay", "new_pictures", "picture"]

PICTURES = {
    "kate": ("portrait", "inpaint/kate.png"),
    "astronaut": ("portrait", ""),
    "lena": ("portrait", "restore/lena.png"),
    "chelsea": ("portrait", ""),
    "bag": ("photo", "photo/bag_clean.jpg"),
    "f16": ("photo", "denoise/f16.png"),
    "coffee": ("photo", ""),
    "rocket": ("photo", ""),
    "boat": ("photo", "restore/boat.png"),
    "house": ("photo", "denoise/house.png"),
    "camera": ("photo", ""),
    "vase": ("photo", "inpaint/vase.png"),
    "cave": ("photo", "flash/cave01_01_noflash.jpg"),
    "motorcycle": ("photo", ""),
    "plug": ("photo", "noise/polyu/Canon5D2_5_160_3200_plug_12_clean.jpg"),
    "toy": ("photo", "noise/polyu/Canon600D_4-5_125_1600_toy_1_noisy.jpg"),
    "coins": ("photo", ""),
    "moon": ("photo", ""),
    "grass": ("texture", ""),
    "gravel": ("texture", ""),
    "barbara": ("texture", "restore/barbara.png"),
    "zebra": ("texture", "superres/zebra.png"),
    "brick": ("pattern", ""),
    "waves": ("pattern", ""),
    "shapes": ("graphic", ""),
    "colours": ("graphic", ""),
}
"""Kind, and path in DATA: one without is scikit-image's, or made."""

FITTED = {
    *(
        "astronaut",
        "lena",
        "f16",
        "chelsea",
        "rocket",
        "camera",
        "gravel",
        "barbara",
        "brick",
        "zebra",
        "vase",
        "coins",
    ),
    *("motorcycle", "moon", "plug", "shapes"),
}
"""Pictures on which the weights of the detectors were fitted; the others are held out."""

COLOURS = {
    "pure white": (255, 255, 255),
    "pure black": (0, 0, 0),
    "white": (245, 245, 245),
    "black": (12, 12, 12),
    "gray": (128, 128, 128),
    "red": (215, 40, 50),
}

DATE_COLOURS = {"orange": (255, 140, 30), "light red": (250, 60, 40), "yellow": (255, 215, 60), "green": (90, 240, 90)}
"""Of dates that cameras print into a corner."""

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """A damaged picture: what the damage is, its colour, and where the picture is known."""

    kind: str
    colour: str
    pixels: Picture
    known: Mask


def picture(name: str, data: Path) -> Picture:
    """One of the pictures; of the bag a part of 0.5 megapixels."""
    from skimage import data as bundled

    path = PICTURES[name][1]
    if path:
        made = np.asarray(Image.open(data / path))
        made = made[700:1300, 900:1700] if name == "bag" else made
    elif name == "waves":
        y, x = np.mgrid[:320, :320]
        made = ((x // 16 + y // 16) % 2 * 90 + 80 + 20 * np.sin(x / 3)).astype(np.uint8)
    elif name == "shapes":
        page = Image.new("RGB", (400, 320), (240, 235, 220))
        draw = ImageDraw.Draw(page)
        draw.rectangle((30, 40, 180, 150), fill=(200, 60, 50))
        draw.ellipse((200, 30, 360, 180), fill=(60, 120, 200))
        draw.polygon([(50, 300), (200, 180), (330, 300)], fill=(90, 170, 90))
        draw.rectangle((250, 200, 380, 290), fill=(250, 200, 60))
        draw.ellipse((280, 215, 350, 275), fill=(40, 40, 60))
        made = np.asarray(page)
    elif name == "motorcycle":
        made = np.asarray(Image.open(Path(bundled.__file__).parent / "motorcycle_left.png").convert("RGB"))
    elif name == "colours":
        made = np.asarray(Image.open(Path(bundled.__file__).parent / "color.png").convert("RGB"))
    else:
        made = getattr(bundled, name)()
    return np.ascontiguousarray(made[..., :3] if made.ndim == 3 else made)


def new_pictures(data: Path) -> Iterator[tuple[str, Picture]]:
    """Further clean pictures, which nothing was fitted to or chosen by."""
    from skimage import data as bundled

    for name in ("retina", "immunohistochemistry", "cell", "hubble_deep_field", "clock", "page", "text", "horse"):
        made = np.asarray(getattr(bundled, name)())
        made = made if made.dtype == np.uint8 else np.uint8(255) * made.astype(np.uint8)
        yield name, np.ascontiguousarray(made[..., :3] if made.ndim == 3 else made)
    for path in (
        *sorted((data / "noise").glob("*/*_clean.*")),
        data / "photo/bag_clean.jpg",
        data / "photo/bag_noisy.jpg",
        data / "dejpeg/snail.jpg",
        data / "flash/cave01_00_flash.jpg",
    ):
        if "plug" not in path.name:
            yield path.stem, np.asarray(Image.open(path))


def bag_mask(data: Path, part: tuple[slice, slice] = (slice(700, 1300), slice(900, 1700))) -> Mask:
    """The mask of the photograph of a bag without its large spots and its corner, True where it is known."""
    missing = np.asarray(Image.open(data / "photo/bag_scratches.png").convert("L"))[part] < 128
    known: Mask = ~missing | ndimage.binary_opening(missing, np.ones((21, 21)))
    return known


def lay(
    pixels: Picture,
    known: Mask,
    colour: str,
    *,
    soft: float = 0,
    opaque: float = 1,
    fade: float = 0,
    quality: int = 0,
    seed: int = 0,
) -> tuple[Picture, Mask]:
    """Cover a picture.

    Args:
        pixels: (H, W) or (H, W, 3).
        known: False where it is covered.
        colour: of the cover.
        soft: standard deviation of its edges, in pixels.
        opaque: its opacity.
        fade: how much less opaque it is in places.
        quality: of the JPEG that is made of it; 0 for none.
        seed: of the places where it fades.

    Returns:
        The picture, and where less than 15 % of it is covered.
    """
    inks = COLOURS | DATE_COLOURS
    ink = np.array(inks[colour], float) if pixels.ndim == 3 else float(np.mean(inks[colour]))
    cover = (~known).astype(float)
    if soft:
        cover = np.minimum(1, 1.3 * ndimage.gaussian_filter(cover, soft))
    cover *= opaque
    if fade:
        noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=cover.shape), 20)
        cover *= 1 - fade * np.clip(40 * noise, 0, 1)
    share = cover if pixels.ndim == 2 else cover[..., None]
    made = np.rint(pixels * (1 - share) + ink * share).clip(0, 255).astype(np.uint8)
    if quality:
        stream = io.BytesIO()
        Image.fromarray(made).save(stream, "JPEG", quality=quality)
        made = np.asarray(Image.open(stream))
    return made, cover < 0.15


def damage(name: str, pixels: Picture, data: Path, shift: int = 0) -> Iterator[Case]:
    """Every kind of made damage of one picture; ``shift`` changes the seeds."""
    height, width = pixels.shape[:2]
    lines = bag_mask(data) if name == "bag" else scratches(height, width, 5 + shift)
    text = writing(height, width)
    if name == "kate":
        text = np.asarray(Image.open(data / "inpaint/kate_mask.png").convert("L")) > 127
    for colour in COLOURS:
        if colour == "red" and pixels.ndim == 2:
            continue
        yield Case("text", colour, *lay(pixels, text, colour))
        if colour.startswith("pure"):
            yield Case("scratches", colour, *lay(pixels, lines, colour))
            yield Case("dust", colour, *lay(pixels, specks(height, width, seed=4 + shift), colour))
        elif colour != "red":
            yield Case("scratches", colour, *lay(pixels, lines, colour))
            worn = scratches(height, width, 6 + shift)
            yield Case("worn scratches", colour, *lay(pixels, worn, colour, soft=0.7, opaque=0.8, fade=0.4))
        if colour in ("white", "black"):
            faint = scratches(height, width, 8 + shift)
            yield Case("faint scratches", colour, *lay(pixels, faint, colour, soft=0.6, opaque=0.5))
            yield Case("dust", colour, *lay(pixels, specks(height, width, seed=1 + shift), colour))
            made = lay(pixels, specks(height, width, seed=3 + shift), colour, soft=0.6, opaque=0.85, quality=90)
            yield Case("soft dust, JPEG", colour, *made)
            yield Case("text, JPEG", colour, *lay(pixels, writing(height, width), colour, quality=85))
            yield Case("scratches, JPEG", colour, *lay(pixels, scratches(height, width, 7 + shift), colour, quality=85))
    places = np.random.default_rng([shift, *name.encode()])
    for colour in DATE_COLOURS if pixels.ndim == 3 else ():
        size, corner = places.uniform(0.03, 0.06), int(places.integers(6))
        date = date_stamp(height, width, style=DATE_STYLES[places.integers(3)], size=size, corner=corner)
        soft, quality = places.choice([0, 0.7, 1.2]), int(places.choice([0, 75, 90]))
        yield Case("date", colour, *lay(pixels, date, colour, soft=soft, opaque=0.95, quality=quality))
    random = np.random.default_rng(2 + shift)
    known = random.random((height, width)) >= 0.001
    broken = pixels.copy()
    ends = random.choice([0, 255], int((~known).sum()))
    broken[~known] = ends if pixels.ndim == 2 else ends[:, None]
    yield Case("single pixels", "both", broken, known)
