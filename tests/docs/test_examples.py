"""The docs are true: their Python examples run, their commands exist, their links and figures are there."""

import re
import shlex
from pathlib import Path

import pytest

from untaught.cli.app import commands as all_commands

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def named(path):
    return str(path.relative_to(ROOT))


def examples():
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        # The examples of a page continue each other.
        if blocks:
            # Those of the gallery are of a size to be looked at.
            marks = [pytest.mark.slow] if page.name == "gallery.md" else []
            yield pytest.param(page, blocks, id=named(page), marks=marks)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("page", "blocks"), list(examples()))
def test_the_examples_of_a_page_run(page, blocks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    for block in blocks:
        exec(compile(block, named(page), "exec"), names)
        expected = re.findall(r"^print\(.*\)  # (.+)$", block, re.MULTILINE)
        printed = capsys.readouterr().out.splitlines()
        assert [line for line in expected if line not in printed] == []


def commands():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        blocks = [block for language, block in fenced if not language]
        blocks += re.findall(r"^    (untaught .*)$", text, re.MULTILINE)
        for line in "\n".join(blocks).splitlines():
            if line.startswith("untaught "):
                yield pytest.param(shlex.split(line, comments=True)[1:], id=f"{named(page)}: {line}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_of_the_docs_exists(words):
    command = all_commands(words)[words[0]]
    flags = {
        flag
        for group in command.groups().values()
        for option in group
        for flag in (option.flag, *option.usage.names, option.usage.negative)
    }
    used = {word for word in words[1:] if re.match(r"--?[a-z]", word)}
    assert used <= flags | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_and_figures_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text)
    for link in (one or other for one, other in links):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, link


def test_every_page_can_be_reached():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if "docs" in page.parts} - {"index.md"}
    assert pages <= set(re.findall(r"\]\(([^)#\s]+)", index))


def test_paths_of_the_code_in_the_docs_exist():
    for page in PAGES:
        for name in re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?|[a-z_]+\.py)`", page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists() or (ROOT / "src/untaught" / name).exists(), f"{named(page)} names {name}"


def test_paths_of_the_docs_in_the_code_exist():
    for folder in ("src", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
                assert (ROOT / name).exists(), f"{named(path)} names {name}"
