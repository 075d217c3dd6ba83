"""The programs of the Rust runtime. These tests find them, and never build them: that takes minutes.

``nox -s runtimes`` builds them, and so does ``scripts/observability-parity-test.sh``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from the_edge_obs.redaction import snapshots

from .asking import ROOT, Rust

_PROGRAM = "tea-obs-rs.exe" if os.name == "nt" else "tea-obs-rs"


@pytest.fixture(scope="session")
def tea_obs_rs() -> Path:
    """Return the Rust runtime's program: ``TEA_OBS_RS``, or the newest one below rust/target. Without one, skip and say why."""
    if given := os.environ.get("TEA_OBS_RS"):
        return _given("TEA_OBS_RS", given)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "rust" / "target"))
    built = [path for kind in ("debug", "release") if (path := target / kind / _PROGRAM).is_file()]
    if built:
        return max(built, key=lambda path: path.stat().st_mtime)
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not on this machine")
    pytest.skip("tea-obs-rs is not built: run `cargo build` in rust/")


@pytest.fixture(scope="session")
def tea_obs_rs_bare() -> Path:
    """Return the program without recording: ``TEA_OBS_RS_BARE``. Without it, skip and say how to build it."""
    if given := os.environ.get("TEA_OBS_RS_BARE"):
        return _given("TEA_OBS_RS_BARE", given)
    pytest.skip(
        "TEA_OBS_RS_BARE is not set: it is the path of a tea-obs-rs that was built with "
        "`cargo build --no-default-features --features cli,memory,http,jmespath`, in a target directory of its own"
    )


def _given(variable: str, path: str) -> Path:
    if not Path(path).is_file():
        pytest.fail(f"{variable} is {path!r}, which is not a file; set it to the path of a tea-obs-rs")
    return Path(path).resolve()


@pytest.fixture(scope="module")
def rust(tea_obs_rs: Path) -> Iterator[Rust]:
    """Return a process of the Rust runtime, which answers all cases of a module."""
    made = Rust(tea_obs_rs)
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def _one_way_of_snapshots() -> Iterator[None]:
    """Take no short way in Python's snapshots: it depends on what was captured before, and counts otherwise near the caps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_small_items", -1)
        yield
