"""Write the answers of the Python package to the flows of this folder: `python answers.py`.

`data/mistakes.json` and `data/runs.json` are lists of cases. A case has a `flow`, as YAML text. Of a flow with mistakes, `errors` are
all of them. Of a flow that runs, `state` is the final state, without the run's id and times; or `kind` and `step` say how it failed.
"""

import json
import tempfile
from pathlib import Path

from the_edge_obs.errors import FlowFileError
from the_edge_obs.flows import load

DATA = Path(__file__).parent / "data"
NODE = "{uses: json.parse, with: {text: '[1]'}, output: x}"


def node(more: str) -> str:
    """Return a flow of one node `a` that has further keys, and a node `b`."""
    return f"nodes:\n  - {{name: a, uses: json.parse, with: {{text: '1'}},\n     {more}}}\n  - {{name: b, uses: json.parse, with: {{text: '1'}}}}\n"


def edge(*edges: str) -> str:
    """Return a flow of three nodes with edges."""
    nodes = "".join(f"  - {{name: {name}, uses: json.parse, with: {{text: '1'}}}}\n" for name in "abc")
    return f"nodes:\n{nodes}edges:\n" + "".join(f"  - {edge}\n" for edge in edges)


MISTAKES = [
    "[]",
    "nodes: []",
    "name: x",
    "nodes: {a: b}",
    "nodes: [a]",
    "nodes: [{}]",
    f"node: []\nnodes: [{NODE}]",
    f"1: 2\nnodes: [{NODE}]",
    f"name: ' '\nnodes: [{NODE}]",
    f"variables: [a]\ninitial_state: b\nstate_schema: 1\nsettings: {{1: 2}}\nnodes: [{NODE}]",
    f"settings: {{max_steps: 0}}\nnodes: [{NODE}]",
    f"settings: {{max_steps: true}}\nnodes: [{NODE}]",
    f"settings:\n  a: '{{{{ state.x }}}}'\nnodes: [{NODE}]",
    "nodes: [{name: a}]",
    "nodes: [{name: a, uses: json.parse, steps: []}]",
    "nodes: [{name: a, steps: []}]",
    "nodes: [{name: a, steps: [{name: b}]}]",
    "nodes: [{name: a, type: loop}]",
    "nodes: [{name: __end__, uses: json.parse, with: {text: '1'}}]",
    "nodes:\n  - {name: a, uses: json.parse, with: {text: '1'}}\n  - {name: a, uses: json.parse, with: {text: '1'}}",
    "nodes: [{name: 3, uses: json.parse, with: {text: '1'}}]",
    "nodes: [{uses: json.prase, with: {text: '1'}}]",
    "nodes: [{uses: [a]}]",
    "nodes: [{uses: json.parse, with: [a]}]",
    "nodes: [{uses: json.parse}]",
    "nodes: [{uses: json.parse, with: {text: a, state: b}}]",
    "nodes: [{uses: json.parse, text: a, with: {text: b}}]",
    "nodes: [{uses: json.parse, text: a, txet: b}]",
    "nodes: [{uses: llm.call, with: {answers: []}}]",
    "nodes: [{uses: llm.call, with: {answers: [{content: a, error: b}], timeout: 0}}]",
    "nodes: [{uses: llm.call, with: {prompt: a, answers: [{text: b}]}}]",
    node("language: lua"),
    node("output: ''"),
    node("output: a, store: b"),
    node("output: {k: '{{ reslt }}'}"),
    node("output: {1: a}"),
    node("fan_in: b"),
    node("goto: c"),
    node("goto: []"),
    node("goto: {}"),
    node("goto: 3"),
    node("goto: {to: c}"),
    node("goto: {then: b}"),
    node("goto: {if: 'stat.a < 3', to: b}"),
    "nodes: [{name: a, steps: [{uses: json.parse, text: '1', goto: {to: a}}]}]",
    node("goto: [{to: c}, {if: yes, to: b}, {fi: a, to: b}]"),
    node("goto: [{if: 'yes', to: b}]"),
    node("goto: [{if: ' ', to: b}, {if: 3, to: b}]"),
    node("goto: [{if: '{{ a }} b', to: b}]"),
    node("goto: [{if: 'state.a <', to: b}]"),
    node("goto: [{if: 'stat.a < 3', to: b}]"),
    node("on_error: a"),
    node("on_error: {mode: rais}"),
    node("on_error: {max_retries: 1, delay: 2}"),
    node("on_error: {mode: graceful, backoff: 2, retryable_errors: [A]}"),
    node("on_error: {mode: retry, max_retries: -1, delay: a, backoff: 0.5}"),
    node("on_error: {mode: retry, delay: 1, retry_delay: 2}"),
    node("on_error: {mode: retry, fallback: c}"),
    node("on_error: {mode: raise, fallback: b}"),
    node("on_error: {mode: retry, retryable_errors: [1]}"),
    node("on_error: {mode: retry, retries: 2}"),
    "nodes: [{name: a, steps: [{uses: json.parse, text: '1', goto: a}]}]",
    "nodes: [{name: a, steps: [{uses: json.parse, text: '1', on_error: {mode: graceful, fallback: a}}]}]",
    "nodes: [{name: a, steps: [{type: dynamic_parallel, items: [1], steps: [{uses: json.parse, text: '1'}], fan_in: a}]}]",
    "nodes: [{name: a, type: while_loop}]",
    "nodes: [{name: a, type: while_loop, condition: x, max_iterations: 0, body: []}]",
    "nodes: [{name: a, type: while_loop, condition: [], max_iterations: 1.5, body: [{uses: x}], more: 1}]",
    "nodes: [{name: a, type: dynamic_parallel}]",
    "nodes: [{name: a, type: dynamic_parallel, items: abc, steps: [{uses: json.parse, text: '1'}]}]",
    "nodes: [{name: a, type: dynamic_parallel, items: [1], item_var: state, index_var: for, steps: [{uses: json.parse, text: '1'}]}]",
    "nodes: [{name: a, type: dynamic_parallel, items: [1], max_concurrency: 0, steps: [{uses: json.parse, text: '{{ itm }}'}]}]",
    "nodes: [{name: a, type: dynamic_parallel, items: [1], action: {uses: json.parse}, output: 3}]",
    "nodes: [{name: a, type: dynamic_parallel, items: [1], action: {}, steps: []}]",
    "nodes: [{name: a, type: dynamic_parallel, items: [1], fan_in: b, action: {type: dynamic_parallel, items: [1], action: "
    "{uses: json.parse, text: '1'}}}]",
    "nodes: [{name: a, flow: 3}]",
    "nodes: [{name: a, flow: x.yaml, wiht: {}}]",
    edge("{from: a}"),
    edge("{from: x, to: y}"),
    edge("{from: a, to: __start__}"),
    edge("{from: a, to: b, type: parallel}"),
    edge("{from: a, to: b, fan_in: c}"),
    edge("{from: a, to: b, type: paralel, fan_in: c}"),
    edge("{from: a, to: b, type: parallel, fan_in: b}"),
    edge("{from: a, to: __end__, type: parallel, fan_in: b}"),
    edge("{from: a, to: b, type: parallel, fan_in: x}"),
    edge("{from: a, to: b}", "{from: a, to: b, type: parallel, fan_in: c}"),
    edge("{from: a, to: b, wen: x}"),
    edge("{from: a, to: b, when: 'no'}"),
    edge("{from: a, to: b, when: a, condition: b}"),
    edge("{from: a, to: b, condition: {type: code, value: b}}"),
    edge("{from: a, to: b, condition: {type: expression}}"),
    edge("{from: a, to: b, when: '{{ stte.a }}'}"),
    "nodes: [{uses: json.parse, text: '{{ env }}'}]",
    "nodes:\n  - uses: json.parse\n    with:\n      text: |\n        a\n        {{ unknown.x }}\n",
    "nodes: [{uses: llm.call, with: {prompt: a, messages: [{role: '{{ x }}', content: ['{{ y }}']}]}}]",
    f"observability:\n  level: loud\n  levels: {{http: loud}}\nnodes: [{NODE}]",
    f"observability:\n  buffer_sise: 5\n  handlers:\n    - {{type: console, pth: x}}\nnodes: [{NODE}]",
    f"observability:\n  handlers:\n    - {{type: console}}\n    - {{type: fil, path: x}}\nnodes: [{NODE}]",
    f"observability:\n  buffer_size: 0\n  propagate: 'no'\n  redact: {{preset: card}}\nnodes: [{NODE}]",
    f"observability: [a]\nnodes: [{NODE}]",
    "a: 1\na: 2",
    "",
    f"config: [a]\nnodes: [{NODE}]",
    f"config: {{1: a}}\nnodes: [{NODE}]",
    f"config:\n  raise_exceptions: 'no'\n  colour: 1\n  checkpoint: x.pkl\nnodes: [{NODE}]",
    f"config:\n  raise_exceptions:\n  interrupt_before: [a]\n  interrupt_after: true\nnodes: [{NODE}]",
    f"data: {{}}\nendpoint: a\nnods: 1\nnodes: [{NODE}]",
    "nodes: [{name: a, interrupt: before, stps: 1, steps: [{uses: json.parse, text: '1', strategy: x}]}]",
    "nodes: [{name: a, flow: 3, parallel_each: '{{ [1] }}'}]",
    "nodes: [{name: a, type: while_loop, condition: x, max_iterations: 1, body: [" + NODE + "], streams: 1, subgraph: 2}]",
    "nodes: [{name: a, type: dynamic_parallel, items: [1], action: "
    + NODE
    + ", max_workers: 2, subgraph: x, input: 1, inputs: 2}]",
    "nodes: [{name: a, type: dynamic_parallel, items: [1], action: " + NODE + ", fail_fast: 'yes'}]",
    "nodes: [{name: a, type: dynamic_parallel, items: [1], action: " + NODE + ", fail_fast: }]",
    node("language: prolog"),
    node("language: ruby"),
    node("language: [lua]"),
    "nodes: [{uses: ltm.store}, {uses: actions.ltm.store}, {uses: rag.query}, {uses: obs.qery}, {uses: ltm}, {uses: mine.ltm}]",
    "nodes: [{uses: llm.call, with: {prompt: a, provider: shell}}, {uses: llm.stream, with: {prompt: a, provider: cloud}}]",
    "nodes: [{uses: llm.call, with: {prompt: a, provider: [shell]}}]",
]

