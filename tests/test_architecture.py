"""The house keeps its shape: imports point one way, and nothing heavy is loaded before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import untaught

SOURCE = Path(untaught.__file__).parent

FLOORS = [
    {"catalogue", "contracts", "errors", "files", "graphs", "kernels", "windows"},
    {
        "arrays",
        "collaboration",
        "compression",
        "engine",
        "features",
        "inputs",
        "metrics",
        "networks",
        "noise",
        "objectives",
        "operators",
        "optimisers",
        "pictures",
        "recorruption",
        "stopping",
        "thinning",
    },
    {"checkpoint", "comparison", "fitting", "inspection", "memory", "observers", "problems", "recipes"},
    {"jobs"},
    {"baselines", "records", "tasks"},
    {"demo"},
    {"studio"},
    {"cli"},
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
# Rooms of one floor that do know each other, and why.
NEIGHBOURS = {
    ("catalogue", "errors"),
    ("catalogue", "recipes"),  # for type checkers only
    ("contracts", "errors"),
    ("pictures", "compression"),  # one reads the file that says how
    ("recorruption", "thinning"),  # both average by the same Gaussians
    ("recorruption", "inputs"),  # what is mirrored is mirrored back by the loop
    ("memory", "recipes"),  # a recipe is cut down to what there is
    ("errors", "contracts"),  # for type checkers only
    ("fitting", "checkpoint"),  # a snapshot is taken and put back by the loop
}


def rooms_imported_by(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "untaught":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("untaught."):
            names.add(node.module.split(".")[1])
    return names


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_downwards(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    for other in rooms_imported_by(path) - {room}:
        assert FLOOR[other] < FLOOR[room] or (room, other) in NEIGHBOURS, f"{room} imports {other}"


def test_every_public_name_is_there():
    for name in untaught.__all__:
        assert getattr(untaught, name).__doc__ or name == "RECIPES", name


@pytest.mark.parametrize("module", ["untaught", "untaught.cli"])
def test_nothing_heavy_is_imported_before_it_is_used(module):
    code = f"import {module}, sys; print([m for m in ('torch', 'numpy', 'skimage', 'PIL', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
