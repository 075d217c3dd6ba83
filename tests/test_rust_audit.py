"""The audit of the Rust crates: it objects to what it should, and its rules are those of ``cargo deny``."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

RUST = Path(__file__).parent.parent / "rust"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rust_audit", RUST / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT/GPL-3.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0 WITH Classpath-exception-2.0", False),
        ("LGPL-2.1-or-later", False),
    ],
)
def test_licences(audit: ModuleType, expression: str, is_allowed: bool) -> None:
    """An expression is allowed if one of its alternatives is."""
    assert audit.is_allowed(expression) is is_allowed


def test_each_objection_names_the_crate(audit: ModuleType) -> None:
    """A licence, a source and a crate that nobody maintains, each in one line."""
    index = "registry+https://github.com/rust-lang/crates.io-index"
    packages = [
        {"name": "good", "version": "1.0.0", "license": "MIT", "source": index},
        {"name": "own", "version": "0.1.0", "license": "MIT", "source": None},
        {"name": "closed", "version": "1.0.0", "license": None, "source": index},
        {"name": "forked", "version": "1.0.0", "license": "ISC", "source": "git+https://example.com/forked"},
        {"name": "serde_yaml", "version": "0.9.34", "license": "MIT", "source": index},
    ]
    found = audit.problems({"packages": packages})
    assert [line.partition(":")[0] for line in found] == ["closed 1.0.0", "forked 1.0.0", "serde_yaml 0.9.34"]


def test_cargo_deny_has_the_same_rules(audit: ModuleType) -> None:
    """deny.toml allows the same licences and refuses the same crates."""
    text = (RUST / "deny.toml").read_text(encoding="utf-8")
    lists = [set(re.findall(r'"([^"]+)"', part)) for part in re.findall(r"^(?:allow|deny) = \[(.*?)\]", text, re.S | re.M)]
    assert lists == [audit.ALLOWED, set(audit.REFUSED)]
