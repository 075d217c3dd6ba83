"""The pytest plugin: a fixture with the flows that a test ran, and their trees in the report of a failed test; recorded runs.

pytest loads it wherever the package is installed, so it imports and installs nothing until a test uses the fixture. It needs
pytest 7 or newer.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from .pytest_flow_logs import PytestFlowLogs

SECTION: Final = "Flows"

_LOGS: Final = pytest.StashKey["PytestFlowLogs"]()
_NARROWEST: Final = 100  # columns, even if pytest's own output has fewer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that records runs again."""
    parser.getgroup("the_edge_obs").addoption(
        "--flow-logs-rerecord",
        action="store_true",
        help="run the flows of flow_logs.replay for real, with all effects, and write their logs over the recorded ones",
    )


@pytest.fixture
def flow_logs(request: pytest.FixtureRequest) -> Iterator[PytestFlowLogs]:
    """The flows that the test ran: ``.only``, ``[0]``, ``.ran(name)``, ``.order(*names)``, ``.errors``.

    ``.replay(log, flow)`` runs a flow with the answers of a recorded run. If the test fails, its report shows the trees of its
    flows.
    """
    from .pytest_flow_logs import PytestFlowLogs

    rerecord = request.config.getoption("flow_logs_rerecord")
    logs = request.node.stash[_LOGS] = PytestFlowLogs(request.path.parent, rerecord=rerecord)
    yield logs
    del request.node.stash[_LOGS]  # items live until pytest ends, and would keep all events in memory
    logs.close()
    logs.check()


# The old kind of wrapper: pytest 7 has no other.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Add the trees to the report of a failed phase, like captured output."""
    outcome = yield
    logs = item.stash.get(_LOGS, None)
    if logs is None or not (report := outcome.get_result()).failed:
        return
    if text := _drawn(logs, item.config):
        report.sections.append((f"{SECTION} ({report.when})", text))


def _drawn(logs: PytestFlowLogs, config: pytest.Config) -> str:
    from ..text import View

    width = max(_NARROWEST, config.get_terminal_writer().fullwidth)
    try:
        return "\n".join(logs.draw(View(width)))
    except Exception as error:  # noqa: BLE001 - a tree that cannot be drawn must not hide why the test failed
        return f"the flows cannot be drawn: {error!r}"
