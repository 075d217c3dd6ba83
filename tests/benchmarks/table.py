"""The bars, and the one table in which everything stands."""

from __future__ import annotations

import platform
from typing import Any, NamedTuple

from .node import CHAT
from .reading import HALF, IMPORT, LOADS, LONG, MEMORY, OURS, QUERY
from .rounds import Row
from .short import AT_CAP, FILE, FRESH, TASKS
from .short import MEMORY as FLOW

US = "the_edge_obs"


class Bar(NamedTuple):
    """One promise: the value, of the row of this variant and contender, is at most the limit."""

    variant: str
    contender: str
    what: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """Tell whether it is kept."""
        return self.value <= self.limit

    def __str__(self) -> str:
        verdict = "pass" if self.passed else f"FAIL, {self.value / self.limit:.2f} times the bar"
        return f"{self.value:.3g} of at most {self.limit:g} {self.what}: {verdict}"


class Limits(NamedTuple):
    """The most that a figure may be, in pure Python and with the native core."""

    pure: float
    native: float


# (variant, the contender compared with, the limits of the ratio of minima)
_RATIOS = (
    ("into memory", "eliot", Limits(0.55, 0.25)),
    (CHAT.variant("into memory"), "eliot", Limits(1.0, 0.3)),
    (CHAT.variant("into a full ring"), "eliot", Limits(1.2, 1.2)),
    ("memory and JSONL file", "eliot", Limits(1.0, 0.7)),
    (CHAT.variant("memory and JSONL file"), "eliot", Limits(1.2, 0.5)),
    (CHAT.variant("bytes kept"), "its JSON", Limits(1.5, 1.2)),
    (QUERY, LOADS, Limits(0.2, 0.2)),
    (FLOW, "eliot", Limits(1.5, 1.0)),
    (TASKS, "eliot", Limits(1.25, 1.0)),  # 0.8 of its events a second, or as many
)
# (variant, contender, which number, limits, unit)
_AMOUNTS = (
    ("filtered by level", US, "minimum", Limits(0.15, 0.15), "µs"),
    ("bytes kept", US, "minimum", Limits(450, 450), "B"),
    (LONG, US, "minimum", Limits(9, 4), "µs"),
    (IMPORT, OURS, "median", Limits(15, 15), "ms"),
)
_OF_FILE, _AT_CAP = Limits(4.0, 3.0), Limits(1.2, 1.1)


def bars(rows: list[Row], *, is_native: bool = False) -> list[Bar]:
    """Return the bars for which the rows have the numbers."""
    least = {row[:2]: row.minimum for row in rows}
    found = [
        Bar(variant, US, f"x {other}", least[variant, US] / least[variant, other], limits[is_native])
        for variant, other, limits in _RATIOS
        if (variant, US) in least and (variant, other) in least
    ]
    for variant, who, which, limits, unit in _AMOUNTS:
        found += [Bar(variant, who, unit, getattr(row, which), limits[is_native]) for row in rows if row[:2] == (variant, who)]
    if ("8 threads", US) in least:
        # No fewer events a second than one thread; a twentieth is what two samples of the floor differ by.
        found.append(Bar("8 threads", US, "x 1 thread", least["8 threads", US] / least["1 thread", US], 1.05))
    if (FILE, US) in least and (FLOW, "eliot") in least:
        found.append(Bar(FILE, US, "x eliot into memory", least[FILE, US] / least[FLOW, "eliot"], _OF_FILE[is_native]))
    if (AT_CAP, US) in least:
        found.append(Bar(AT_CAP, US, "x a fresh ring", least[AT_CAP, US] / least[FRESH, US], _AT_CAP[is_native]))
    if (LONG, US) in least:
        # Twice the events take twice the time, and a little for caches and the collector; a square would be 2.
        found.append(Bar(LONG, US, "x half of it", least[LONG, US] / least[HALF, US], 1.25))
    peaks = [row for row in rows if row.variant == MEMORY]
    if len(peaks) == 2:
        found.append(Bar(MEMORY, peaks[0].contender, "x a tenth of it", peaks[0].minimum / peaks[1].minimum, 1.1))
    return found


def render(rows: list[Row], checked: list[Bar]) -> str:
    """Return the table as text."""
    floors = {row.variant: row.minimum for row in rows if row.contender == "floor"}
    lines = [("variant", "who", "min", "median", "unit", "x floor", "bar")]
    shown = ""
    for row in rows:
        texts = [str(bar) for bar in checked if bar[:2] == row[:2]] or [""]
        ratio = f"{row.minimum / floors[row.variant]:.2f}" if floors.get(row.variant) else ""
        name = row.variant if row.variant != shown else ""
        shown = row.variant
        lines.append((name, row.contender, _number(row.minimum), _number(row.median), row.unit, ratio, texts[0]))
        lines += [("",) * 6 + (text,) for text in texts[1:]]
    widths = [max(len(line[index]) for line in lines) for index in range(7)]
    return "\n".join(_line(line, widths) for line in [lines[0], tuple("-" * width for width in widths), *lines[1:]])


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    right = (2, 3, 5)
    return "  ".join(
        cell.rjust(width) if index in right else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def document(rows: list[Row], checked: list[Bar], left_out: dict[str, list[str]]) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rows": [row._asdict() for row in rows],
        "bars": [{**bar._asdict(), "passed": bar.passed} for bar in checked],
        "left_out": left_out,
    }
