"""How far a huge picture is: what is kept beside it while it is made, so that one that was killed goes on."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import untaught
from untaught.imaging.addresses import address, elsewhere
from untaught.imaging.files import write_bytes, write_text
from untaught.settings import plain

__all__ = ["Progress", "identity"]


class Progress:
    """How many bands are done, and what the next one needs.

    Args:
        folder: where it is kept, beside the unfinished picture.

    Attributes:
        bands: how many are done, of all planes together.
        tiles: how many are done.
        left: how many of them were left as they are.
        notes: so far, once each.
        edge: the last lines of the last band, which fade into the next; None before the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bands, self.tiles, self.left = 0, 0, 0
        self.notes: dict[str, None] = {}
        self.edge: NDArray[Any] | None = None
        if self.path.exists():
            found = json.loads(self.path.read_text(encoding="utf-8"))
            self.bands, self.tiles, self.left = found["bands"], found["tiles"], found["left"]
            self.notes = dict.fromkeys(found["notes"])
            self.edge = np.load(self._edge(self.bands))

    @property
    def path(self) -> Path:
        """It is there once a band is done."""
        return self.folder / "progress.json"

    def learnt(self, number: int) -> Path:
        """Where is kept what was learnt of a channel, counted from 0."""
        return self.folder / f"learnt-{number}.safetensors"

    def keep(self, edge: NDArray[Any]) -> None:
        """A band more is written: keep that, and how it ends."""
        content = io.BytesIO()
        np.save(content, edge)
        write_bytes(self._edge(self.bands + 1), content.getvalue())
        # The band itself is on the disk before it counts, also where a chunk of it was not waited for.
        if hasattr(os, "sync"):
            os.sync()
        self.bands += 1
        found = {"bands": self.bands, "tiles": self.tiles, "left": self.left, "notes": list(self.notes)}
        write_text(self.path, json.dumps(found))
        self._edge(self.bands - 1).unlink(missing_ok=True)
        self.edge = edge

    def _edge(self, number: int) -> Path:
        return self.folder / f"edge-{number}.npy"


def identity(
    task: str, source: Path, mask: Any, choice: Mapping[str, range], axes: str, options: Mapping[str, Any]
) -> str:
    """A hash of all that the result depends on: the files, by their sizes and times, the settings, and this version."""
    places = {axis: [one.start, one.stop] for axis, one in choice.items()}
    facts = [
        untaught.__version__,
        task,
        _stated(source),
        _stated(mask),
        places,
        axes,
        plain(dict(sorted(options.items()))),
    ]
    return hashlib.sha256(json.dumps(facts, default=repr).encode()).hexdigest()


def _stated(source: Any) -> Any:
    """Names, sizes and times of a file, or of all files of a folder; the content of an array of numpy."""
    if isinstance(source, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(source).data).hexdigest()
    if not isinstance(source, str | os.PathLike):
        return repr(source)
    path = Path(source)
    if elsewhere(path):
        return address(path)
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return [(str(one.relative_to(path)), one.stat().st_size, one.stat().st_mtime_ns) for one in files]
