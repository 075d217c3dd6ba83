"""Metadata lives in setup.cfg. Here the README's relative links are made absolute, for the page on the package index."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parent
_LINK = re.compile(r"""(?P<before>\]\(|\b(?:href|src|srcset)=["'])(?P<target>(?![a-z]+:|\#|/)[^)"'\s]+)""")
_PICTURES = (".gif", ".jpg", ".png", ".svg")


def source_url() -> str:
    """Return where the repository is, as setup.cfg has it."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return dict(line.split(" = ") for line in settings["metadata"]["project_urls"].strip().split("\n"))["Source"]


def absolute(text: str, url: str) -> str:
    """Return Markdown or HTML with its relative links leading into the repository on GitHub, and pictures to their content."""
    raw = url.replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main"

    def target(link: re.Match[str]) -> str:
        base = raw if link["target"].endswith(_PICTURES) else f"{url}/blob/main"
        return f"{link['before']}{base}/{link['target']}"

    return _LINK.sub(target, text)


if __name__ == "__main__":
    from setuptools import setup

    setup(long_description=absolute((ROOT / "README.md").read_text(encoding="utf-8"), source_url()))
