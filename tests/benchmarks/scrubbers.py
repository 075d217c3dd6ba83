"""``python -m tests.benchmarks.scrubbers [--misses KIND]``: this package's redaction, logfire's and sentry's on one corpus.

Each has its defaults: logfire's scrubber on an attribute; sentry's event scrubber, which looks at keys alone, on an event's extra
data, with its recursion on. A scrubber that is not installed is left out: pip install 'the_edge_obs[bench]'.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import scrub, scrub_text

from ..corpus import samples
from ..corpus.scoring import Score, Scrubber, score, together

_SHARES: Final = ("recall", "kept", "rest", "precision")


def ours() -> Scrubber:
    """Return this package's redaction, without a flow and so without its memory."""
    return Scrubber(scrub_text, lambda value: scrub(snapshot(value, None)))


def logfire() -> Scrubber:
    """Return logfire's default scrubber."""
    from logfire._internal.scrubbing import Scrubber as Logfire

    scrubber = Logfire(None)

    def value(found: Any) -> Any:
        return scrubber.scrub_value(("attributes", "data"), found)[0]

    return Scrubber(value, value)


def sentry() -> Scrubber:
    """Return sentry's default scrubber; it looks at no text."""
    from sentry_sdk.scrubber import EventScrubber
    from sentry_sdk.utils import AnnotatedValue

    scrubber = EventScrubber(recursive=True)

    def plain(found: Any) -> Any:
        if isinstance(found, AnnotatedValue):
            return "[Filtered]"
        if isinstance(found, dict):
            return {key: plain(item) for key, item in found.items()}
        return [plain(item) for item in found] if isinstance(found, list) else found

    def value(found: Any) -> Any:
        event: Any = {"extra": {"data": copy.deepcopy(found)}}
        scrubber.scrub_event(event)
        return plain(event["extra"]["data"])

    return Scrubber(lambda text: text, value)


NEEDS: Final = {"logfire": "logfire", "sentry_sdk": "sentry-sdk"}
"""Packages by the module that tells whether they are installed."""
_MAKERS: Final[dict[str, tuple[Callable[[], Scrubber], str]]] = {
    "the_edge_obs": (ours, "the_edge_obs"),
    "logfire": (logfire, "logfire"),
    "sentry": (sentry, "sentry_sdk"),
}


def main(arguments: list[str] | None = None) -> int:
    """Print the table, or what went wrong in one kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scrubbers", description=__doc__)
    parser.add_argument("--misses", metavar="KIND", help="print what leaks and what is eaten of a kind, such as 'texts: urls'")
    asked = parser.parse_args(arguments)
    if asked.misses:
        found = score(ours(), [sample for sample in samples() if sample.kind == asked.misses])
        if not found:
            parser.error(f"{asked.misses!r} is not a kind of the corpus; they are {', '.join({s.kind: 1 for s in samples()})}")
        print(misses(found[asked.misses]))
        return 0
    scores = {name: score(make(), samples()) for name, (make, module) in _MAKERS.items() if find_spec(module)}
    print(table(scores))
    for name in _MAKERS.keys() - scores.keys():
        print(f"left out: {name}; pip install 'the_edge_obs[bench]'")
    return 0


def table(scores: dict[str, dict[str, Score]]) -> str:
    """Return the table of all kinds in Markdown: of each scrubber the shares in per cent, joined by strokes."""
    names = list(scores)
    lines = [
        f"| kind | secret | harmless | {' | '.join(name for name in names)} |",
        "|---|---|---|" + "---|" * len(names),
    ]
    kinds = list(scores[names[0]])
    groups = list(dict.fromkeys(kind.partition(":")[0] for kind in kinds))
    for group in groups:
        inside = [kind for kind in kinds if kind.partition(":")[0] == group]
        lines += [_row(kind, [scores[name][kind] for name in names]) for kind in inside if kind != group]
        lines.append(_row(f"**{group}**", [together(scores[name][kind] for kind in inside) for name in names]))
    lines.append(_row("**all**", [together(scores[name].values()) for name in names]))
    return "\n".join(lines)


def misses(one: Score) -> str:
    """Return what leaked and what was eaten, each with what came out."""
    lines = [f"leaked {outcome.sample.secrets}\n  {outcome.sample.value!r}\n  {outcome.out!r}" for outcome in one.leaked]
    lines += [f"eaten\n  {outcome.sample.value!r}\n  {outcome.out!r}" for outcome in one.eaten]
    return "\n".join(lines) or "none"


def _row(title: str, found: list[Score]) -> str:
    cells = [title, str(found[0].secret or ""), str(found[0].harmless or "")]
    cells += [" / ".join(_percent(one.shares[name]) for name in _SHARES) for one in found]
    return f"| {' | '.join(cells)} |"


def _percent(share: float | None) -> str:
    # Down, so that 100 is nothing but all.
    return "-" if share is None else str(int(100 * share + 1e-9))


if __name__ == "__main__":
    sys.exit(main())