PARSE = "{name: %s, uses: json.parse, with: {text: '%s'}, output: %s}"
SOFT = "uses: llm.call, with: {prompt: a, answers: [{error: busy, error_type: rate}, b]}"
FAN = (
    "{type: dynamic_parallel, items: %s, fail_fast: %s, output: %s, max_concurrency: 1, "
    "action: {uses: json.parse, text: '[{{ item.a.b }}]', output: y}}"
)

RUNS = [
    "nodes: [" + PARSE % ("a", '[1, {"a": null}]', "x") + "]",
    "nodes: [{uses: json.parse, with: {text: '5'}}]",
    "nodes: [{uses: json.parse, with: {text: '{'}, on_error: {mode: raise}}]",
    "nodes: [{uses: json.parse, with: {text: '[1, 2]'}, output: {first: '{{ result.data[0] }}', all: '{{ result.data }}'}}]",
    "initial_state: {n: 0}\nnodes:\n  - {name: l, type: while_loop, condition: state.n < 3, max_iterations: 9, body: [{uses: json.parse,"
    " text: '[{{ state.n + 1 }}]', output: {n: '{{ result.data[0] }}'}}]}",
    "initial_state: {n: 0}\nnodes:\n  - {name: l, type: while_loop, condition: state.n < 3, max_iterations: 2, body: [{uses: json.parse,"
    " text: '[{{ state.n + 1 }}]', output: {n: '{{ result.data[0] }}'}}], goto: [{if: \"result.stopped_by == 'max_iterations'\", to: b}]}\n"
    f"  - {PARSE % ('a', '1', 'a')}\n  - {PARSE % ('b', '2', 'b')}",
    "nodes:\n  - {name: a, steps: [{uses: json.parse, text: '1', output: x}, {uses: json.parse, text: '[{{ state.x.data }}]', output: y}]}",
    f"nodes:\n  - {{name: a, {SOFT}, on_error: {{mode: retry, max_retries: 1, delay: 0}}, output: x}}",
    f"nodes:\n  - {{name: a, {SOFT}, on_error: {{mode: graceful}}, output: x}}",
    f"nodes:\n  - {{name: a, {SOFT}, on_error: {{mode: graceful, fallback: c}}, output: x}}\n  - {PARSE % ('b', '1', 'b')}\n  - "
    f"{PARSE % ('c', '1', 'c')}",
    f"nodes:\n  - {{name: a, {SOFT}, output: x}}\n  - {{name: b, {SOFT}, output: y}}",
    "nodes:\n  - {name: a, uses: json.parse, text: '{{ state.a.b.c }}', on_error: {mode: retry, delay: 0, retryable_errors: "
    "[ActionError]}}",
    "nodes:\n  - {name: a, uses: json.parse, text: '{{ 3 }}', on_error: {mode: graceful}}\n  - {uses: json.parse, text: "
    "'\"{{ state.__error__.type }}\"', output: x}",
    "initial_state: {list: [3, 4]}\nnodes:\n  - {name: a, type: dynamic_parallel, items: '{{ state.list }}', item_var: one, steps: [{uses: "
    "json.parse, text: '[{{ one }}, {{ index }}]', output: x}], output: res}\n  - {uses: json.parse, text: '[{{ parallel_results | "
    "length }}, {{ parallel_results[1].x.data[0] }}]', output: y}",
    "nodes:\n  - {name: a, type: dynamic_parallel, items: '{{ state.none }}', action: {uses: json.parse, text: '1'}, fan_in: c}\n"
    f"  - {PARSE % ('b', '1', 'b')}\n  - {PARSE % ('c', '[{{ parallel_results | length }}]', 'c')}",
    "nodes:\n  - {name: a, type: dynamic_parallel, items: '{{ 3 }}', action: {uses: json.parse, text: '1'}}",
    "nodes:\n  - {name: a, type: dynamic_parallel, items: [1], max_concurrency: '{{ 0 }}', action: {uses: json.parse, text: '1'}}",
    edge(
        "{from: __start__, to: a, type: parallel, fan_in: c}",
        "{from: __start__, to: b, type: parallel, fan_in: c}",
        "{from: c, to: a, when: not_there}",
        "{from: c, to: __end__}",
    ),
    edge("{from: a, to: c, when: '{{ state.data == 1 }}'}", "{from: a, to: b}"),
    edge("{from: a, to: c, condition: state.data == 1, when: false}", "{from: a, to: b, when: '!missing'}"),
    edge("{from: a, to: b, when: false}"),
    edge("{from: a, to: b, when: '{{ state.a.b.c + 1 }}'}"),
    "settings: {max_steps: 5}\nnodes:\n  - {name: a, uses: json.parse, text: '1', goto: a}",
    "settings: {max_steps: 3, k: '${v}!'}\nvariables: {v: w}\nnodes:\n  - {uses: json.parse, text: '\"{{ settings.k }}${v}\"', output: x}",
    "initial_state: {a: 'no'}\nnodes:\n  - {name: a, uses: json.parse, text: '1', goto: [{if: a, to: b}, {if: '!a', to: __end__}]}\n"
    f"  - {PARSE % ('b', '1', 'b')}",
    "nodes:\n  - {name: a, uses: json.parse, text: '1', goto: [{if: missing, to: a}]}",
    "config: {raise_exceptions: false, interrupt_before: [], interrupt_after: '', checkpoint_dir: x, checkpoint: }\nnodes:\n"
    "  - {name: a, uses: json.parse, text: '{{ state.a.b.c }}'}",
    f"config:\nnodes:\n  - {PARSE % ('a', '1', 'a')}",
    f"initial_state: {{n: 1}}\nnodes:\n  - {{name: a, uses: json.parse, text: '1', goto: {{if: n, to: c}}}}\n  - {PARSE % ('b', '1', 'b')}\n"
    f"  - {PARSE % ('c', '1', 'c')}",
    f"nodes:\n  - {{name: a, uses: json.parse, text: '1', goto: {{to: __end__}}}}\n  - {PARSE % ('b', '1', 'b')}",
    f"nodes:\n  - {FAN % ('[1, 2]', 'false', 'first')}\n  - {FAN % ('[{a: {b: 1}}, 1, {a: {b: 2}}]', 'true', 'x')}",
    f"nodes:\n  - {FAN % ('[1, {a: {b: 2}}]', 'false', 'x')}",
    "nodes:\n  - {name: a, uses: llm.stream, with: {prompt: hello, answers: [{content: one two, match: ell}, x]}, output: x}",
    "nodes:\n  - {name: a, uses: llm.call, with: {messages: [{role: user, content: [{type: text, text: abcde}]}], answers: [ok]}, output: x}",
    "nodes:\n  - {name: a, uses: llm.call, with: {answers: [ok]}}",
    "nodes:\n  - {name: a, uses: json.parse, text: 1}",
    "nodes:\n  - {name: a, uses: json.parse, text: '[1, /* c */ 2,]', strict: false, output: x}",
    "nodes:\n  - {name: a, uses: json.parse, text: 'x', strict: false, default: 7, output: x}",
]


