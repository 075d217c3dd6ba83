"""A flow as it was written: its data, and the line of each part."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from ..configuration.yaml_reader import MAX_DEPTH, Place, read_yaml
from ..errors import FlowFileError

MAX_MISTAKES: Final = 100
"""How many mistakes are reported at once. Each lists what is allowed, so all those of a large file could take minutes."""

P = ParamSpec("P")
T = TypeVar("T")


class EnoughError(Exception):
    """As many mistakes are noted as are reported at once, so there is no point in reading further."""


@dataclass(frozen=True, slots=True)
class Source:
    """A flow as plain data, and where each part of it was written.

    Args:
        data: The content of the file: dicts, lists and scalars.
        path: The file, or None for a flow given as a dict.
        lines: 1-based line of the key or list item at each place.
        text_lines: 1-based line on which the text of a scalar begins (for a block scalar, the line after the ``|``).
        mistakes: The mistakes found so far, so that all of them can be reported at once.
        sha256: The digest of the file's bytes, or of a dict as JSON with sorted keys; None for a dict that is not JSON.
    """

    data: Any
    path: str | None = None
    lines: Mapping[Place, int] = field(default_factory=dict)
    text_lines: Mapping[Place, int] = field(default_factory=dict)
    mistakes: list[FlowFileError] = field(default_factory=list)
    sha256: str | None = None

    def line(self, place: Place) -> int | None:
        """Return the line of a place, or of the nearest enclosing one; None for a flow given as a dict."""
        for length in range(len(place), 0, -1):
            if (line := self.lines.get(place[:length])) is not None:
                return line
        return None

    def text_line(self, place: Place) -> int:
        """Return the line on which the text of a string begins; 1 where it is not known."""
        return self.text_lines.get(place, 1)

    def note(self, *mistakes: FlowFileError) -> None:
        """Note mistakes; reading continues, so that further mistakes are found.

        Raises:
            EnoughError: These are the last ones that are reported at once.
        """
        self.mistakes.extend(mistakes)
        if len(self.mistakes) >= MAX_MISTAKES:
            raise EnoughError

    def attempt(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Read a part of the flow, and return it; note its mistake and return None when it cannot be read.

        Raises:
            EnoughError: As ``note`` does.
        """
        try:
            return read(*args, **kwargs)
        except FlowFileError as error:
            others, error.others = error.others, ()
            self.note(error, *others)
            return None

    def refuse_mistakes(self) -> None:
        """Raise the first of the noted mistakes, if there are any, with the others attached to it.

        Raises:
            FlowFileError: There is at least one.
        """
        if self.mistakes:
            first, *others = self.mistakes[:MAX_MISTAKES]
            first.others = tuple(others)
            raise first


def read_file(path: str | Path) -> Source:
    """Read a YAML flow file.

    Args:
        path: The file; at most 1 MiB of UTF-8.

    Returns:
        The data with its lines.

    Raises:
        FlowFileError: The file cannot be read, is not YAML, has duplicate keys, or exceeds the limits.
    """
    document = read_yaml(path)
    if document is None:
        raise FlowFileError("the file is empty; a flow needs at least nodes:", path=str(path))
    return Source(document.data, str(path), document.lines, document.text_lines, sha256=document.sha256)


def from_data(data: Mapping[str, Any]) -> Source:
    """Return the source of a flow given as a dict, which is copied: later changes to the dict do not change the flow."""
    content = copied(data)
    return Source(content, sha256=_digest(content))


def _digest(data: Any) -> str | None:
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def copied(value: Any, depth: int = 1) -> Any:
    """Return a copy of a value's dicts and lists; everything else in them is shared.

    Raises:
        FlowFileError: They are nested deeper than ``MAX_DEPTH`` levels.
    """
    if depth > MAX_DEPTH:
        raise FlowFileError(f"nesting deeper than {MAX_DEPTH} levels; use sub-flows, and avoid circular references")
    if isinstance(value, Mapping):
        return {key: copied(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(item, depth + 1) for item in value]
    return value
