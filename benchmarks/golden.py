"""Hashes of what every command and recipe gives at tiny size: `python -m benchmarks.golden FILE [--compare FILE]`.

A change that should not alter any result is checked against the hashes of the commit before it. The hashes belong to
one machine: another processor rounds differently. Pictures, loss histories and figures are hashed; wording is not.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from torch import nn

import untaught
from untaught.cli import main as run

SIZE = (48, 40)
RECIPES = {
    "inpaint": ("balanced", "fast", "best", "noise", "printed", "paper", "paper-hole"),
    "restore": ("balanced", "fast", "best", "noise", "printed", "paper"),
    "denoise": ("balanced", "fast", "best", "printed", "paper"),
    "guide": ("balanced", "fast", "best", "printed", "paper"),
    "upscale": ("balanced", "fast", "best", "printed", "paper"),
    "deblur": ("balanced", "fast", "best", "printed", "paper"),
    "dejpeg": ("balanced", "fast", "best", "printed", "paper"),
    "demosaic": ("balanced", "fast", "best", "noise", "printed", "paper"),
    "separate": ("balanced", "fast", "best"),
    "invert": ("balanced", "fast", "best", "paper"),
    "activate": ("balanced", "fast", "best", "paper", "paper-channel"),
}
OPTIONS = {
    "inpaint": ["photo.tif", "--mask", "mask.tif"],
    "restore": ["dropped.tif"],
    "denoise": ["noisy.tif", "--noise", "20"],
    "guide": ["noisy.tif", "--guide", "photo.tif", "--noise", "20"],
    "upscale": ["small.tif", "--factor", "2"],
    "deblur": ["photo.tif", "--blur", "disk", "--radius", "2"],
    "dejpeg": ["photo.jpg"],
    "demosaic": ["gray.tif"],
    "separate": ["photo.tif", "--other", "noisy.tif"],
    "invert": ["photo.tif", "--model", "benchmarks.golden:network", "--layer", "2"],
    "activate": ["--model", "benchmarks.golden:network", "--layer", "2", "--unit", "1", "--size", "40", "48"],
}
MORE = {
    "inpaint hole": ["inpaint", "photo.tif", "--mask", "hole.tif", "--iterations", "6"],
    "inpaint patches": ["inpaint", "large.tif", "--mask", "large-mask.tif", "--preset", "fast", "--iterations", "3"],
    "inpaint network output": ["inpaint", "photo.tif", "--mask", "mask.tif", "--network-output", "--iterations", "4"],
    "inpaint marks": [
        "inpaint",
        "photo.tif",
        "--mask",
        "hole.tif",
        "--mask-marks",
        "missing",
        "--iterations",
        "4",
    ],
    "restore held-out": ["restore", "dropped.tif", "--preset", "fast", "--iterations", "44", "--runs", "2"],
    "denoise estimated": ["denoise", "noisy.tif", "--iterations", "30", "--seed", "3"],
    "denoise strong": ["denoise", "noisy.tif", "--noise", "60", "--iterations", "4"],
    "denoise poisson": ["denoise", "noisy.tif", "--kind", "poisson", "--gain", "2", "--iterations", "4"],
    "denoise impulse": ["denoise", "impulse.tif", "--kind", "impulse", "--iterations", "4"],
    "guide correlated": ["guide", "grain.tif", "--guide", "photo.tif", "--iterations", "4"],
    "upscale bicubic": ["upscale", "small.tif", "--factor", "1.5", "--kernel", "bicubic", "--iterations", "4"],
    "deblur kernel": ["deblur", "photo.tif", "--kernel", "kernel.tif", "--iterations", "4"],
    "deblur unknown": ["deblur", "photo.tif", "--blur", "unknown", "--radius", "2", "--iterations", "4"],
    "dejpeg consistent": ["dejpeg", "photo.jpg", "--consistent", "--iterations", "4"],
    "demosaic pattern": ["demosaic", "gray.tif", "--pattern", "GBRG", "--iterations", "4"],
    "float32": ["restore", "dropped.tif", "--precision", "float32", "--iterations", "4"],
    "value range": ["restore", "float.tif", "--value-range", "-1", "3", "--iterations", "4"],
    **{
        f"volume {task} {recipe}": [task, "volume.tif", *more, "--volume", "--preset", recipe, "--iterations", "3"]
        for task, more in (("inpaint", ["--mask", "volume-mask.tif"]), ("restore", []), ("denoise", ["--noise", "20"]))
        for recipe in ("balanced", "fast", "best")
    },
}


def network() -> nn.Module:
    """A network with fixed weights, to invert and to activate."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2))


def inputs() -> None:
    """Write the input pictures into the current folder."""
    from PIL import Image
    from skimage import data
    from skimage.transform import resize

    generator = np.random.default_rng(0)
    photo = (resize(data.astronaut()[:256, 100:313], SIZE, anti_aliasing=True) * 255).round().astype(np.uint8)
    mask = generator.random(SIZE) > 0.2
    hole = np.ones(SIZE, bool)
    hole[8:40, 6:36] = False
    large = np.ascontiguousarray(data.astronaut()[:300, :280])
    large_mask = np.ones(large.shape[:2], bool)
    large_mask[100:104], large_mask[:, 50:53] = False, False
    noise = generator.normal(0, 20, photo.shape)
    grain = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 2
    impulse = np.where(generator.random(SIZE)[..., None] < 0.1, generator.choice([0, 255], SIZE)[..., None], photo)
    volume = np.stack([np.roll(photo[..., 1], shift, 1) for shift in range(6)])
    volume_mask = generator.random(volume.shape) > 0.3
    written = {
        "photo": photo,
        "mask": mask * np.uint8(255),
        "hole": hole * np.uint8(255),
        "large": large,
        "large-mask": large_mask * np.uint8(255),
        "dropped": photo * (generator.random(SIZE) > 0.5)[..., None],
        "noisy": (photo + noise).clip(0, 255).round().astype(np.uint8),
        "grain": (photo + grain).clip(0, 255).round().astype(np.uint8),
        "impulse": impulse.astype(np.uint8),
        "small": photo[::2, ::2],
        "gray": photo[..., 1],
        "kernel": np.pad(np.full((1, 3), 255, np.uint8), 1),
        "float": np.where(mask, photo[..., 0] / 64 - 1, np.nan).astype(np.float32),
        "volume": volume * volume_mask,
        "volume-mask": volume_mask * np.uint8(255),
    }
    for name, pixels in written.items():
        options: dict[str, Any] = {"photometric": "rgb"} if pixels.ndim == 3 and pixels.shape[2] == 3 else {}
        tifffile.imwrite(f"{name}.tif", pixels, **{"photometric": "minisblack", **options})
    Image.fromarray(photo).save("photo.jpg", quality=40)


