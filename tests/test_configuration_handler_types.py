from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.configuration.config import check_block, dict_config
from the_edge_obs.configuration.handler_types import added_types

MODULE = """
import logging
class Mine(logging.Handler):
    got = []
    def __init__(self, colour, level=0, *, size=1):
        super().__init__(level)
        self.colour, self.size = colour, size
    def emit(self, record):
        self.got.append((self.colour, self.size, record.getMessage()))
class Any(logging.Handler):
    def __init__(self, **options):
        super().__init__()
        self.options = options
thing = 3
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have a package installed that adds the types ``mine`` and ``lost``."""
    (tmp_path / "mine_pkg.py").write_text(MODULE)
    (tmp_path / "broken_pkg.py").write_text("raise RuntimeError('half installed')\n")
    info = tmp_path / "mine_pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[the_edge_obs.handlers]\nmine = mine_pkg:Mine\nlost = gone_pkg:Gone\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("mine_pkg", "broken_pkg"):
        sys.modules.pop(name, None)


def block(**handler: Any) -> dict[str, Any]:
    return {"handlers": [handler]}


def test_a_type_of_another_package_is_found_by_its_entry_point(installed: Path) -> None:
    """Its options are the arguments of the class; it hears what a capture brings too."""
    assert {"mine", "lost"} <= added_types().keys()
    undo = obs.configure({**block(type="mine", colour="red", size=2, level="warn"), "capture": ["shop"]})
    with obs.flow("plugged"):
        logging.getLogger("tea.a").warning("one")
        logging.getLogger("tea.a").info("no")
        logging.getLogger("shop").warning("two")
    undo()
    got = sys.modules["mine_pkg"].Mine.got
    assert got == [("red", 2, "one"), ("red", 2, "two")]


def test_a_class_is_used_by_its_path(installed: Path) -> None:
    """The class needs no entry point; dictConfig has it under its name."""
    config = dict_config(block(**{"class": "mine_pkg.Mine", "colour": "blue"}))
    assert config["handlers"]["tea_Mine_1"] == {"class": "mine_pkg.Mine", "colour": "blue"}
    undo = obs.configure(block(**{"class": "mine_pkg.Any", "whatever": [1]}))
    (handler,) = (one for one in logging.getLogger("tea").handlers if type(one).__name__ == "Any")
    assert handler.options == {"whatever": [1]}  # type: ignore[attr-defined]
    undo()


def test_looking_a_handler_up_imports_nothing(installed: Path) -> None:
    """``validate`` and ``config`` check what can be known without running code."""
    assert check_block(block(type="mine", colour="red"), import_callbacks=False)
    assert check_block(block(**{"class": "mine_pkg.Mine"}), import_callbacks=False)
    assert dict_config(block(type="mine", colour="red"))["handlers"]["tea_mine_1"] == {"class": "mine_pkg.Mine", "colour": "red"}
    assert "mine_pkg" not in sys.modules


REFUSED = [
    ({"type": "mnie"}, "handlers[0].type is 'mnie'; did you mean 'mine'? allowed: console, file, callback, "),
    ({"type": "mine"}, "handlers[0] has no 'colour', which Mine needs"),
    ({"type": "mine", "colour": 1, "sise": 2}, "unknown key 'sise' in observability.handlers[0]; did you mean 'size'? allowed: "),
    ({"type": "mine", "colour": 1, "level": "x"}, "handlers[0].level: unknown level 'x'"),
    ({"type": "mine", "colour": "ext://os.name"}, "a block has no links to objects"),
    ({"type": "mine", "()": "os.system"}, "has the key '()'; a handler has type, level and the arguments of its class"),
    ({"type": "mine", "filters": []}, "has the key 'filters'"),
    ({"type": "lost"}, "handlers[0].type is 'lost'; 'gone_pkg.Gone' is not found (No module named 'gone_pkg'); write"),
    ({"class": "mine_pkg.Other"}, "handlers[0].class is 'mine_pkg.Other'; 'mine_pkg.Other' is not found"),
    ({"class": "broken_pkg.Mine"}, "is not found (half installed)"),
    ({"class": "mine_pkg.thing"}, "is 'mine_pkg.thing', which is not a class of handlers; derive it from logging.Handler"),
    ({"class": "Mine"}, "handlers[0].class is 'Mine'; write 'package.module.Name'"),
    ({"class": 3}, "handlers[0].class is 3; write 'package.module.Name'"),
    ({"class": "mine_pkg.Mine", "type": "mine"}, "has the key 'type'; a handler has class, level and"),
    ({"class": "mine_pkg.Mine", 3: 4}, "has the key 3; a handler has class"),
]


@pytest.mark.parametrize(("handler", "message"), REFUSED)
def test_a_mistake_is_refused(installed: Path, handler: dict[str, Any], message: str) -> None:
    """The message names the key, the value and what is allowed; nothing is changed."""
    with pytest.raises(obs.ConfigurationError) as caught:
        obs.configure({"handlers": [handler]})
    assert message in str(caught.value)
    assert logging.getLogger("tea").handlers == []


def test_a_flow_that_may_not_bring_code_names_no_class(tmp_path: Path) -> None:
    """A class is code, as a callback is."""
    flow = {"observability": block(**{"class": "os.Evil"}), "nodes": [{"uses": "json.parse", "with": {"text": "1"}}]}
    with pytest.raises(obs.FlowFileError, match=r"'os\.Evil' brings code, which is not allowed here"):
        flows.load(flow, allow_code=False)
