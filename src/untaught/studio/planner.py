"""The process that tells what a job will take: ``python -m untaught.studio.planner``.

Each line on standard input is a folder with the files of a job. The answer is a line of JSON: the time, and notes for
the user; or why the job cannot be fitted. Nothing is fitted. The process ends when its input does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from untaught.errors import UntaughtError
from untaught.studio.job_files import JobRequest
from untaught.studio.job_input import read_job

__all__ = ["main"]


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_plan(Path(line.strip()))) + "\n")
        sys.stdout.flush()


def _plan(folder: Path) -> dict[str, Any]:
    try:
        job, picture = read_job(folder, JobRequest.read(folder))
        estimate = job.begin().estimate()
    except UntaughtError as error:
        return {"refused": str(error).replace(f"{folder}/", "")}
    except MemoryError:
        return {"refused": "there is too little memory for a picture of this size: choose a region, or make it smaller"}
    return {
        "notes": [*picture.notes, *job.problem.notes],
        "seconds": None if estimate is None else estimate.seconds,
        "iterations": None if estimate is None else estimate.iterations,
        "places": 0 if estimate is None else estimate.strips,
    }


if __name__ == "__main__":
    main()
