"""Read the files of a job and make of them what is fitted, as the command line does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untaught.fitting.run import Job
from untaught.imaging import reading, writing
from untaught.imaging.picture import Picture
from untaught.studio.job_files import JobRequest
from untaught.studio.previews import as_shown
from untaught.tasks.preparation import prepare
from untaught.tasks.registry import find_task

__all__ = ["read_job"]


def read_job(folder: Path, request: JobRequest) -> tuple[Job, Picture]:
    """Read the files in a job's folder; those of a region are cut and written first.

    Raises:
        InputError: for files or settings that cannot be used.
    """
    _cut_region(folder, request)
    files = request.files
    picture = reading.read(folder / files["picture"])
    if request.crop is not None:
        writing.write(folder / "before.png", as_shown(picture))
    height, width = picture.pixels.shape[:2]
    more = {
        file.role: reading.read_input(folder / files.get(file.role, files["picture"]), file.kind, (height, width))
        for file in find_task(request.task).files
        if file.kind != "mask" and (file.in_picture_file or file.role in files)
    }
    settings = dict(request.settings)
    if "mask" in files and (folder / files["mask"]).exists():
        # The page and the server write it: white is known.
        more["mask"], settings["mask_marks"] = reading.read(folder / files["mask"]).pixels > 127, "known"
    job = prepare(request.task, picture.pixels, **more, hidden=picture.hidden, nodata=picture.nodata, **settings)
    return job, picture


def _cut_region(folder: Path, request: JobRequest) -> None:
    """Cut the region to restore from the picture and the mask, unless an earlier worker has done it."""
    if request.crop is None or request.whole is None:
        return
    left, top, width, height = request.crop
    window = np.s_[top : top + height, left : left + width]
    sources = [(request.whole, request.files["picture"]), ("whole-mask.png", "mask.png")]
    for role, name in request.files.items():
        sources += [(path.name, name) for path in folder.glob(f"whole-{role}.*") if role != "mask"]
    for source, target in sources:
        if (folder / source).exists() and not (folder / target).exists():
            whole = reading.read(folder / source)
            alpha = None if whole.alpha is None else np.ascontiguousarray(whole.alpha[window])
            metadata = whole.metadata.cut(height, width)
            writing.write(folder / target, Picture(np.ascontiguousarray(whole.pixels[window]), alpha, metadata))