def errors_of(text: str, folder: Path) -> list[dict[str, object]]:
    """Return the mistakes of a flow."""
    path = folder / "flow.yaml"
    path.write_text(text)
    try:
        load(path)
    except FlowFileError as error:
        found = (error, *error.others)
        here = f"{folder}/"
        return [{"line": one.line, "step": one.step, "problem": one.problem.replace(here, "")} for one in found]
    return []


def plain(value: object) -> object:
    """Return a value without ids, times and texts of the runner."""
    if hasattr(value, "timing_ms"):
        names = ("branch", "success", "state", "error_type")
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        dropped = {"flow_id", "_observability"}
        if value.get("error_type") == "parse" or value.get("type") == "ActionError":
            dropped |= {"error", "message", "position"}
        return {key: plain(item) for key, item in value.items() if key not in dropped}
    return [plain(item) for item in value] if isinstance(value, list) else value


def outcome(text: str, folder: Path) -> dict[str, object]:
    """Return the outcome of a run."""
    path = folder / "flow.yaml"
    path.write_text("observability: {enabled: false}\n" + text)
    try:
        return {"state": plain(load(path).run())}
    except FlowFileError:
        raise
    except Exception as error:  # the answer
        return {"kind": type(error).__name__, "step": getattr(error, "step", None)}


def main() -> None:
    """Write both files."""
    with tempfile.TemporaryDirectory() as name:
        mistakes = [{"flow": text, "errors": errors_of(text, Path(name))} for text in MISTAKES]
        runs = [{"flow": text, **outcome(text, Path(name))} for text in RUNS]
    for file, cases in (("mistakes", mistakes), ("runs", runs)):
        lines = ",\n".join(json.dumps(case) for case in cases)
        (DATA / f"{file}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
