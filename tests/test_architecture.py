"""The house keeps its shape: imports point downwards, without a cycle; nothing heavy is loaded before it is used."""

import subprocess
import sys

import pytest
from benchmarks.imports import FLOORS, MODULES, imported_by, package

import untaught

LONGEST = 400
IMPORTS = {name: imported_by(name) for name in MODULES}


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ("untaught", "untaught.__main__")])
def test_imports_point_downwards(name):
    for other in IMPORTS[name]:
        if package(other) != package(name):
            assert FLOORS.index(package(other)) < FLOORS.index(package(name)), f"{name} imports {other}"


def test_there_is_no_cycle():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in IMPORTS[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", MODULES)
def test_a_long_module_says_why(name):
    lines = MODULES[name].read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST or any("This module is long because" in line for line in lines[:30]), len(lines)


@pytest.mark.parametrize("name", [name for name in untaught.__all__ if name.isupper() is False])
def test_every_public_name_is_explained(name):
    assert getattr(untaught, name).__doc__


@pytest.mark.parametrize("module", ["untaught", "untaught.cli"])
def test_nothing_heavy_is_imported_before_it_is_used(module):
    code = f"import {module}, sys; print([m for m in ('torch', 'numpy', 'skimage', 'PIL', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
