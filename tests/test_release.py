"""Releases: one version everywhere, and a refusal that names what is missing. The session builds and tests the artefacts."""

from __future__ import annotations

import hashlib
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
RELEASE: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "release.py"))
STATED: tuple[tuple[str, str], ...] = RELEASE["STATED"]
FILES = sorted({name for name, _ in STATED})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with a copy of each file that states the version."""
    for name in ("setup.cfg", "CHANGELOG.md", *FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def edit(path: Path, pattern: str, replacement: str) -> None:
    """Replace what a pattern matches, which is somewhere in the file."""
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count
    path.write_text(text, encoding="utf-8")


def git(tree: Path, *arguments: str) -> None:
    options = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *options, *arguments], cwd=tree, check=True, capture_output=True)


def test_everything_has_one_version() -> None:
    """The package, the native core, both crates and the locks have the version of setup.cfg."""
    assert RELEASE["disagreements"](ROOT) == []


def test_every_crate_and_workspace_is_checked() -> None:
    """No manifest or lock of ``rust/`` states a version of this project that the check does not know."""
    states = re.compile(r'the-edge-obs[\w-]* = \{.*\bversion = |^name = "the-edge-obs[\w-]*"\nversion = "', re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.toml", "*.lock")
        for folder in (ROOT / "rust", *(ROOT / "rust").iterdir())
        for path in folder.glob(pattern)
        if states.search(path.read_text(encoding="utf-8"))
    }
    assert found <= set(FILES)


@pytest.mark.parametrize(("name", "pattern"), STATED)
def test_a_file_with_another_version_is_named(tree: Path, name: str, pattern: str) -> None:
    """The error has the file, the line, and both versions."""
    version = RELEASE["version_of"](tree)
    before = pattern.replace('"(.+?)"', '"')
    edit(tree / name, f"({before}){re.escape(version)}", r"\g<1>9.9.9")
    problems = RELEASE["disagreements"](tree)
    assert problems
    for problem in problems:
        assert re.fullmatch(rf"{re.escape(name)}:\d+ says 9\.9\.9, and setup\.cfg {re.escape(version)}", problem)
    line = int(problems[0].split(":")[1].split()[0])
    assert "9.9.9" in (tree / name).read_text(encoding="utf-8").split("\n")[line - 1]


def test_a_new_version_names_all_that_has_the_old_one(tree: Path) -> None:
    """After a change of setup.cfg, each other file is named, and the extra that bounds the native core."""
    edit(tree / "setup.cfg", r"^version = .*", "version = 7.1.0")
    problems = RELEASE["disagreements"](tree)
    assert {problem.split(":")[0] for problem in problems} == {"setup.cfg", *FILES}
    assert any("the_edge_obs_native>=7.1,<7.2" in problem for problem in problems)


def test_a_file_that_states_no_version_is_named(tree: Path) -> None:
    """A check that finds nothing to check says so."""
    edit(tree / "rust" / "python" / "Cargo.toml", r"^version = .*\n", "")
    assert [problem for problem in RELEASE["disagreements"](tree) if "rust/python/Cargo.toml does not state a version" in problem]


@pytest.mark.parametrize("version", ["1.0", "1.0.0rc1", "1.0.0-rc.1", "v1.0.0"])
def test_a_version_has_three_numbers(tree: Path, version: str) -> None:
    """What pip and cargo spell differently is refused."""
    edit(tree / "setup.cfg", r"^version = .*", f"version = {version}")
    assert [problem for problem in RELEASE["disagreements"](tree) if version in problem and "three numbers" in problem]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not on this machine")
def test_a_release_needs_a_dated_section_and_a_clean_tree(tree: Path) -> None:
    """Each thing that is missing is named; nothing is, once all is there."""
    version = RELEASE["version_of"](tree)
    unfinished = RELEASE["unfinished"]
    git(tree, "init", "--quiet")
    edit(tree / "CHANGELOG.md", rf"^## \[{re.escape(version)}\].*", f"## [{version}] - unreleased")
    undated, dirty = unfinished(tree)
    assert f"## [{version}] - YYYY-MM-DD" in undated
    assert "not committed" in dirty
    edit(tree / "CHANGELOG.md", rf"^## \[{re.escape(version)}\].*", f"## [{version}] - 2030-01-31")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "Release")
    assert unfinished(tree) == []
    for number in range(7):
        (tree / f"new-{number}").touch()
    (dirty,) = unfinished(tree)
    assert "new-0, new-1, new-2, new-3, new-4 and 2 more" in dirty


def test_a_folder_that_is_not_a_repository_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If git cannot tell what is committed, the tree does not count as clean."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tree.parent))
    assert any("git" in problem for problem in RELEASE["unfinished"](tree))


def test_the_list_has_names_sizes_and_digests(tmp_path: Path) -> None:
    """Each artefact has a line, with its SHA-256."""
    (tmp_path / "b.whl").write_bytes(b"x" * 1234)
    (tmp_path / "a.crate").write_bytes(b"")
    first, second = RELEASE["listing"](tmp_path).split("\n")
    assert first.split() == ["a.crate", "0", hashlib.sha256(b"").hexdigest()]
    assert second.split() == ["b.whl", "1,234", hashlib.sha256(b"x" * 1234).hexdigest()]
