"""The Python examples of the README and of docs/tasks.md run as they stand there, with the recipe of a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(code, tiny, monkeypatch, capsys):
    from untaught.tasks import preparation

    monkeypatch.setattr(preparation, "find_recipe", lambda *_: tiny)
    exec(compile(code, "README.md", "exec"), {})
    if "print" in code:
        assert capsys.readouterr().out.startswith("(256, 256, 3) uint8")


TASKS_PAGE = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tasks.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", TASKS_PAGE, ids=range(len(TASKS_PAGE)))
def test_example_of_the_tasks(code, tiny, monkeypatch):
    from untaught.tasks import preparation

    monkeypatch.setattr(preparation, "find_recipe", lambda *_: tiny)
    names: dict[str, object] = {}
    exec(compile(code, "docs/tasks.md", "exec"), names)
    if "last" in names:
        assert names["last"].average.shape == (1, 3, 32, 32)
