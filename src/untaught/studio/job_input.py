"""Read the files of a job and make of them what is fitted, as the command line does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untaught.fitting.run import Job
from untaught.imaging import reading, writing
from untaught.imaging.picture import Picture
from untaught.studio.job_files import JobRequest
from untaught.studio.previews import as_shown
from untaught.tasks.from_files import prepared

__all__ = ["read_job"]


def read_job(folder: Path, request: JobRequest) -> tuple[Job, Picture]:
    """Read the files in a job's folder; those of a region are cut and written first.

    Returns:
        The job, and its picture, in which transparent holes are filled.

    Raises:
        InputError: for files or settings that cannot be used.
    """
    _cut_region(folder, request)
    sources = {role: folder / name for role, name in request.files.items() if role != "result"}
    options = {"value_range": None, "volume": False, **request.settings}
    if not sources.get("mask", folder).is_file():
        sources.pop("mask", None)
    else:
        options["mask_marks"] = "known"  # the page and the server write it: white is known
    if request.crop is not None or request.settings.get("value_range"):
        shown_page = request.page if request.is_volume else request.own_page
        picture = reading.read(sources["picture"], page=shown_page)
        writing.write(folder / "before.png", as_shown(picture, request.ends))
    return prepared(request.task, sources, options, page=request.own_page)


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
            is_volume = request.is_volume and source == request.whole
            page = None if is_volume or source != request.whole else request.page
            whole = reading.read(folder / source, volume=is_volume, page=page)
            pixels = whole.pixels[:, *window] if is_volume else whole.pixels[window]
            alpha = None if whole.alpha is None else np.ascontiguousarray(whole.alpha[window])
            metadata = whole.metadata.cut(height, width)
            writing.write(folder / target, Picture(np.ascontiguousarray(pixels), alpha, metadata, volume=is_volume))
