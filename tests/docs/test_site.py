"""The site: it is built without a warning, and its pages need nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SITE = ROOT / "build/docs"
ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc(?:set)?=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|(?:url\(|@import\s)["']?(?:https?:)?//[^"')\s]+"""
    r"""|\b(?:import|fetch|importScripts)\(["'](?:https?:)?//[^"')]+"""
)


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/a.js">',
        "<link rel=stylesheet href=//fonts.example/css>",
        "@font-face { src: url(https://fonts.example/a.woff) }",
        '@import "https://fonts.example/a.css"',
        '<img alt="x" src="http://example.org/a.png">',
    ],
)
def test_what_comes_from_elsewhere_is_seen(text):
    assert ELSEWHERE.search(text)


def test_a_link_to_elsewhere_is_no_part_of_the_page():
    assert not ELSEWHERE.search('<a class="reference" href="https://arxiv.org/abs/1711.10925">paper</a>')


@pytest.fixture(scope="module")
def site():
    """Built as `make docs` does; only what has changed since the last time."""
    words = ["-m", "sphinx", "-q", "-W", "--keep-going", "-d", "build/doctrees", "docs", "build/docs"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return SITE


@pytest.mark.slow
def test_the_pages_need_nothing_from_elsewhere(site):
    pages = [path for path in site.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]
    assert len(pages) > 100
    found = {str(path): ELSEWHERE.findall(path.read_text(encoding="utf-8")) for path in pages}
    assert {path: one for path, one in found.items() if one} == {}


@pytest.mark.slow
def test_every_page_is_in_the_navigation(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    for source in (ROOT / "docs").rglob("*.md"):
        name = source.relative_to(ROOT / "docs").with_suffix(".html")
        assert f'href="{name}"' in page or name.name == "index.html"
