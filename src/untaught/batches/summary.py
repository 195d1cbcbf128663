"""The summary of a batch: a table for other programs, and a page with the pictures before and after."""

from __future__ import annotations

import base64
import csv
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from untaught.batches.items import Item
from untaught.batches.ledger import Row, Stage
from untaught.errors import UntaughtError
from untaught.imaging.addresses import named
from untaught.imaging.files import make_folder, write_text

__all__ = ["write_summary"]

_SIDE = 240
_MOST_SHOWN = 200
"""So many pictures are on the page, the worst first; the table has all."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }
figure { display: inline-block; margin: 0 1.5rem 1.5rem 0; vertical-align: top; max-width: 500px }
figure img { max-width: 240px; max-height: 240px } figcaption { overflow-wrap: anywhere }
.failed figcaption { color: #a00 }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } .failed figcaption { color: #f88 } }
"""


def write_summary(rows: Sequence[Row], items: Mapping[str, Item], folder: Path) -> None:
    """Write summary.csv and summary.html into a folder.

    Args:
        rows: what has become of each picture.
        items: the pictures, by name.
        folder: of the results.
    """
    make_folder(folder)
    write_text(folder / "summary.csv", _table(rows, items))
    write_text(folder / "summary.html", _page(rows, items))


def _table(rows: Sequence[Row], items: Mapping[str, Item]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "result", "stage", "seconds", "iterations", "expected_psnr", "error", "notes"])
    for row in rows:
        facts = row.facts
        figures = [facts.get(name, "") for name in ("seconds", "iterations", "expected_psnr", "error")]
        notes = "; ".join(facts.get("notes", ()))
        writer.writerow([named(items[row.name].files["picture"]), row.name, row.stage, *figures, notes])
    return text.getvalue()


def _page(rows: Sequence[Row], items: Mapping[str, Item]) -> str:
    counts = {stage: sum(row.stage is stage for row in rows) for stage in Stage}
    said = ", ".join(f"{count} {stage}" for stage, count in counts.items() if count)
    shown = sorted(rows, key=_worst_first)[:_MOST_SHOWN]
    more = f"<p>The {len(shown)} that want a look most; all are in summary.csv.</p>" if len(shown) < len(rows) else ""
    figures = "\n".join(_figure(row, items[row.name]) for row in shown)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(said)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(said)}</h1>{more}\n{figures}\n</html>\n"
    )


def _worst_first(row: Row) -> tuple[int, float]:
    expected = row.facts.get("expected_psnr")
    order = {Stage.FAILED: 0, Stage.DONE: 1}.get(row.stage, 2)
    return order, float("inf") if expected is None else float(expected)


def _figure(row: Row, item: Item) -> str:
    facts, pictures = row.facts, ""
    if row.stage is Stage.DONE:
        pictures = "".join(
            f'<img alt="{alt}" src="{_small(path)}">'
            for alt, path in (("before", item.files["picture"]), ("after", item.output))
        )
    said = [row.name, str(row.stage)]
    if facts.get("expected_psnr") is not None:
        said.append(f"expect {facts['expected_psnr']:.1f} dB")
    if "seconds" in facts:
        said.append(f"{facts['seconds']:.0f} s")
    said += [facts["error"]] if "error" in facts else list(facts.get("notes", ()))
    caption = html.escape(" · ".join(said))
    return f'<figure class="{row.stage}">{pictures}<figcaption>{caption}</figcaption></figure>'


def _small(path: Path) -> str:
    """A small JPEG of a picture, as an address; nothing for one that cannot be read any more."""
    from PIL import Image

    from untaught.imaging import reading
    from untaught.imaging.arrays import in_unit_range
    from untaught.imaging.ranges import stated_range

    try:
        picture = reading.read(path)
        pixels = np.asarray(picture.middle().pixels)
        low, high = stated_range(pixels, picture.levels)
    except UntaughtError:
        return "data:,"
    step = max(1, max(pixels.shape[:2]) // (2 * _SIDE))
    values = in_unit_range(pixels[::step, ::step], (low, high))
    values = values[..., :3] if values.shape[-1] >= 3 else values[..., 0]
    image = Image.fromarray((np.nan_to_num(values).clip(0, 1) * 255).astype(np.uint8))
    image.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
