"""The paths of what a capture cut or redacted, listed in ``data.cut``.

A cut text ends with ``…[+808 chars]``, but an ordinary text may do so too. So a snapshot replaces a value by a ``Mark``, a text
of a type that no caller's value has; scrubbing turns it into an ordinary text.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final, TypeAlias

MAX_PATHS: Final = 50  # of one event
MAX_PATH: Final = 256  # characters
MORE: Final = "…"
"""Stands for paths that are not listed: those after the first 50, and keys of data that were left out."""

LONGEST_WHOLE_KEY: Final = 232  # characters; a longer one was cut

_WORD: Final = re.compile(r"[A-Za-z_]\w*")
REDACTED: Final = "[REDACTED"


class Mark(str):
    """A text in place of a value that was cut, left out, or redacted.

    Its hash differs from that of the plain text, so a set or cache of complete texts never confuses it with one of them.
    """

    __slots__ = ()
    __hash__ = object.__hash__  # in C, because each lookup in a set of texts calls it


Ways: TypeAlias = "tuple[tuple[str | int, ...], ...]"
"""The locations of cuts in a snapshot: keys and indices, from the outside in."""


def without_cut(data: dict[str, Any]) -> dict[str, Any]:
    """Return data with a user's own key ``cut`` renamed: that key lists what was cut."""
    return {("cut'" if key == "cut" else key): value for key, value in data.items()} if "cut" in data else data


def inside(path: str, key: str) -> str:
    """Return the path of a key in an object: ``input.prompt``, ``input["a b"]``; with an empty path, only the key."""
    if _WORD.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def ways_to_marks(taken: Any, below: dict[int, Ways]) -> Ways:
    """Return the ways to the marks in a snapshot; ``below`` has those of the containers in it, by their identity."""
    if type(taken) is Mark:
        return ((),)
    if not below and type(taken) is dict and MORE not in taken:  # as most are: parameters with a redacted key
        return tuple([(key,) for key, item in taken.items() if type(item) is Mark])
    to_marks: list[tuple[str | int, ...]] = []
    for key, item in taken.items() if type(taken) is dict else enumerate(taken):
        ways: Ways = ((),) if type(item) is Mark else below.get(id(item), ())
        if ways:
            to_marks += [()] if _is_rest(taken, key, item) else [(key, *way) for way in ways]
        if len(to_marks) > MAX_PATHS:
            break
    return tuple(to_marks)


def _is_rest(taken: Any, key: str | int, item: Any) -> bool:
    """Tell whether an item only counts the items that were left out; in a list of errors it looks like an error."""
    if key == "…":
        return type(item) is Mark
    if key != len(taken) - 1:
        return False
    text = item.get("message") if type(item) is dict and item.get("type") == "…" else item
    return type(text) is Mark and text.startswith("[+")


def paths_of(path: str, ways: Ways) -> list[str]:
    """Return the paths of what was cut in a snapshot; for a container that lost items, its own path.

    Args:
        path: The path of the snapshot, such as ``input``; empty for data as a whole.
        ways: Where it was cut.
    """
    return list(_paths_of(path, ways)) if ways else []


@lru_cache(maxsize=256)  # most calls of a node have the same secrets
def _paths_of(path: str, ways: Ways) -> tuple[str, ...]:
    paths: list[str] = []
    for way in ways:
        at = path
        for key in way:
            at = inside(at, key) if type(key) is str else f"{at}[{key}]"
        paths.append(at)
    return tuple(_bounded(paths))


def _bounded(paths: list[str]) -> list[str]:
    unique = list(dict.fromkeys(path[:MAX_PATH] or MORE for path in paths[: MAX_PATHS + 1]))
    return unique if len(unique) <= MAX_PATHS else [*unique[:MAX_PATHS], MORE]


def cut_paths(path: str, taken: Any, clean: Any) -> list[str]:
    """Return the paths where a snapshot is not complete; for a container that lost items, its own path.

    Args:
        path: The path of the snapshot, such as ``input``; empty for data as a whole.
        taken: The snapshot.
        clean: The scrubbed snapshot.
    """
    paths: list[str] = []
    if type(taken) is dict or type(taken) is list:
        _add_paths(paths, path, taken, clean)
    elif _is_cut(taken, clean):
        paths.append(path)
    return _bounded(paths)


def _add_paths(paths: list[str], path: str, taken: Any, clean: Any) -> None:
    """Add the paths in a container that are not complete; most values are, so a path is built only when it is needed."""
    if len(paths) > MAX_PATHS:
        return
    if type(taken) is dict:
        for (name, item), (key, value) in zip(taken.items(), clean.items(), strict=True):
            if len(key) > LONGEST_WHOLE_KEY or (key is not name and key != name):
                paths.append(inside(path, key))
            elif type(item) is dict or type(item) is list:
                _add_paths(paths, inside(path, key), item, value)
            elif (type(item) is Mark or value is not item) and _is_cut(item, value):
                paths.append(path if type(item) is Mark and key == "…" else inside(path, key))
        return
    for at, item in enumerate(taken):
        if at == len(taken) - 1 and _is_rest(taken, at, item):
            paths.append(path)
        elif type(item) is dict or type(item) is list:
            _add_paths(paths, f"{path}[{at}]", item, clean[at])
        elif (type(item) is Mark or clean[at] is not item) and _is_cut(item, clean[at]):
            paths.append(f"{path}[{at}]")


def _is_cut(taken: Any, clean: Any) -> bool:
    """Tell whether a value is a mark, or contained a secret.

    A number that JSON cannot hold becomes a text, which is complete unless the number has thousands of digits.
    """
    kind = type(taken)
    if kind is Mark:
        return True
    if type(clean) is not str or clean == taken:
        return False
    return kind is str or clean.startswith(REDACTED) or (kind is int and clean.startswith("<"))
