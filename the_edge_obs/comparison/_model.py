"""The result of a comparison: as text, as data, and as a list of failures for CI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..flow_log import FlowLog
from ..text import View
from . import _limits, _text
from ._rows import Aligned


@dataclass(frozen=True, slots=True, repr=False)
class FlowDiff(Aligned):
    """Two runs side by side. It is true if they differ in anything but durations.

    Attributes:
        old, new: The flow logs.
        spans: A row for each span of either run, parents before children, in the order of the new run.
    """

    def __str__(self) -> str:
        return "\n".join(_text.render(self, View()))

    def __repr__(self) -> str:
        return f"<FlowDiff {_text.summary(self)}>"

    def failures(self, fail_on: str) -> list[str]:
        """Return the differences on which a CI job should fail, one line each; an empty list if there are none.

        Args:
            fail_on: A comma-separated list of names: ``status``, ``error``, ``input``, ``output``, ``metrics``, ``nodes`` (a span
                was added, removed or moved, or has another node under the same step); and of limits by which totals of the run
                may grow: ``duration=+20%``, ``duration=+50ms``, ``tokens=+10%``, ``cost=+0.01``.

        Raises:
            ConfigurationError: a name is unknown, or a limit is not valid.
        """
        return [line for rule in _limits.parse(fail_on) for line in rule.failures(self)]

    def unproved(self, fail_on: str) -> list[str]:
        """Return which inputs, outputs or errors in ``fail_on`` were cut, and are the same as far as they were logged.

        One line for each name; an empty list if nothing was cut. Values that were only redacted do not count.

        Args:
            fail_on: As in ``failures``.

        Raises:
            ConfigurationError: as in ``failures``.
        """
        return [line for rule in _limits.parse(fail_on) for line in rule.unproved(self)]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as a dict of JSON values: a summary of both runs, totals, counts, and every row."""
        return {
            "differs": bool(self),
            "old": _in_short(self.old),
            "new": _in_short(self.new),
            "counts": self.counts,
            "totals": {name: figure.to_dict() for name, figure in self.totals.items()},
            "spans": [span.to_dict() for span in self.spans],
        }


def _in_short(log: FlowLog) -> Mapping[str, Any]:
    dropped = log.metrics["dropped_count"]
    return {
        "flow_id": log.flow_id,
        "name": log.name,
        "status": log.status,
        "started": log.events[0]["timestamp"] if log.events else None,
        "dropped_count": dropped,
    }
