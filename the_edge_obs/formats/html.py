"""Format ``html``: a page that shows one run, opens from disk and needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ..errors import ExportError
from ..event import Event
from ..pages import run_page
from ._flow_logs import flow_logs

_ADVICE: Final = (
    "a page shows one flow: give the log of one, or write a folder of pages: tea-obs export LOG --format html -o FOLDER/"
)


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield the text of the page.

    Raises:
        ExportError: there are no events, or they belong to several flows.
    """
    log = next(iter(flow_logs(_of_one(events), dropped)), None)
    if log is None:
        raise ExportError(f"no events to show; {_ADVICE}")
    yield from run_page(log)


def _of_one(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events of one flow; raise at the first event of another, before a whole folder is in memory."""
    flow_id = None
    for event in events:
        flow_id = event["flow_id"] if flow_id is None else flow_id
        if event["flow_id"] != flow_id:
            raise ExportError(f"these events belong to several flows; {_ADVICE}")
        yield event
