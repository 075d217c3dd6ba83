"""The pytest plugin: a fixture with the flows that a test ran, and their trees in the report of a test that fails.

Every pytest where the package is installed loads it, so it imports nothing and installs nothing until a test asks for the
fixture. It works from pytest 7 on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from ..testing import FlowLogs

SECTION: Final = "Flows"

_LOGS: Final = pytest.StashKey["FlowLogs"]()
_NARROWEST: Final = 100  # columns, where pytest's own output has fewer or is not a terminal


@pytest.fixture
def flow_logs(request: pytest.FixtureRequest) -> Iterator[FlowLogs]:
    """Flows that the test runs, read back: ``.only``, ``[0]``, ``.ran(name)``, ``.order(*names)``, ``.errors``.

    When the test fails, their trees stand in its report.
    """
    from ..testing import FlowLogs

    logs = request.node.stash[_LOGS] = FlowLogs()
    yield logs
    del request.node.stash[_LOGS]  # items live as long as the session, and would hold every event of it
    logs.close()


# The old kind of wrapper: pytest 7 knows no other.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Add the trees to the report of a phase that failed, as captured output is added."""
    outcome = yield
    logs = item.stash.get(_LOGS, None)
    if logs is None or not (report := outcome.get_result()).failed:
        return
    if text := _drawn(logs, item.config):
        report.sections.append((f"{SECTION} ({report.when})", text))


def _drawn(logs: FlowLogs, config: pytest.Config) -> str:
    from ..text import View

    width = max(_NARROWEST, config.get_terminal_writer().fullwidth)
    try:
        return "\n".join(logs.draw(View(width)))
    except Exception as error:  # noqa: BLE001 - a tree that cannot be drawn must not hide why the test failed
        return f"the flows cannot be drawn: {error!r}"
