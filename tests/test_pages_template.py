from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs import pages
from the_edge_obs.pages import render_page

_TEMPLATE = (
    '<meta content="{{ policy }}"><title>{{ title }}</title><style>{{ style }}</style>'
    '<script type="application/json" id="data">{{ data|tojson }}</script><script>{{ script }}</script>'
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(["</script>", "<!--", "<script>", "]]>", "\u2028", "&"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def page(tmp_path: Path, **values: Any) -> str:
    (tmp_path / "x.html").write_text(_TEMPLATE, encoding="utf-8")
    (tmp_path / "x.css").write_text("p { color: red; }\n", encoding="utf-8")
    (tmp_path / "x.js").write_text("let a = 1 < 2 && '\"é';\n", encoding="utf-8")
    return "".join(render_page(tmp_path, "x", **{"title": "t", "data": {}, **values}))


def test_the_policy_names_the_hashes_of_what_stands_in_the_page(tmp_path: Path) -> None:
    """A browser hashes the text between the tags: the style and the script, to the letter."""
    text = page(tmp_path)
    parts = {kind: re.search(rf"<{kind}>(.*?)</{kind}>", text, re.S)[1] for kind in ("style", "script")}  # type: ignore[index]
    hashes = {
        kind: base64.b64encode(hashlib.sha256(part.encode("utf-8")).digest()).decode("ascii") for kind, part in parts.items()
    }
    common = (Path(pages.__file__).parent / "common.js").read_text(encoding="utf-8")
    script = f'"use strict";\n(() => {{\n{common}let a = 1 < 2 && \'"é\';\n}})();\n'
    assert parts == {"style": "p { color: red; }\n", "script": script}
    assert re.search(r'content="(.*?)"', text)[1] == (  # type: ignore[index]
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )


@given(_JSON, st.text())
def test_whatever_is_shown_stays_data(tmp_path_factory: Any, data: Any, title: str) -> None:
    """It comes out of the page's JSON as it went in, and opens or closes no tag on its way."""
    text = page(tmp_path_factory.mktemp("page"), data=data, title=title)
    assert len(re.findall(r"<[a-z/!]", text)) == 9
    shown = re.search(r'id="data">(.*?)</script>', text, re.S)[1]  # type: ignore[index]
    assert json.loads(shown) == data
