"""The imports between the packages, drawn, and the lines of each: `python -m benchmarks.imports [FIGURE.svg]`.

An import inside a function, under TYPE_CHECKING or by importlib counts as much as one at the top.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from pathlib import Path

import untaught

SOURCE = Path(untaught.__file__).parent
FLOORS = (
    "errors",
    "settings",
    "processes",
    "kernels",
    "imaging",
    "physics",
    "priors",
    "backend",
    "fitting",
    "recipes",
    "tasks",
    "notebook",
    "interop",
    "batches",
    "films",
    "studio",
    "cli",
)
"""Each package may import those before it."""

DYNAMIC = {
    "untaught.batches.clusters",
    "untaught.imaging.formats.registry",
    "untaught.physics.features",
    "untaught.tasks.registry",
    "untaught.tasks.preparation",
}
"""Modules that import by a name that is put together at run time: a user's model, what is in a folder, a library."""


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = ["untaught", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def package(name: str) -> str:
    """The package of a module, or the module itself where it stands at the root."""
    return name.split(".")[1]


def imported_by(name: str) -> set[str]:
    """The modules of the project that a module imports, anywhere in it."""
    path, found = MODULES[name], set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            up = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
            base = ".".join(up[: len(up) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (base, node.module or "") if part)
            full = [f"{base}.{alias.name}" for alias in node.names]
            names = [one if one in MODULES else base for one in full]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__", "attach", "attach_stub"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                names = [str(first.value)]
            elif name not in DYNAMIC and _called(node) in ("import_module", "__import__"):
                raise ValueError(f"{name} imports a name that cannot be read here")
        found |= {one for one in names if one in MODULES}
    return found - {"untaught", name}


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def between_packages() -> Counter[tuple[str, str]]:
    """How many modules of one package import from another: (importing, imported)."""
    return Counter(
        (package(name), package(other))
        for name in MODULES
        if name not in ("untaught", "untaught.__main__")
        for other in imported_by(name)
        if package(name) != package(other)
    )


def lines() -> Counter[str]:
    """Lines of Python in each package."""
    counted: Counter[str] = Counter()
    for name, path in MODULES.items():
        counted[package(name) if "." in name else "untaught"] += len(path.read_text(encoding="utf-8").splitlines())
    return counted


def draw(figure: Path) -> None:
    """Draw the packages as floors, the lowest at the bottom, and an arrow for each import between two."""
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.use("Agg")
    edges, sizes = between_packages(), lines()
    canvas, axes = pyplot.subplots(figsize=(8, 9))
    place = {name: (0.35 * (number % 2), number) for number, name in enumerate(FLOORS)}
    for (upper, lower), count in sorted(edges.items()):
        (x0, y0), (x1, y1) = place[upper], place[lower]
        bend = 0.12 * (abs(y0 - y1) - 1) + 0.1
        style = {"arrowstyle": "-|>", "color": "0.55" if y1 < y0 else "red", "lw": 0.5 + 0.15 * min(count, 12)}
        axes.annotate(
            "",
            xy=(x1 + 0.5, y1 + 0.34),
            xytext=(x0 + 0.5, y0 - 0.34),
            arrowprops={**style, "connectionstyle": f"arc3,rad={bend if (y0 + y1) % 2 else -bend}"},
        )
    for name, (x, y) in place.items():
        label = f"{name}\n{sizes[name]} lines"
        axes.text(x + 0.5, y, label, ha="center", va="center", bbox={"boxstyle": "round", "fc": "white", "ec": "0.2"})
    axes.set_xlim(-0.6, 1.9)
    axes.set_ylim(-0.6, len(FLOORS) - 0.4)
    axes.set_axis_off()
    axes.set_title("Imports between the packages: every arrow points down")
    canvas.savefig(figure, bbox_inches="tight")


def main() -> int:
    """Print the table of lines and imports, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("figure", type=Path, nargs="?", default=Path("docs/figures/imports.svg"))
    options = parser.parse_args()
    edges, sizes = between_packages(), lines()
    print("| package | lines | imports |\n| --- | --- | --- |")
    for name in reversed(FLOORS):
        print(
            f"| {name} | {sizes[name]} | {', '.join(low for (up, low) in sorted(edges) if up == name) or 'nothing'} |"
        )
    print(f"\n{sum(sizes.values())} lines in {len(MODULES)} modules")
    draw(options.figure)
    return 1 if any(FLOORS.index(low) >= FLOORS.index(up) for up, low in edges) else 0


if __name__ == "__main__":
    sys.exit(main())
