"""The notebooks: their code runs, and they are what was made of it."""

import sys
import types
from pathlib import Path

import matplotlib as mpl
import nbformat
import pytest
from benchmarks.notebooks import EXAMPLES, notebook
from matplotlib import pyplot

SOURCES = sorted(EXAMPLES.glob("*.py"))
PAGES = Path(__file__).parent.parent.parent / "docs/index.md"


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_its_code_runs(path, monkeypatch):
    monkeypatch.setenv("EXAMPLE_SIZE", "16")
    monkeypatch.delenv("PICTURES", raising=False)
    mpl.use("Agg")
    # What a notebook defines is found by its module's name, as when it is copied between processes.
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), vars(module))
    pyplot.close("all")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_it_is_made_of_the_code_and_was_run(path):
    kept, made = nbformat.read(path.with_suffix(".ipynb"), as_version=4), notebook(path)
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.cell_type, cell.source) for cell in made.cells
    ], "run python -m benchmarks.notebooks"
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert kinds
    assert "error" not in kinds
    assert path.with_suffix(".ipynb").stat().st_size < 600_000


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_it_is_in_the_navigation(path):
    assert f"](../examples/{path.stem}.ipynb)" in PAGES.read_text(encoding="utf-8")
