"""Loading: every mistake is refused before anything runs, with file, line, what is wrong and what is allowed."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from the_edge_obs.errors import FlowFileError
from the_edge_obs.flows import Flow, load


def read(state: dict[str, Any], path: str, encoding: str = "utf-8") -> dict[str, Any]:
    return {"path": path, "encoding": encoding}


def anything(state: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {"seen": sorted(params)}


ACTIONS = {"file.read": read, "any.thing": anything}


def written(folder: Path, text: str, name: str = "flow.yaml") -> Path:
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def refused(folder: Path, text: str, **options: Any) -> tuple[int | None, str]:
    path = written(folder, text)
    with pytest.raises(FlowFileError) as caught:
        load(path, ACTIONS, **options)
    assert caught.value.path == str(path)
    return caught.value.line, caught.value.problem


TOP = "name, description, version, variables, initial_state, settings, config, state_schema, imports, nodes, edges, observability"
BODIES = "allowed: uses (or action), run, steps, flow, type: while_loop, type: dynamic_parallel"

WAY = (
    "this agent needs The Edge Agent's own engine; observe it there with "
    "tea run AGENT.yaml --actions-module the_edge_obs.integrations.tea"
)

MISTAKES = {
    "unknown top-level key": (
        "nodes: [{run: a = 1}]\nobservabilty: {}\n",
        2,
        f"the flow: unknown key 'observabilty'; did you mean 'observability'? allowed: {TOP}",
    ),
    "no mapping": ("- a\n", 1, f"a flow must be a mapping with the key nodes, not a list; allowed: {TOP}"),
    "no nodes": ("name: a\n", None, f"the flow has no nodes; add nodes: with at least one; allowed: {TOP}"),
    "empty nodes": ("name: a\nnodes: []\n", 2, "nodes: the list is empty; it needs at least one node"),
    "initial state as a list": (
        "initial_state: [a]\nnodes: [{run: a = 1}]\n",
        1,
        "initial_state is ['a']; it must be a mapping (key: value)",
    ),
    "nodes as a mapping": ("nodes: {a: 1}\n", 1, "nodes is {'a': 1}; it must be a list (- item)"),
    "node as a text": ("nodes:\n  - a\n", 2, "nodes[0] is 'a'; it must be a mapping (key: value)"),
    "empty node": ("nodes:\n  - {}\n", 2, f"nodes[0]: the node is empty; it needs a body; {BODIES}"),
    "name of a border": (
        "nodes:\n  - name: __end__\n    run: a = 1\n",
        2,
        "a node cannot be named '__end__', which is reserved; rename it",
    ),
    "name as a number": (
        "nodes: [{name: 1, run: a = 1}]\n",
        1,
        "a node's name is 1; it must be a string that is not blank; put it in quotes if needed",
    ),
    "duplicate node name": (
        "nodes:\n  - {name: a, run: x = 1}\n  - {name: a, run: x = 1}\n",
        3,
        "node name 'a' is used twice, first on line 2; rename one of them",
    ),
    "no body": ("nodes:\n  - {name: a}\n", 2, f"step 'a': no body; a node has exactly one; {BODIES}"),
    "two bodies": (
        "nodes:\n  - {name: a, run: x = 1, uses: file.read}\n",
        2,
        f"step 'a': two bodies, 'uses' and 'run'; a node has exactly one; {BODIES}",
    ),
    "unknown type": (
        "nodes:\n  - {name: a, type: while, run: x = 1}\n",
        2,
        "step 'a': unknown type 'while'; did you mean 'while_loop'? allowed: while_loop, dynamic_parallel",
    ),
    "unknown key of a run node": (
        "nodes:\n  - name: a\n    run: x = 1\n    output: y\n",
        4,
        "step 'a': unknown key 'output'; allowed: name, description, language, goto, on_error, fan_in, run",
    ),
    "another language": (
        "nodes: [{name: a, run: x, language: lua}]\n",
        1,
        f"step 'a': language 'lua' is not supported; allowed: python; {WAY}",
    ),
    "unknown action": (
        "nodes:\n  - name: a\n    uses: file.raed\n",
        3,
        "step 'a': unknown action 'file.raed'; did you mean 'file.read'? allowed: file.read, file.write",
    ),
    "unknown parameter": (
        "nodes:\n  - name: a\n    uses: file.read\n    with:\n      path: x\n      encodin: y\n",
        6,
        "step 'a': action 'file.read' has no parameter 'encodin'; did you mean 'encoding'? allowed: path, encoding",
    ),
    "unknown left-over parameter": (
        "nodes:\n  - name: a\n    action: file.read\n    path: x\n    to: y\n",
        5,
        "step 'a': action 'file.read' has no parameter 'to'; allowed: path, encoding",
    ),
    "missing parameter": (
        "nodes:\n  - name: a\n    uses: file.read\n",
        2,
        "step 'a': action 'file.read' needs parameter 'path'; allowed: path, encoding",
    ),
    "parameter given twice": (
        "nodes:\n  - name: a\n    uses: file.read\n    with: {path: x}\n    path: y\n",
        5,
        "step 'a': parameter 'path' is given twice; keep one",
    ),
    "parameter state": (
        "nodes:\n  - name: a\n    uses: any.thing\n    with: {state: x}\n",
        4,
        "step 'a': parameter 'state' is set by the flow itself; rename it",
    ),
    "two spellings": (
        "nodes:\n  - name: a\n    uses: any.thing\n    output: x\n    store: y\n",
        5,
        "step 'a': 'output' and 'store' are two spellings of one key; keep one",
    ),
    "output of no kind": (
        "nodes:\n  - name: a\n    uses: any.thing\n    output: [x]\n",
        4,
        "step 'a': output is ['x']; it must be a string that is not blank; put it in quotes if needed",
    ),
    "template syntax": (
        "nodes:\n  - name: a\n    uses: any.thing\n    with:\n      text: |\n        fine\n        {{ state. }}\n",
        7,
        "step 'a', key 'with.text': template syntax error in 'fine\\n{{ state. }}': expected name or number",
    ),
    "python syntax": (
        "nodes:\n  - name: a\n    run: |\n      x = 1\n      y = = 2\n",
        5,
        "step 'a': run: Python syntax error: invalid syntax",
    ),
    "python syntax of a later stage": (
        "nodes:\n  - name: a\n    run: |\n      x = 1\n      break\n",
        5,
        "step 'a': run: Python syntax error: 'break' outside loop",
    ),
    "expression syntax": (
        "nodes:\n  - name: a\n    run: {type: expression, value: '1 +'}\n",
        3,
        "step 'a': run: Python syntax error: invalid syntax",
    ),
    "run of another type": (
        "nodes:\n  - name: a\n    run: {type: lua, value: '1'}\n",
        3,
        f"step 'a': run: type 'lua' is not supported; allowed: expression, or plain text; {WAY}",
    ),
    "goto nowhere": (
        "nodes:\n  - name: load\n    run: x = 1\n    goto: laod\n",
        4,
        "step 'load': goto: node 'laod' does not exist; did you mean 'load'? allowed: load, __end__",
    ),
    "goto rule nowhere": (
        "nodes:\n  - name: a\n    run: x = 1\n    goto:\n      - {if: x, to: a}\n      - {to: b}\n",
        6,
        "step 'a': goto[1]: node 'b' does not exist; allowed: a, __end__",
    ),
    "goto inside steps": (
        "nodes:\n  - name: a\n    steps:\n      - run: x = 1\n        goto: a\n",
        5,
        "step 'step_1': goto: only top-level nodes can have a goto; nested steps run one after the other",
    ),
    "edge to nowhere": (
        "nodes: [{name: a, run: x = 1}]\nedges:\n  - {from: __start__, to: a}\n  - from: a\n    to: b\n",
        5,
        "edges[1]: to: node 'b' does not exist; allowed: a, __end__",
    ),
    "edge from the end": (
        "nodes: [{name: a, run: x = 1}]\nedges:\n  - {from: __end__, to: a}\n",
        3,
        "edges[0]: from: node '__end__' does not exist; allowed: __start__, a",
    ),
    "edge with an unknown key": (
        "nodes: [{name: a, run: x = 1}]\nedges:\n  - {from: a, to: a, wen: x}\n",
        3,
        "edges[0]: unknown key 'wen'; did you mean 'when'? allowed: from, to, when, condition, type, fan_in",
    ),
    "parallel edge without fan_in": (
        "nodes: [{name: a, run: x = 1}]\nedges:\n  - {from: __start__, to: a, type: parallel}\n",
        3,
        "edges[0]: fan_in and type: parallel go together; give both or neither",
    ),
    "fan_in nowhere": (
        "nodes: [{name: a, run: x = 1}]\nedges:\n  - {from: __start__, to: a, type: parallel, fan_in: b}\n",
        3,
        "edges[0]: fan_in: node 'b' does not exist; allowed: a",
    ),
    "fan_in that is a branch": (
        "nodes: [{name: a, run: x = 1}]\nedges:\n  - {from: __start__, to: a, type: parallel, fan_in: a}\n",
        3,
        "edges[0]: 'a' is both a branch and its own fan_in; name the node that joins the branches",
    ),
    "parallel and plain edges from one node": (
        (
            "nodes: [{name: a, run: x = 1}, {name: b, run: x = 1}]\nedges:\n"
            "  - {from: __start__, to: a, type: parallel, fan_in: b}\n  - {from: __start__, to: b}\n"
        ),
        4,
        (
            "edges[1]: the edges from '__start__' conflict: fan_in is 'b' on another and None on this one; "
            "make all of them parallel with one fan_in, or none"
        ),
    ),
    "on_error mode": (
        "nodes:\n  - name: a\n    run: x = 1\n    on_error: {mode: gracefull}\n",
        4,
        "step 'a': on_error: unknown mode 'gracefull'; did you mean 'graceful'? allowed: raise, retry, graceful",
    ),
    "on_error key": (
        "nodes:\n  - name: a\n    run: x = 1\n    on_error:\n      mode: retry\n      retries: 3\n",
        6,
        (
            "step 'a': on_error: unknown key 'retries'; did you mean 'max_retries'? allowed: mode, max_retries, delay, "
            "retry_delay, backoff, backoff_multiplier, fallback, retryable_errors"
        ),
    ),
    "retries without mode retry": (
        "nodes:\n  - name: a\n    run: x = 1\n    on_error: {max_retries: 3}\n",
        4,
        "step 'a': on_error: 'max_retries' applies to mode: retry only, not to 'raise'",
    ),
    "negative delay": (
        "nodes:\n  - name: a\n    run: x = 1\n    on_error: {mode: retry, delay: -1}\n",
        4,
        "step 'a': on_error: delay (seconds) is -1; it must be a number of 0 or more",
    ),
    "fallback nowhere": (
        "nodes:\n  - name: a\n    run: x = 1\n    on_error: {mode: graceful, fallback: b}\n",
        4,
        "step 'a': on_error: fallback: node 'b' does not exist; allowed: a",
    ),
    "loop without a limit": (
        "nodes:\n  - {name: a, type: while_loop, condition: x, body: [{run: x = 1}]}\n",
        2,
        "step 'a': 'max_iterations' is missing; required: condition, max_iterations, body",
    ),
    "loop with a bad limit": (
        "nodes:\n  - {name: a, type: while_loop, condition: x, max_iterations: 0, body: [{run: x = 1}]}\n",
        2,
        "step 'a': max_iterations is 0; it must be a whole number of 1 or more",
    ),
    "fan-out without a list": (
        "nodes:\n  - {name: a, type: dynamic_parallel, items: state.urls, steps: [{run: x = 1}]}\n",
        2,
        "step 'a': items is 'state.urls'; it must be a list or an expression such as '{{ state.urls }}'",
    ),
    "fan-out of nothing": (
        "nodes:\n  - {name: a, type: dynamic_parallel, items: []}\n",
        2,
        "step 'a': nothing runs for the items; give steps or action",
    ),
    "fan-out with a taken name": (
        "nodes:\n  - {name: a, type: dynamic_parallel, items: [1], item_var: state, steps: [{run: x = 1}]}\n",
        2,
        (
            "step 'a': item_var is 'state'; it must be a plain name and none of "
            "env, flow_dir, parallel_results, settings, state, variables"
        ),
    ),
    "fan-out with a name of Jinja's": (
        "nodes:\n  - {name: a, type: dynamic_parallel, items: [1], index_var: self, steps: [{run: x = 1}]}\n",
        2,
        (
            "step 'a': index_var is 'self'; it must be a plain name and none of "
            "env, flow_dir, parallel_results, settings, state, variables"
        ),
    ),
    "sub-flow nowhere": (
        "nodes:\n  - name: a\n    flow: sub/none.yaml\n",
        3,
        (
            "step 'a': flow file 'sub/none.yaml' does not exist at 'FOLDER/sub/none.yaml'; "
            "a path is relative to the file that names it"
        ),
    ),
    "step limit": (
        "settings: {max_steps: lots}\nnodes: [{run: x = 1}]\n",
        1,
        "settings.max_steps is 'lots'; it must be a whole number of 1 or more",
    ),
    "state_schema": (
        "state_schema: [a]\nnodes: [{run: x = 1}]\n",
        1,
        "state_schema is ['a']; it must be a mapping (key: value)",
    ),
    "import of nothing": (
        "imports:\n  - {namespace: x}\nnodes: [{run: x = 1}]\n",
        2,
        "imports[0]: no module is named; give package or path",
    ),
    "import that fails": (
        "imports:\n  - namespace: x\n    package: no_such_package\nnodes: [{run: x = 1}]\n",
        3,
        "imports[0]: cannot import package 'no_such_package': ModuleNotFoundError: No module named 'no_such_package'",
    ),
    "import without register_actions": (
        "imports: [{package: textwrap}]\nnodes: [{run: x = 1}]\n",
        1,
        "imports[0]: package 'textwrap' has no function register_actions(registry, engine)",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_refused(tmp_path: Path, case: str) -> None:
    """One mistake, one message, on the line of the mistake."""
    text, line, problem = MISTAKES[case]
    assert refused(tmp_path, text) == (line, problem.replace("FOLDER", str(tmp_path)))


@pytest.mark.parametrize(
    ("block", "line", "problem"),
    [
        ("  level: loud\n", 3, "unknown level 'loud'"),
        ("  levels:\n    llm: debug\n    http: loud\n", 5, "unknown level 'loud'"),
        ("  buffer_sise: 3\n", 3, "unknown key 'buffer_sise'"),
        ("  handlers:\n    - type: console\n      pth: x\n", 5, "unknown key 'pth'"),
        ("  handlers:\n    - type: fil\n", 4, "handlers[0].type is 'fil'"),
        ("  handlers:\n    - {type: console}\n    - type: file\n      path: 3\n", 6, "handlers[1].path is 3"),
        ("  handlers:\n    - type: file\n      mode: '9'\n", 5, "handlers[0].mode is '9'"),
        ("  handlers:\n    - type: file\n      path: 'ext://{flow_id}'\n", 5, "handlers[0].path is 'ext://{flow_id}'"),
        ("  handlers:\n    - type: callback\n", 4, "handlers[0].callback: callback None"),
        ("  handlers: console\n", 3, "handlers is 'console'"),
        ("  levels:\n    llm: debug\n    'llm.*': info\n", 5, "has a level for 'llm.*'"),
        ("  enabled: true\n  buffer_size: 0\n", 4, "buffer_size is 0"),
        ("  redact:\n    keys: [cpf]\n    patterns: ['(']\n", 5, "redact.patterns has '('"),
        ("  redact:\n    preset: card\n", 4, "redact.preset is 'card'"),
        ("  redact:\n    kes: [cpf]\n", 4, "unknown key 'kes'"),
        ("  capture:\n    - shop\n    - tea.llm\n", 5, "capture[1] is 'tea.llm'"),
        ("  propagate: 'no'\n", 3, "propagate is 'no'"),
        ("  level: observability.handlers[0].type\n  handlers:\n    - type: console\n", 3, "unknown level 'observability."),
    ],
)
def test_observability_block_is_checked_with_its_lines(tmp_path: Path, block: str, line: int, problem: str) -> None:
    """The block's own check says what is wrong; the loader adds the line."""
    found_line, found = refused(tmp_path, f"nodes: [{{run: x = 1}}]\nobservability:\n{block}")
    assert found_line == line
    assert problem in found


