"""The house keeps its shape: imports point downwards, without a cycle; nothing heavy is loaded before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import untaught

SOURCE = Path(untaught.__file__).parent

# Each package may import those before it. An import inside a function, under TYPE_CHECKING or by importlib counts too.
FLOORS = [
    "errors",
    "settings",
    "imaging",
    "physics",
    "priors",
    "backend",
    "fitting",
    "recipes",
    "tasks",
    "studio",
    "cli",
]
LONGEST = 400


def module_name(path: Path) -> str:
    parts = ["untaught", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imported_by(name: str) -> set[str]:
    """The modules of the project that a module imports, anywhere in it."""
    path, found = MODULES[name], set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            package = name if path.stem == "__init__" else name.rpartition(".")[0]
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*up, node.module] if node.module else up) if node.level else node.module or ""
            names = [
                next((one for one in (f"{base}.{alias.name}", base) if one in MODULES), "") for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            # A name that is put together at run time hides what is imported.
            assert isinstance(node.args[0], ast.Constant) or name in DYNAMIC, f"{name} imports what cannot be read here"
            names = [node.args[0].value] if isinstance(node.args[0], ast.Constant) else []
        found |= {one for one in names if one in MODULES}
    return found - {"untaught", name}


# What a user names is imported by that name, and the tasks are found in their folder.
DYNAMIC = {"untaught.physics.features", "untaught.tasks.registry"}

# Still to be turned round.
PENDING = {
    "untaught.errors",
    "untaught.fitting.memory",
    "untaught.fitting.run",
    "untaught.imaging.inspection",
    "untaught.imaging.pictures",
    "untaught.priors.encoder_decoder",
    "untaught.priors.inputs",
    "untaught.studio.sandbox",
}
IMPORTS = {name: imported_by(name) for name in MODULES}


def floor(name: str) -> int:
    return FLOORS.index(name.split(".")[1])


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ("untaught", "untaught.__main__", *PENDING)])
def test_imports_point_downwards(name):
    for other in IMPORTS[name]:
        if other.split(".")[1] != name.split(".")[1]:
            assert floor(other) < floor(name), f"{name} imports {other}"


@pytest.mark.skipif(bool(PENDING), reason="pending")
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


@pytest.mark.skipif(bool(PENDING), reason="pending")
@pytest.mark.parametrize("name", MODULES)
def test_a_long_module_says_why(name):
    lines = MODULES[name].read_text().splitlines()
    assert len(lines) <= LONGEST or any("This module is long because" in line for line in lines[:30]), len(lines)


def test_every_public_name_is_there():
    for name in untaught.__all__:
        assert getattr(untaught, name).__doc__ or name == "RECIPES", name


@pytest.mark.parametrize("module", ["untaught", "untaught.cli"])
def test_nothing_heavy_is_imported_before_it_is_used(module):
    code = f"import {module}, sys; print([m for m in ('torch', 'numpy', 'skimage', 'PIL', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
