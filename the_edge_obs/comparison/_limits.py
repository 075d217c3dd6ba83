"""What a CI job is to fail on: ``status,output,duration=+20%``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import ConfigurationError, allowed
from ..text import counted, dollars, duration_text, printable, signed_seconds
from ._rows import Aligned, SpanDiff

_SHOWN: Final = 3  # spans named in one line


@dataclass(frozen=True, slots=True)
class Difference:
    """A rule that any span may break.

    Attributes:
        name: ``status``, say.
    """

    name: str

    def failures(self, diff: Aligned) -> Iterator[str]:
        """Yield one line if there are such spans."""
        found = [span for span in diff.spans if _NAMES[self.name](span, self.name)]
        if found:
            yield f"{self.name} of {counted(len(found), 'span')} differ{'s' if len(found) == 1 else ''}: {_shown(found)}"

    def unproved(self, diff: Aligned) -> Iterator[str]:
        """Yield one line if there are spans of which that was cut, and is the same as far as logged."""
        found = [span for span in diff.spans if any(map(self._names, span.truncated))]
        if found:
            yield f"{self.name} of {counted(len(found), 'span')} was cut, and is the same as far as logged: {_shown(found)}"

    def _names(self, path: str) -> bool:
        return re.split(r"[.[]", path, maxsplit=1)[0] == self.name


@dataclass(frozen=True, slots=True)
class Growth:
    """A limit of what a total of the run may grow by.

    Attributes:
        name: ``duration``, ``tokens`` or ``cost``.
        text: The limit as it was given: ``+20%``.
        amount: The number in it; of times in milliseconds.
        relative: Whether it is percent of the old value.
    """

    name: str
    text: str
    amount: float
    relative: bool

    def failures(self, diff: Aligned) -> Iterator[str]:
        """Yield one line if the limit is exceeded, or if that cannot be told."""
        key, shown = _FIGURES[self.name]
        figure = diff.totals[key]
        if figure.old is None or figure.new is None:
            which = "both runs" if figure.old is figure.new else "the old run" if figure.old is None else "the new run"
            yield f"{self.name}={self.text} cannot be told: the end of {which} is not in the log"
        elif figure.new - figure.old > self._room(figure.old) + 1e-9:
            growth = "" if figure.percent is None else f", {figure.percent:+.1f}%"
            yield f"{self.name} grew from {shown(figure.old)} to {shown(figure.new)}{growth}: more than {self.text}"

    def unproved(self, diff: Aligned) -> Iterator[str]:
        """Yield nothing: figures are never cut."""
        yield from ()

    def _room(self, old: float) -> float:
        return old * self.amount / 100 if self.relative else self.amount


Rule = Difference | Growth


def _shown(spans: Sequence[SpanDiff]) -> str:
    shown = ", ".join(printable(" / ".join(span.path)) for span in spans[:_SHOWN])
    return shown + (f" and {len(spans) - _SHOWN:,} more" if len(spans) > _SHOWN else "")


def check_fail_on(text: str) -> None:
    """Check a list as ``FlowDiff.failures`` takes it, without comparing anything.

    Raises:
        ConfigurationError: it names what is allowed.
    """
    parse(text)


def parse(text: str) -> list[Rule]:
    """Return the rules that a list with commas names.

    Raises:
        ConfigurationError: it names what is allowed.
    """
    words = [word.strip() for word in text.split(",")]
    return [_rule(word) for word in words]


def _rule(word: str) -> Rule:
    name, equals, limit = (part.strip() for part in word.partition("="))
    if name in _NAMES:
        if equals:
            raise ConfigurationError(f"fail-on {word!r}: {name} takes no limit; {_allowed(name)}")
        return Difference(name)
    if name not in _FIGURES:
        raise ConfigurationError(f"fail-on {word!r} is unknown; {_allowed(name)}")
    amount = _amount(limit, is_time=name == "duration")
    if amount is None:
        raise ConfigurationError(f"fail-on {word!r} is not a valid limit; allowed: {', '.join(_LIMITS[name])}")
    return Growth(name, limit, amount, limit.endswith("%"))


def _amount(limit: str, *, is_time: bool) -> float | None:
    """Return the number of a limit such as ``+20%``, times in milliseconds; None for what is not one."""
    if match := re.fullmatch(r"\+(\d+(?:\.\d+)?)\s*(%?)", limit):
        return float(match[1]) if match[2] or not is_time else None
    found = signed_seconds(limit) if is_time else None
    return None if found is None or found[0] != "+" else found[1] * 1000


def _allowed(given: str) -> str:
    return allowed([*_NAMES, *(limits[0] for limits in _LIMITS.values())], given)


def _differs(span: SpanDiff, name: str) -> bool:
    return name in span.differences


def _is_other(span: SpanDiff, name: str) -> bool:
    return span.old is None or span.new is None or span.moved or "node" in span.differences


def _count(value: float) -> str:
    return f"{value:,}"


_NAMES: Final[dict[str, Callable[[SpanDiff, str], bool]]] = {
    **dict.fromkeys(("status", "error", "input", "output", "metrics"), _differs),
    "nodes": _is_other,
}
_FIGURES: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    "duration": ("duration_ms", duration_text),
    "tokens": ("tokens", _count),
    "cost": ("cost_usd", dollars),
}
_LIMITS: Final = {
    "duration": ("duration=+20%", "duration=+50ms", "duration=+1.5s", "duration=+2min"),
    "tokens": ("tokens=+10%", "tokens=+100"),
    "cost": ("cost=+5%", "cost=+0.01"),
}