def test_categories_are_listed_for_a_foreign_action(tmp_path: Path) -> None:
    """An action of no known category gets the categories."""
    found = refused(tmp_path, "nodes: [{name: a, uses: mail.send}]\n")[1]
    assert found == "step 'a': unknown action 'mail.send'; categories: any, file, http, json, llm, memory, obs, web"


def test_flow_given_as_a_dict_has_no_lines() -> None:
    """The problem alone is the message; a syntax error still has the line within the code."""
    with pytest.raises(FlowFileError) as caught:
        load({"nodes": [{"run": "a = 1\nb = = 2"}]})
    assert str(caught.value) == "step 'step_1': run: Python syntax error: invalid syntax (line 2 of the code)"
    with pytest.raises(FlowFileError, match="flow is 3; it must be a path or a dict"):
        load(3)  # type: ignore[arg-type]


def test_code_can_be_refused(tmp_path: Path) -> None:
    """With allow_code=False neither inline code nor imports are taken, nested or not."""
    nested = "nodes:\n  - name: a\n    steps:\n      - {name: b, run: x = 1}\n"
    imports = "imports: [{path: x.py}]\nnodes: [{uses: any.thing}]\n"
    assert refused(tmp_path, nested, allow_code=False) == (
        4,
        "step 'b': inline code in run is not allowed here; use an action",
    )
    assert refused(tmp_path, imports, allow_code=False) == (
        1,
        "imports: code is not allowed here; pass the actions to load()",
    )


