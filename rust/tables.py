"""Write the tables of redaction for the Rust crate: the Python package's words and formats, and Python's classes of characters.

    python rust/tables.py          # writes rust/the-edge-obs/data/tables.json
    python rust/tables.py --check  # fails if the file is not current

The package has to be importable. Only words and formats are checked if the interpreter knows another version of Unicode.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from the_edge_obs.secrets import words

FILE = Path(__file__).parent / "the-edge-obs" / "data" / "tables.json"
CLASSES = {
    "alpha": str.isalpha,
    "alnum": str.isalnum,
    "decimal": str.isdecimal,
    "digit": str.isdigit,
    "printable": str.isprintable,
}


def ranges(holds: Callable[[str], bool]) -> list[list[int]]:
    """Return the code points beyond ASCII for which something holds, as first and last ones."""
    found: list[list[int]] = []
    for code in range(128, 0x110000):
        if holds(chr(code)):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return found


def tables() -> dict[str, Any]:
    """Return all public tables of ``secrets.words``, in an order that does not change."""
    found: dict[str, Any] = {}
    for name, value in sorted(vars(words).items()):
        if not re.fullmatch(r"[A-Z][A-Z_]+", name):
            continue
        if isinstance(value, frozenset):
            value = sorted(value)
        elif isinstance(value, dict):
            value = {key: sorted(item) if isinstance(item, frozenset) else item for key, item in sorted(value.items())}
        found[name.lower()] = value
    found["unicode"] = unicodedata.unidata_version
    found["chars"] = {name: ranges(holds) for name, holds in CLASSES.items()}
    copied: dict[str, Any] = json.loads(json.dumps(found))
    return copied


def main() -> int:
    """Write or check the file, and return the exit code."""
    new = tables()
    if "--check" not in sys.argv[1:]:
        lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in new.items()]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return 0
    old = json.loads(FILE.read_text(encoding="utf-8"))
    if old["unicode"] != new["unicode"]:
        print(f"not compared: characters of Unicode {old['unicode']} with those of {new['unicode']}", file=sys.stderr)
        new["unicode"], new["chars"] = old["unicode"], old["chars"]
    different = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if different:
        print(f"{FILE.name} is not current: {', '.join(different)}; run python rust/tables.py", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
