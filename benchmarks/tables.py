"""Puts measured tables into the pages of docs/, between markers, so that text and figures cannot drift apart."""

from __future__ import annotations

from pathlib import Path


def replace_table(page: Path, name: str, table: str) -> None:
    """Replace what stands between ``<!-- table: NAME -->`` and ``<!-- end -->``."""
    text = page.read_text(encoding="utf-8")
    start = f"<!-- table: {name} -->"
    head, found, rest = text.partition(start)
    if not found:
        raise SystemExit(f"{page} has no marker {start}")
    _, _, tail = rest.partition("<!-- end -->")
    page.write_text(f"{head}{start}\n{table}\n<!-- end -->{tail}", encoding="utf-8")
