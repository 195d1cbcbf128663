"""The documentation site: `make docs` builds it into build/docs, from the checkout and without the network."""

import inspect
import re
from pathlib import Path

import untaught

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
EXAMPLES.mkdir(exist_ok=True)
for notebook in HERE.parent.glob("examples/*.ipynb"):  # Sphinx reads one folder; git ignores the copies
    text = notebook.read_text(encoding="utf-8").replace("](../docs/", "](../")
    (EXAMPLES / notebook.name).write_text(text, encoding="utf-8")

project = "untaught"
author = "the untaught developers"
release = untaught.__version__
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_templates"]
templates_path = ["_templates"]

myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # a test runs the notebooks
highlight_language = "none"
default_role = "py:obj"
python_maximum_signature_line_length = 90
autodoc_typehints_format = "short"
napoleon_use_ivar = True
napoleon_custom_sections = [("Options", "params_style")]

html_theme = "furo"
html_title = f"untaught {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False


def contents(index: str) -> str:
    """The lists of links of the first page as the site's navigation."""
    parts = [index]
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        pages = re.findall(r"^\* \[[^]]+\]\(([^)#]+)\.(?:md|ipynb)\)", section, flags=re.MULTILINE)
        if pages:
            caption = section.splitlines()[0]
            parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]))
    return "\n\n".join(parts)


def as_on_the_site(app, name, source):  # noqa: ARG001, D103
    text = source[0].replace("](../examples/", "](examples/").replace("](../../examples/", "](../examples/")
    source[0] = contents(text) if name == "index" else text


def without_bounds(app, what, name, thing, options, signature, returns):  # noqa: ARG001
    """Leave out the types of settings that carry bounds and help: their fields are listed below, with types."""
    if "Annotated[" not in (signature or ""):
        return None
    shown = inspect.signature(thing)
    plain = [one.replace(annotation=one.empty) for one in shown.parameters.values()]
    return str(shown.replace(parameters=plain, return_annotation=shown.empty)), ""


def setup(app):  # noqa: D103
    app.connect("autodoc-process-signature", without_bounds)
    app.connect("source-read", as_on_the_site)
