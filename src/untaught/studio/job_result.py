"""What a worker writes when a job is done: the restored picture, its uncertainty, and the record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from untaught.fitting import record as records
from untaught.fitting.run import Job
from untaught.fitting.state import Restoration
from untaught.imaging.arrays import from_tensor
from untaught.imaging.files import write_bytes, write_text
from untaught.imaging.picture import Picture
from untaught.imaging.writing import write
from untaught.studio.job_files import JobRequest
from untaught.studio.previews import as_shown, heat, slice_of, thumbnail
from untaught.studio.storage import write_json
from untaught.studio.task_schema import command_line
from untaught.tasks.modelled_noise import Blend, blended
from untaught.tasks.registry import find_task

__all__ = ["write_result"]

_MOST = 0.5
_STRENGTHS = {"denoised.png": 1.0, "smoothed.png": 1.5}


def write_result(
    folder: Path, request: JobRequest, job: Job, picture: Picture, restoration: Restoration, *, repeatable: bool
) -> None:
    """Write the result of a job into its folder.

    Args:
        folder: of the job.
        request: what the user asked for.
        job: what was fitted.
        picture: the input, whose format and metadata the result gets.
        restoration: of the picture.
        repeatable: whether the command line gives the same picture.
    """
    files, names, settings = request.files, request.names, request.settings
    _write_strengths(folder, request, job, picture)
    result = picture.with_pixels(restoration.picture)
    write(folder / files["result"], result)
    if result.pixels.dtype != np.uint8 or not files["result"].endswith(".png"):
        write(folder / "view.png", as_shown(slice_of(result, request.page), request.ends))
    write_bytes(folder / "thumbnail-result.jpg", thumbnail(slice_of(result, request.page), request.ends))
    for name, found in restoration.found.items():
        write(folder / f"{name}{Path(files['result']).suffix}", picture.with_pixels(found))
    if restoration.uncertainty is not None:
        width = Picture(restoration.uncertainty.astype("float32"), volume=picture.volume)
        write(folder / "uncertainty.tif", width)
        write_bytes(folder / "uncertainty.png", heat(slice_of(width, request.page).pixels))
    present = {role: folder / name for role, name in files.items() if role != "result" and (folder / name).exists()}
    task = find_task(job.task)
    # A mask that is mostly black could be taken for one the other way round.
    marks = ("--mask-marks", "known") if task.finds_missing and "mask" in present else ()
    made = records.make_request(
        job,
        command=command_line(
            task, settings, names, request.continue_for, request.own_page, marks if job.problem.missing > _MOST else ()
        ),
        files=present,
        options={
            **{option.name: settings.get(option.name, option.default) for option in task.own_options},
            **({"mask_marks": "known"} if marks else {}),
            "value_range": settings.get("value_range"),
            **{name: settings[name] for name in ("missing_value", "volume") if name in settings},
            **({"page": request.own_page} if request.own_page else {}),
        },
    )
    # Under the names of the downloads: the run can be repeated in the folder that they are saved to.
    made["files"] = {role: {**entry, "path": names[role]} for role, entry in made["files"].items()}
    record = records.make_record(made, restoration, {})
    write_text(folder / "record.json", json.dumps(record, indent=1) + "\n")
    # The last file: the server takes it as the sign that the result is complete.
    write_json(folder / "result.json", {**record["result"], "repeatable": repeatable})


def _write_strengths(folder: Path, request: JobRequest, job: Job, picture: Picture) -> None:
    """Write what the page needs to show a denoised picture at any strength: it lies between these and the input."""
    step, problem = job.problem.display_step, job.problem
    if not isinstance(step, Blend) or step.latest is None:
        return
    for name, strength in _STRENGTHS.items():
        values = from_tensor(blended(step.latest, step.noisy, strength), problem.kept, problem.layout)
        shown = as_shown(slice_of(picture.with_pixels(values), request.page), request.ends)
        write(folder / name, shown)
