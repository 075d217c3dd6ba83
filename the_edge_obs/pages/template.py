"""Render a page: a template, a style and a script become one file, in which data from a log stays data."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from ..text import printable, printable_json

_HERE: Final = Path(__file__).parent  # base.html, with the head of every page


def render_page(folder: Path, name: str, parts: tuple[str, ...] = (), **values: Any) -> Iterator[str]:
    """Yield the text of a page, piece by piece.

    The page's template extends ``base.html``, which holds the head, the style and the script. The head sets a
    Content-Security-Policy (https://www.w3.org/TR/CSP3/) of ``default-src 'none'`` that allows only that style and that script,
    by their hashes. Values are escaped, and invisible characters are shown as on a terminal; data goes through ``|tojson``.

    The style and the script are made of several files: those of the parts, and those of the page. The scripts share one scope.

    Args:
        folder: Where the page's files are: ``name.html`` (Jinja2), ``name.css`` and ``name.js``.
        name: Their name without the suffix.
        parts: Scripts and styles in this folder, without the suffix, in the order in which the scripts run, after ``common``.
            Default: none.
        values: The other variables of the template.
    """
    yield from _template(folder, name, parts).generate(**values)


@lru_cache(maxsize=8)  # a folder of 10,000 runs has as many pages
def _template(folder: Path, name: str, parts: tuple[str, ...]) -> Template:
    files = [*(_HERE / part for part in ("common", *parts)), folder / name]
    style, script = (_joined(path.with_name(f"{path.name}.{kind}") for path in files) for kind in ("css", "js"))
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    environment = Environment(loader=FileSystemLoader([folder, _HERE]), autoescape=True, finalize=_visible)
    environment.policies["json.dumps_function"] = _data
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    common = {"style": Markup(style), "script": Markup(script), "policy": Markup(policy)}
    return environment.get_template(f"{name}.html", globals=common)


def _joined(paths: Iterable[Path]) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())


def _visible(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # style and script are Markup, as are escaped texts


def _data(value: Any, **_: Any) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"
