"""What stands in flow files: scalars, templates, JSON texts."""

from __future__ import annotations

import json
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from the_edge_obs.actions.json import json_parse as parse
from the_edge_obs.configuration.yaml_reader import read_yaml
from the_edge_obs.errors import FlowFileError, FlowRunError
from the_edge_obs.flows import load

from .redaction import logged
from .registry import Cases, about

_SCALARS: Final = (
    "a|yes|no|on|off|y|n|Yes|NO|true|True|TRUE|tRUE|false|null|Null|NULL|~|nULL|0|-0|+1|12|010|08|0o10|0x1F|0b11|1_000|1:30|"
    "1:30:15|0.5|-1.25|.5|5.|1e3|1.5e3|1.5e+3|1.0e-2|.inf|-.Inf|.NaN|190:20:30.15|2026-01-31|2026-01-31T12:00:00Z|"
    "2026-01-31 12:00:00|2026-1-1|<<|=|1.2.3|+|-.|0.|9223372036854775808|12e03|0x|1__0|1_000.5|@x|`x|%x"
)


@about(
    "Plain scalars of a flow file: their type, and their value as a text; the type error if the file is refused. These are the "
    "rules of YAML 1.1."
)
def yaml_scalars() -> Cases:
    return [_scalar(scalar) for scalar in _SCALARS.split("|")]


def _scalar(scalar: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.yaml")
        path.write_text(f"- {scalar}\n", encoding="utf-8")
        try:
            document = read_yaml(path)
        except FlowFileError:
            return {"scalar": scalar, "type": "error", "value": ""}
    value = None if document is None else document.data[0]
    kinds = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null", date: "date", datetime: "time"}
    text = {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else str(value)
    return {"scalar": scalar, "type": kinds[type(value)], "value": text}


_STATE: Final = {
    "name": "Ada",
    "count": 3,
    "zero": 0,
    "items": ["a", "b", "c"],
    "user": {"name": "Grace", "tags": ["x"], "items": 1},
    "empty": [],
    "none": None,
    "yes": True,
}
_TEMPLATES: Final = [
    "{{ state.name }}",
    "{{ state.count + 1 }}",
    "{{ state.count * 2 - 1 }}",
    "n={{ state.count }}",
    "{{ state.items }}",
    "{{ state.items[0] }}{{ state['name'] }}",
    "{{ state.items | length }}",
    "{{ state.items | first }}",
    "{{ state.items | last }}",
    "{{ state.items | join(', ') }}",
    "{{ state.name | upper }} {{ state.name | lower }}",
    "{{ '  a b ' | trim }}",
    "{{ state.name | replace('A', 'O') }}",
    "{{ state.missing }}",
    "{{ state.missing.deeper }}",
    "{{ state.missing.deeper + 1 }}",
    "{{ state.user.items }}",
    "{{ state.user.name ~ '!' }}",
    "{{ state.count > 2 and state.yes }}",
    "{{ state.zero or state.empty }}",
    "{{ not state.none }}",
    "{{ state.count == 3 }}",
    "{{ 'a' if state.yes else 'b' }}",
    "{% for item in state.items %}{{ item }};{% endfor %}",
    "{% if state.empty %}full{% else %}empty{% endif %}",
    "{% for item in state.user.tags %}{{ loop.index }}{{ item }}{% endfor %}",
    "${limit} and {{ variables.limit }}",
    "${unknown}",
    "no template",
    "{{ state.none + 1 }}",
    "{{ state.none < 2 }}",
    "{{ 2 >= state.missing }}",
    "{{ state.name > 1 }}",
    "{{ state.items < 'b' }}",
    "{{ state.items < ['z'] }}",
    "{{ state.yes < 2 }}",
    "{{ state.user <= state.user }}",
    "{{ unknown }}",
    "{{ state.name",
]


@about(
    "Templates of the guaranteed subset (F3): the first case holds the state and the variables; the others their value, or the "
    "type of the error."
)
def templates() -> Cases:
    return [{"state": _STATE, "variables": {"limit": 100}}, *(_rendered(one) for one in _TEMPLATES)]


def _rendered(template: str) -> dict[str, Any]:
    node = {"name": "a", "uses": "my.echo", "with": {"value": template}, "output": "echo"}
    document = {"name": "f", "variables": {"limit": 100}, "observability": {"enabled": False}, "nodes": [node]}
    try:
        final = load(document, {"my.echo": lambda state, value: {"value": value}}).run(_STATE)
    except (FlowFileError, FlowRunError) as error:
        return {"template": template, "error": type(error).__name__}
    return {"template": template, "value": final["echo"]["value"]}


@about("Texts for json.parse: whether it succeeds, and its data as the log has it.")
def json_parse() -> Cases:
    given = ["1", "-0", "-0.0", "1.0", "1e3", "1e400", "-1e400", "1e-400", "01", "+1", ".5", "1.", "0x10", "NaN", "Infinity"]
    given += ["9223372036854775807", "9223372036854775808", "-9223372036854775807", "-9223372036854775808", "1" * 30]
    given += ["true", "True", "null", '"a"', "'a'", r'"\ud800"', r'"\ud83d\ude00"', r'"\u0000"', '"a\tb"', r'"\x41"']
    given += ['{"a": 1, "a": 2}', '{"a": [1, {"b": null}]}', "[1,]", "{}", "", " ", "[1] 2", "// a\n1", "\ufeff1"]
    given += ["[" * depth + "]" * depth for depth in (20, 100)]
    made = []
    for text in given:
        result = parse({}, text=text)
        data = {"data": logged(json.dumps({"data": result["data"]}))["logged"]["data"]} if result["success"] else {}
        made.append({"text": text, "success": result["success"], **data})
    return made
