"""Read a flow file: plain data, the line of every key, and limits that keep a hostile file harmless.

PyYAML's safe loader alone forgets where a value stood, keeps the last of two equal keys and expands aliases without
bound. The node tree is composed here with those three mended, and plain Python data is built from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import FlowFileError

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 100_000

Place = tuple[object, ...]
"""Where a value is: the keys and indices that lead to it from the top, such as ``("nodes", 0, "with")``."""

_MAPPING_TAG = "tag:yaml.org,2002:map"
_SEQUENCE_TAG = "tag:yaml.org,2002:seq"
_MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Source:
    """A flow as plain data, and where each part of it was written.

    Args:
        data: What the file holds: dicts, lists and scalars.
        path: The file, or None for a flow given as a dict.
        lines: 1-based line of the key or list item at each place.
        text_lines: 1-based line on which the text of a string begins (for a block scalar, the line after the bar).
    """

    data: Any
    path: str | None = None
    lines: Mapping[Place, int] = field(default_factory=dict)
    text_lines: Mapping[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int | None:
        """Return the line of a place, or of the nearest thing around it, or None for a flow given as a dict."""
        for length in range(len(place), 0, -1):
            if (line := self.lines.get(place[:length])) is not None:
                return line
        return None

    def text_line(self, place: Place) -> int:
        """Return the line on which a string's text begins; 1 where it is not known."""
        return self.text_lines.get(place, 1)

    def error(self, problem: str, place: Place = (), *, line: int | None = None) -> FlowFileError:
        """Return the error that refuses this flow, with file and line."""
        return FlowFileError(problem, path=self.path, line=self.line(place) if line is None else line)


def read_file(path: str | Path) -> Source:
    """Read a YAML flow file.

    Args:
        path: The file; at most 1 MiB of UTF-8.

    Returns:
        The data with its lines.

    Raises:
        FlowFileError: For a file that cannot be read, is no YAML, has duplicate keys, or goes beyond the limits.
    """
    text = _text(path)
    loader = _Composer(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise FlowFileError("the file is empty; a flow needs at least nodes:", path=str(path))
        return _Builder(str(path), loader).source(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"broken YAML: {error.problem or error.context}"
        raise FlowFileError(problem, path=str(path), line=mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise FlowFileError(f"broken YAML: {' '.join(str(error).split())}", path=str(path)) from error
    finally:
        loader.dispose()


def from_data(data: Mapping[str, Any]) -> Source:
    """Return the source of a flow given as a dict; the dict is copied, so changing it later changes no flow."""
    return Source(copied(data))


def copied(value: Any, depth: int = 1) -> Any:
    """Return a value with fresh dicts and lists, whatever else they hold.

    Raises:
        FlowFileError: They are nested deeper than ``MAX_DEPTH`` levels.
    """
    if depth > MAX_DEPTH:
        raise FlowFileError(f"nesting deeper than {MAX_DEPTH} levels; use sub-flows, and no circular references")
    if isinstance(value, Mapping):
        return {key: copied(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(item, depth + 1) for item in value]
    return value


def _text(path: str | Path) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FlowFileError(f"cannot read the flow file: {error.strerror or error}", path=str(path)) from error
    if len(raw) > MAX_BYTES:
        raise FlowFileError(f"the file is larger than {MAX_BYTES} bytes; split it into sub-flows", path=str(path))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FlowFileError("the file is not UTF-8; save it as UTF-8", path=str(path), line=line) from error


class _Composer(yaml.SafeLoader):
    """A safe loader that measures each node when it is complete, aliases counted as what they expand to."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._count = 0
        self._sizes: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs lack it
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refusal(f"nesting deeper than {MAX_DEPTH} levels", mark)
        self._count += 1
        if self._count > MAX_NODES:
            # A list is measured when it is complete, and a long one takes its time.
            raise _refusal(f"more than {MAX_NODES} values", mark)
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and id(node) not in self._sizes:
            if is_alias:
                raise _refusal("an alias that contains itself", mark)
            self._sizes[id(node)] = self._measure(node, mark)
        return node

    def _measure(self, node: yaml.Node, mark: Any) -> tuple[int, int]:
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        else:
            children = node.value if isinstance(node, yaml.SequenceNode) else []
        sizes = [self._sizes[id(child)] for child in children]
        count = 1 + sum(size for size, _ in sizes)
        height = 1 + max((height for _, height in sizes), default=0)
        if count > MAX_NODES:
            raise _refusal(f"more than {MAX_NODES} values once aliases are expanded", mark)
        if height > MAX_DEPTH:
            raise _refusal(f"nesting deeper than {MAX_DEPTH} levels once aliases are expanded", mark)
        return count, height


def _refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, problem, mark)


class _Builder:
    """Builds plain data from composed nodes and notes the line of every place."""

    def __init__(self, path: str, loader: _Composer) -> None:
        self._path = path
        self._loader = loader
        self._lines: dict[Place, int] = {}
        self._text_lines: dict[Place, int] = {}
        self._flattened: set[int] = set()

    def source(self, node: yaml.Node) -> Source:
        return Source(self._build(node, ()), self._path, self._lines, self._text_lines)

    def _build(self, node: yaml.Node, place: Place) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, place)
        self._text_lines[place] = node.start_mark.line + (2 if getattr(node, "style", None) == "|" else 1)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[Any, Any]:
        self._expect_tag(node, _MAPPING_TAG)
        if id(node) not in self._flattened:
            # An alias brings the same node again; by then its merged keys look like duplicates.
            self._flattened.add(id(node))
            self._refuse_duplicates(node)
            self._loader.flatten_mapping(node)
        data: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            here = (*place, key)
            self._lines[here] = key_node.start_mark.line + 1
            data[key] = self._build(value_node, here)
        return data

    def _sequence(self, node: yaml.SequenceNode, place: Place) -> list[Any]:
        self._expect_tag(node, _SEQUENCE_TAG)
        data = []
        for index, item in enumerate(node.value):
            here = (*place, index)
            self._lines[here] = item.start_mark.line + 1
            data.append(self._build(item, here))
        return data

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node)
        except ValueError as error:
            problem = f"{getattr(node, 'value', None)!r} is no valid value: {error}; put it in quotes to keep it text"
            raise _refusal(problem, node.start_mark) from error

    def _key(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise _refusal("a key that is a list or a mapping; keys are text", node.start_mark)
        return self._scalar(node)

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE_TAG:
                continue
            key, line = self._key(key_node), key_node.start_mark.line + 1
            if key in seen:
                problem = f"key {key!r} is given twice, first on line {seen[key]}; keep one of them"
                raise FlowFileError(problem, path=self._path, line=line)
            seen[key] = line

    def _expect_tag(self, node: yaml.Node, tag: str) -> None:
        if node.tag != tag:
            raise _refusal(f"tag {node.tag!r} is not taken; write plain mappings and lists", node.start_mark)
