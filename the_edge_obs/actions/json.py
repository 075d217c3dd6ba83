"""``json.parse`` and ``json.transform``: text to data, and data to other data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from ..errors import ActionError, MissingExtraError
from ..jsonl import lone_surrogate
from ._support import failure, parsed_json, text_of


def json_parse(state: Mapping[str, Any], *, text: str | bytes | None, strict: bool = True, default: Any = None) -> dict[str, Any]:
    """Parse a JSON text.

    Args:
        state: The flow's state; not used.
        text: The text.
        strict: Accept RFC 8259 only, numbers that a double can hold, and no lone surrogates. When false, also accept what people
            and models write: a Markdown fence around it, comments, trailing commas, NaN, and these.
        default: The value to return instead of a failure when ``strict`` is false; None fails.

    Returns:
        ``{"data": Any, "success": True}``. The soft failure has ``error_type`` ``parse`` and, where it is known,
        ``position`` ``{"line": int, "column": int}``, both from 1; a text of None is one too.

    Raises:
        ActionError: The text is not a string, bytes or None.
    """
    if text is None:
        return _unparsed("Input text is None", strict, default)
    if not isinstance(text, (str, bytes)):
        problem = f"json.parse: text is of type {type(text).__name__}; it must be a string; other data needs no parsing"
        raise ActionError(problem)
    try:
        written = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return {"data": _strict(written) if strict else _lenient(written), "success": True}
    except ValueError as error:
        return _unparsed(error, strict, default)


def json_transform(state: Mapping[str, Any], *, data: Any, expression: str) -> dict[str, Any]:
    """Select and reshape data with a JMESPath expression.

    ``user.name`` selects a key, ``users[?status=='active'].name`` filters a list, ``{names: users[].name, count: length(users)}``
    builds an object; the language is described at https://jmespath.org.

    Args:
        state: The flow's state; not used.
        data: Lists, dicts, strings, numbers.
        expression: The expression.

    Returns:
        ``{"result": Any, "expression": str, "success": True}``; a missing value is None. The soft failure has
        ``error_type`` ``transform``: the data is None, or a function got data of the wrong type.

    Raises:
        ActionError: The expression does not follow the grammar.
        MissingExtraError: The package ``jmespath`` is missing; the extra of that name installs it.
    """
    try:
        import jmespath
        from jmespath.exceptions import JMESPathError, ParseError
    except ImportError as error:
        raise MissingExtraError("json.transform", "jmespath") from error

    written = text_of("json.transform", "expression", expression)
    try:
        transform = jmespath.compile(written)
    except (ParseError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise ActionError(f"json.transform: expression {written[:200]!r} is not valid JMESPath: {detail}") from error
    if data is None:
        return failure("Input data is None", "transform", expression=written)
    try:
        return {"result": transform.search(data), "expression": written, "success": True}
    except (JMESPathError, TypeError, RecursionError) as error:
        return failure(f"{written!r} does not fit the data: {error}", "transform", expression=written)


def _unparsed(error: object, strict: bool, default: Any) -> dict[str, Any]:
    import json

    if not strict and default is not None:
        return {"data": default, "success": True}
    if isinstance(error, json.JSONDecodeError):
        position = {"line": error.lineno, "column": error.colno}
        return failure(f"JSON parse error: {error.msg}", "parse", position=position)
    return failure(error if isinstance(error, str) else f"JSON parse error: {error}", "parse")


def _strict(text: str) -> Any:
    value = parsed_json(text, parse_constant=_refuse, parse_float=_finite)
    if (escape := lone_surrogate(text)) is not None:
        raise ValueError(f"{escape} is a lone surrogate, which no character is")
    return value


def _finite(number: str) -> float:
    value = float(number)
    if value - value != 0:
        raise ValueError(f"{number[:60]} is out of the range of numbers")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


# A comment without an end extends to the end of the text: so no part can fail once it has begun, and none is read twice.
_EXTRAS: Final = r'"|//[^\n]*|/\*.*?(?:\*/|\Z)'
_COMMAS: Final = r'"|,(?=\s*[}\]])'


def _lenient(text: str) -> Any:
    try:
        return parsed_json(text)
    except ValueError:
        # The replacements keep the rest of the text, so a position in the error is near the real one.
        return parsed_json(_without(_COMMAS, _without(_EXTRAS, _unfenced(text), " "), ""))


def _without(extras: str, text: str, replacement: str) -> str:
    """Return a text with the extras replaced; inside a string they stay."""
    import re

    pattern, kept, position = re.compile(extras, re.DOTALL), [], 0
    while match := pattern.search(text, position):
        is_string = match.group() == '"'
        end = _string_end(text, match.end()) if is_string else match.end()
        kept += [text[position : match.start()], text[match.start() : end] if is_string else replacement]
        position = end
    return "".join([*kept, text[position:]])


def _string_end(text: str, position: int) -> int:
    """Return where the string that began before ``position`` ends: after its closing quote, or at the end of the text."""
    import re

    # One search per escape: one expression for the whole string would use 140 bytes for each of them.
    pattern = re.compile(r'["\\]')
    while match := pattern.search(text, position):
        if match.group() == '"':
            return match.end()
        position = match.end() + 1
    return len(text)


def _unfenced(text: str) -> str:
    """Return the content of a Markdown fence that spans the whole text; any other text unchanged."""
    opening, newline, rest = text.strip().partition("\n")
    body = rest.removesuffix("```")
    is_fence = opening.startswith("```") and "`" not in opening[3:] and newline and body != rest
    return body if is_fence else text
