"""Names of nodes and steps, made safe for every handler, file and terminal."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ..errors import ConfigurationError
from ..redaction.texts import MAX_STRING, scrub_text
from ..secrets.policies import Policy, followers

MAX_NAME: Final = 256  # characters
_ROOM: Final = MAX_NAME - 24  # characters of a longer name that stay before the mark of the cut
# Characters that break lines, control terminals, or are not valid UTF-8: C0, DEL, C1, line and bidi marks, lone surrogates.
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_BLANK: Final = re.compile(r"\s")
_BLANKS: Final = re.compile(r"\s+")


def fit_name(name: str) -> str:
    """Return a name that is safe to write; most names are not changed.

    Unsafe characters are escaped as Python writes them, secrets are removed by their shape, and a name of more than 256
    characters is cut, with ``[+N chars]`` at its end. A safe name stays the same.
    """
    return _fitted(name) if type(name) is str else _fitted(str.__str__(name))


def node_name(name: str) -> str:
    """Return the name of a node, safe for its logger.

    A logger lives as long as the process, so a text that was meant as a message is refused. So is a dot at the beginning: logging
    would take ``tea..rank`` for a child of the root logger, and the handlers of ``tea`` would not get its events.

    Raises:
        ConfigurationError: the name is not a string, is empty, begins with a dot, contains whitespace, or has more than 256
            characters.
    """
    if not issubclass(type(name), str) or not str.strip(name, ".") or str.isspace(name):
        raise ConfigurationError(f"node {name!r} is not a name; give a string such as 'rank' or 'llm.call'")
    return _node(name if type(name) is str else str.__str__(name))


def named_after(text: str) -> str | None:
    """Return a text as the name of a node, such as that of a flow's step; None if nothing is left of it.

    Blanks become one ``_``, blanks and dots at the ends are left out, and a long text is cut to 256 characters.
    """
    return _BLANKS.sub("_", text.strip()).strip(".")[:MAX_NAME] or None


@lru_cache(maxsize=1024)
def _node(name: str) -> str:
    if len(name) > MAX_NAME or _BLANK.search(name):
        wrong = f"has {len(name)} characters, more than {MAX_NAME}" if len(name) > MAX_NAME else "has a blank in it"
        raise ConfigurationError(
            f"node {name[:64]!r} {wrong}; give the name of what runs, such as 'rank' or 'llm.call', "
            "and put a text into the message, as in run.log('rank', message='item 17 is done')"
        )
    if name.startswith("."):
        raise ConfigurationError(f"node {name!r} begins with a dot; give a name such as {name.lstrip('.')!r}")
    return _fitted(name)


@lru_cache(maxsize=1024)
def _fitted(name: str) -> str:
    clean = scrub_text(_UNFIT.sub(_escaped, name[:MAX_STRING]))
    if len(clean) <= MAX_NAME and len(name) <= MAX_STRING:
        return clean
    return f"{clean[:_ROOM]}[+{max(len(name), len(clean)) - _ROOM} chars]"


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _forget(policy: Policy) -> None:
    _fitted.cache_clear()
    _node.cache_clear()


followers.append(_forget)
