"""The vectors for other runtimes are what this runtime answers now, and every JSON reader can read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from the_edge_obs.jsonl import strictly_decoded

from . import vectors
from .corpus import samples


def test_every_file_has_a_maker() -> None:
    """No file is left over, none is missing, and the page beside them names each."""
    assert sorted(path.stem for path in vectors.VECTORS.glob("*.json")) == list(vectors.NAMES)
    page = (vectors.VECTORS / "README.md").read_text(encoding="utf-8")
    assert [name for name in vectors.NAMES if f"`{name}.json`" not in page] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", vectors.NAMES)
def test_vectors_are_current(name: str) -> None:
    """After an intended change: python -m tests.vectors, and review the difference."""
    assert (vectors.VECTORS / f"{name}.json").read_text(encoding="ascii") == vectors.content_of(name)


@pytest.mark.parametrize("name", vectors.NAMES)
def test_other_readers_can_read_them(name: str) -> None:
    """Unique keys, no lone surrogates, no integers beyond 64 bits; one case per line."""
    content = (vectors.VECTORS / f"{name}.json").read_text(encoding="ascii")
    document = strictly_decoded(content)
    assert list(document) == ["version", "about", "cases"]
    assert (document["version"], content.count("\n")) == (vectors.VERSION, len(document["cases"]) + 2)
    assert all(isinstance(case, dict) for case in document["cases"])


def test_made_up_keys_are_not_reported_by_scanners() -> None:
    """No format of a known key stands in the files as it is, though readers get it."""
    content = (vectors.VECTORS / "texts.json").read_text(encoding="ascii")
    made_up = [secret for sample in samples() if sample.kind == "formats" for secret in sample.secrets if len(secret) >= 14]
    shown = "".join(case["text"] for case in json.loads(content)["cases"])
    assert [secret for secret in made_up if secret in content] == []
    assert sum(secret in shown for secret in made_up) > 100
    assert "-----BEGIN" not in content


def test_the_command_writes_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them, in a folder that it makes."""
    monkeypatch.setattr(vectors, "VECTORS", tmp_path / "made")
    monkeypatch.setattr(vectors, "NAMES", ("percentiles", "usage"))
    vectors.main()
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["percentiles.json", "usage.json"]
    assert (tmp_path / "made" / "usage.json").read_text(encoding="ascii") == vectors.content_of("usage")
