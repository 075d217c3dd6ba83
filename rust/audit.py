"""Check the crates that the Rust runtime is made of: their licences, their sources, and that somebody looks after them.

    python rust/audit.py

It asks ``cargo metadata``, prints what it objects to, and exits with 1 then. ``deny.toml`` says the same for
``cargo deny check``, which also knows the advisories of https://rustsec.org.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

ALLOWED = {
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
"""Licences that let anybody use the crates with this project's MIT licence; those of ``deny.toml``."""

REFUSED = {
    "serde_yaml": "it is archived",
    "serde_yml": "it is deprecated (RUSTSEC-2025-0068)",
    "serde_norway": "it has had no release for long",
    "serde_yaml_ng": "it has had no release for long",
    "yaml-rust": "nobody maintains it (RUSTSEC-2024-0320)",
    "atty": "nobody maintains it (RUSTSEC-2024-0375)",
    "paste": "nobody maintains it (RUSTSEC-2024-0436)",
    "instant": "nobody maintains it (RUSTSEC-2024-0384)",
    "proc-macro-error": "nobody maintains it (RUSTSEC-2024-0370)",
}
"""Crates that are not used, also not by others, and why."""


def is_allowed(expression: str) -> bool:
    """Tell whether a licence expression (SPDX, or the older form with ``/``) allows what this project needs.

    >>> is_allowed("(MIT OR GPL-3.0) AND ISC"), is_allowed("MIT AND GPL-3.0"), is_allowed("MIT/GPL-3.0")
    (True, False, True)
    """
    tokens = re.findall(r"[()]|[^\s()]+(?: WITH [^\s()]+)?", expression.replace("/", " OR "))
    terms = {"(": "(", ")": ")", "AND": "and", "OR": "or"}
    # Only parentheses, and, or, True and False are left.
    return bool(eval(" ".join(terms.get(token) or str(token in ALLOWED) for token in tokens)))


def problems(metadata: dict[str, Any]) -> list[str]:
    """Return what is wrong with the crates that ``cargo metadata`` lists."""
    found = []
    for package in metadata["packages"]:
        name, version, licence = package["name"], package["version"], package["license"]
        if name in REFUSED:
            found.append(f"{name} {version}: {REFUSED[name]}")
        if not licence or not is_allowed(licence):
            found.append(f"{name} {version}: its licence {licence!r} is not one of {', '.join(sorted(ALLOWED))}")
        if package["source"] not in (None, "registry+https://github.com/rust-lang/crates.io-index"):
            found.append(f"{name} {version}: it comes from {package['source']}, not from crates.io")
    return found


def main() -> int:
    """Check the workspaces, and return the exit code."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    is_fine = True
    for workspace in (HERE, HERE / "python"):
        metadata = json.loads(subprocess.run(command, cwd=workspace, stdout=subprocess.PIPE, check=True).stdout)
        found = problems(metadata)
        print("\n".join(found) or f"{len(metadata['packages'])} crates, each with a licence that allows its use")
        is_fine = is_fine and not found
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
