"""The documentation as a site: ``nox -s docs`` builds it."""

from __future__ import annotations

import re
import runpy
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import api_index  # noqa: E402 - it lies beside this file

_setup = runpy.run_path(str(DOCS.parent / "setup.py"))
SOURCE = _setup["source_url"]()

project = "the_edge_obs"
author = "The Edge Agent contributors"
copyright = author  # noqa: A001 - Sphinx's name
release = version = version_of("the_edge_obs")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "images"]
myst_heading_anchors = 4  # the anchors that GitHub gives headings
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
toc_object_entries = False  # each name has a heading already

# The build needs no network, so names of other packages lead nowhere; those of this package must exist.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!the_edge_obs\.).*"),
    (r"py:.*", r".*\.[A-Z]"),  # type variables
    (
        r"py:.*",
        r".*\.(Aligned|Asking|Call|FlowFacts|FlowState|Guard|KeyClasses|LineFilter|Outcome|Site)",
    ),  # what own modules hand each other
]
suppress_warnings = ["misc.highlighting_failure"]  # DuckDB's SQL has braces

html_theme = "furo"
html_title = f"the_edge_obs {release}"
html_theme_options = {"source_repository": SOURCE, "source_branch": "main", "source_directory": "docs/"}


# Files of the repository's root that the site has as pages of their own.
PAGES = {"CHANGELOG.md": "changelog", "CONTRIBUTING.md": "contributing", "SECURITY.md": "security"}


def _prepare(app: Any, name: str, source: list[str]) -> None:
    """Put the docstrings into the reference, files of the root in their pages' place, and links where they lead on the site."""
    text = api_index.expanded(source[0]) if name == "api" else source[0]
    for file, page in PAGES.items():
        if name == page:
            text = re.sub(r"\]\((?![a-z]+:|#)", "](../", (DOCS.parent / file).read_text(encoding="utf-8"))
    source[0] = re.sub(r"\]\(\.\./([^)\s#]+)", lambda link: f"]({_on_site(link[1])}", text)


def _on_site(path: str) -> str:
    """Return where a file of the repository is: a page of the site, or on GitHub."""
    if path in PAGES:
        return f"{PAGES[path]}.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{SOURCE}/blob/main/{path}"


def _signature(
    app: Any, kind: str, name: str, value: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, None] | None:
    """Show no parameters of a class that users do not make."""
    return ("", None) if kind in ("class", "exception") and api_index.signature(value, "") == "" else None


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", _prepare)
    app.connect("autodoc-process-signature", _signature)
