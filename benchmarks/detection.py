"""How well damage is found: `python -m benchmarks.detection DATA [--write]`.

Protocol. Each picture of `benchmarks.detection_cases` is damaged in several ways and colours, and a mask is proposed at
strength 0.5, of any kind. Precision: the share of marked pixels that are damage or touch it. Recall: the share of
damaged pixels that are marked. The former detector, a top-hat transform and one threshold for the whole picture, stands
beside it. Clean pictures: the share that is marked. Pictures named "new" were not looked at before the last run.

``--write`` writes docs/figures/detection.json and the tables of docs/lab-notes/detection.md; ``--masks FOLDER`` writes
pictures with marks in red.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from benchmarks.detection_cases import FITTED, PICTURES, damage, new_pictures, picture
from benchmarks.reference import DOCS
from benchmarks.tables import replace_table
from untaught.imaging.detection.proposal import propose

RESULTS = DOCS / "figures/detection.json"
PAGE = DOCS / "lab-notes/detection.md"
SQUARE = np.ones((3, 3))

Row = dict[str, Any]
Mask = NDArray[np.bool_]


def tophat(pixels: NDArray[np.uint8]) -> Mask:
    """The former detector: True where a picture is known."""
    values = np.atleast_3d(pixels)[..., :3].astype(np.float32)
    values = (values - values.min()) / (float(np.ptp(values)) or 1.0)
    gray, size = values.mean(2), (9, 9)
    responses = [
        ndimage.black_tophat(gray, size),
        ndimage.white_tophat(gray, size),
        ndimage.white_tophat(np.ptp(values, axis=2), size),
    ]
    response = max(responses, key=lambda one: float(np.quantile(one, 0.995)))
    middle = float(np.median(response))
    threshold = max(0.05, middle + 8 * 1.4826 * float(np.median(np.abs(response - middle))), 0.6 * 0.5**1.5)
    labels, count = ndimage.label(response > threshold / 2, structure=SQUARE)
    sizes, peaks = np.bincount(labels.ravel(), minlength=count + 1), np.zeros(count + 1)
    peaks[1:] = ndimage.maximum(response, labels, np.arange(1, count + 1))
    certain = ((peaks > threshold) & (sizes >= 12)) | ((peaks > 2.5 * threshold) & (sizes >= 4))
    certain[0] = False
    known: Mask = ~ndimage.binary_dilation(certain[labels], structure=SQUARE)
    return known


def figures(found: Mask, known: Mask) -> tuple[float | None, float]:
    """Precision, None if nothing is marked, and recall."""
    marked, near = ~found, ndimage.binary_dilation(~known, SQUARE)
    precision = round(float(near[marked].mean()), 3) if marked.any() else None
    return precision, round(float(marked[~known].mean()), 3)


def measure(data: Path, masks: Path | None) -> Iterator[Row]:
    for name, (kind, _) in PICTURES.items():
        pixels = picture(name, data)
        group = {"picture": name, "of": kind, "group": "fitted" if name in FITTED else "held out"}
        yield {**group, "damage": "none", **clean(pixels)}
        for case in damage(name, pixels, data):
            found = propose(case.pixels)
            row: Row = {**group, "damage": case.kind, "colour": case.colour}
            row["precision"], row["recall"] = figures(found.known, case.known)
            row["old precision"], row["old recall"] = figures(tophat(case.pixels), case.known)
            yield row
            if masks is not None:
                draw(masks / f"{name}-{case.kind}-{case.colour}.png".replace(", ", "-"), case.pixels, found.known)
        if masks is not None:
            draw(masks / f"{name}.png", pixels, propose(pixels).known)
    for name, pixels in new_pictures(data):
        yield {"picture": name, "of": "", "group": "new", "damage": "none", **clean(pixels)}
        if masks is not None:
            draw(masks / f"new-{name}.png", pixels, propose(pixels).known)


def clean(pixels: NDArray[np.uint8]) -> Row:
    started = time.process_time()
    found = propose(pixels)
    seconds = time.process_time() - started
    return {
        "marked": round(found.marked, 5),
        "old marked": round(float(1 - tophat(pixels).mean()), 4),
        "megapixels": round(found.known.size / 1e6, 2),
        "seconds": round(seconds, 2),
    }


def draw(path: Path, pixels: NDArray[np.uint8], known: Mask) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = np.array(Image.fromarray(pixels).convert("RGB"))
    marked = np.where(known[..., None], plain, np.array([255, 0, 0], np.uint8))
    Image.fromarray(np.concatenate([plain, marked], 1)).save(path)


def damage_table(rows: list[Row]) -> str:
    lines = [
        "| damage | colour | former detector: precision | recall | fitted: precision | recall | found | held out: "
        "precision | recall | found |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, colour in dict.fromkeys((row["damage"], row["colour"]) for row in rows if row["damage"] != "none"):
        own = [row for row in rows if row["damage"] == kind and row["colour"] == colour]
        cells = [average(own, "old precision"), average(own, "old recall")]
        for group in ("fitted", "held out"):
            some = [row for row in own if row["group"] == group]
            seen = sum(row["precision"] is not None for row in some)
            cells += [average(some, "precision"), average(some, "recall"), f"{seen} of {len(some)}"]
        lines.append(f"| {kind} | {colour} | {' | '.join(cells)} |")
    return "\n".join(lines)


def kind_table(rows: list[Row]) -> str:
    lines = [
        "| pictures | former detector: precision | recall | precision | recall |",
        "| --- | --- | --- | --- | --- |",
    ]
    names = ("old precision", "old recall", "precision", "recall")
    for kind in dict.fromkeys(row["of"] for row in rows if row["group"] == "held out"):
        own = [row for row in rows if row["of"] == kind and row["damage"] != "none" and row["group"] == "held out"]
        lines.append(f"| {kind} | {' | '.join(average(own, name) for name in names)} |")
    return "\n".join(lines)


def average(rows: list[Row], name: str) -> str:
    found = [row[name] for row in rows if row[name] is not None]
    return f"{mean(found):.2f}" if found else "-"


def clean_table(rows: list[Row]) -> str:
    lines = [
        "| picture | weights | former detector | now | megapixels | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['picture']} | {row['group']} | {row['old marked']:.1%} | {row['marked']:.2%} | {row['megapixels']} | "
        f"{row['seconds']} |"
        for row in rows
        if row["damage"] == "none"
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--masks", type=Path)
    options = parser.parse_args()
    rows = list(measure(options.data, options.masks))
    tables = {"damage": damage_table(rows), "kinds": kind_table(rows), "clean": clean_table(rows)}
    print("\n\n".join(tables.values()))
    if options.write:
        RESULTS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")
        for name, table in tables.items():
            replace_table(PAGE, name, table)


if __name__ == "__main__":
    main()
