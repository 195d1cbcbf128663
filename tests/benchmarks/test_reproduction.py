"""The reproduction: its rows are run once, its fits go on where they were, its page tells what is not run."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import untaught
from benchmarks import reproduction
from untaught.tasks.preparation import prepare

PAGE = Path(reproduction.PAGE).read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    data, draw = tmp_path / "data", np.random.default_rng(0)
    (data / "inpaint").mkdir(parents=True)
    (data / "restore").mkdir()
    Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(data / "inpaint/kate.png")
    Image.fromarray((draw.random((32, 32)) > 0.1).astype(np.uint8) * 255).save(data / "inpaint/kate_mask.png")
    Image.fromarray(draw.integers(0, 256, (32, 32), np.uint8)).save(data / "restore/boat.png")
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return tmp_path


def run(folder, *words):
    places = ["--work", str(folder / "work"), "--figures", str(folder), "--page", str(folder / "page.md")]
    reproduction.main([str(folder / "data"), *places, "--side", "32", "--iterations", "2", *words])
    return json.loads((folder / "reproduction.json").read_text())


def never(*_, **__):
    raise AssertionError("a row that is there is run again")


@pytest.mark.parametrize(
    ("study", "recipes"),
    [
        ("text", ["balanced"]),
        ("holes", ["biharmonic"]),
        ("half", ["fast"]),
        ("alternative", ["biharmonic"]),
        ("effect", ["effect"]),
    ],
)
def test_a_study_fills_its_table_once(folder, study, recipes, monkeypatch):
    monkeypatch.setattr(reproduction, "PHOTOGRAPHS", ("chelsea",))
    monkeypatch.setattr(reproduction, "EFFECT", ("noise",))
    rows = run(folder, "--study", study, "--recipes", *recipes)
    assert {row["study"] for row in rows} == {study}
    assert (folder / "page.md").read_text() != PAGE
    for name in ("filled", "biharmonic", "effect"):
        monkeypatch.setattr(reproduction, name, never)
    assert run(folder, "--study", study, "--recipes", *recipes) == rows


def test_the_page_says_what_is_not_run(folder):
    run(folder, "--study")
    page = (folder / "page.md").read_text()
    assert "32.52 | 32.22 | not run yet" in page
    assert page.count("not run yet") > 50


def test_the_page_is_made_of_the_rows():
    rows = json.loads((reproduction.FIGURES / "reproduction.json").read_text())
    for study, (_, make) in reproduction.STUDIES.items():
        made = make([row for row in rows if row["study"] == study])
        assert f"<!-- table: {study} -->\n{made}\n<!-- end -->" in PAGE, "run python -m benchmarks.reproduction"


def test_a_row_of_other_settings_is_run_again(folder):
    before = run(folder, "--study", "half", "--recipes", "fast")
    rows = [{**row, "record": "of before"} for row in before]
    (folder / "reproduction.json").write_text(json.dumps(rows))
    again = run(folder, "--study", "half", "--recipes", "fast")
    assert [row["record"] for row in again] == [row["record"] for row in before]


def test_a_fit_that_was_ended_goes_on(tmp_path, tiny, picture, mask, monkeypatch):
    setting = reproduction.Setting(tmp_path, None, tmp_path / "work", tmp_path)
    recipe = dataclasses.replace(tiny, iterations=12)

    def job():
        return prepare("restore", picture * mask[..., None], mask, recipe=recipe)

    whole, result = reproduction.followed(job(), "a", setting, lambda state: float(state.loss), 2)
    seconds = iter(range(0, 10**6, 500))  # a checkpoint at each iteration
    monkeypatch.setattr(reproduction.time, "monotonic", lambda: next(seconds))

    def leave(state):
        if state.iteration == 8:
            raise KeyboardInterrupt
        return float(state.loss)

    with pytest.raises(KeyboardInterrupt):
        reproduction.followed(job(), "b", setting, leave, 2)
    points, again = reproduction.followed(job(), "b", setting, lambda state: float(state.loss), 2)
    assert points == whole
    np.testing.assert_array_equal(again.picture, result.picture)
    assert isinstance(again, untaught.Restoration)
