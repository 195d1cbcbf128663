"""Odd names of files, narrow terminals and impossible numbers end in one sentence, or in a picture."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from untaught.cli.app import main

FAST = ["--noise", "5", "--iterations", "1", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24), dtype=np.uint8)).save("a.png")
    return tmp_path


def sentence(capsys):
    """The only line that was printed, without its prefix."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("untaught: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("untaught: ")


@pytest.mark.parametrize(
    "name", ["scan[red].png", "[/b].png", "[link=x]y[/link].png", ":smile:.png", "%s{0}.png", "é漢.png"]
)
def test_names_with_markup_are_printed_as_they_are(folder, capsys, name):
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    assert main(["denoise", "a.png", *FAST, "-o", name]) == 0
    assert f"wrote {name}" in capsys.readouterr().err
    assert (folder / name).exists()
    assert main(["denoise", name, *FAST, "-o", "b.png", "--quiet"]) == 0


@pytest.mark.parametrize("name", ["x" * 260 + ".png", "a\0b.png", "nowhere/" + "y" * 300 + ".png", "a.png/b.png"])
@pytest.mark.parametrize(
    "place", ["input", "output", "record", "checkpoint", "mask", "reference", "uncertainty", "demo"]
)
def test_impossible_names_are_refused_in_a_sentence(folder, capsys, name, place):
    output = name if place == "output" else "b.png"
    words = {
        "input": ["denoise", name, *FAST, "-o", output],
        "output": ["denoise", "a.png", *FAST, "-o", output],
        "mask": ["inpaint", "a.png", "--mask", name, "-o", output],
        "demo": ["demo", "-o", name],
    }.get(place, ["denoise", "a.png", *FAST, f"--{place}", name, "-o", output])
    assert main(words) == 2
    said = sentence(capsys)
    assert "Errno" not in said
    assert len(said) > 20
    assert {path.name for path in folder.iterdir()} - ({"nowhere"} if place == "demo" else set()) == {"a.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["deblur", "--radius", "999"], "larger than the picture"),
        (["deblur", "--radius", "999", "--blur", "disk"], "larger than the picture"),
        (["deblur", "--radius", "999", "--blur", "motion"], "larger than the picture"),
        (["deblur", "--radius", "999", "--blur", "unknown"], "larger than the picture"),
        (["deblur", "--radius", "1e300"], "below 1000"),
        (["denoise", "--noise", "5", "--device", "cpu:99"], "one device, cpu"),
        (["denoise", "--noise", "5", "--iterations", "9" * 30], "whole number"),
        (["upscale", "--factor", "1e300"], "between 1.5 and 16"),
        (["denoise", "--noise", "5", "--time-budget", "1e400"], "time"),
        (["denoise", "--noise", "5", "--page", "0"], "whole number from 1"),
        (["denoise", "--noise", "5", "--page", "2"], "one page"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_impossible_numbers_are_refused_in_a_sentence(capsys, words, message):
    task, *options = words
    assert main([task, "a.png", *options, "-o", "b.png"]) == 2
    assert message in sentence(capsys)


@pytest.mark.slow
def test_a_narrow_terminal_and_a_plain_language(folder):
    environment = {"COLUMNS": "1", "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "untaught", "denoise", "a.png", *FAST, "-o", "zé漢.png"]
    done = subprocess.run(
        command, env={**path, **environment}, capture_output=True, stdin=subprocess.DEVNULL, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "zé漢.png").exists()


def test_a_page_is_chosen_and_recorded_and_repeated(folder, capsys):
    import json

    import tifffile

    with tifffile.TiffWriter("two.tif") as file:
        for top in (40, 200):
            file.write(np.full((24, 24), top, np.uint8), metadata=None)
    assert main(["denoise", "two.tif", *FAST, "-o", "b.tif"]) == 2
    assert "--page" in sentence(capsys)
    assert main(["denoise", "two.tif", "--page", "2", *FAST, "-o", "b.tif", "--record", "run.json"]) == 0
    assert json.loads((folder / "run.json").read_text())["options"]["page"] == 2
    assert tifffile.imread("b.tif").mean() > 120
    assert main(["repeat", "run.json", "-o", "c.tif", "--quiet"]) == 0
    np.testing.assert_array_equal(tifffile.imread("b.tif"), tifffile.imread("c.tif"))
    assert main(["inspect", "two.tif", "--page", "1"]) == 0


@pytest.mark.usefixtures("folder")
def test_what_is_lost_or_converted_is_told_before_the_fit(capsys):
    import tifffile

    extra = [(33550, 12, 3, (1.0, 1.0, 0.0), True), (315, 2, None, "José".encode(), True)]
    tifffile.imwrite("g.tif", np.zeros((24, 24), np.uint8), metadata=None, extratags=extra)
    assert main(["denoise", "g.tif", *FAST, "-o", "b.png"]) == 0
    said = capsys.readouterr().err
    assert "note: tag 33550, the size of a pixel on the map, is not kept in PNG and will be lost" in said
    assert said.index("33550") < said.index("wrote b.png")