def test_sub_flows_in_a_circle_are_refused(tmp_path: Path) -> None:
    """The message shows the circle, at the line that closes it."""
    written(tmp_path, "nodes:\n  - {name: b, flow: ./flow.yaml}\n", "other.yaml")
    path = written(tmp_path, "nodes:\n  - {name: a, flow: other.yaml}\n")
    with pytest.raises(FlowFileError) as caught:
        load(path)
    assert (caught.value.path, caught.value.line, caught.value.problem) == (
        str(tmp_path / "other.yaml"),
        2,
        "step 'b': sub-flow './flow.yaml' contains itself: flow.yaml -> other.yaml -> flow.yaml",
    )


def test_unnamed_nodes_get_names() -> None:
    """The name is the position; one that is taken is left alone."""
    flow = load({"nodes": [{"run": "a = 1"}, {"name": "step_3", "run": "a = 1"}, {"run": "a = 1"}]})
    assert (flow.name, repr(flow)) == ("flow", "<Flow 'flow': step_1, step_3, step_3_>")


def test_a_file_names_its_flow(tmp_path: Path) -> None:
    """Without a name the file's own is taken."""
    flow = load(written(tmp_path, "nodes: [{run: a = 1}]\n", "triage.yaml"))
    assert (flow.name, flow.path, flow.observability) == ("triage", str(tmp_path / "triage.yaml"), None)
    assert isinstance(flow, Flow)


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ("uses: obs.query\n    filters: {nod: x}", "unknown filter 'nod'; did you mean 'node'? allowed: node, level, "),
        ("uses: obs.query\n    filters: {node: ['{{ state.n }}'], level: loud}", "level: unknown level 'loud'; allowed: debug"),
        ("uses: obs.export\n    filters: {limit: -1}\n    path: x", "limit -1 is not a whole number of at least 0"),
        ("uses: obs.export\n    format: exe\n    path: x", "unknown format 'exe'; allowed: "),
        ("uses: obs.log_event\n    level: loud", "unknown level 'loud'; allowed: debug, info, warn, error"),
    ],
)
def test_a_filter_format_or_level_of_obs_actions_is_checked_where_it_is_written(tmp_path: Path, node: str, problem: str):
    """A typo is not found in the middle of a run."""
    line, found = refused(tmp_path, f"nodes:\n  - {node}\n")
    assert (line, found[: len(problem) + 15]) == (3, f"step 'step_1': {problem}")


