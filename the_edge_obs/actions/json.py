"""``json.parse`` and ``json.transform``: text to data, and data to other data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from ..errors import ActionError, MissingExtraError
from ._support import failure, text_of


def json_parse(state: Mapping[str, Any], *, text: str | bytes | None, strict: bool = True, default: Any = None) -> dict[str, Any]:
    """Parse a JSON text.

    Args:
        state: The flow's state; not used.
        text: The text.
        strict: Take RFC 8259 only. When false, also what people and models write: a Markdown fence around it, comments,
            trailing commas, NaN.
        default: What to return in place of a failure when ``strict`` is false; None fails.

    Returns:
        ``{"data": Any, "success": True}``. The soft failure has ``error_type`` ``parse`` and, where it is known,
        ``position`` ``{"line": int, "column": int}``, both from 1; a text of None is one too.

    Raises:
        ActionError: the text is neither text nor bytes nor None.
    """
    if text is None:
        return _unparsed("Input text is None", strict, default)
    if not isinstance(text, (str, bytes)):
        problem = f"json.parse: text is of type {type(text).__name__}; it must be text (data needs no parsing)"
        raise ActionError(problem)
    try:
        written = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return {"data": _strict(written) if strict else _lenient(written), "success": True}
    except (ValueError, RecursionError) as error:
        return _unparsed(error, strict, default)


def json_transform(state: Mapping[str, Any], *, data: Any, expression: str) -> dict[str, Any]:
    """Pick and reshape data with a JMESPath expression.

    ``user.name`` goes down, ``users[?status=='active'].name`` filters a list, ``{names: users[].name, count: length(users)}``
    builds an object; the language is described at https://jmespath.org.

    Args:
        state: The flow's state; not used.
        data: Lists, dicts, strings, numbers.
        expression: The expression.

    Returns:
        ``{"result": Any, "expression": str, "success": True}``; what is not there is None. The soft failure has
        ``error_type`` ``transform``: the data is None, or a function got data that it does not take.

    Raises:
        ActionError: the expression does not follow the grammar.
        MissingExtraError: the package ``jmespath`` is missing; the extra of that name installs it.
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
        raise ActionError(f"json.transform: expression {written[:200]!r} is no JMESPath: {detail}") from error
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
    import json

    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


# A string is matched first, so that what looks like a comment or a comma inside one stays.
_EXTRAS: Final = r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/'
_COMMAS: Final = r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])'
_FENCE: Final = r"\A\s*```[^\n`]*\n(.*?)\n?[ \t]*```\s*\Z"


def _lenient(text: str) -> Any:
    import json
    import re

    try:
        return json.loads(text)
    except ValueError:
        # Each replacement keeps what it does not remove, so a position in the error is near the real one.
        bare = re.sub(_FENCE, r"\1", text, flags=re.DOTALL)
        bare = re.sub(_EXTRAS, lambda match: match[1] or " ", bare, flags=re.DOTALL)
        return json.loads(re.sub(_COMMAS, lambda match: match[1] or "", bare, flags=re.DOTALL))
