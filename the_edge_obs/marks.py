"""What a capture cut or redacted, told beside the data: ``data.cut`` lists the paths.

A cut text looks like ``…[+808 chars]``, and so may any text. What a snapshot puts in place of a value is therefore a ``Mark``, a
text of its own type, which no caller's value is; scrubbing makes it an ordinary one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

MAX_PATHS: Final = 50  # of one event
MAX_PATH: Final = 256  # characters
MORE: Final = "…"
"""Stands for paths that are not told: those beyond the first, and keys of data that were left out."""

LONGEST_WHOLE_KEY: Final = 232  # characters; a longer one was cut

_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_REDACTED: Final = "[REDACTED"


class Mark(str):
    """A text that stands for more than it says: cut, left out, or taken out as a secret.

    It hashes unlike the text that it is: a set or memo of texts that are known to be whole never takes it for one of them.
    """

    __slots__ = ()

    def __hash__(self) -> int:
        return ~str.__hash__(self)


_CUT: Final = Mark()  # stands for what is not looked into: it is not what it was


def without_cut(data: dict[str, Any]) -> dict[str, Any]:
    """Return data in which ``cut``, which says what was cut, is not somebody's own key."""
    return {("cut'" if key == "cut" else key): value for key, value in data.items()} if "cut" in data else data


def inside(path: str, key: str) -> str:
    """Return the path of a key in an object: ``input.prompt``, ``input["a b"]``; of a key alone where the path is empty."""
    if _WORD.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def cut_paths(path: str, taken: Any, clean: Any) -> list[str]:
    """Return where a snapshot does not hold all of what was captured: of a container that lost items, its own path.

    Args:
        path: What the snapshot is called, such as ``input``; empty for data as a whole.
        taken: The snapshot.
        clean: What scrubbing made of it.
    """
    found = list(dict.fromkeys(islice(_walked(path, taken, clean), MAX_PATHS + 1)))
    return found if len(found) <= MAX_PATHS else [*found[:MAX_PATHS], MORE]


def _walked(path: str, taken: Any, clean: Any) -> Iterator[str]:
    waiting = [(path, taken, clean)]
    while waiting:
        path, taken, clean = waiting.pop()
        kind = type(taken)
        if kind is dict:
            pairs = zip(taken.items(), clean.items(), strict=True)
            inner = [
                (path if key == "…" and type(item) is Mark else inside(path, key), item, value)
                if name == key and len(key) <= LONGEST_WHOLE_KEY
                else (inside(path, key), _CUT, "")
                for (name, item), (key, value) in pairs
            ]
            waiting.extend(reversed(inner))
        elif kind is list:
            last = len(taken) - 1
            inner = [
                (path, _CUT, "") if at == last and _counts_rest(item) else (f"{path}[{at}]", item, value)
                for at, (item, value) in enumerate(zip(taken, clean, strict=True))
            ]
            waiting.extend(reversed(inner))
        elif kind is Mark or (type(clean) is str and clean is not taken and clean != taken and _is_redacted(kind, clean)):
            yield path[:MAX_PATH] or MORE


def _counts_rest(item: Any) -> bool:
    """Tell whether the last item of a list only says how many more there were; of errors it looks like one."""
    text = item.get("message") if type(item) is dict and item.get("type") == "…" else item
    return type(text) is Mark and text.startswith("[+")


def _is_redacted(kind: type, clean: str) -> bool:
    """Tell whether scrubbing took a secret out; of a number that JSON cannot hold only one of thousands of digits is lost."""
    return kind is str or clean.startswith(_REDACTED) or (kind is int and clean.startswith("<"))
