"""What templates cannot do: change the state, read the environment as a whole, or take for ever."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from the_edge_obs.errors import FlowFileError, FlowRunError
from the_edge_obs.flows import load, sandbox
from the_edge_obs.flows.conditions import compile_condition
from the_edge_obs.flows.spot import Spot
from the_edge_obs.flows.templates import Compiler
from the_edge_obs.flows.yaml_source import Source

from .growth import assert_linear


def rendered(text: Any, state: dict[str, Any] | None = None) -> Any:
    """Return what a flow's action gets for a template."""
    flow = load(
        {"variables": {"l": [1]}, "nodes": [{"name": "n", "uses": "echo", "with": {"text": text}, "output": "out"}]},
        actions={"echo": lambda state, text: text},
    )
    return flow.run(state or {})["out"]


def grown(step: str, start: str = "'x'", end: str = "{{ ns.x }}") -> str:
    return f"{{% set ns = namespace(x={start}, y={start}) %}}{{% for i in range(100) %}}{step}{{% endfor %}}{end}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 10**10 }}",
        "{{ 10**10 * 'x' }}",
        "{{ [1] * 10**10 }}",
        "{{ (1,) * 10**10 }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ (2 ** 90000) * (2 ** 90000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%(a)1000000000d' % {'a': 1} }}",
        "{{ '%.1000000000f' % 1.0 }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ ('%(a)s' * 100000) % {'a': 'x' * 100000} }}",
        "{{ ('%999999d' * 1000) | format(*range(1000)) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10**9) }}",
        "{{ '{0:{1[w]}}'.format(1, {'w': 10**9}) }}",
        "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
        "{{ ('{a}' * 100000).format(a='x' * 100000) }}",
        "{{ ('{:1000000000}'['format'])(1) }}",
        "{{ ('{:1000000000}'|attr('format'))(1) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ ['x'] | map('center', 10**9) | list }}",
        "{% filter center(10**9) %}x{% endfilter %}",
        "{{ 'x'.center(10**9) }}",
        "{{ 'x'.ljust(10**9) }}",
        "{{ 'x'.rjust(10**9) }}",
        "{{ '1'.zfill(10**9) }}",
        "{{ ('x'|attr('center'))(10**9) }}",
        "{{ ('\t' * 1000000).expandtabs(1000000) }}",
        "{{ 'ab'.translate({97: 'x' * 1000000}) }}",
        "{{ (10).to_bytes(10**9, 'big') }}",
        "{{ ('x' * 1000000).encode('punycode') }}",
        "{{ [1] | batch(10**9, 'x') | list }}",
        "{{ [1] | slice(10**9) | list }}",
        "{{ 'x' | indent(10**9, true) }}",
        "{{ ('\n' * 1000000) | indent('x' * 1000000) }}",
        "{{ [1] | tojson(indent=10**9) }}",
        "{{ 1.5 | round(10**9, 'ceil') }}",
        "{{ range(99999) | join('x' * 100000) }}",
        "{{ ('y' * 100000) | join('x' * 100000) }}",
        "{{ range(99999) | map('string') | join('x' * 100000) }}",
        "{{ ('x' * 100000).join(range(99999) | map('string')) }}",
        "{{ ('x' * 1000000) | replace('x', 'y' * 1000000) }}",
        "{{ ('x' * 1000000) | replace('', 'y' * 1000000) }}",
        "{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}",
        "{{ ('x' * 10000000) | wordwrap(1) }}",
        "{{ ('<' * 10000000) | striptags }}",
        "{{ ('http://a.b ' * 9000) | urlize(rel='x' * 100000) }}",
        "{{ range(99999) | list | pprint }}",
        "{{ range(99999) | map('center', 1000000) | list }}",
        "{{ [['x' * 1000000] * 1000] * 1000 }}",
        "{% for i in range(99999) %}{{ 'x' * 100000 }}{% endfor %}",
        "{% for i in range(99999) %}" + "x" * 10_000 + "{% endfor %}",
        grown("{% set ns.x = ns.x ~ ns.x %}"),
        grown("{% set ns.x = ns.x + ns.x %}"),
        grown("{% set ns.x = [ns.x, ns.x] %}"),
        grown("{% set ns.x = {'a': ns.x, 'b': ns.x} %}"),
        grown("{% set ns.x = dict(a=ns.x, b=ns.x) %}"),
        grown("{% set ns.x = ns.x|batch(2, ns.x)|list %}", "[1]", "{{ ns.x == [1] }}"),
        grown("{% set ns.x = [none, none]|map('default', ns.x, true)|list %}"),
        grown("{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}", "[1]", "{{ ns.x == ns.y }}"),
        grown("{% set t %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = t %}"),
        grown("{% set ns.x = '%s%s'|format(ns.x, ns.x) %}"),
        grown("{% set ns.x = ns.x|replace('x', 'xx') %}"),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_what_would_fill_the_memory_is_an_error(text: str) -> None:
    """It is refused before it is made, and the message names step, key and expression."""
    with pytest.raises(FlowRunError) as caught:
        rendered(text)
    assert str(caught.value).startswith("step 'n', key 'with.text': cannot render ")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for i in [1, 2] recursive %}{% if loop.depth0 < 60 %}{{ loop([1, 2]) }}{% endif %}{% endfor %}",
        "{% for i in [1] recursive %}{% if loop.depth0 < 3 %}{{ loop(range(99999)) }}{% endif %}{% endfor %}",
        "{{ range(99999) | select('in', range(99999) | list) | list }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    ],
)
def test_what_would_take_for_ever_ends(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Loops, recursion and filters look at the clock."""
    monkeypatch.setattr(sandbox, "SECONDS", 0.1)
    with pytest.raises(FlowRunError, match=r"it takes longer than 0\.1 s"):
        rendered(text)


def test_nothing_is_worked_out_when_a_flow_is_loaded() -> None:
    """What is constant is not rendered by the compiler, where nothing would bound it."""
    constant = ("{{ 9 ** (9 ** 9) }}", "{{ 'x' * 10**10 }} y", "{{ 'x' | center(10**9) }} y", "{{ [1] * 10**10 }} y")
    for text in (*constant, "{% autoescape 9 ** (9 ** 9) %}x{% endautoescape %}"):
        load({"nodes": [{"uses": "json.parse", "with": {"text": text}}]})


def test_conditions_are_bounded_too() -> None:
    """They go the same way, and their error names the edge."""
    compiler = Compiler.of({})
    condition = compile_condition(compiler, "('x' * 10**10) == 'y'", Spot(Source({}), ("edges", 0, "when"), "edges[0]"))
    with pytest.raises(FlowRunError, match=r"edges\[0\], key 'when': cannot render"):
        condition.holds({"state": {}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ '%05.2f of %s' % (1.5, 'x') }}", "01.50 of x"),
        ("{{ '%(a)s%%' % {'a': 3} }}", "3%"),
        ("{{ '%s-%s' | format(1, 2) }}", "1-2"),
        ("{{ '{:>8}|{a}'.format('x', a=[1]) }}", "       x|[1]"),
        ("{{ '{a[b]}'.format_map({'a': {'b': 1}}) }}", "1"),
        ("{{ 'a,b'.split(',') | map('upper') | join('-') }}", "A-B"),
        ("{{ '-'.join(['a', 'b']) }}", "a-b"),
        ("{{ (1, 2, 3) | batch(2, 0) | list }}", [[1, 2], [3, 0]]),
        ("{{ [1, 2, 3] | slice(2) | list }}", [[1, 2], [3]]),
        ("{% for k, v in {'a': 1}.items() %}{{ loop.index }}/{{ loop.length }} {{ k }}={{ v }}{% endfor %}", "1/1 a=1"),
        ("{% for i in [1, 2] %}{{ i }}{{ ',' if not loop.last }}{% endfor %}", "1,2"),
        ("{% for i in [[1, []], [2, [[3, []]]]] recursive %}{{ i[0] }}{{ loop(i[1]) }}{% endfor %}", "123"),
        ("{% macro f(a, b=[1]) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}", "1[1]"),
        ("{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "3"),
        ("{{ 'a' ~ 1 ~ [2] }}", "a1[2]"),
        ("{{ 2 ** 10 + 7 // 2 - 3 % 2 }}", 1026),
        ("{{ 10 ** 12 | int }}", 10**12),
        ("{{ 5 | default(10 ** 9) }}", 5),
        ("{{ 'x' | indent(2, true) ~ 3.14159 | round(2) }}", "  x3.14"),
        ("{{ {'a': [1, (2, 3)]} }}", {"a": [1, (2, 3)]}),
        ("{{ [3, 1] | sort | first }}", 1),
        ("{{ 'é'.encode('utf-8').decode('utf-8') }}", "é"),
        ("{% autoescape true %}{{ '<' }}{% endautoescape %}", "&lt;"),
    ],
)
def test_ordinary_templates_are_what_they_were(text: str, expected: Any) -> None:
    """Counting changes no result."""
    assert rendered(text) == expected


@pytest.mark.slow
def test_much_data_passes() -> None:
    """A long list and a long text are not an attack."""
    rows = [{"id": number, "tags": ["a", "b"], "text": "x" * 20} for number in range(20_000)]
    state = {"rows": rows, "text": "line\n" * 200_000}
    assert rendered("{{ state.rows | selectattr('id', 'gt', 19997) | map(attribute='id') | list }}", state) == [19998, 19999]
    assert rendered("{% for row in state.rows %}{{ row.id }},{% endfor %}", state).count(",") == 20_000
    assert rendered("{{ state.text | upper | trim | length }}", state) == 999_999
    assert len(rendered("{{ state.rows | tojson }}", state)) > 1_000_000


@pytest.mark.slow
def test_loops_are_linear() -> None:
    """Counting costs the same for each round."""
    compiler = Compiler.of({})
    template = compiler.text("{% for row in state.rows %}{{ row ~ '!' }}{% endfor %}", Spot(Source({})))
    assert_linear(
        lambda size: [str(number) for number in range(size)],
        lambda rows: template.render({"state": {"rows": rows}}),
        5_000,
    )


# --- the state stays as it is ---


@pytest.mark.parametrize(
    "text",
    [
        "{{ state.l.append(5) }}",
        "{{ state.l.extend([5]) }}",
        "{{ state.l.insert(0, 5) }}",
        "{{ state.l.pop() }}",
        "{{ state.l.remove(1) }}",
        "{{ state.l.clear() }}",
        "{{ state.l.sort() }}",
        "{{ state.l.reverse() }}",
        "{{ state['l']['append'](5) }}",
        "{{ (state.l | attr('append'))(5) }}",
        "{{ state.d.update({'a': 2}) }}",
        "{{ state.d.update(a=2) }}",
        "{{ state.d.pop('a') }}",
        "{{ state.d.popitem() }}",
        "{{ state.d.setdefault('b', 2) }}",
        "{{ state.d.clear() }}",
        "{{ state.d.__setitem__('a', 2) }}",
        "{{ state.s.add(5) }}",
        "{{ state.b.extend('x'.encode()) }}",
        "{{ state.update(l=1) }}",
        "{{ state.pop('l') }}",
        "{{ (state | attr('pop'))('l') }}",
        "{{ variables.l.append(5) }}",
        "{% set x = state.l %}{{ x.append(5) }}",
        "{% set x = namespace(l=state.l) %}{{ x.l.append(5) }}",
        "{% for x in [state.l] %}{% if x.append(5) %}{% endif %}{% endfor %}",
        "{% for x in state.n %}{{ x.append(5) }}{% endfor %}",
        "{% set state.l = 1 %}",
        "{% set f = state.l.append %}{{ f(5) }}",
        "{{ ([state.l] | map(attribute='append') | first)(5) }}",
        "{{ '{0.append}'.format(state.l) }}",
    ],
)
def test_a_template_changes_nothing(text: str) -> None:
    """Whatever the way to a method that changes something."""
    state = {"l": [3, 1], "d": {"a": 1}, "s": {1}, "b": bytearray(b"b"), "n": [[1], [2]]}
    before = copy.deepcopy(state)
    with pytest.raises(FlowRunError):
        rendered(text, state)
    assert state == before


# --- the environment ---


@pytest.mark.parametrize(
    "text",
    [
        "{{ env }}",
        "x {{ env }}",
        "{{ env | list }}",
        "{{ env | tojson }}",
        "{{ env | dictsort }}",
        "{{ env | attr('items') }}",
        "{% for name in env %}{{ name }}{% endfor %}",
        "{% set e = env %}{{ e }}",
        "{{ [env] }}",
        "{{ {'e': env} }}",
        "{{ dict(env) }}",
        "{{ '%s' % env }}",
        "{{ 'HOME' in env }}",
    ],
)
def test_the_environment_as_a_whole_is_refused(text: str) -> None:
    """When the flow is loaded, with the name of the step."""
    with pytest.raises(
        FlowFileError, match=r"step 'n', key 'with\.text': env in .* cannot be used as a whole; read one variable"
    ):
        rendered(text)


@pytest.mark.parametrize("method", ["items", "keys", "values", "copy", "update", "pop", "data", "__dict__", "encodekey"])
def test_the_environment_has_no_methods_but_get(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """A dot leads to a variable of that name."""
    assert rendered(f"{{{{ env.{method} }}}}") is None
    monkeypatch.setenv(method, "its value")
    texts = [
        f"{{{{ env.{method} }}}}",
        f"{{{{ env['{method}'] }}}}",
        f"{{{{ env.get('{method}', 1) }}}}",
        "{{ env.get('no_such', 1) }}",
    ]
    assert rendered(texts) == ["its value", "its value", "its value", 1]


@pytest.mark.parametrize("text", ["{{ state.a | indent }}", "{{ [state.a] | map('indent') | list }}"])
def test_indent_changes_no_list_of_the_state(text: str) -> None:
    """Jinja2's own filter adds a line to it in place, and fails only then."""
    state = {"a": [4]}
    with pytest.raises(FlowRunError, match="indent needs a text, not a value of type list"):
        rendered(text, state)
    assert state == {"a": [4]}
    assert rendered("{{ state.text | indent(2) }}", {"text": "x\ny"}) == "x\n  y"
