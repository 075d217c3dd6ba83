"""Read a YAML file: plain data, the line of every key, and limits that make a hostile file harmless.

PyYAML's safe loader does not keep line numbers, keeps the last of two equal keys, expands aliases without a limit, takes
quadratic time for long numbers, and raises many types of errors. This module composes the node tree without these problems
and builds plain Python data from it; every mistake is a ``FlowFileError`` with file and line.
"""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from ..errors import FlowFileError

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_NODES: Final = 100_000
# The longest number or date, in characters. Python parses digits in quadratic time.
MAX_NUMBER: Final = 100

Place = tuple[object, ...]
"""The path of a value: the keys and indices from the top of the file, such as ``("nodes", 0, "with")``."""

_TAG: Final = "tag:yaml.org,2002:"
_MAPPING_TAG: Final = _TAG + "map"
_SEQUENCE_TAG: Final = _TAG + "seq"
_MERGE_TAG: Final = _TAG + "merge"
_TEXT_TAGS: Final = frozenset({_TAG + "str", _TAG + "binary"})
# PyYAML silently builds an empty value from a scalar with one of these tags.
_COLLECTION_TAGS: Final = frozenset(_TAG + name for name in ("map", "seq", "set", "omap", "pairs"))
# Hashes of integers repeat beyond this many bits (sys.hash_info.modulus): a dict of such keys takes quadratic time.
_KEY_BITS: Final = 60


class Document(NamedTuple):
    """The content of a YAML file.

    Args:
        data: Dicts, lists and scalars.
        lines: 1-based line of the key or list item at each place.
        text_lines: 1-based line on which the text of a scalar begins (for a block scalar, the line after the ``|``).
        sha256: The digest of the file's bytes, in hexadecimal digits.
    """

    data: Any
    lines: dict[Place, int]
    text_lines: dict[Place, int]
    sha256: str


def read_yaml(path: str | Path) -> Document | None:
    """Read a YAML file.

    Args:
        path: The file; at most 1 MiB of UTF-8.

    Returns:
        Its content, with lines; None for an empty file.

    Raises:
        FlowFileError: The file cannot be read, is not YAML, has duplicate keys, or exceeds the limits.
    """
    raw = _raw(path)
    text = _text(raw, path)
    loader: _Composer | None = None
    try:
        loader = _Composer(text)
        node = loader.get_single_node()
        return None if node is None else _Builder(str(path), loader).document(node, sha256(raw).hexdigest())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"broken YAML: {error.problem or error.context}"
        raise FlowFileError(problem, path=str(path), line=mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        problem = (
            f"broken YAML: character {chr(error.character)!r} is not allowed; write it as an escape in a double-quoted string"
        )
        raise FlowFileError(problem, path=str(path), line=text.count("\n", 0, error.position) + 1) from error
    except (yaml.YAMLError, ArithmeticError, ValueError) as error:
        if isinstance(error, FlowFileError):
            raise
        # PyYAML's scanner does not catch what chr() and int() raise for an escape beyond Unicode or a version of 5,000 digits.
        line = None if loader is None else loader.line + 1
        raise FlowFileError(f"broken YAML: {' '.join(str(error).split())}", path=str(path), line=line) from error
    finally:
        if loader is not None:
            loader.dispose()


def _raw(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # a ValueError for a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise FlowFileError(f"cannot read the file: {reason}", path=str(path)) from error
    if len(raw) > MAX_BYTES:
        raise FlowFileError(f"the file is larger than {MAX_BYTES} bytes; split it", path=str(path))
    return raw


def _text(raw: bytes, path: str | Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FlowFileError("the file is not UTF-8; save it as UTF-8", path=str(path), line=line) from error


class _Composer(yaml.SafeLoader):
    """A safe loader that measures each complete node; an alias counts as what it expands to."""

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
            # Checked early as well: a list is measured only when it is complete.
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
    """Builds plain data from composed nodes and records the line of every place."""

    def __init__(self, path: str, loader: _Composer) -> None:
        self._path = path
        self._loader = loader
        self._lines: dict[Place, int] = {}
        self._text_lines: dict[Place, int] = {}
        self._flattened: set[int] = set()

    def document(self, node: yaml.Node, digest: str) -> Document:
        return Document(self._build(node, ()), self._lines, self._text_lines, digest)

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
            # An alias visits the same node again, where its merged keys would look like duplicates.
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
        if node.tag in _COLLECTION_TAGS:
            raise _refusal(f"tag {node.tag!r} is not supported; write plain mappings and lists", node.start_mark)
        written = str(node.value)
        if node.tag not in _TEXT_TAGS and len(written) > MAX_NUMBER:
            problem = (
                f"{written[:20]!r}... is a number or date of {len(written)} characters; put it in quotes to make it a string"
            )
            raise _refusal(problem, node.start_mark)
        try:
            value = self._loader.construct_object(node)
            if isinstance(value, str):
                value.encode()
        except UnicodeEncodeError as error:
            problem = (
                f'a string has {written[error.start]!r}, half of a character; write the whole character, as in "\\U0001F600"'
            )
            raise _refusal(problem, node.start_mark) from error
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
            # PyYAML's constructors raise these for a scalar that does not fit its tag.
            problem = f"{written!r} is not a valid value: {error}; put it in quotes to make it a string"
            raise _refusal(problem, node.start_mark) from error
        if isinstance(value, float) and math.isinf(value) and "inf" not in written.lower():
            raise _refusal(f"{written!r} is too large for a number; put it in quotes to make it a string", node.start_mark)
        return value

    def _key(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise _refusal("a key is a list or a mapping; keys must be strings", node.start_mark)
        key = self._scalar(node)
        if isinstance(key, int) and key.bit_length() > _KEY_BITS:
            raise _refusal(f"key {key} is too large for a number; put it in quotes to make it a string", node.start_mark)
        return key

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE_TAG:
                continue
            key, line = self._key(key_node), key_node.start_mark.line + 1
            if key in seen:
                problem = f"key {key!r} appears twice, first on line {seen[key]}; keep one of them"
                raise FlowFileError(problem, path=self._path, line=line)
            seen[key] = line

    def _expect_tag(self, node: yaml.Node, tag: str) -> None:
        if node.tag != tag:
            raise _refusal(f"tag {node.tag!r} is not supported; write plain mappings and lists", node.start_mark)
