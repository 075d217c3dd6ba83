"""Templates: native values, The Edge Agent's rules for missing keys, the sandbox, and errors that say where."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from the_edge_obs.errors import FlowFileError, FlowRunError
from the_edge_obs.flows.spot import Spot
from the_edge_obs.flows.templates import Compiler
from the_edge_obs.flows.yaml_source import Source

SPOT = Spot(Source({}), ("nodes", 0, "with", "text"), "step 'load'", "load")
VARIABLES = {"limit": 3, "brand": "Edge"}


def rendered(text: Any, state: dict[str, Any] | None = None, **names: Any) -> Any:
    compiler = Compiler.of(VARIABLES).knowing(names)
    seen = {"state": state or {}, "variables": VARIABLES, "settings": {}, "env": {"HOME": "/home/me"}, **names}
    return compiler.value(text, SPOT).render(seen)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{ state.rows }}", [1, 2]),
        ("  {{ state.rows }}\n", [1, 2]),
        ("{{- state.rows -}}", [1, 2]),
        ("{{ -1 }}", -1),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("{{ '}}' }}", "}}"),
        ("{{ state.rows }} of {{ variables.limit }}", "[1, 2] of 3"),
        ("{% if state.rows %}some{% endif %}\n", "some\n"),
        ("{{ state.rows | length > 1 }}", True),
        ("{{ state.items }}", "a key"),
        ("{{ state.keys() | list | length }}", 5),
        ("{{ state['user']['name'] }}", "Ada"),
        ("{{ state._observability.flow_id }}", "f"),
        ("{{ state.missing }}", None),
        ("{{ state['missing'] }}", None),
        ("{{ state.user.missing }}", None),
        ("{{ state.missing.deeper }}", None),
        ("{{ state.missing.deeper | default('none') }}", "none"),
        ("{{ env.HOME }}", "/home/me"),
        ("${limit} by ${brand} for ${nobody}", "3 by Edge for ${nobody}"),
        ("${limit}", "3"),
        ("{{ state.user | tojson }}", '{"name": "Ada <&>"}'.replace(" <&>", "")),
        ("{{ '<b>' | tojson }}", '"<b>"'),
        ("{{ '{\"a\": [1]}' | fromjson }}", {"a": [1]}),
        ("{{ 'no json' | fromjson }}", "no json"),
        ({"a": ["{{ state.rows }}", {"b": "{{ variables.limit }}"}], "c": None}, {"a": [[1, 2], {"b": 3}], "c": None}),
    ],
)
def test_rendering(text: Any, expected: Any) -> None:
    """A whole expression keeps its type, everything else becomes text, missing keys are None."""
    state = {"rows": [1, 2], "items": "a key", "user": {"name": "Ada"}, "_observability": {"flow_id": "f"}, "text": "t"}
    assert rendered(text, state) == expected


def test_whole_expression_gives_the_object_itself() -> None:
    """No copy and no conversion lies between the state and the action."""
    thing = object()
    assert rendered("{{ state.thing }}", {"thing": thing}) is thing


def test_rendered_containers_are_new_each_time() -> None:
    """An action that changes its parameters does not change the flow."""
    renderer = Compiler.of({}).value({"a": [1]}, Spot(Source({})))
    first = renderer.render({})
    first["a"].append(2)
    assert renderer.render({}) == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ state.a.b.c }}", "'None' has no attribute 'b'"),
        ("got {{ state.a.b }}", "'None' has no attribute 'b'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ state.name.__class__.__mro__ }}", "unsafe"),
        ("{{ state.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_errors_name_step_key_and_expression(text: str, reason: str) -> None:
    """What cannot be rendered, or would leave the sandbox, is an error that says where."""
    with pytest.raises(FlowRunError) as caught:
        rendered(text, {"name": "x"})
    message = str(caught.value)
    assert message.startswith(f"step 'load', key 'with.text': cannot render {text!r}: ")
    assert reason in message


def test_syntax_errors_are_found_at_load_time() -> None:
    """A template is compiled once, when the flow is loaded."""
    with pytest.raises(FlowFileError, match=r"step 'load', key 'with.text': template syntax error in '{{ state\. }}'"):
        rendered("{{ state. }}")


def test_unknown_names_are_found_at_load_time() -> None:
    """A bare name is nearly always a forgotten 'state.'; names a place adds are known there."""
    with pytest.raises(FlowFileError) as caught:
        rendered("{{ text }}")
    assert str(caught.value) == (
        "step 'load', key 'with.text': unknown name 'text' in '{{ text }}'; for a key of the state write state.text; "
        "allowed: env, flow_dir, parallel_results, settings, state, variables"
    )
    assert rendered("{{ item.id }}{% for x in range(2) %}.{% endfor %}", item={"id": 7}) == "7.."


@pytest.mark.parametrize(
    "text", ["{{ state.a +" + " " * 100_000 + "}}", "{{ %s }}" % ("x" * 100_000), "{{ 1 }} {% no" + "x" * 100_000 + " %}"]
)
def test_a_refusal_does_not_repeat_a_long_template(text: str) -> None:
    """Neither the message nor what it was raised from shows all of it."""
    with pytest.raises(FlowFileError) as caught:
        rendered(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert (len(caught.value.problem) < 2_500, "x" * 1_000 in shown, " " * 1_000 in shown) == (True, False, False)


@pytest.mark.parametrize(
    "text",
    [
        "{{ state.n.%s.b }}" % ("x" * 100_000),
        "{{ state['%s'] + 1 }}" % ("x" * 100_000),
        "{{ '%s' | int + state }}" % ("x" * 100_000),
    ],
)
def test_a_failure_does_not_repeat_a_long_template(text: str) -> None:
    """A template that fails when it runs shows its beginning."""
    with pytest.raises(FlowRunError) as caught:
        rendered(text, {"n": 1})
    assert len(str(caught.value)) < 2_500
