"""The Python examples of the README run as they stand there, with the recipe of a test."""

import re
from pathlib import Path

import pytest

from untaught import recipes

ROOT = Path(__file__).parent.parent
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(code, tiny, monkeypatch, capsys):
    from untaught import tasks

    monkeypatch.setattr(tasks, "find_recipe", lambda *_: tiny)
    assert recipes.DEFAULT == "balanced"
    exec(compile(code, "README.md", "exec"), {})
    if "print" in code:
        assert capsys.readouterr().out.startswith("(256, 256, 3) uint8")
