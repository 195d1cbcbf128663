"""The sentences of the page stand in one file, so that they can be translated."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import untaught

STATIC = Path(untaught.__file__).parent / "studio" / "static"
KEYS = set(re.findall(r'^  "([^"]+)":', (STATIC / "strings.js").read_text(encoding="utf-8"), re.MULTILINE))
CODE = sorted(path for path in STATIC.glob("*.js") if path.name != "strings.js")
# Names of keys and of events, which are no words of the page.
NAMES = re.compile(
    r"Arrow\w+|Enter|Home|End|Escape|Shift|Alt|Control|Tab|Delete|Ctrl [A-Z]|Ctrl Shift [A-Z]"
    r"|GET|POST|PUT|DELETE|Infinity"
)


def literals(text):
    """The strings of JavaScript, without comments; of templates, what is outside ${}."""
    text = re.sub(r"^\s*//.*$|\s//\s.*$", "", text, flags=re.MULTILINE)
    for found in re.finditer(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`', text):
        yield re.sub(r"\$\{[^}]*\}", "", found[1] if found[1] is not None else found[2])


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_sentence_stands_in_the_code(path):
    for literal in literals(path.read_text(encoding="utf-8")):
        words = re.findall(r"[^\W\d_]{2,}", literal)
        if NAMES.fullmatch(literal) or re.search(r"[#.\[\]/=:<>(]|^\w+-", literal):
            continue  # a name, a selector or an address
        assert not re.match(r"\s*[A-Z][a-z]+", literal), literal
        assert len(words) < 3 or "," in literal or literal.startswith("button"), literal


def test_no_sentence_stands_in_the_page():
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    brand = re.sub(r"<(a class=\"brand\".*?</a|code>untaught studio</code)>", "", html, flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>|<!--.*?-->", "", brand, flags=re.DOTALL)
    assert re.findall(r"[^\W\d_]{2,}", shown) == []
    assert re.findall(r'\s(?:title|aria-label|placeholder|alt)="[^"]+"', html) == []


ADVICE = {
    "say missing_value=0, --missing-value 0, if they are": "say “Values that stand for nothing” 0, if they are",
    "the radius of a named blur: radius=..., or --radius": "the radius of a named blur: “Reach of the blur, in pixels”",
    "and keep_known=False leaves none": "and “Keep what is not marked as it is” leaves none",
    "allow it by --overwrite": "allow it by --overwrite",
    "WebP can be read, and more: docs/reference/files.md; convert it": "WebP can be read; convert it",
}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_advice_names_the_fields_of_the_page():
    code = "import { plain } from './words.js'; console.log(JSON.stringify(JSON.parse(process.argv[1]).map(plain)));"
    words = ["node", "--input-type=module", "-e", code, json.dumps(list(ADVICE))]
    done = subprocess.run(words, cwd=STATIC, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == list(ADVICE.values())


def test_every_key_is_there_and_every_sentence_is_used():
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in CODE)
    used = set(re.findall(r'data-(?:text|label|tip)="([^"]+)"', html))
    used |= {literal for literal in re.findall(r'"([\w.-]+)"', code) if literal in KEYS}
    asked = set(re.findall(r'say\("([\w.-]+)"', code))
    assert (used | asked) - KEYS == set()
    # Such as say(`state.${state}`).
    made = {
        re.sub(r"\$\{[^}]*\}", r"[\\w -]+", one) for one in re.findall(r"`([a-z]+\.(?:[\w.-]|\$\{[^}]*\})+)`", code)
    }
    assert [key for key in KEYS - used if not any(re.fullmatch(one, key) for one in made)] == []
