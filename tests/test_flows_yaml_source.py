"""Reading flow files: lines, duplicates, aliases and limits."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from the_edge_obs.configuration.yaml_reader import MAX_BYTES
from the_edge_obs.errors import FlowFileError
from the_edge_obs.flows.yaml_source import from_data, read_file


def written(folder: Path, text: str) -> Path:
    path = folder / "flow.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return path


def refused(path: Path) -> tuple[int | None, str]:
    with pytest.raises(FlowFileError) as caught:
        read_file(path)
    assert caught.value.path == str(path)
    return caught.value.line, caught.value.problem


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    """A place gives the line of its key or item, and an unknown place that of the nearest thing around it."""
    source = read_file(written(tmp_path, "name: a\nnodes:\n  - name: x\n    run: |\n      y = 1\n  - name: z\n"))

    places = [("name",), ("nodes",), ("nodes", 0), ("nodes", 0, "run"), ("nodes", 1, "name"), ("nodes", 1, "none")]
    assert [source.line(place) for place in places] == [1, 2, 3, 4, 6, 6]
    assert source.text_line(("nodes", 0, "run")) == 5
    assert source.data == {"name": "a", "nodes": [{"name": "x", "run": "y = 1\n"}, {"name": "z"}]}


def test_merge_keys_and_aliases_are_plain_data(tmp_path: Path) -> None:
    """An anchor with a merge key used twice is not a duplicate, and own keys win over merged ones."""
    text = """\
        base: &base {a: 1, b: 2}
        one: &one {<<: *base, b: 3}
        two: *one
        """
    assert read_file(written(tmp_path, text)).data == {"base": {"a": 1, "b": 2}, "one": {"a": 1, "b": 3}, "two": {"a": 1, "b": 3}}


def test_duplicate_key_names_both_lines(tmp_path: Path) -> None:
    """The second of two equal keys is refused, and the first one's line is in the message."""
    assert refused(written(tmp_path, "name: a\nnodes: []\nname: b\n")) == (
        3,
        "key 'name' appears twice, first on line 1; keep one of them",
    )


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: [1,\nb: 2\n", 3, "broken YAML: "),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "broken YAML: tag "),
        ("a: !!python/name:os.system x\n", 1, "broken YAML: could not determine a constructor"),
        ("a: 1\nb: 2024-99-99\n", 2, "broken YAML: '2024-99-99' is not a valid value"),
        ("[a]: 1\n", 1, "broken YAML: a key is a list or a mapping"),
        ("a: 1\n---\nb: 2\n", 2, "broken YAML: but found another document"),
        ("a: &x [*x]\n", 1, "broken YAML: an alias that contains itself"),
        ("a: *nowhere\n", 1, "broken YAML: found undefined alias"),
        ("\na: " + "[" * 65 + "]" * 65, 2, "broken YAML: nesting deeper than 64 levels"),
        ("a:\n\tb: 1\n", 2, "broken YAML: "),
        ("", None, "the file is empty; a flow needs at least nodes:"),
    ],
)
def test_broken_yaml_is_refused_with_its_line(tmp_path: Path, text: str, line: int | None, problem: str) -> None:
    """Whatever PyYAML or the limits object to comes as one kind of error."""
    found_line, found = refused(written(tmp_path, text))
    assert (found_line, found[: len(problem)]) == (line, problem)


def test_alias_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    """Nine lists of nine aliases each would be hundreds of millions of values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    line, problem = refused(written(tmp_path, "\n".join(lines)))
    assert (line, problem) == (6, "broken YAML: more than 100000 values once aliases are expanded")


def test_merge_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    """Merge keys multiply like aliases and fall under the same limit."""
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9)]
    assert "more than 100000 values" in refused(written(tmp_path, "\n".join(lines)))[1]


def test_aliases_that_nest_too_deep_are_refused(tmp_path: Path) -> None:
    """A chain of anchors is as deep as what it expands to."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 80))]
    assert "nesting deeper than 64 levels once aliases are expanded" in refused(written(tmp_path, "\n".join(lines)))[1]


def test_oversized_file_is_refused_unread(tmp_path: Path) -> None:
    """More than one MiB is not a flow file."""
    path = tmp_path / "flow.yaml"
    path.write_bytes(b"a" * (MAX_BYTES + 1))
    assert refused(path) == (None, "the file is larger than 1048576 bytes; split it")


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    """A missing file, and one in another encoding."""
    assert refused(tmp_path / "none.yaml") == (None, "cannot read the file: No such file or directory")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: a\nnodes: [é]\n".encode("latin-1"))
    assert refused(latin) == (2, "the file is not UTF-8; save it as UTF-8")


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """Windows editors write one."""
    path = tmp_path / "flow.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a\n")
    assert read_file(path).data == {"name": "a"}


def test_dict_is_copied_and_has_no_lines() -> None:
    """Changing the dict later does not change the flow."""
    data = {"nodes": [{"with": {"a": [1]}}]}
    source = from_data(data)
    data["nodes"][0]["with"]["a"].append(2)
    assert (source.data, source.line(("nodes",))) == ({"nodes": [{"with": {"a": [1]}}]}, None)


def test_circular_dict_is_refused() -> None:
    """A dict that contains itself would never end."""
    data: dict[str, object] = {}
    data["again"] = data
    with pytest.raises(FlowFileError, match="nesting deeper than 64 levels"):
        from_data(data)
