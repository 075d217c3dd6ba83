"""What a capture cut or redacted, told beside the data: ``data.cut`` lists the paths.

A cut text looks like ``…[+808 chars]``, and so may any text. What a snapshot puts in place of a value is therefore a ``Mark``, a
text of its own type, which no caller's value is; scrubbing makes it an ordinary one.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeAlias

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
    __hash__ = object.__hash__  # in C, for each look into a set of texts asks for it


Ways: TypeAlias = "tuple[tuple[str | int, ...], ...]"
"""The ways to what was cut in a snapshot: keys and indices, from outside in."""


def without_cut(data: dict[str, Any]) -> dict[str, Any]:
    """Return data in which ``cut``, which says what was cut, is not somebody's own key."""
    return {("cut'" if key == "cut" else key): value for key, value in data.items()} if "cut" in data else data


def inside(path: str, key: str) -> str:
    """Return the path of a key in an object: ``input.prompt``, ``input["a b"]``; of a key alone where the path is empty."""
    if _WORD.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def ways_to_marks(taken: Any, below: dict[int, Ways]) -> Ways:
    """Return the ways to the marks in a snapshot, given those in the containers in it that have some, by their identity."""
    if type(taken) is Mark:
        return ((),)
    found: list[tuple[str | int, ...]] = []
    for key, item in taken.items() if type(taken) is dict else enumerate(taken):
        ways: Ways = ((),) if type(item) is Mark else below.get(id(item), ())
        if ways:
            found += [()] if _is_rest(taken, key, item) else [(key, *way) for way in ways]
        if len(found) > MAX_PATHS:
            break
    return tuple(found)


def _is_rest(taken: Any, key: str | int, item: Any) -> bool:
    """Tell whether an item only says how many more a container had; of errors it looks like one."""
    if key == "…":
        return type(item) is Mark
    if key != len(taken) - 1:
        return False
    text = item.get("message") if type(item) is dict and item.get("type") == "…" else item
    return type(text) is Mark and text.startswith("[+")


def paths_of(path: str, ways: Ways) -> list[str]:
    """Return the paths of what was cut in a snapshot: of a container that lost items, its own.

    Args:
        path: What the snapshot is called, such as ``input``; empty for data as a whole.
        ways: Where it was cut.
    """
    found: list[str] = []
    for way in ways:
        at = path
        for key in way:
            at = inside(at, key) if type(key) is str else f"{at}[{key}]"
        found.append(at)
    return _bounded(found)


def _bounded(found: list[str]) -> list[str]:
    paths = list(dict.fromkeys(path[:MAX_PATH] or MORE for path in found[: MAX_PATHS + 1]))
    return paths if len(paths) <= MAX_PATHS else [*paths[:MAX_PATHS], MORE]


def cut_paths(path: str, taken: Any, clean: Any) -> list[str]:
    """Return where a snapshot does not hold all of what was captured: of a container that lost items, its own path.

    Args:
        path: What the snapshot is called, such as ``input``; empty for data as a whole.
        taken: The snapshot.
        clean: What scrubbing made of it.
    """
    found: list[str] = []
    if type(taken) is dict or type(taken) is list:
        _add_paths(found, path, taken, clean)
    elif _is_cut(taken, clean):
        found.append(path)
    return _bounded(found)


def _add_paths(found: list[str], path: str, taken: Any, clean: Any) -> None:
    """Add where a container, and what is in it, does not hold all; most do, so a path is made only where it is needed."""
    if len(found) > MAX_PATHS:
        return
    if type(taken) is dict:
        for (name, item), (key, value) in zip(taken.items(), clean.items(), strict=True):
            if len(key) > LONGEST_WHOLE_KEY or (key is not name and key != name):
                found.append(inside(path, key))
            elif type(item) is dict or type(item) is list:
                _add_paths(found, inside(path, key), item, value)
            elif (type(item) is Mark or value is not item) and _is_cut(item, value):
                found.append(path if type(item) is Mark and key == "…" else inside(path, key))
        return
    for at, item in enumerate(taken):
        if at == len(taken) - 1 and _is_rest(taken, at, item):
            found.append(path)
        elif type(item) is dict or type(item) is list:
            _add_paths(found, f"{path}[{at}]", item, clean[at])
        elif (type(item) is Mark or clean[at] is not item) and _is_cut(item, clean[at]):
            found.append(f"{path}[{at}]")


def _is_cut(taken: Any, clean: Any) -> bool:
    """Tell whether something is a mark, or had a secret in it.

    A number that JSON cannot hold becomes a text, and is whole; only one of thousands of digits is lost.
    """
    kind = type(taken)
    if kind is Mark:
        return True
    if type(clean) is not str or clean == taken:
        return False
    return kind is str or clean.startswith(_REDACTED) or (kind is int and clean.startswith("<"))
