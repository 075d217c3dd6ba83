"""What a comparison of two runs gives: itself as text and data, and what a CI job may fail on."""

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
    """Two runs side by side. It is true where they differ in anything but durations.

    Attributes:
        old, new: The flow logs.
        spans: A row for each span of either run, parents before children, in the order of the new run.
    """

    def __str__(self) -> str:
        return "\n".join(_text.render(self, View()))

    def __repr__(self) -> str:
        return f"<FlowDiff {_text.summary(self)}>"

    def failures(self, fail_on: str) -> list[str]:
        """Return what a CI job is to fail on, one line each; an empty list where there is nothing of it.

        Args:
            fail_on: Names with commas between: ``status``, ``error``, ``input``, ``output``, ``metrics``, ``nodes`` (added,
                removed, moved, or another node under the same step); and limits of what the whole run may grow by:
                ``duration=+20%``, ``duration=+50ms``, ``tokens=+10%``, ``cost=+0.01``.

        Raises:
            ConfigurationError: an unknown name, or a limit that is none.
        """
        return [line for rule in _limits.parse(fail_on) for line in rule.failures(self)]

    def unproved(self, fail_on: str) -> list[str]:
        """Return which inputs, outputs or errors that a CI job is to fail on were cut, and are the same as far as logged.

        One line for each name; an empty list where all is logged. What was only redacted does not count.

        Args:
            fail_on: As in ``failures``.

        Raises:
            ConfigurationError: as in ``failures``.
        """
        return [line for rule in _limits.parse(fail_on) for line in rule.unproved(self)]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as a dict of JSON values: both runs in short, totals, counts, and every row."""
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
