"""A recipe that fits into memory: as it is, with one run instead of several, or with a narrower network."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

from untaught.backend.engine import Engine
from untaught.backend.memory import available_memory, estimated_memory
from untaught.errors import InputError
from untaught.fitting.recipe import Recipe
from untaught.imaging.group_completion import completion_memory
from untaught.priors.encoder_decoder import NetworkSettings

__all__ = ["available_memory", "check_memory", "fitted_to_memory", "give_back", "needed_memory"]

_USABLE = 0.9
_NARROWEST = 8
_ANSWER = 100
"""Bytes for each pixel of a picture that is completed: smooth, completed, and by the network."""
_COMPILER = 100e6
"""Bytes for torch's compiler, which its own optimisers load."""


def needed_memory(recipe: Recipe, pictures: int, size: Sequence[int], engine: Engine) -> float:
    """Estimate the bytes that a fit takes at its peak.

    Args:
        recipe: how to fit.
        pictures: fitted side by side, times the layers of each.
        size: height and width of a picture; depth, height and width of a volume.
        engine: how a step runs.
    """
    inputs = recipe.network.input_channels
    if recipe.shows_picture:
        # At most these, for a colour picture with a guide.
        inputs = 3 * (2 + len(getattr(recipe.input, "widths", ()))) + 3
    network = dataclasses.replace(recipe.network, dimensions=len(size), input_channels=inputs)
    muon = getattr(recipe.optimiser, "name", "") == "muon"
    fitted = estimated_memory(network, size, engine, networks=pictures * recipe.runs, patch=recipe.patch)
    if recipe.groups:
        # A completion takes its steps between iterations. The pictures of the answer stay.
        fitted = max(fitted, completion_memory(size)) + pictures * math.prod(size) * _ANSWER
    return fitted + (0.0 if muon else _COMPILER)


def check_memory(recipe: Recipe, pictures: int, size: Sequence[int], engine: Engine, available: float | None) -> None:
    """Refuse a recipe that needs more memory than is free, for one that must stay as it is.

    Args:
        recipe: of a record.
        pictures: fitted side by side, times the layers of each.
        size: of each picture.
        engine: how a step runs.
        available: bytes that may be used; None for no limit.

    Raises:
        InputError: if it does not fit.
    """
    if available is None or not isinstance(recipe.network, NetworkSettings):
        return
    wanted = needed_memory(recipe, pictures, size, engine)
    if wanted > available:
        raise InputError(
            f"the run needs about {_gigabytes(wanted)} of memory with the recipe of its record, and "
            f"{_gigabytes(available)} are free: end other programs, or run it where there is more"
        )


def fitted_to_memory(
    recipe: Recipe, pictures: int, size: Sequence[int], engine: Engine, available: float | None
) -> tuple[Recipe, str | None]:
    """Return the recipe, or one that needs less memory: first a single run, then narrower networks.

    Args:
        recipe: how to fit.
        pictures: fitted side by side, times the layers of each.
        size: of each picture.
        engine: how a step runs.
        available: bytes that may be used; None for no limit.

    Returns:
        The recipe, and a sentence for the user if it was changed.

    Raises:
        InputError: if even the narrowest network does not fit.
    """
    if available is None or not isinstance(recipe.network, NetworkSettings):
        return recipe, None
    wanted, limit, smaller = needed_memory(recipe, pictures, size, engine), available * _USABLE, recipe
    while needed_memory(smaller, pictures, size, engine) > limit:
        narrower = _narrower(smaller) if smaller.runs == 1 else dataclasses.replace(smaller, runs=1)
        if narrower == smaller:
            raise InputError(
                f"a picture of {' x '.join(map(str, reversed(size)))} needs about {_gigabytes(wanted)} of memory "
                f"({_gigabytes(needed_memory(smaller, pictures, size, engine))} with the narrowest network), and "
                f"{_gigabytes(available)} are free: crop it, or make it smaller"
            )
        smaller = narrower
    if smaller is recipe:
        return recipe, None
    changes = []
    if smaller.runs < recipe.runs:
        changes.append("one run instead of several")
    if smaller.network != recipe.network:
        changes.append(f"a network with {smaller.network.down_channels[0]} channels at full size")
    return smaller, (
        f"the fit would need about {_gigabytes(wanted)} of memory and {_gigabytes(available)} are free: it uses "
        f"{' and '.join(changes)}"
    )


def _narrower(recipe: Recipe) -> Recipe:
    """Half of the channels at every scale, but not fewer than the narrowest."""

    def halved(widths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(min(width, max(_NARROWEST, width // 2)) for width in widths)

    network = recipe.network
    narrower = dataclasses.replace(
        network,
        down_channels=halved(network.down_channels),
        up_channels=halved(network.up_channels),
        skip_channels=halved(network.skip_channels),
    )
    return dataclasses.replace(recipe, network=narrower)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def give_back() -> None:
    """Give memory that was freed back to the system, before much is needed at once.

    glibc keeps it in pieces that are too small for a large picture. Other C libraries do without.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
