from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.actions._connection import Deadline
from the_edge_obs.actions._html import read_page
from the_edge_obs.actions.web import web_fetch
from the_edge_obs.errors import ActionError

from .growth import assert_linear
from .local_server import LocalServer

PAGE = """<!doctype html>
<html><head>
<title> Tea &amp;
 Cake </title><style>p { color: red }</style><script>var hidden = "<p>no</p>";</script></head>
<body>
<h1>Welcome</h1><p>Two   words,
one <b>bold</b>line.<br>Next</p><template><p>no</p></template>
<ul><li>one<li>two</ul>
<table><tr><td>a</td><td>b</td></tr></table>
<a href="/menu#top">Menu</a> <a href="menu">again</a> <a href="#top">up</a> <a href="mailto:a@b">mail</a>
<a href="https://example.org/x?a=1&amp;b=2">far</a> <a>none</a> <a href="http://[bad">bad</a>
<svg><title>icon</title></svg>
</body></html>"""
HTML = {"Content-Type": "text/html; charset=utf-8"}


class Site(LocalServer):
    """A local web site: pages by path, served until closed."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, content = outer.pages.get(self.path, (404, HTML, b"<p>missing</p>"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        super().__init__(Handler)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    running = Site()
    yield running
    running.close()


def test_page_becomes_title_text_and_links(site: Site) -> None:
    """What people read stays, line by line; scripts, styles and templates go; links are absolute and come once."""
    site.pages["/in/"] = (200, HTML, PAGE.encode())
    assert web_fetch({}, url=f"{site.url}/in/") == {
        "success": True,
        "url": f"{site.url}/in/",
        "status": 200,
        "title": "Tea & Cake",
        "text": "Welcome\nTwo words, one boldline.\nNext\none\ntwo\na b\nMenu again up mail far none bad icon",
        "links": [f"{site.url}/menu", f"{site.url}/in/menu", "https://example.org/x?a=1&b=2"],
        "truncated": False,
    }


def test_redirects_and_base_set_where_links_start(site: Site) -> None:
    """Relative links start at the page's base, which itself starts at the URL after redirects."""
    site.pages["/old"] = (302, {"Location": "/new/page"}, b"")
    site.pages["/new/page"] = (200, HTML, b'<base href="../other/"><a href="x">x</a>')
    result = web_fetch({}, url=f"{site.url}/old")
    assert (result["url"], result["links"]) == (f"{site.url}/new/page", [f"{site.url}/other/x"])


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"Content-Type": "text/html; charset=iso-8859-1"}, "<p>é</p>".encode("latin-1")),
        ({"Content-Type": "text/html"}, '<meta charset="iso-8859-1"><p>é</p>'.encode("latin-1")),
        ({"Content-Type": "text/html"}, "<p>é</p>".encode()),
        ({}, "<p>é</p>".encode()),
    ],
)
def test_charset_is_the_headers_else_the_pages_else_utf_8(site: Site, headers: dict[str, str], content: bytes) -> None:
    """The text comes out the same, wherever its charset is declared."""
    site.pages["/"] = (200, headers, content)
    assert web_fetch({}, url=site.url)["text"] == "é"


@pytest.mark.parametrize("media_type", ["text/plain", "application/json", "application/atom+xml"])
def test_other_text_comes_as_it_is(site: Site, media_type: str) -> None:
    """Text that is not HTML is neither folded nor searched for links."""
    site.pages["/"] = (200, {"Content-Type": media_type}, b'{"a":  "<b>"}\n')
    result = web_fetch({}, url=site.url)
    assert (result["title"], result["text"], result["links"]) == ("", '{"a":  "<b>"}\n', [])


def test_caps_cut_visibly(site: Site) -> None:
    """A page above max_bytes, text above max_chars and links above the cap are cut, and the result says so."""
    site.pages["/"] = (200, HTML, b"<p>" + b"word " * 100)
    whole = web_fetch({}, url=site.url)
    assert (len(whole["text"]), whole["truncated"]) == (499, False)
    short = web_fetch({}, url=site.url, max_chars=10)
    assert (short["text"], short["truncated"]) == ("word word ", True)
    cut = web_fetch({}, url=site.url, max_bytes=11)
    assert (cut["text"], cut["truncated"]) == ("word wor", True)
    site.pages["/"] = (200, HTML, b"".join(b'<a href="/%d">.</a>' % number for number in range(1001)))
    many = web_fetch({}, url=site.url)
    assert (len(many["links"]), many["truncated"]) == (1000, True)


def test_image_is_a_soft_failure(site: Site) -> None:
    """Content without text is named, and not decoded into noise."""
    site.pages["/"] = (200, {"Content-Type": "image/png"}, b"\x89PNG")
    assert web_fetch({}, url=f"{site.url}/") == {
        "success": False,
        "error": f"{site.url}/ is image/png, which has no text; use http.get for other content",
        "error_type": "unsupported_content",
        "url": f"{site.url}/",
        "status": 200,
    }


def test_missing_page_is_a_soft_failure(site: Site) -> None:
    """A status of 400 or above lets the flow go on."""
    assert web_fetch({}, url=f"{site.url}/no") == {
        "success": False,
        "error": f"HTTP 404 Not Found from {site.url}/no",
        "error_type": "http_error",
        "url": f"{site.url}/no",
        "status": 404,
    }


