"""The reference says what the code does: its tables are those that `python -m benchmarks.docs` writes."""

import re

import pytest
from benchmarks.docs import PAGES, tables

import untaught

TABLES = tables()
REFERENCE = {page.name: page.read_text(encoding="utf-8") for page in PAGES.glob("*.md")}


@pytest.mark.parametrize(
    ("page", "name", "table"),
    [pytest.param(page, name, table, id=name) for page, made in TABLES.items() for name, table in made.items()],
)
def test_tables_are_equal_to_the_code(page, name, table):
    assert f"<!-- table: {name} -->\n{table}\n<!-- end -->" in REFERENCE[page.name], "run python -m benchmarks.docs"


def test_no_table_is_left_over():
    written = {(page.name, name) for page, made in TABLES.items() for name in made}
    there = {(page, name) for page, text in REFERENCE.items() for name in re.findall(r"<!-- table: (\S+) -->", text)}
    assert there == written


@pytest.mark.parametrize("name", untaught.__all__)
def test_every_public_name_is_in_the_reference(name):
    assert any(f"`{name}" in text for text in REFERENCE.values())


def test_every_variable_of_the_environment_is_in_the_reference():
    source = "".join(path.read_text(encoding="utf-8") for path in PAGES.parent.parent.glob("src/**/*.py"))
    names = set(re.findall(r"environ[^\n]*\"(UNTAUGHT_[A-Z]+)", source))
    assert names
    for name in names:
        assert f"`{name}`" in REFERENCE["platforms.md"]


def test_each_reported_situation_has_its_test():
    root = PAGES.parent.parent
    page = (root / "docs/lab-notes/cases.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in page.splitlines() if re.match(r"\| \d+\. ", line)]
    source = {path: path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py")}
    of_cases = "".join(text for path, text in source.items() if path.parent.name == "cases")
    assert len(rows) == 10
    named = set()
    for _, situations, siblings in rows:
        for name in re.findall(r"`(test_\w+)`", situations):
            assert f"def {name}(" in of_cases, name
            named.add(re.match(r"test_((?:api_)?\d+)", name)[1])
        for name in re.findall(r"`(test_\w+)`", siblings):
            assert any(f"def {name}(" in text for text in source.values()), name
        for name in re.findall(r"`(\S+\.py)`", siblings):
            assert root / name in source, name
    assert set(re.findall(r"def test_((?:api_)?\d+)_", of_cases)) == named
