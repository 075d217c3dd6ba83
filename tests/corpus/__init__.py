"""A corpus of secrets and of what only looks like them, to measure redaction with: recall, and harm done to harmless text.

Plain YAML, by kind: ``secret_keys`` and ``harmless_keys`` (each with a value that fits), ``formats`` (values that tell what they
are), ``secret_texts`` and ``harmless_texts``. All of it is made up. In texts, ``⟦`` and ``⟧`` stand around each secret. A ``¦``
breaks up what scanners of hosting platforms would report as a real key, and is left out on loading.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_FOLDER = Path(__file__).parent
_MARKED = re.compile(r"⟦(.*?)⟧", re.DOTALL)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, some ten times as fast


class Sample(NamedTuple):
    """One sample of the corpus.

    Attributes:
        kind: Its row in the tables, such as ``texts: headers``.
        value: A text, or a dict of one key.
        secrets: What must vanish, as it stands in the value; empty where the value must stay as it is.
    """

    kind: str
    value: Any
    secrets: tuple[str, ...] = ()


@cache
def samples() -> tuple[Sample, ...]:
    """Return the whole corpus: keys, formats, texts; secret before harmless."""
    made = [_key(kind, key, value) for kind, keys in _load("secret_keys").items() for key, value in keys.items()]
    made += [Sample(f"keys: {kind}", {key: keys[key]}) for kind, keys in _load("harmless_keys").items() for key in keys]
    made += [_text("formats", f"Look at {text} in the morning.") for text in _load("formats").values()]
    made += [_text(f"texts: {kind}", text) for kind, texts in _load("secret_texts").items() for text in texts]
    made += [Sample(f"texts: {kind}", text) for kind, texts in _load("harmless_texts").items() for text in texts]
    return tuple(made)


def _load(name: str) -> dict[str, Any]:
    return yaml.load((_FOLDER / f"{name}.yaml").read_text("utf-8"), _LOADER)


def _key(kind: str, key: str, value: Any) -> Sample:
    secrets: list[str] = []
    plain = _unmarked(value, secrets)
    return Sample(f"keys: {kind}", {key: plain}, tuple(secrets or leaves(plain)))


def _text(kind: str, text: str) -> Sample:
    secrets: list[str] = []
    return Sample(kind, _unmarked(text, secrets), tuple(secrets))


def _unmarked(value: Any, secrets: list[str]) -> Any:
    """Return a value as systems have it, and add the secrets that were marked in it."""
    if isinstance(value, dict):
        return {key: _unmarked(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_unmarked(item, secrets) for item in value]
    if not isinstance(value, str):
        return value
    whole = value.replace("¦", "")
    secrets += _MARKED.findall(whole)
    return _MARKED.sub(r"\1", whole)


def leaves(value: Any) -> list[str]:
    """Return the texts of what stands in a value, keys left out."""
    if isinstance(value, (dict, list)):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in leaves(item)]
    return [str(value)]
