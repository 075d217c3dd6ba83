"""Format ``html``: a page that shows one run; it opens from disk and needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..errors import ExportError
from ..event import Event
from ..pages import run_page
from ._flow_logs import flow_logs


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield the text of the page.

    Raises:
        ExportError: the events are not those of one flow.
    """
    logs = flow_logs(events, dropped)
    if len(logs) != 1:
        problem = "there are no events to show" if not logs else f"these events are of {len(logs):,} flows"
        raise ExportError(
            f"{problem}, and a page shows one; give the log of one flow, or pages of all into a folder: "
            "tea-obs export LOG --format html -o FOLDER/"
        )
    yield from run_page(logs[0])
