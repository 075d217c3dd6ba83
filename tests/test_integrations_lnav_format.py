from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from the_edge_obs import event
from the_edge_obs.cli import main
from the_edge_obs.integrations.lnav_format import SOURCE, config_folder, install


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def test_the_folder_is_the_one_that_lnav_uses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own folder comes first, then that of configurations as far as it exists, then its own again."""
    assert config_folder() == home / ".lnav"
    (home / ".config").mkdir()
    assert config_folder() == home / ".config" / "lnav"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert config_folder() == home / ".config" / "lnav"
    (home / "xdg").mkdir()
    assert config_folder() == home / "xdg" / "lnav"
    (home / ".lnav").mkdir()
    assert config_folder() == home / ".lnav"


def test_installing_twice_writes_once(home: Path) -> None:
    """What is there stays untouched; an older version is replaced."""
    path = home / ".lnav/formats/the_edge_obs/tea_obs.json"
    assert install() == (path, "installed")
    assert path.read_bytes() == SOURCE.read_bytes()
    before = path.stat()
    assert install() == (path, "up to date")
    assert path.stat()[stat.ST_INO] == before[stat.ST_INO]
    path.write_bytes(b"\xff an older one")
    assert install()[1] in ("installed", "updated")
    path.write_text("{}", encoding="utf-8")
    assert install() == (path, "updated")
    assert path.read_bytes() == SOURCE.read_bytes()


def test_the_command_says_what_it_did(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the file; where lnav is missing, it says so and has done its work all the same."""
    monkeypatch.setenv("PATH", str(home))
    path = home / ".lnav/formats/the_edge_obs/tea_obs.json"
    assert [main(["lnav"]), main(["lnav"])] == [0, 0]
    out, err = capsys.readouterr()
    assert out == f"{path}: installed\n{path}: up to date\n"
    assert err == "tea-obs: note: lnav itself is not on PATH; see https://lnav.org/downloads\n" * 2


def test_nowhere_to_install(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No home, or a file in the way, is one line and exit code 2."""
    (home / ".lnav").mkdir()
    (home / ".lnav/formats").write_text("", encoding="utf-8")
    assert main(["lnav"]) == 2
    monkeypatch.setenv("HOME", str(home / "nobody"))
    assert main(["lnav"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"tea-obs: error: path '{home}/.lnav/formats/the_edge_obs/tea_obs.json' cannot be written: ")
    assert second.startswith(f"tea-obs: error: home directory '{home}/nobody' does not exist; set HOME")


def test_the_format_names_fields_that_events_have() -> None:
    """Every field of the format is a key of the event, or lies in its data or metrics."""
    (form,) = [value for key, value in json.loads(SOURCE.read_text(encoding="utf-8")).items() if key != "$schema"]
    own = {key.partition("/")[0] for key in form["value"]}
    assert own | {form["timestamp-field"]} == set(event.KEYS)
    assert {form["level-field"], form["opid-field"], form["body-field"]} <= own
    shown = {one["field"] for one in form["line-format"] if isinstance(one, dict)}
    assert shown - {"__timestamp__", "__level__"} <= form["value"].keys()
