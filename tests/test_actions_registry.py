from __future__ import annotations

import inspect
import subprocess
import sys

from the_edge_obs.actions import builtin_registry

NAMES = [
    "file.read",
    "file.write",
    "http.get",
    "http.post",
    "json.parse",
    "json.transform",
    "llm.call",
    "llm.stream",
    "memory.retrieve",
    "memory.store",
    "obs.export",
    "obs.get_flow_log",
    "obs.log_event",
    "obs.query",
    "web.fetch",
]


def test_registry_holds_the_builtin_actions() -> None:
    """Each name stands for a plain function, the names come sorted, each call makes a new dict."""
    registry = builtin_registry()
    assert list(registry) == NAMES
    registry.clear()
    assert [inspect.isfunction(action) for action in builtin_registry().values()] == [True] * len(NAMES)


def test_every_action_takes_the_state_and_named_parameters() -> None:
    """A typing mistake in a flow can be found before it runs: no action takes just anything."""
    for name, action in builtin_registry().items():
        state, *rest = inspect.signature(action).parameters.values()
        assert (name, state.name, {parameter.kind for parameter in rest}) == (
            name,
            "state",
            {inspect.Parameter.KEYWORD_ONLY},
        )
        assert inspect.getdoc(action)


def test_registry_needs_no_network_database_or_parser() -> None:
    """What only some actions use is imported when they run."""
    heavy = "urllib.request sqlite3 html.parser yaml jinja2".split()
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"  # a coverage tool has a database, too
        "from the_edge_obs.actions import builtin_registry\n"
        "builtin_registry()\n"
        f"print([name for name in {heavy} if name in sys.modules.keys() - before])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
