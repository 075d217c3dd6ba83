"""What docs/api.md says of each public name comes from the docstrings: ``python docs/api_index.py`` writes it anew.

Below a heading such as ``### `observable` `` the file itself has the signature and the first line of the docstring, and those of
its members, for readers of the Markdown. On the site, conf.py puts the whole docstrings there instead. Everything else in the
file is written by hand and stays.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import the_edge_obs

PAGE = Path(__file__).with_name("api.md")
ENTRY = re.compile(r"^### `([\w.]+)`\n(?:\n`[^`\n][^\n]*\n)?(?:\n(?:- `[^\n]*\n)+)?", re.MULTILINE)

# Further classes that users of a name meet: what it returns, holds or takes.
_BESIDE = {
    "EventStream": ["Events"],
    "FlowLog": ["SpanInfo"],
    "ObservabilityContext": ["TraceContext"],
    "comparison.SpanDiff": ["Change", "Figure"],
    "diff": ["FlowDiff"],
    "jsonl.read_events": ["Skipped"],
    "runs": ["FlowSummary"],
    "span": ["Span"],
    "tree.render": ["View"],
    "use_span": ["Using"],
}
# Users do not make these themselves.
_GIVEN = {
    "Answers", "Asked", "Change", "Events", "Figure", "Flow", "FlowDiff", "FlowLog", "FlowSummary", "Real",
    "RecordedAnswers", "RemoteParent", "ReplayStopped", "Report", "Span", "SpanContext", "SpanDiff", "SpanInfo", "SpanRecord",
    "StartedSpan", "Stop", "TraceContext", "Using",
}  # fmt: skip
# What logging and the package call, and users do not.
_INTERNAL = {
    "after_fork", "emit", "filter", "format", "handle", "handleError", "is_abroad", "items", "keep", "keep_fault", "keep_item",
    "process_exception", "setTarget",
    "FlowSummary.absorb", "FlowSummary.count", "Skipped.note", "Skipped.note_dropped", "View.paint",
    "BatchHandler.note_failed", "BatchHandler.records", "BatchHandler.renew", "BatchHandler.take_unfinished",
    "Span.close", "Span.enter", "Span.open", "Span.pass_by", "Span.start",
}  # fmt: skip


def found(name: str) -> Any:
    """Return what a dotted name below the package stands for."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(f"the_edge_obs.{module}") if module else the_edge_obs, last)


def beside(name: str) -> list[type]:
    """Return the further classes that users of a name meet."""
    home = importlib.import_module(found(name).__module__)
    return [getattr(home, other) for other in _BESIDE.get(name, [])]


def members(owner: type) -> list[str]:
    """Return the methods and properties of a class that users need, those of its bases in the package among them."""
    own = [base for base in owner.__mro__ if base.__module__.startswith("the_edge_obs")]
    named = {name: value for base in reversed(own) for name, value in vars(base).items() if not name.startswith("_")}
    public = [name for name, value in named.items() if isinstance(value, (types.FunctionType, property))]
    return [name for name in public if not {name, f"{owner.__name__}.{name}"} & _INTERNAL]


def signature(value: Any, name: str) -> str:
    """Return a name with the parameters that it takes, without annotations; of a property and of what users do not make, none."""
    if isinstance(value, property) or getattr(value, "__name__", "") in _GIVEN:
        return name
    taken = [one.replace(annotation=one.empty) for one in inspect.signature(value).parameters.values() if one.name != "self"]
    kinds = {one.kind for one in taken}
    if inspect.isclass(value) and inspect.Parameter.VAR_POSITIONAL in kinds:
        # An exception takes any arguments; a formatter takes what its base takes.
        is_own = getattr(value.__init__, "__module__", "").startswith("the_edge_obs")
        if not is_own or kinds == {inspect.Parameter.VAR_POSITIONAL}:
            return name
    return f"{name}{inspect.Signature(taken)}"


def summary(value: Any) -> str:
    """Return the first paragraph of a docstring, as Markdown."""
    return re.sub(r"\s+", " ", (inspect.getdoc(value) or "").partition("\n\n")[0]).replace("``", "`")


def lines(name: str) -> Iterator[str]:
    """Yield the lines that stand below the heading of a name."""
    value = found(name)
    yield f"`{signature(value, name.rpartition('.')[2])}`: {summary(value)}"
    owners = [(value, "")] if inspect.isclass(value) else []
    owners += [(one, f"{one.__name__}.") for one in beside(name)]
    listed = [
        f"- `{signature(getattr(owner, member), prefix + member)}`: {summary(getattr(owner, member))}"
        for owner, prefix in owners
        for member in members(owner)
    ]
    if listed:
        yield ""
        yield from listed


def filled(text: str) -> str:
    """Return the page with what the docstrings say now."""
    return ENTRY.sub(lambda entry: "\n".join([f"### `{entry[1]}`", "", *lines(entry[1]), ""]), text)


def expanded(text: str) -> str:
    """Return the page with directives for the whole docstrings, for Sphinx."""
    return ENTRY.sub(lambda entry: "\n".join([f"### `{entry[1]}`", "", "```{eval-rst}", *_directives(entry[1]), "```", ""]), text)


def _directives(name: str) -> Iterator[str]:
    value = found(name)
    yield from _directive(f"the_edge_obs.{name}", value)
    for other in beside(name):
        yield from _directive(f"{other.__module__}.{other.__qualname__}", other)


def _directive(path: str, value: Any) -> Iterator[str]:
    kind = "function" if not inspect.isclass(value) else "exception" if issubclass(value, BaseException) else "class"
    yield f".. auto{kind}:: {path}"
    if kind == "class" and (names := members(value)):
        yield f"   :members: {', '.join(names)}"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
