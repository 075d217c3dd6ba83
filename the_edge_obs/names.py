"""Names of nodes and steps, as every handler, file and terminal can take them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from .policies import followers
from .redaction import MAX_STRING, scrub_text

MAX_NAME: Final = 256  # characters
_ROOM: Final = MAX_NAME - 24  # of a longer one, beside the mark of the cut
# What breaks lines, steers terminals, or is not in UTF-8: C0, DEL, C1, line and bidi marks, lone surrogates.
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def fit_name(name: str) -> str:
    """Return a name that is fit to leave; most stay as they are.

    Characters that are unfit are escaped as Python writes them, secrets are taken out by their shape, and a name of more than
    256 characters is cut, with ``[+N chars]`` at its end. A name that was made fit is fit.
    """
    return _fitted(name if type(name) is str else str.__str__(name))


@lru_cache(maxsize=1024)
def _fitted(name: str) -> str:
    clean = scrub_text(_UNFIT.sub(_escaped, name[:MAX_STRING]))
    if len(clean) <= MAX_NAME and len(name) <= MAX_STRING:
        return clean
    return f"{clean[:_ROOM]}[+{max(len(name), len(clean)) - _ROOM} chars]"


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


followers.append(lambda policy: _fitted.cache_clear())
