"""From a problem and the common options to a job: the recipe is found, adapted to size and memory, and checked."""

from __future__ import annotations

import dataclasses
from typing import Any

from untaught.backend.engine import choose_engine
from untaught.errors import SettingError
from untaught.fitting.checkpoint import load
from untaught.fitting.memory import available_memory, check_memory, fitted_to_memory
from untaught.fitting.problem import Problem
from untaught.fitting.recipe import Recipe
from untaught.fitting.run import Job
from untaught.priors.patches import patch_count
from untaught.priors.r2r_input import R2RInput
from untaught.recipes import RECIPES, find_recipe
from untaught.tasks.options import FitOptions

__all__ = ["make_job"]


def make_job(task: str, problem: Problem, options: FitOptions, **own: Any) -> Job:
    """Make a job of a problem.

    Args:
        task: name of the task; its row of recipes is used unless the problem names another.
        problem: what is known of the picture.
        options: the common options.
        **own: fields of the recipe that are replaced: network, input, optimiser, loss, regulariser, stopping.

    Raises:
        SettingError: for a recipe that does not suit the problem.
        InputError: if even the narrowest network does not fit into memory.
    """
    dimensions = len(problem.size)
    row = "volume" if dimensions == 3 else problem.recipe_row or task
    recipe = options.recipe if isinstance(options.recipe, Recipe) else find_recipe(row, options.recipe)
    changed = {name: value for name, value in own.items() if value is not None}
    if changed:
        recipe = dataclasses.replace(recipe, name="own", **changed)
    recipe = recipe.with_dimensions(3 if dimensions == 3 else 2)
    others = ", ".join(RECIPES.get(row, RECIPES["fit"]))
    if recipe.shows_picture and problem.operator is not None:
        raise SettingError(
            f"the recipe {recipe.name} shows the network the known part of a picture, and an operator's output is no "
            f"picture: choose one of {others}"
        )
    if isinstance(recipe.input, R2RInput) and problem.noise is None:
        raise SettingError(
            f"the recipe {recipe.name} needs the noise's standard deviation, which is unknown: choose one of {others}"
        )
    if problem.weights is not None and recipe.patch is not None and patch_count(problem.size, recipe.patch) > 1:
        raise SettingError(
            f"weights are for a network that sees the whole picture, and this one sees patches of {recipe.patch} "
            f"pixels: set the input's patch to {max(problem.size)}, or choose one of {others}"
        )
    wanted = problem.wanted() if recipe.classical else None
    recipe = recipe.for_size(problem.size, None if wanted is None else wanted.any(0), problem.strips)
    if options.iterations is not None:
        recipe = dataclasses.replace(recipe, iterations=options.iterations)
    if options.runs is not None:
        recipe = dataclasses.replace(recipe, runs=options.runs)
    engine = choose_engine(options.device, options.precision)
    if dimensions == 3:
        # The compiled kernels are for pictures.
        engine = dataclasses.replace(engine, kernels=None)
    networks, available = len(problem.observed) * max(1, len(problem.layers)), available_memory(engine.device)
    if recipe.adapted:
        check_memory(recipe, networks, problem.size, engine, available)
    else:
        recipe, sentence = fitted_to_memory(recipe, networks, problem.size, engine, available)
        if sentence is not None:
            problem = dataclasses.replace(problem, notes=(sentence, *problem.notes))
    if recipe.classical:
        problem = dataclasses.replace(problem, notes=(*problem.notes, *problem.classical_notes))
    return Job(
        task=task,
        problem=problem,
        recipe=recipe,
        engine=engine,
        seed=options.seed,
        time_budget=options.time_budget,
        start=None if options.start_from is None else load(options.start_from),
    )
