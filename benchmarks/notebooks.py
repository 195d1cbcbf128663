"""The notebooks, from the readable examples/*.py: `python -m benchmarks.notebooks [NAME ...]` runs them all, or some.

A notebook keeps its outputs. The environment variable EXAMPLE_SIZE makes the examples small.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent / "examples"


def notebook(path: Path) -> Any:
    """What jupytext makes of an example, with names of cells that are the same each time."""
    import jupytext

    made = jupytext.read(path, fmt="py:percent")
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return made


def run(path: Path) -> None:
    """Execute an example and write it with its outputs."""
    import nbclient
    import nbformat

    made = notebook(path)
    nbclient.NotebookClient(made, timeout=3600, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in made.cells:
        cell["metadata"].pop("execution", None)
    made.metadata["language_info"] = {"name": "python"}
    path.with_suffix(".ipynb").write_text(nbformat.writes(made) + "\n", encoding="utf-8")


def main() -> None:
    """Run the examples that are named, or all."""
    for path in sorted(EXAMPLES.glob("*.py")):
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            run(path)
            print(path.stem, flush=True)


if __name__ == "__main__":
    main()
