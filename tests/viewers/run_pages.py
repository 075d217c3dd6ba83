"""Pages of made runs, opened in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import the_edge_obs as obs

from ..strategies import Event, event


def span_of(node: str, given: Any, answer: Any, cut: list[str] | None = None) -> list[Event]:
    """Return a run with one span, the second one, below its root."""
    said = {"input": given} | ({"cut": cut} if cut else {})
    return [
        event(1, "entry", 0, data={"name": "chat"}),
        event(2, "entry", 0.1, parent=1, node=node, data=said if given is not None else {}),
        event(2, "exit", 0.5, parent=1, node=node, data={} if answer is None else {"output": answer}),
        event(1, "exit", 1),
    ]


def open_run(watched: Any, folder: Path, made: list[Event], row: int | None = 1) -> Any:
    """Open the page of a run, and the details of one of its rows; return the page."""
    log = folder / "run.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
    obs.export(log, folder / "run.html", format="html")
    watched.page.goto((folder / "run.html").as_uri())
    if row is not None:
        watched.page.locator("#rows .row").nth(row).click()
    return watched.page
