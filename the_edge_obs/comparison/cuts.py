"""Values that were cut or redacted when they were logged: a comparison that finds no difference there proves nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ..redaction.marks import MORE, inside

_REDACTED: Final = "[REDACTED"
# The end of a text that was cut, binary data, and a value that was cut because its line was too long.
_CUT: Final = re.compile(r"…\[\+\d+ chars\]\Z|\A<\d+ bytes: |\A\[cut: ")
# What stands in place of a value, or of a part of one. It is only looked for below a key that was redacted.
_LEFT_OUT: Final = re.compile(r"…\[\+\d+ chars\]\Z|\A(?:<|\[cut: |\[\+\d+ items\]\Z|\[depth\]\Z|\[circular\]\Z)")
_COMPARED: Final = re.compile(r"(input|output|error)(?=[.\[]|\Z)(?!\.(?:traceback|where)\Z)")


def cut_of(data: dict[str, Any], payload: str) -> dict[str, bool]:
    """Return what ``data.cut`` of an event says about its input, output and error.

    Args:
        data: The event's data.
        payload: The key of its payload, to which ``data.cut`` refers when it does not name all paths.

    Returns:
        For each path, whether something was cut there; otherwise it was only redacted, and is known to be a secret.
    """
    cut = data.get("cut")
    paths = [path for path in cut if isinstance(path, str)] if isinstance(cut, list) else []
    paths = [payload if path == MORE else path for path in paths]
    wanted = {path for path in paths if _COMPARED.match(path)}
    redacted = set(_only_redacted(data, wanted)) if wanted else set()
    return {path: path not in redacted for path in wanted}


def _only_redacted(data: dict[str, Any], wanted: set[str]) -> Iterator[str]:
    """Yield those of the paths at which there is a text that has a placeholder, or a key that is one, and nothing was cut."""
    waiting: list[tuple[str, Any]] = [(key, data[key]) for key in ("input", "output", "error") if key in data]
    while waiting:
        path, value = waiting.pop()
        if path in wanted and _REDACTED in path and not _has_cut(value):
            yield path
        if isinstance(value, dict):
            waiting.extend((inside(path, key), item) for key, item in value.items())
        elif isinstance(value, list):
            waiting.extend((f"{path}[{place}]", item) for place, item in enumerate(value))
        elif isinstance(value, str) and path in wanted and _REDACTED in value and not _CUT.search(value):
            yield path


def _has_cut(value: Any) -> bool:
    """Tell whether a value below a redacted key may have been cut: of that key, only one path is listed."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str) and _LEFT_OUT.search(item):
            return True
    return False
