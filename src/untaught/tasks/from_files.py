"""From the files of a task to its job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from untaught.fitting.run import Job
from untaught.imaging import reading
from untaught.imaging.picture import Picture
from untaught.tasks.preparation import filled_in, prepare
from untaught.tasks.registry import find_task

__all__ = ["prepared"]


def prepared(
    task: str, sources: Mapping[str, Path], options: Mapping[str, Any], *, page: int | None = None, **fit_options: Any
) -> tuple[Job, Picture]:
    """Read the input files of a task.

    Args:
        task: name of the task.
        sources: the input files, by role.
        options: the task's own options, value_range and volume.
        page: the page of the picture's file, from 1; None for its only one.
        **fit_options: the other options of `FitOptions`.

    Returns:
        The job, and the picture among the files, or a blank one if there is none.
    """
    given: Picture | None = None
    more: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    options = dict(options)
    if "picture" in sources:
        given = reading.read(sources["picture"], volume=options["volume"], page=page)
    size = (0, 0) if given is None else given.size
    for file in find_task(task).files:
        if not (file.in_picture_file or file.role in sources):
            continue
        source = sources[file.role if file.role in sources else "picture"]
        if file.kind == "mask" and given is not None and "mask_marks" in options:
            marks, grow = options["mask_marks"], options.get("grow")
            mask = reading.read_mask(source, size, given, marks=marks, grow=grow)
            other = marks == "missing"
            more[file.role], notes = ~mask.known if other else mask.known, mask.notes
            options |= {"mask_marks": "missing" if other else "known", "grow": 0}
        else:
            more[file.role] = reading.read_input(source, file.kind, size)
    if given is None:
        job = prepare(task, None, **more, **options, **fit_options)
        return job, Picture(np.asarray(job.blank()))
    if given.levels is not None and options.get("value_range") is None and not find_task(task).absolute:
        options["value_range"] = given.levels
        notes += (f"by the file, black and white are {given.levels[0]:g} and {given.levels[1]:g}",)
    job = prepare(task, given.pixels, **more, hidden=given.hidden, nodata=given.nodata, **options, **fit_options)
    job = dataclasses.replace(job, problem=dataclasses.replace(job.problem, notes=(*notes, *job.problem.notes)))
    return job, given if given.hidden is None else given.with_holes_filled(filled_in(job.problem))
