"""What the fixture ``flow_logs`` of the pytest plugin gives: the flows that a test ran, and recorded runs to run again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import ConfigurationError, configure
from ..flows import Flow, Real, RecordedAnswers, Report, Stop, load, recorded_answers, replay
from ..store.full_record import full_files, full_records
from ..testing import FlowLogs

__all__ = ["PytestFlowLogs"]

_ENGINE_ARGUMENTS = ("config", "node", "graph")  # which a flow hands to every action that takes any arguments


class PytestFlowLogs(FlowLogs):
    """The flows that a test ran, and recorded runs to run again.

    Args:
        folder: The folder of the test's file: relative paths begin there.
        rerecord: Whether ``replay`` records runs again.
    """

    def __init__(self, folder: Path = Path(), *, rerecord: bool = False) -> None:
        super().__init__()
        self._folder, self._rerecords = folder, rerecord
        self._undos: list[Callable[[], None]] = []
        self._given: list[RecordedAnswers] = []

    def close(self) -> None:
        """Stop collecting, and restore the logging tree."""
        while self._undos:
            self._undos.pop()()
        super().close()

    def check(self) -> None:
        """Check that nothing has swallowed a stop of ``answers``.

        Raises:
            AssertionError: Something has.
        """
        for answers in self._given:
            if answers.stopped is not None:
                raise AssertionError(_told(answers.stopped)) from None

    def replay(
        self,
        log: str | os.PathLike[str],
        flow: Flow | str | Path | Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        *,
        live: Sequence[str] = (),
        again: bool = False,
        pretend: Sequence[str] = (),
        frozen: Sequence[str] = (),
        ignore: Sequence[str] = (),
        from_step: str | None = None,
        secrets: Mapping[str, Any] | None = None,
        actions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Report:
        """Run a flow again with the answers of a recorded run, as ``flows.replay`` does; where that stops, the test fails.

        With ``--flow-logs-rerecord`` the flow runs for real instead, all of its actions with all of their effects, from the
        recorded initial state, and its log takes the place of the old one.

        Args:
            log: The log of the run. A relative path begins in the folder of the test's file, as that of the flow does.
            flow: The flow, or its file or content.
            state, live, again, pretend, frozen, ignore, from_step, secrets, actions: As for ``flows.replay``.

        Returns:
            What the replay did: ``.state``, ``.calls``, ``.unused``, ``.diff``, and ``.error``, if it failed as the recorded run
            had.

        Raises:
            AssertionError: The replay stopped, or there is no such log.
            Exception: What the flow raised, where the recorded run had not failed in that step, with that class.
        """
        __tracebackhide__ = True
        path, loaded = self._path(log), flow if isinstance(flow, Flow) else load(self._source(flow), actions)
        options: dict[str, Any] = {"state": state, "secrets": secrets}
        if self._rerecords:
            return _recorded_again(path, loaded, options)
        options |= {"live": live, "again": again, "pretend": pretend, "frozen": frozen, "ignore": ignore, "from_step": from_step}
        return _checked(replay(path, loaded, **options))

    def answers(self, log: str | os.PathLike[str], *nodes: str) -> dict[str, Callable[..., Any]]:
        """Return actions that give recorded answers, for ``flows.load(actions=...)``; all other actions are called.

        A call gets the answer that was recorded at its place with its input, or elsewhere with its input. Any other call stops
        the run, and the test fails.

        Args:
            log: The log of a run, as for ``replay``.
            *nodes: The nodes, or globs such as ``llm.*``.

        Raises:
            AssertionError: There is no such log, or no call of such a node in it.

        Example:
            >>> flow = flows.load("triage.yaml", flow_logs.answers("run.jsonl", "llm.*"))
        """
        __tracebackhide__ = True
        answers = recorded_answers(self._path(log))
        known = sorted({call.node for call in answers.recording.calls.values()})
        chosen = [node for node in known if any(fnmatchcase(node, glob) for glob in nodes)]
        if not chosen:
            raise AssertionError(
                f"no call of {', '.join(nodes) or 'no node'} is in {os.fspath(log)!r}; it has {', '.join(known)}"
            )
        self._given.append(answers)
        self._undos.append(configure({"handlers": [{"type": "callback", "callback": lambda event: answers.take(event)}]}))
        return {node: _answering(answers, node) for node in chosen}

    def _path(self, log: str | os.PathLike[str]) -> Path:
        __tracebackhide__ = True
        path = self._folder / log
        if not path.is_file():
            hint = "record it with `tea-obs run FLOW.yaml --log-dir DIR`, and copy the log there"
            raise AssertionError(f"there is no recorded run {str(path)!r}; {hint}")
        return path

    def _source(self, flow: str | Path | Mapping[str, Any]) -> str | Path | Mapping[str, Any]:
        return flow if isinstance(flow, Mapping) else self._folder / flow


def _answering(answers: RecordedAnswers, node: str) -> Callable[..., Any]:
    def action(state: Any = None, **params: Any) -> Any:
        given = {name: value for name, value in params.items() if name not in _ENGINE_ARGUMENTS}
        return answers.call(node, given, state, Real(None, lambda: None)).given()

    return action


def _checked(report: Report) -> Report:
    __tracebackhide__ = True
    if report.stopped is not None:
        raise AssertionError(_told(report.stopped)) from None
    if not report.is_as_before and report.error is not None:
        raise report.error
    return report


def _told(stop: Stop) -> str:
    """Return the message of a failed test: where the replay stopped, what is different, and what to do."""
    first, *more = str(stop).split("; ")
    return "\n  ".join([f"the replay stopped at {first}", *more])


def _recorded_again(path: Path, flow: Flow, options: Mapping[str, Any]) -> Report:
    """Run a flow for real, and put its log, and what was recorded in full, in the place of an old log."""
    __tracebackhide__ = True
    if path.name.endswith(".gz"):
        raise ConfigurationError(f"{str(path)!r} is compressed; give the log as .jsonl to record it again")
    block = flow.observability or {}
    record = block.get("record") or {}
    nodes = sorted({*(record.get("full") or ()), *(call.node for call in full_records(path).values())})
    with TemporaryDirectory(prefix=".recording-", dir=path.parent) as folder:
        log = Path(folder) / "flow-{flow_id}.jsonl"
        levels = {key: block[key] for key in ("level", "levels") if key in block}
        undo = configure({**levels, "handlers": [{"type": "file", "path": str(log)}], "record": {"full": nodes}})
        try:
            report = _checked(replay(path, flow, live=["*"], again=True, **options))
        finally:
            undo()
        new = log.with_name(f"flow-{report.new.flow_id}.jsonl")
        for old in full_files(path):
            old.unlink()
        for file in full_files(new):
            file.replace(path.with_name(file.name.replace(new.name, path.name)))
        new.replace(path)
    return report
