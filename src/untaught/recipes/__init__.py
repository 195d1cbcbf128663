"""The recipes: settings as data, by task and name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from untaught.fitting.recipe import Recipe, recipe_from_record
from untaught.recipes import ours, published
from untaught.settings import check_names

__all__ = ["RECIPES", "Recipe", "find_recipe", "recipe_from_record"]

_INPAINT = (
    ours.NOISE_INPAINT,
    published.PRINTED,
    published.PAPER_TEXT,
    published.PAPER_HOLE,
    published.DEEP_DECODER,
    published.U_NET,
)
_DENOISE = (published.PRINTED, published.PAPER_DENOISE, published.DEEP_DECODER, published.U_NET, published.LANGEVIN)
_INVERSE = (ours.BALANCED_INVERSE, ours.FAST_INVERSE, ours.BEST_INVERSE)

_ROWS: Mapping[str, tuple[Recipe, ...]] = {
    "inpaint": (ours.BALANCED_INPAINT, ours.FAST_INPAINT, ours.BEST_INPAINT, *_INPAINT),
    "restore": (
        ours.BALANCED_RESTORE,
        ours.FAST_RESTORE,
        ours.BEST_RESTORE,
        ours.NOISE,
        published.PRINTED,
        published.PAPER_DROPPED,
        published.DEEP_DECODER,
        published.SIREN,
        published.U_NET,
    ),
    "denoise": (ours.BALANCED_DENOISE, ours.FAST_DENOISE, ours.BEST_DENOISE, *_DENOISE),
    "denoise-strong": (ours.BALANCED_STRONG, ours.FAST_STRONG, ours.BEST_STRONG, *_DENOISE),
    "denoise-correlated": (ours.BALANCED_CORRELATED, ours.FAST_CORRELATED, ours.BEST_CORRELATED, *_DENOISE),
    "denoise-large": (ours.BALANCED_FILTERED, ours.FAST_FILTERED, ours.BEST_FILTERED, *_DENOISE),
    "guide": (ours.BALANCED_DENOISE, ours.FAST_DENOISE, ours.BEST_DENOISE, published.PRINTED, published.PAPER_GUIDE),
    "guide-correlated": (
        ours.BALANCED_GUIDE,
        ours.FAST_GUIDE,
        ours.BEST_GUIDE,
        published.PRINTED,
        published.PAPER_GUIDE,
    ),
    "upscale": (*_INVERSE, published.PRINTED, published.PAPER_UPSCALE),
    "deblur": (*_INVERSE, published.PRINTED, published.PAPER_UPSCALE),
    "dejpeg": (ours.BALANCED_DEJPEG, ours.FAST_DEJPEG, ours.BEST_DEJPEG, published.PRINTED, published.PAPER_UPSCALE),
    "demosaic": (
        ours.BALANCED_MOSAIC,
        ours.FAST_MOSAIC,
        ours.BEST_MOSAIC,
        ours.NOISE,
        published.PRINTED,
        published.PAPER_DROPPED,
    ),
    "volume": (ours.BALANCED_VOLUME, ours.FAST_VOLUME, ours.BEST_VOLUME),
    "separate": (ours.BALANCED_SEPARATE, ours.FAST_SEPARATE, ours.BEST_SEPARATE),
    "invert": (ours.BALANCED_INVERT, ours.FAST_INVERT, ours.BEST_INVERT, published.PAPER_INVERT),
    "activate": (
        ours.BALANCED_ACTIVATE,
        ours.FAST_ACTIVATE,
        ours.BEST_ACTIVATE,
        published.PAPER_ACTIVATE,
        published.PAPER_CHANNEL,
    ),
    "fit": (
        ours.BALANCED_FIT,
        published.PRINTED,
        published.PAPER_DROPPED,
        published.DEEP_DECODER,
        published.CONV_DECODER,
        published.SIREN,
        published.U_NET,
        published.LANGEVIN,
    ),
}

RECIPES: Mapping[str, Mapping[str, Recipe]] = MappingProxyType(
    {row: MappingProxyType({recipe.name: recipe for recipe in recipes}) for row, recipes in _ROWS.items()}
)
"""The recipes of each task by name, the default first. "fit" is for operators of the user's own, "volume" for the
volumes of every task; "denoise-strong", "denoise-correlated", "denoise-large" and "guide-correlated" are chosen by what
the task finds."""


def find_recipe(row: str, name: str) -> Recipe:
    """Look up a recipe by its row, a task's name, and its own name.

    Raises:
        SettingError: for an unknown name; lists the known ones.
    """
    check_names([row], RECIPES, kind="task")
    check_names([name], RECIPES[row], kind=f"recipe for {row}:")
    return RECIPES[row][name]