def test_what_a_template_makes_of_a_filter_is_left_to_the_run():
    """Parts that are not known yet are taken for right."""
    filters = {"node": ["{{ state.node }}"], "level": "{{ state.level }}", "limit": 3, "text": None}
    nodes = [
        {"uses": "obs.query", "filters": filters},
        {"uses": "obs.query", "filters": "{{ state.filters }}"},
        {"uses": "obs.export", "format": "${format}", "path": "x"},
        {"uses": "obs.query", "filters": None},
    ]
    assert isinstance(load({"nodes": nodes, "variables": {"format": "json"}}), Flow)


# --- settings ----------------------------------------------------------------------------------------------------------


def test_settings_are_rendered_when_the_flow_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They see the variables, the environment and the folder, and keep their types; max_steps may be one of them."""
    monkeypatch.setenv("TEA_TEST_HOST", "db.example.org")
    text = """
        variables: {limit: 7, word: hi}
        settings:
          max_steps: "{{ variables.limit + 1 }}"
          host: "{{ env.TEA_TEST_HOST }}"
          deep: [{text: "${word}, {{ variables.word }}!", n: "{{ variables.limit }}", plain: 1.5}]
          file: "{{ flow_dir }}/x.db"
        nodes:
          - {name: seen, run: "return {'config': config}"}
          - {uses: any.thing, with: {x: "{{ settings.host }}"}, output: {host: "{{ settings.host }}"}}
    """
    flow = load(written(tmp_path, text), ACTIONS)
    state = flow.run()
    settings = {
        "max_steps": 8,
        "host": "db.example.org",
        "deep": [{"text": "hi, hi!", "n": 7, "plain": 1.5}],
        "file": f"{tmp_path}/x.db",
    }
    assert (state["config"], state["host"]) == (settings, "db.example.org")


@pytest.mark.parametrize(
    ("settings", "line", "problem"),
    [
        ("{a: 1, b: '{{ state.x }}'}", 1, "settings, key 'settings.b': unknown name 'state' in '{{ state.x }}'; allowed: env, "),
        ("\n  a:\n    b: '{{ variables.x.y.z }}'", 1, "settings, key 'settings.a.b': cannot render '{{ variables.x.y.z }}': "),
        ("{a: '{{ 1'}", 1, "settings, key 'settings.a': template syntax error in '{{ 1'"),
        ("{max_steps: '{{ 0 }}'}", 1, "settings.max_steps is 0; it must be a whole number of 1 or more"),
    ],
)
def test_settings_that_cannot_be_rendered_are_refused(tmp_path: Path, settings: str, line: int, problem: str) -> None:
    """No template stays as it was written."""
    found, text = refused(tmp_path, f"settings: {settings}\nnodes: [{{run: a = 1}}]\n")
    assert (found, text[: len(problem)]) == (line, problem)


def test_settings_read_no_environment_where_no_code_is_allowed(tmp_path: Path) -> None:
    """A flow that is not trusted does not get there by a detour."""
    text = "settings: {a: '{{ env.HOME }}'}\nnodes: [{uses: any.thing}]\n"
    line, problem = refused(tmp_path, text, allow_code=False)
    assert (line, "is not available to a flow without code" in problem) == (1, True)


# --- all mistakes --------------------------------------------------------------------------------------------------------


def test_all_mistakes_are_found(tmp_path: Path) -> None:
    """The first is raised, the others are attached; none of them is a consequence of another one."""
    text = """\
        observability: {level: loud, handlers: [{type: fiel}]}
        settings: {max_steps: 0}
        imports: [{path: missing.py}]
        nodes:
          - name: a
            uses: my.own
            with: {x: "{{ foo }}", y: ["{{ bar }}", "{{ baz"]}
            on_error: {mode: retri, max_retries: -1}
            goto: [{if: "off", to: a}, {to: nowhere}]
          - {name: b, type: while_loop, max_iterations: 0, body: [{run: "x = ("}, {}]}
          - {name: b, uses: any.thing}
          - {name: c, type: dynamic_parallel, items: 5, item_var: state, max_concurrency: 0, steps: [{uses: any.thing, goto: a}]}
          - oops
        edges:
          - {from: q, to: z, when: "{{ y }}"}
          - {from: a, to: b}
    """
    path = written(tmp_path, text)
    with pytest.raises(FlowFileError) as caught:
        load(path, ACTIONS)
    mistakes = sorted((one.line, one.problem) for one in (caught.value, *caught.value.others))
    expected = [
        (1, "observability.handlers[0].type is 'fiel'"),
        (1, "observability.level: unknown level 'loud'"),
        (2, "settings.max_steps is 0"),
        (3, "imports[0]: cannot import path 'missing.py'"),
        (7, "step 'a', key 'with.x': unknown name 'foo'"),
        (7, "step 'a', key 'with.y.0': unknown name 'bar'"),
        (7, "step 'a', key 'with.y.1': template syntax error"),
        (8, "step 'a': on_error: max_retries is -1"),
        (8, "step 'a': on_error: unknown mode 'retri'"),
        (9, "step 'a': condition 'off' is neither true nor false"),
        (9, "step 'a': goto[1]: node 'nowhere' does not exist"),
        (10, "step 'b': 'condition' is missing"),
        (10, "step 'b': body[1]: the node is empty"),
        (10, "step 'b': max_iterations is 0"),
        (10, "step 'step_1': run: Python syntax error"),
        (11, "node name 'b' is used twice"),
        (12, "step 'c': item_var is 'state'"),
        (12, "step 'c': items is 5"),
        (12, "step 'c': max_concurrency is 0"),
        (12, "step 'step_1': goto: only top-level nodes"),
        (13, "nodes[4] is 'oops'"),
        (15, "edges[0], key 'when': unknown name 'y'"),
        (15, "edges[0]: from: node 'q' does not exist"),
        (15, "edges[0]: to: node 'z' does not exist"),
    ]
    assert [(line, problem[: len(start)]) for (line, problem), (_, start) in zip(mistakes, expected, strict=True)] == expected


def test_a_flow_without_nodes_tells_its_other_mistakes(tmp_path: Path) -> None:
    """A misspelt nodes: is named, and not only missed."""
    with pytest.raises(FlowFileError) as caught:
        load(written(tmp_path, "node: [{run: a = 1}]\n"), ACTIONS)
    assert [one.problem.partition(";")[0] for one in (caught.value, *caught.value.others)] == [
        "the flow: unknown key 'node'",
        "the flow has no nodes",
    ]


@pytest.mark.slow
def test_no_more_than_100_mistakes_are_told(tmp_path: Path) -> None:
    """A large file with a mistake on every line is refused after the first hundred."""
    nodes = "".join(f"  - {{name: n{number}, uses: any.thing, goto: x{number}}}\n" for number in range(300))
    with pytest.raises(FlowFileError) as caught:
        load(written(tmp_path, "nodes:\n" + nodes), ACTIONS)
    found = [caught.value, *caught.value.others]
    assert [one.line for one in found] == list(range(2, 102))


@pytest.mark.parametrize(
    ("action", "params", "problem"),
    [
        ("llm.call", "provider: shell", "llm.call: unknown provider 'shell'; allowed: auto, openai, ollama, scripted; "),
        ("llm.stream", "timeout: 0", "llm.stream: timeout is 0; it must be a number above 0"),
        ("llm.call", "timeout: '5'", "llm.call: timeout is '5'; it must be a number above 0"),
        ("llm.call", "max_retries: -1", "llm.call: max_retries is -1; it must be a whole number above 0"),
        ("llm.call", "base_delay: -0.5", "llm.call: base_delay is -0.5; it must be a number above 0"),
        ("llm.call", "answers: [{contnet: a}]", "llm.call: answers[0] has an unknown key 'contnet'; "),
        ("llm.call", "extra_body: [a]", "llm.call: extra_body is ['a']; it must be a mapping"),
        ("http.get", "url: ftp://x", "http.get: url 'ftp://x' is not an http or https URL with a host; "),
        ("http.get", "url: http://x, timeout: .nan", "http.get: timeout is nan; it must be a number above 0"),
        ("http.post", "url: http://x, max_bytes: 1.5", "http.post: max_bytes is 1.5; it must be a whole number above 0"),
        ("http.get", "url: http://x, headers: a", "http.get: headers is 'a'; it must be a mapping"),
        ("web.fetch", "url: http://x, max_chars: 0", "web.fetch: max_chars is 0; it must be a whole number above 0"),
        ("file.write", "path: a, content: b, encoding: utf-9", "file.write: unknown encoding 'utf-9'; "),
        ("file.read", "path: ''", "file.read: path is ''; it must be a string that is not empty"),
        ("memory.store", "key: a, value: 1, ttl: -1", "memory.store: ttl is -1; it must be a number above 0"),
        ("obs.query", "filters: {nod: a}", "unknown filter 'nod'"),
    ],
)
def test_values_that_a_builtin_action_refuses_are_refused_at_load(tmp_path: Path, action: str, params: str, problem: str) -> None:
    """What is written in the file need not wait for the run; each has the line of its parameter."""
    path = written(tmp_path, f"nodes:\n  - name: a\n    uses: {action}\n    with:\n      {{{params}}}\n")
    with pytest.raises(FlowFileError) as caught:
        load(path)
    assert (caught.value.line, caught.value.others) == (5, ())
    assert caught.value.problem.startswith(f"step 'a': {problem}")


def test_values_that_templates_make_and_own_actions_take_are_not_judged(tmp_path: Path) -> None:
    """Only the run knows the first, and only their authors the second."""
    text = """
        nodes:
          - {uses: llm.call, with: {prompt: a, provider: "{{ state.p }}", timeout: "{{ state.t }}", max_retries: 0}}
          - {uses: file.read, with: {path: a, encoding: rot13}}
          - {uses: any.thing, with: {timeout: -1, provider: shell, url: x}}
    """
    assert load(written(tmp_path, text), ACTIONS).nodes == ["step_1", "step_2", "step_3"]
