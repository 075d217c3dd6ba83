"""Files: regular ones alone, private, whole or not at all, and never waited for."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs import files
from the_edge_obs.errors import ConfigurationError, ExportError
from the_edge_obs.files import (
    check_mode,
    draft_name,
    is_draft,
    leased,
    make_folders,
    open_for_appending,
    open_regular,
    write_atomically,
)

NO_LINKS = pytest.mark.skipif(os.name == "nt", reason="links take rights there")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Have a umask in force."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    """A file appears whole, folders included, or the old one stays and nothing is left behind."""
    path = tmp_path / "deep" / "a.jsonl"
    assert write_atomically(path, ["é\n", "b\n"]) == 5
    assert path.read_text(encoding="utf-8") == "é\nb\n"

    def failing() -> Any:
        yield "half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomically(path, failing())
    assert path.read_text(encoding="utf-8") == "é\nb\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.jsonl"]


def test_an_unwritable_path_is_an_export_error(tmp_path: Path) -> None:
    """A file as a folder, or a folder as the file: the error names the path."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a.jsonl", tmp_path / "folder"):
        with pytest.raises(ExportError) as caught:
            write_atomically(path, ["x"])
        assert str(caught.value).startswith(f"path {str(path)!r} cannot be written: ")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


@NO_LINKS
def test_a_link_that_was_planted_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even under the name that the draft has, for which a link was planted by luck; nor is one replaced by appending."""
    victim, path = tmp_path / "victim", tmp_path / "a.jsonl"
    victim.write_text("keep")
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0" * 2 * size)
    Path(draft_name(path)).symlink_to(victim)
    with pytest.raises(ExportError, match="cannot be written: file exists"):
        write_atomically(path, ["x"])
    path.symlink_to(victim)
    with pytest.raises(OSError, match="it is a symbolic link, not a regular file"):
        open_for_appending(path)
    (tmp_path / "dangling").symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="it is a symbolic link"):
        open_for_appending(tmp_path / "dangling")
    assert (victim.read_text(), (tmp_path / "made").exists()) == ("keep", False)


def test_names_of_drafts_are_new_each_time(tmp_path: Path) -> None:
    """They lie in the same folder, are hidden, and are known again; the name they are for may be of any length."""
    names = {os.path.basename(draft_name(tmp_path / ("n" * 250))) for _ in range(100)}
    assert (len(names), all(map(is_draft, names)), max(map(len, names)) < 80) == (100, True, True)
    assert not any(map(is_draft, ["a.jsonl", ".a.jsonl.gz.1.part", ".part", "n.0123456789abcdef.part"]))


@NO_LINKS
def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    """That is how an owner sets up logs that lie elsewhere."""
    (tmp_path / "var").mkdir()
    (tmp_path / "logs").symlink_to(tmp_path / "var")
    os.close(open_for_appending(tmp_path / "logs" / "a.jsonl")[0])
    write_atomically(tmp_path / "logs" / "b.jsonl", ["x"])
    assert sorted(path.name for path in (tmp_path / "var").iterdir()) == ["a.jsonl", "b.jsonl"]


@NO_LINKS
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    """Whether or not somebody has the other end open; and an export does not replace them."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for peer in (None, os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)):
        for opens in (open_regular, open_for_appending):
            with pytest.raises(OSError, match=r"it is a pipe \(FIFO\), not a regular file"):
                opens(pipe)
        with pytest.raises(ExportError, match="it is a pipe"):
            write_atomically(pipe, ["x"])
        if peer is not None:
            os.close(peer)
    for opens in (open_regular, open_for_appending):
        with pytest.raises(OSError, match="it is a device, not a regular file"):
            opens("/dev/zero")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@NO_LINKS
def test_without_the_flags_of_posix_links_are_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where there is no O_NOFOLLOW: a link is looked for first."""
    monkeypatch.setattr(files, "_NO_LINK", 0)
    (tmp_path / "link").symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="it is a symbolic link"):
        open_for_appending(tmp_path / "link")
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_is_made_is_private(tmp_path: Path, umask: int) -> None:
    """Whatever the umask; a mode that was asked for is less what the umask takes; what is there keeps its mode."""
    path = tmp_path / "new" / "deep" / "a.jsonl"
    os.close(open_for_appending(path)[0])
    os.close(open_for_appending(path.with_name("shared"), 0o664)[0])
    write_atomically(path.with_name("export.json"), ["x"])
    assert [mode(one) for one in (path.parent.parent, path.parent, path)] == [0o700, 0o700, 0o600]
    assert (mode(path.with_name("export.json")), mode(path.with_name("shared"))) == (0o600, 0o664 & ~umask)
    for name in ("shared", "a.jsonl"):
        path.with_name(name).chmod(0o644)
        write_atomically(path.with_name(name), ["y"])
        os.close(open_for_appending(path.with_name(name))[0])
        assert mode(path.with_name(name)) == 0o644


@pytest.mark.parametrize(
    ("given", "number"), [("0640", 0o640), ("640", 0o640), ("0o600", 0o600), (0o664, 0o664), (0o600, 0o600), ("0666", 0o666)]
)
def test_modes(given: Any, number: int) -> None:
    """Octal digits, or the number."""
    assert check_mode("mode", given) == number


@pytest.mark.parametrize(
    "given", ["", "rw", "0888", "0755", "0400", "0", 640, 0o755, 0o444, True, None, 6.5, "-600", "0_640", "00000600"]
)
def test_what_is_no_mode(given: Any) -> None:
    """The error names it and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        check_mode("observability.handlers[0].mode", given)
    allowed = '"0600" (the default), "0640", "0644", "0660" or "0666", in quotes'
    rule = "an octal file mode in which the owner reads and writes and nobody executes"
    assert str(caught.value) == f"observability.handlers[0].mode is {given!r}; it must be {rule}: {allowed}"


def test_folders_that_are_there_are_left_as_they_are(tmp_path: Path) -> None:
    """A file in the way is an error."""
    (tmp_path / "a").mkdir(mode=0o755)
    (tmp_path / "file").touch()
    make_folders(tmp_path / "a" / "b")
    make_folders("")
    assert mode(tmp_path / "a") == 0o755
    with pytest.raises(FileExistsError):
        make_folders(tmp_path / "file")


@pytest.mark.skipif(sys.platform != "linux", reason="the system cannot tell")
def test_a_lease_tells_whether_a_file_is_open_elsewhere(tmp_path: Path) -> None:
    """And who opens it meanwhile without waiting gets it when the lease is given back."""
    path = tmp_path / "a"
    path.write_bytes(b"")
    with path.open("rb") as file:
        with leased(file) as alone:
            assert alone is True
        with path.open("ab"), leased(file) as alone:
            assert alone is False
    os.close(open_for_appending(path)[0])
