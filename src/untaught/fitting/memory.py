"""Whether a fit fits into memory, and a smaller one where it does not.

A processor's memory is promised to whoever asks, and a program that uses more than there is, is killed without a word;
so this is reckoned before a fit begins.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from untaught.backend.engine import Engine
from untaught.errors import InputError
from untaught.fitting.recipe import Recipe
from untaught.priors.patches import patch_size

__all__ = ["available_memory", "fitted_to_memory", "needed_memory"]

_BASE = 150e6
_COPIES, _CUDA_COPIES, _PLAIN_COPIES = 5.5, 8.0, 18.0
"""How often all the network's maps are held at once: with compiled kernels, on CUDA, otherwise (docs/speed.md)."""

_KEPT = 220.0
"""Bytes a pixel of a picture that is seen in windows: what is observed and known, averages, and their good moments."""

_USABLE = 0.9
_NARROWEST = 8


def needed_memory(recipe: Recipe, pictures: int, size: Sequence[int], engine: Engine) -> float:
    """Bytes that a fit takes, about.

    Args:
        recipe: how to fit.
        pictures: fitted side by side.
        size: of each, (height, width), or with a depth before them.
        engine: how a step runs.
    """
    network, dimensions = recipe.network, len(size)
    whole, shown = math.prod(size), math.prod(size if recipe.patch is None else patch_size(size, recipe.patch))
    widths = zip(network.down_channels, network.up_channels, network.skip_channels, strict=True)
    maps = sum(sum(width) / 2 ** (dimensions * scale) for scale, width in enumerate(widths))
    if engine.device.type == "cuda":
        copies = _CUDA_COPIES
    else:
        copies = _PLAIN_COPIES if engine.kernels is None or dimensions == 3 else _COPIES
    values = copies * shown * (maps + network.input_channels) * engine.arithmetic.itemsize
    # Of a picture larger than what the network sees of it there are more of it itself than of maps.
    kept = _KEPT * whole if whole > shown else 0
    return _BASE + float(pictures * recipe.runs * (values + kept))


def available_memory(device: torch.device) -> float | None:
    """Bytes that may still be taken; None where that cannot be told."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    facts = Path("/proc/meminfo")
    if device.type != "cpu" or not facts.exists():
        return None
    told = dict(line.split(":", 1) for line in facts.read_text().splitlines())
    return 1024.0 * float(told["MemAvailable"].split()[0]) if "MemAvailable" in told else None


def fitted_to_memory(
    recipe: Recipe, pictures: int, size: Sequence[int], engine: Engine, available: float | None
) -> tuple[Recipe, str | None]:
    """The recipe, or one that needs less: first one run in place of several, then narrower networks.

    Args:
        recipe: how to fit.
        pictures: fitted side by side.
        size: of each.
        engine: how a step runs.
        available: bytes that may be taken; everything fits if None.

    Returns:
        The recipe, and a sentence if it is another one.

    Raises:
        InputError: where even the narrowest network does not fit.
    """
    if available is None or not hasattr(recipe.network, "down_channels"):
        return recipe, None
    wanted, limit, smaller = needed_memory(recipe, pictures, size, engine), available * _USABLE, recipe
    while needed_memory(smaller, pictures, size, engine) > limit:
        narrower = _narrower(smaller) if smaller.runs == 1 else dataclasses.replace(smaller, runs=1)
        if narrower == smaller:
            raise InputError(
                f"a picture of {' x '.join(map(str, reversed(size)))} needs about {_gigabytes(wanted)} of memory, "
                f"{_gigabytes(needed_memory(smaller, pictures, size, engine))} with the narrowest network, and "
                f"{_gigabytes(available)} are free: crop it, or make it smaller"
            )
        smaller = narrower
    if smaller is recipe:
        return recipe, None
    runs = "one run in place of several" if smaller.runs < recipe.runs else ""
    narrow = smaller.network.down_channels != recipe.network.down_channels
    widths = f"a network with {smaller.network.down_channels[0]} channels at full size" if narrow else ""
    return smaller, (
        f"about {_gigabytes(wanted)} of memory would be needed and {_gigabytes(available)} are free: the recipe is cut "
        f"down to {' and '.join(part for part in (runs, widths) if part)}"
    )


def _narrower(recipe: Recipe) -> Recipe:
    """With half of the channels at every scale, down to the narrowest; what is narrower already stays."""

    def halved(widths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(min(width, max(_NARROWEST, width // 2)) for width in widths)

    network = recipe.network
    return dataclasses.replace(
        recipe,
        network=dataclasses.replace(
            network,
            down_channels=halved(network.down_channels),
            up_channels=halved(network.up_channels),
            skip_channels=halved(network.skip_channels),
        ),
    )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
