"""The short form of `python -m benchmarks.hostile`: bad inputs of every kind, by seed."""

import os
import tempfile

import pytest

from benchmarks import hostile
from untaught.imaging import files


@pytest.fixture
def restored(monkeypatch):
    """What a worker changes for its process is put back."""
    monkeypatch.setattr(files, "_WAIT", files._WAIT)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.setenv("HOME", os.environ.get("HOME", "/"))


@pytest.mark.usefixtures("restored")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_bad_inputs(kind):
    found = []
    hostile.work(7, 0, 5, kind, found.append)
    cases = [case for case in found if "number" in case]
    assert len(cases) == 5
    assert [case for case in cases if case["wrong"]] == []


BEFORE = {"photo.png": "00", "kept": "01"}
WORDS = ["restore", "photo.png", "-o", "out.png"]


@pytest.mark.parametrize(
    ("code", "error", "after", "expected"),
    [
        (0, "", {**BEFORE, "out.png": "02"}, ""),
        (2, "untaught: no\n", BEFORE, ""),
        (1, "untaught: no; the picture is in out-2.png\n", {**BEFORE, "out-2.png": "02"}, ""),
        (3, "", BEFORE, "exit code 3"),
        (2, "", BEFORE, "0 lines"),
        (2, "untaught: no\nand more\n", BEFORE, "2 lines"),
        (0, "Traceback\n", BEFORE, "no sentence"),
        (2, "untaught: no\n", {"kept": "01"}, "changed"),
        (0, "", {**BEFORE, "photo.png": "ff"}, "changed"),
        (2, "untaught: no\n", {**BEFORE, "out.png": "02"}, "left"),
        (0, "", {**BEFORE, ".untaught-1.part": "02"}, "left"),
    ],
)
def test_what_is_wrong_with_the_end_of_a_command_is_seen(code, error, after, expected):
    assert hostile.judged(WORDS, code, error, BEFORE, after).startswith(expected)
    assert (hostile.judged(WORDS, code, error, BEFORE, after) == "") == (expected == "")
