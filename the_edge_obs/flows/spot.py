"""One part of a flow: where it is written, and what messages call it.

Everything that reads a flow carries the two together; a mistake is raised or noted at the spot where it was found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from ..configuration.yaml_reader import Place
from ..errors import FlowFileError
from .yaml_source import Source

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spot:
    """One part of a flow.

    Args:
        source: The flow.
        place: Where the part is written; empty for the flow as a whole.
        owner: What messages call it, such as ``step 'load'`` or ``edges[0]: when``; empty for no name.
        step: The node it belongs to, or None.
    """

    source: Source
    place: Place = ()
    owner: str = ""
    step: str | None = None

    def at(self, *keys: object) -> Spot:
        """Return a spot further inside, under the same name."""
        return Spot(self.source, (*self.place, *keys), self.owner, self.step)

    def called(self, owner: str) -> Spot:
        """Return the same spot under another name."""
        return Spot(self.source, self.place, owner, self.step)

    def key(self, key: str) -> Spot:
        """Return the spot of a key, whose name says which key it is: ``step 'load': output``."""
        return Spot(self.source, (*self.place, key), self.text(key), self.step)

    def item(self, index: int) -> Spot:
        """Return the spot of a list item, whose name says which item it is: ``nodes[0]``."""
        return Spot(self.source, (*self.place, index), f"{self.owner}[{index}]", self.step)

    def node(self, index: int, name: str) -> Spot:
        """Return the spot of a node in this list of nodes."""
        return Spot(self.source, (*self.place, index), f"step {name!r}", name)

    def with_path(self) -> Spot:
        """Return the same spot under a name that says which part of its node it is: ``step 'load', key 'with.path'``."""
        parts = [str(part) for part in self.place]
        while len(parts) > 1 and parts[0] in {"nodes", "steps", "body", "edges"}:
            parts = parts[2:]
        return self.called(f"{self.owner}, key {'.'.join(parts)!r}")

    def text(self, problem: str) -> str:
        """Return a problem with the spot's name before it."""
        return f"{self.owner}: {problem}" if self.owner else problem

    def error(self, problem: str, *, line: int | None = None) -> FlowFileError:
        """Return the error that rejects the flow because of this spot.

        Args:
            problem: What is wrong and what is allowed.
            line: 1-based line of the mistake; by default the line of the spot.
        """
        return self._error(self.text(problem), line)

    def wrong(self, value: object, expected: str) -> FlowFileError:
        """Return the error for a value that is not what it must be.

        Args:
            value: The value.
            expected: What it must be, such as ``a list (- item)``.
        """
        return self._error(f"{self.owner} is {value!r}; it must be {expected}", None)

    def note(self, problem: str) -> None:
        """Note a mistake at this spot; reading continues, so that further mistakes are found.

        Raises:
            EnoughError: As ``Source.note`` does.
        """
        self.source.note(self.error(problem))

    def attempt(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Read a part of the flow, and return it; note its mistake and return None when it cannot be read.

        Raises:
            EnoughError: As ``Source.note`` does.
        """
        return self.source.attempt(read, *args, **kwargs)

    def _error(self, message: str, line: int | None) -> FlowFileError:
        line = self.source.line(self.place) if line is None else line
        return FlowFileError(message, path=self.source.path, line=line, step=self.step)
