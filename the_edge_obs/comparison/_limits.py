"""The differences on which a comparison fails, for CI: ``status,output,duration=+20%``."""

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
    """A rule that fails if a part of any span differs.

    Attributes:
        name: The part, such as ``status``.
    """

    name: str

    def failures(self, diff: Aligned) -> Iterator[str]:
        """Yield one line if there are spans in which that part differs."""
        spans = [span for span in diff.spans if _NAMES[self.name](span, self.name)]
        if spans:
            yield f"{self.name} of {counted(len(spans), 'span')} differ{'s' if len(spans) == 1 else ''}: {_shown(spans)}"

    def unproved(self, diff: Aligned) -> Iterator[str]:
        """Yield one line if there are spans in which that part was cut and is the same as far as it was logged."""
        spans = [span for span in diff.spans if any(map(self._names, span.truncated))]
        if spans:
            yield f"{self.name} of {counted(len(spans), 'span')} was cut, and is the same as far as logged: {_shown(spans)}"

    def _names(self, path: str) -> bool:
        return re.split(r"[.[]", path, maxsplit=1)[0] == self.name


@dataclass(frozen=True, slots=True)
class Growth:
    """A rule that fails if a total of the run grows by more than a limit.

    Attributes:
        name: ``duration``, ``tokens`` or ``cost``.
        text: The limit as it was given: ``+20%``.
        amount: The number in it; a time in milliseconds.
        relative: Whether the number is a percentage of the old value.
    """

    name: str
    text: str
    amount: float
    relative: bool

    def failures(self, diff: Aligned) -> Iterator[str]:
        """Yield one line if the limit is exceeded, or if that cannot be checked."""
        key, shown = _FIGURES[self.name]
        figure = diff.totals[key]
        if figure.old is None or figure.new is None:
            which = "both runs" if figure.old is figure.new else "the old run" if figure.old is None else "the new run"
            yield f"{self.name}={self.text} cannot be checked: the end of {which} is not in the log"
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
    """Check a list of rules for ``FlowDiff.failures`` without comparing anything.

    Raises:
        ConfigurationError: a rule is not valid; the error names what is allowed.
    """
    parse(text)


def parse(text: str) -> list[Rule]:
    """Return the rules of a comma-separated list.

    Raises:
        ConfigurationError: a rule is not valid; the error names what is allowed.
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
    """Return the number of a limit such as ``+20%``, a time in milliseconds; None if it is not valid."""
    if match := re.fullmatch(r"\+(\d+(?:\.\d+)?)\s*(%?)", limit):
        return float(match[1]) if match[2] or not is_time else None
    duration = signed_seconds(limit) if is_time else None
    return None if duration is None or duration[0] != "+" else duration[1] * 1000


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
