"""Tasks of somebody else: defined through public names, and there in every door."""

import importlib.metadata
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from PIL import Image
from pydantic import Field

import untaught
from untaught import cli
from untaught.errors import InputError, SettingError
from untaught.tasks.registry import RESERVED


@dataclass(frozen=True)
class FadeSettings:
    gain: Annotated[float, Field(gt=0, description="how many times brighter the picture becomes")] = 2.0
    flip: Annotated[bool, Field(description="mirror the picture")] = False


@pytest.fixture
def fade(tiny):
    """A task that brightens a faded picture, as a user's script defines it."""

    @untaught.register_task(
        name="unfade",
        about="Brighten a faded picture.",
        example="untaught unfade faded.png --gain 2 -o bright.png",
        settings=FadeSettings,
        recipes=(tiny,),
        files=(untaught.InputFile(role="dark", about="a picture of the dark", kind="picture"),),
    )
    def read(picture, layout, settings, dark=None):
        import torch

        if dark is not None:
            picture = picture - torch.tensor(dark).permute(2, 0, 1) / 255
        observed = picture.flip(-1) if settings.flip else picture
        return untaught.Problem(
            observed=observed,
            known=torch.ones_like(observed, dtype=torch.bool),
            operator=lambda x: x / settings.gain,
            channels=picture.shape[1],
            size=tuple(picture.shape[2:]),
            layout=layout,
        )

    yield read
    untaught.TASKS.remove("unfade")


@pytest.fixture
def files(tmp_path, picture, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture // 2).save("faded.png")
    Image.fromarray(np.zeros_like(picture)).save("dark.png")
    return tmp_path


@pytest.mark.usefixtures("fade")
def test_it_runs_by_python(picture, tiny):
    result = untaught.run_task("unfade", picture // 2, recipe=tiny.name, gain=2, iterations=30, seed=1)
    assert result.picture.shape == picture.shape
    assert result.task == "unfade"
    again = untaught.run_task("unfade", picture // 2, gain=2, recipe=tiny, iterations=30, seed=1)
    np.testing.assert_array_equal(result.picture, again.picture)
    with pytest.raises(SettingError, match="gain is a positive number: found -1"):
        untaught.run_task("unfade", picture, gain=-1)
    with pytest.raises(SettingError, match="did you mean gain"):
        untaught.run_task("unfade", picture, gian=1)
    with pytest.raises(SettingError, match="did you mean unfade"):
        untaught.run_task("unfad", picture)


@pytest.mark.usefixtures("fade", "files")
def test_it_runs_by_the_command_line_and_can_be_repeated_and_resumed(tiny, capsys):
    words = ["unfade", "faded.png", "--dark", "dark.png", "--gain", "2.5", "--flip", "--recipe", tiny.name, "--quiet"]
    keep = ["--record", "run.json", "--checkpoint", "kept"]
    assert cli.main([*words, "-o", "out.png", "--iterations", "4", *keep]) == 0
    record = json.loads(Path("run.json").read_text())
    assert record["options"] == {"gain": 2.5, "flip": True, "value_range": None, "volume": False}
    assert set(record["files"]) == {"picture", "dark"}
    assert cli.main(["repeat", "run.json", "-o", "again.png", "--quiet"]) == 0
    assert Path("out.png").read_bytes() == Path("again.png").read_bytes()
    assert cli.main(["resume", "kept", "--continue-for", "3", "-o", "more.png", "--quiet"]) == 0
    assert cli.main([*words, "-o", "seven.png", "--iterations", "7"]) == 0
    assert np.asarray(Image.open("more.png")).shape == np.asarray(Image.open("seven.png")).shape
    assert capsys.readouterr().err == ""
    assert cli.main([*words, "-o", "out.png", "--gain", "0"]) == 2
    assert cli.main(["unfade", "faded.png", "-o", "out.png", "--gain", "0"]) == 2
    assert "--gain is a positive number: found '0'" in capsys.readouterr().err


@pytest.mark.usefixtures("fade")
def test_it_is_in_the_help(capsys):
    assert cli.main(["--help"]) == 0
    assert "unfade" in capsys.readouterr().out
    assert cli.main(["unfade", "--help"]) == 0
    text = capsys.readouterr().out
    assert "how many times brighter the picture becomes (default: 2)" in " ".join(text.split())
    assert text.endswith("example: untaught unfade faded.png --gain 2 -o bright.png\n")


@pytest.mark.usefixtures("fade")
def test_it_is_in_the_studio(tiny):
    pytest.importorskip("fastapi", reason="the studio is an extra")
    from untaught.studio.task_schema import check_settings, describe, find_offer

    task = find_offer("unfade")
    shown = {setting["name"]: setting for setting in describe(task)["settings"]}
    assert shown["gain"]["default"] == 2.0
    assert shown["flip"]["kind"] == "flag"
    assert shown["recipe"]["choices"] == (tiny.name,)
    assert check_settings(task, {"gain": "3", "flip": True}) == {"gain": 3.0, "flip": True, "recipe": tiny.name}


def test_a_task_without_recipes_has_those_of_fit(fade, picture):
    untaught.register_task(name="unfade", about="Brighten.", example="untaught unfade a.png -o b.png")(
        lambda picture, layout, settings: fade(picture, layout, FadeSettings())  # noqa: ARG005
    )
    assert untaught.run_task("unfade", picture, iterations=1).recipe["name"] == "balanced"
    with pytest.raises(SettingError, match="recipe for fit: bst: there are balanced, printed"):
        untaught.run_task("unfade", picture, recipe="bst")


def test_a_file_in_the_folder_is_found(tmp_path):
    import untaught.tasks
    from untaught.tasks.registry import _Tasks

    (tmp_path / "halve.py").write_text(
        textwrap.dedent(
            """
            from untaught.tasks.registry import Task, register

            register(Task(name="halve", about="Halve.", example="untaught halve a.png -o b.png", read=lambda *_: None))
            """
        )
    )
    untaught.tasks.__path__.append(str(tmp_path))
    try:
        list(_Tasks())
        assert "halve" in untaught.TASKS
    finally:
        untaught.tasks.__path__.remove(str(tmp_path))
        untaught.TASKS.remove("halve")


def test_entry_points_are_loaded_and_a_broken_one_harms_nothing(monkeypatch):
    from untaught.tasks.registry import _Tasks

    loaded = []

    class Good:
        value = "good:tasks"

        def load(self):
            loaded.append(self.value)

    class Bad:
        value = "bad:tasks"

        def load(self):
            raise ImportError("no module bad")

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Bad(), Good()])  # noqa: ARG005
    with pytest.warns(UserWarning, match="the tasks of bad:tasks cannot be loaded: no module bad"):
        list(_Tasks())
    assert loaded == ["good:tasks"]


@dataclass
class Clashing:
    recipe: str = ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": Clashing}, "names are taken: recipe"),
        ({"files": (untaught.InputFile(role="output", about="a file", kind="picture"),)}, "names are taken: output"),
        ({"read": None}, "has no read"),
    ],
)
def test_a_task_that_cannot_be_is_refused(change, message):
    from untaught.tasks.registry import register

    task = {"name": "no", "about": "No.", "example": "untaught no", "read": lambda *_: None, **change}
    with pytest.raises(InputError, match=message):
        register(untaught.Task(**task))
    assert "no" not in untaught.TASKS


def test_the_command_lines_own_names_are_reserved():
    from untaught.cli.options import OutputOptions
    from untaught.tasks.options import list_options

    assert {option.name for option in list_options(OutputOptions)} <= RESERVED