def test_no_site_is_a_soft_failure(site: Site) -> None:
    """A refused connection lets the flow go on."""
    site.close()
    result = web_fetch({}, url=site.url)
    assert (result["success"], result["error_type"], result["url"]) == (False, "connection", site.url)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"url": "ftp://h/x"}, "url 'ftp://h/x' is not an http or https URL"),
        ({"url": "http://h", "max_chars": 0}, "max_chars is 0; it must be a whole number above 0"),
        ({"url": "http://h", "headers": "x"}, "headers is 'x'; it must be a mapping"),
    ],
)
def test_bad_use_raises(params: dict[str, Any], message: str) -> None:
    """What the flow's author has to mend raises, and names the value."""
    with pytest.raises(ActionError, match=re.escape(message)):
        web_fetch({}, **params)


# --- pages that mean harm ---

PIECES = [
    "<a ", "<a b", '<a href="', "<a href='", "<a href=x>", "<a/", "<", "</", "</a", "</a ", "</ x", "<!", "<!--",
    "<!-->", "<!--x-->", "--!>", "<![x", "<![CDATA[", "<!doctype ", "<!DOCTYPE x [", "<?", "<?php ", "&", "&#", "&#9",
    "&#x", "&amp", "&lt;", "&#0", "<script>", "<script", "</script", "<style></style>", "<title>", "<title></title>",
    "<textarea>", "<template>", "<div>", "<td>", "<base href=/x/>", '<a href="#x">', '<a href="../">', "<svg><title>",
    ">", '"', "=", "'", "\0", "\n", " ", "<a =", "<a ''", "<xmp>", "\ud800",
]  # fmt: skip


def read(html: str) -> tuple[str, str, list[str]]:
    return read_page(html, "http://h/in/page", Deadline(60), 1001)


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES)
def test_a_page_is_read_in_linear_time(piece: str) -> None:
    """Runs of whatever opens something, and does not close it."""
    assert_linear(lambda size: piece * (size // len(piece)), read, 50_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 100_000 + "x",
        '<a href="' + "../" * 1_500_000 + '">x</a>',
        "<p title='" + "x" * 5_000_000 + "'>x",
        "<base href='/" + "b" * 8_000 + "'>" + "<a href=c>" * 20_000,
        "&#" + "9" * 5_000 + "; &#x" + "f" * 5_000 + ";" + "&#" + "0" * 5_000 + "65;",
        "<a " + "b='c' " * 200_000,
        "".join(f"<a href=x{number}>" for number in range(20_000)),
    ],
    ids=["deep", "dots", "attribute", "base", "references", "attributes", "links"],
)
def test_a_monstrous_page_is_read_or_given_up(page: str) -> None:
    """No page raises, and links stay few and short."""
    title, text, links = read(page)
    assert len(links) <= 1001
    assert all(len(link) <= 8192 for link in links)
    assert (title, len(text) <= len(page)) == ("", True)


@pytest.mark.slow
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join))
def test_no_page_raises(html: str) -> None:
    """Whatever the parts, and wherever it ends."""
    title, text, links = read(html)
    assert all(isinstance(part, str) for part in (title, text, *links))


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words += data.split()


WORD = st.sampled_from(["tea", "a &amp; b", "&eacute;", "1 &lt; 2", "&#233;", "x"])
TAGGED = st.recursive(
    WORD,
    lambda inner: st.builds(
        "<{0}{1}>{2}</{0}>".format,
        st.sampled_from(["p", "b", "DIV", "td", "h1"]),
        st.sampled_from(["", " class=x", ' title="a > b"', " a='<b>' c", " hidden "]),
        st.lists(inner, max_size=3).map(" ".join),
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(TAGGED)
def test_well_formed_pages_read_as_the_standard_library_reads_them(html: str) -> None:
    """The words are those that html.parser finds."""
    parser = _Words()
    parser.feed(html)
    parser.close()
    assert read(html)[1].split() == parser.words


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<!-- <p>x</p> -->b", "ab"),
        ("a<!-->b<!--->c", "abc"),
        ("a <!doctype html>b<?php x ?>c<![CDATA[d]]>e", "a bce"),
        ("1 < 2 <3 </> </ x>4", "1 < 2 <3 4"),
        ("<script>if (a < b) '</p>'</script >c", "c"),
        ("<SCRIPT>x</ScRiPt>y</script>", "y"),
        ("<textarea><b>&amp;</textarea>c", "<b>&c"),
        ("<p title='<b>'>x", "x"),
        ("x<a b", "x"),
        ("&#65;&#x41;&#0065;&#1114112;&#99999999999;&copy", "AAA\ufffd\ufffd©"),
    ],
)
def test_markup_that_is_no_tag(html: str, text: str) -> None:
    """Comments, declarations, text elements and lone signs are read as browsers read them."""
    assert read(html)[1] == text


def test_a_page_that_takes_too_long_is_a_timeout(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the text is part of the call, and of its timeout."""

    def late(*_: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr("the_edge_obs.actions._html.read_page", late)
    site.pages["/"] = (200, HTML, b"<p>x")
    result = web_fetch({}, url=f"{site.url}/", timeout=5)
    assert (result["success"], result["error_type"], result["status"]) == (False, "timeout", 200)
    assert result["error"] == f"the text of {site.url}/ was not read within 5 s"


def test_the_deadline_is_looked_at_while_a_page_is_read() -> None:
    """Nothing is left of it: reading stops at the first tag."""
    with pytest.raises(TimeoutError):
        read_page("<p>x", "http://h/", Deadline(-1), 9)


def test_a_title_is_cut_as_the_text_is(site: Site) -> None:
    """An unclosed title holds the whole page."""
    site.pages["/"] = (200, HTML, b"<title>" + b"x" * 100)
    result = web_fetch({}, url=site.url, max_chars=10)
    assert (result["title"], result["text"], result["truncated"]) == ("x" * 10, "", True)
