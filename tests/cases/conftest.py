"""Inputs that failed once, kept beside the project: a test is skipped where they are absent."""

import shutil
from pathlib import Path

import numpy as np
import pytest

CASES = Path(__file__).resolve().parents[3] / "shared/data/cases"


@pytest.fixture
def case(request, tmp_path, monkeypatch):
    """Go to a copy of the folder of the case that a test is named after: test_01_..., test_api_01_..."""
    name = request.node.originalname.removeprefix("test_").replace("api_", "api-").split("_")[0]
    found = next(iter(CASES.glob(f"{name}-*")), None)
    if found is None:
        pytest.skip("the cases are not here")
    shutil.copytree(found, tmp_path / "case", copy_function=shutil.copyfile)
    monkeypatch.chdir(tmp_path / "case")
    return Path.cwd()


@pytest.fixture
def rms():
    """Root mean square of a difference."""
    return lambda one, other: float(np.sqrt(np.square(np.asarray(one, float) - np.asarray(other, float)).mean()))
