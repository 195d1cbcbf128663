"""The figures of docs/gallery.md, from its own code: `python -m benchmarks.gallery [NAME ...]`.

Every block of Python on the page runs with the shipped settings and leaves ``before`` and ``after``. A figure is the
two side by side, or one above the other where they are wide, in docs/figures/gallery.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.reference import DOCS

PAGE, FOLDER = DOCS / "gallery.md", DOCS / "figures/gallery"


def shown(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W, 3), 8 bits; floats from 0 to 1, or to their largest value where that is more."""
    eight = picture
    if picture.dtype != np.uint8:
        eight = (np.clip(picture / max(1.0, picture.max()), 0, 1) * 255).round().astype(np.uint8)
    return np.repeat(eight[..., None], 3, -1) if eight.ndim == 2 else eight


def side_by_side(before: NDArray[Any], after: NDArray[Any]) -> Image.Image:
    """Two pictures with a white line between them."""
    pictures = [shown(before), shown(after)]
    axis = 0 if pictures[0].shape[1] > 1.4 * pictures[0].shape[0] else 1
    line = list(pictures[0].shape)
    line[axis] = 8
    return Image.fromarray(np.concatenate([pictures[0], np.full(line, 255, np.uint8), pictures[1]], axis))


def main() -> None:
    """Run the blocks whose figures are named, or all."""
    FOLDER.mkdir(exist_ok=True)
    blocks = re.findall(r"gallery/([\w-]+)\.jpg\)\n\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for name, block in blocks:
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        names: dict[str, Any] = {"__name__": "gallery"}
        exec(compile(block, f"{PAGE}: {name}", "exec"), names)  # noqa: S102
        side_by_side(names["before"], names["after"]).save(FOLDER / f"{name}.jpg", quality=88)
        print(name, flush=True)


if __name__ == "__main__":
    main()