def digest(*values: Any) -> str:
    """A short hash of arrays and plain values."""
    hasher = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            hasher.update(repr((value.shape, str(value.dtype))).encode() + np.ascontiguousarray(value).tobytes())
        else:
            hasher.update(json.dumps(value, sort_keys=True).encode())
    return hasher.hexdigest()[:16]


def figures(record: dict[str, Any]) -> str:
    """A hash of the numbers of a record that a repeated run gives again."""
    result = {
        name: value
        for name, value in record["result"].items()
        if name not in ("seconds",) and isinstance(value, (int, float))
    }
    return digest(result, record["history"]["loss"], record["history"]["iteration"], record["seed"])


def command(name: str, words: list[str]) -> dict[str, str]:
    """Run one command; the hashes of its picture, its other outputs and its figures."""
    output, record = Path("out.tif"), Path("out.json")
    more = [] if words[0] in ("resume",) else ["--record", str(record)]
    code = run([*words, "-o", str(output), *more, "--quiet", "--overwrite"])
    if code:
        raise SystemExit(f"{name}: {' '.join(words)} gave {code}")
    found = {"picture": digest(tifffile.imread(output))}
    for other in sorted(Path().glob("out.*.tif")):
        found[other.name] = digest(tifffile.imread(other))
        other.unlink()
    if more:
        found["figures"] = figures(json.loads(record.read_text()))
    return found


def printed(words: list[str]) -> dict[str, str]:
    """Run one command that prints JSON; the hash of its numbers."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        run(words)
    return {"json": digest({k: v for k, v in json.loads(text.getvalue()).items() if k != "command"})}


def fits() -> dict[str, dict[str, str]]:
    """Fits by the Python interface: operators, several pictures, recipes as objects."""
    generator = torch.Generator().manual_seed(1)
    observed = torch.rand(2, 3, 24, 20, generator=generator)
    kernel = torch.ones(3, 3) / 9
    known = torch.rand(1, 1, 24, 20, generator=generator) > 0.3
    made: dict[str, Callable[[], Any]] = {
        "fit identity": lambda: untaught.fit(observed, iterations=4),
        "fit printed": lambda: untaught.fit(observed, recipe="printed", iterations=3),
        "fit mask": lambda: untaught.fit(observed, untaught.Mask(known), iterations=4, runs=2),
        "fit blur": lambda: untaught.fit(observed, untaught.Blur(kernel), size=(26, 22), iterations=4),
        "fit downsample": lambda: untaught.fit(
            observed, untaught.Downsample((48, 40), (24, 20)), size=(48, 40), iterations=4
        ),
        "fit callable": lambda: untaught.fit(observed, lambda x: x.square(), iterations=4),
        "fit volume": lambda: untaught.fit(torch.rand(1, 1, 8, 16, 16, generator=generator), iterations=3),
    }
    found = {}
    for name, begin in made.items():
        fitted = begin()
        for _ in fitted:
            pass
        result = fitted.restoration()
        found[name] = {"picture": digest(result.picture.numpy()), "loss": digest(list(result.history["loss"]))}
    return found


def everything() -> dict[str, dict[str, str]]:
    """The hashes of all cases, by name."""
    found = {}
    for task, recipes in RECIPES.items():
        for recipe in recipes:
            name = f"{task} {recipe}"
            found[name] = command(name, [task, *OPTIONS[task], "--preset", recipe, "--iterations", "4"])
            print(name, found[name], file=sys.stderr)
    for name, words in MORE.items():
        found[name] = command(name, words)
        print(name, found[name], file=sys.stderr)
    words = ["restore", "dropped.tif", "--preset", "fast", "--iterations", "6", "--checkpoint", "kept"]
    found["checkpoint"] = command("checkpoint", words)
    found["repeat"] = command("repeat", ["repeat", "out.json"])
    found["resume"] = command("resume", ["resume", "kept", "--continue-for", "3"])
    found["inspect"] = printed(["inspect", "noisy.tif", "--json"])
    found["compare"] = printed(["compare", "noisy.tif", "dropped.tif", "--reference", "photo.tif", "--json"])
    return found | fits()


def main() -> int:
    """Write the hashes, or say which differ from those of a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="where to write the hashes")
    parser.add_argument("--compare", type=Path, help="hashes of another commit, on the same machine")
    options = parser.parse_args()
    target = options.file.resolve()
    before = json.loads(options.compare.read_text()) if options.compare else {}
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        inputs()
        found = everything()
    target.write_text(json.dumps(found, indent=1) + "\n")
    changed = [name for name, hashes in before.items() if found.get(name) != hashes]
    for name in changed:
        print(f"{name}: {before[name]} -> {found.get(name)}")
    print(f"{len(found)} cases, {len(changed)} changed")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
