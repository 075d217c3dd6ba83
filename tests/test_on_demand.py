"""Names that are imported on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from the_edge_obs.on_demand import module_in, on_demand


def test_a_name_is_imported_once_and_kept() -> None:
    """The first use imports its module; the second one finds the name in the package."""
    package = {"__name__": "json"}
    get, names = on_demand(package, {"decoder": ("JSONDecoder",)})
    assert names() == ["JSONDecoder", "__name__"]
    assert get("JSONDecoder") is package["JSONDecoder"]
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'JSONEncoder'"):
        get("JSONEncoder")


def test_a_loaded_module_is_found_without_import() -> None:
    """Nothing can be imported while the interpreter exits."""
    assert module_in({"__name__": "none.such", "here": sys}, "here") is sys


@pytest.mark.parametrize(("package", "name"), [("handlers", "SpanRecord"), ("store", "FlowSummary")])
def test_a_package_does_not_load_what_is_not_used(package: str, name: str) -> None:
    """A module is loaded when one of its names is used, and each name of the package can be listed before."""
    code = f"""
import sys, the_edge_obs.{package} as package
own = lambda: any(name.startswith("the_edge_obs.{package}.") for name in sys.modules)
print(own(), set(package.__all__) <= set(dir(package)), package.{name}.__name__, own())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", name, "True"]
