"""Options: what Python accepts, what is refused in a sentence, typed signatures and docstrings."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import untaught
from untaught.errors import SettingError
from untaught.settings import plain
from untaught.tasks.options import FitOptions, build, list_options
from untaught.tasks.registry import TASKS
from untaught.tasks.write_signatures import signatures

FILL = {"iterations": 2, "recipe": "fast"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"time_budget": "60s"}, 60.0),
        ({"time_budget": "5m"}, 300.0),
        ({"time_budget": "1.5h"}, 5400.0),
        ({"time_budget": "90"}, 90.0),
        ({"time_budget": 60}, 60.0),
        ({"time_budget": np.float32(60)}, 60.0),
        ({"seed": np.int64(3)}, 3),
        ({"seed": np.uint8(3)}, 3),
        ({"iterations": np.int32(5)}, 5),
        ({"iterations": "5"}, 5),
        ({"device": torch.device("cuda", 1)}, "cuda:1"),
        ({"value_range": np.array([0, 4.5])}, (0.0, 4.5)),
        ({"value_range": ["0", "4.5"]}, (0.0, 4.5)),
        ({"recipe": "fast"}, "fast"),
        ({"volume": np.bool_(True)}, True),
    ],
)
def test_python_accepts_what_the_command_line_accepts(given, kept):
    (options,) = build(given, FitOptions)
    (name,) = given
    assert getattr(options, name) == kept
    assert type(getattr(options, name)) is type(kept)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "fast"}, "recipe="),
        ({"itertions": 5}, "did you mean iterations?"),
        ({"iterations": 0}, "iterations is a whole number from 1: found 0"),
        ({"iterations": True}, "iterations is a whole number from 1: found True"),
        ({"iterations": 2.5}, "iterations is a whole number"),
        ({"seed": -1}, "seed is a whole number from 0: found -1"),
        ({"time_budget": 0}, "time_budget is a positive time such as 60s, 5m or 1h: found 0"),
        ({"time_budget": "soon"}, "time_budget is a time such as 60s, 5m or 1h: found 'soon'"),
        ({"value_range": (0, np.nan)}, "value_range is 2 values, each a number"),
        ({"value_range": 3}, "value_range is 2 values, each a number: found 3"),
        ({"volume": 1}, "volume is True or False: found 1"),
        (
            {"precision": "flaot32"},
            "precision is one of auto, float32, bfloat16: found 'flaot32'; did you mean float32?",
        ),
        ({"recipe": 3}, "recipe is the name of a recipe, or a Recipe: found 3"),
        ({"mask_marks": "mising"}, "mask_marks is one of auto, known, missing: found 'mising'; did you mean missing?"),
        ({"keep_known": "yes"}, "keep_known is True or False: found 'yes'"),
    ],
)
def test_impossible_options_are_refused_in_a_sentence(picture, mask, given, message):
    with pytest.raises(SettingError) as caught:
        untaught.inpaint(picture, mask, **{**FILL, **given})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_settings_survive_a_record():
    for task in TASKS.values():
        given = {option.name: "2" for option in task.own_options if option.required}
        (settings,) = build(given, task.settings)
        values = plain(settings)
        assert build(values, task.settings) == [settings]


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_help_in_python_lists_every_option_once(task):
    text = inspect.getdoc(task.function)
    for option in (*task.own_options, *task.common_options):
        assert len(re.findall(rf"^    {option.name}: ", text, re.MULTILINE)) == 1, option.name
    assert text.index("Options:") < text.index("Returns:") < text.index("Raises:")
    for option in (*task.own_options, *list_options(FitOptions)):
        assert option.about
        assert not option.about.endswith(".")


def test_typed_signatures_are_up_to_date():
    written = Path(untaught.__file__).with_name("tasks") / "signatures.py"
    assert written.read_text(encoding="utf-8") == signatures(), "python -m untaught.tasks.write_signatures"


SCRIPT = """
import numpy as np
import torch
import untaught

x = np.zeros((16, 16), np.uint8)
m = np.ones((16, 16), bool)
result: untaught.Restoration = untaught.inpaint(x, m, iterations=5, time_budget="60s", keep_known=False)
untaught.restore(x, iterations=np.int32(4), seed=np.int64(3), device=torch.device("cpu"), value_range=(0, 255.0))
untaught.denoise(torch.rand(1, 3, 16, 16), noise=np.float32(5), recipe=untaught.RECIPES["denoise"]["fast"])
untaught.deblur(x, blur="disk", radius=2)
untaught.upscale(x, 2, kernel="area")
untaught.activate(torch.nn.Identity(), "", 1, mean=(0, 0, 0), runs=2)
"""
WRONG = {
    "untaught.inpaint(x, m, iteratoins=5)": "iteratoins",
    'untaught.inpaint(x, m, iterations="many")': "iterations",
    "untaught.inpaint(x)": "mask",
    'untaught.denoise(x, kind="gausian")': "kind",
    "untaught.demosaic(x, noise=5)": "noise",
}


@pytest.mark.slow
def test_a_type_checker_knows_the_options(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "right.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text("\n".join([SCRIPT, *WRONG]) + "\n")
    source = str(Path(untaught.__file__).parents[1])
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "right.py", "wrong.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MYPYPATH": source}, capture_output=True, text=True, check=False
    )
    found = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert not [line for line in found if not line.startswith("wrong.py")], done.stdout
    first = len(SCRIPT.splitlines()) + 2
    for number, word in enumerate(WRONG.values(), first):
        assert any(line.startswith(f"wrong.py:{number}:") and word in line for line in found), (number, word, found)
    assert len({line.split(":")[1] for line in found}) == len(WRONG), found
