"""A strategy for small flows within the rules F1 to F8 of docs/parity.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Node = dict[str, Any]
Strategy = st.SearchStrategy[Any]

CHILD = {
    "name": "child",
    "initial_state": {"count": 1},
    "nodes": [
        {
            "name": "add",
            "uses": "json.parse",
            "with": {"text": "[{{ state.count + 1 }}]"},
            "output": {"count": "{{ result.data[0] }}"},
        },
        {"uses": "obs.log_event", "with": {"message": "child of {{ state.name }}"}, "output": "logged"},
    ],
}
"""The content of child.yaml, which stands beside each flow."""

_STATE: Strategy = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["Ada", "Ærø", "it's", "", "a  b"]),
        "count": st.integers(0, 3),
        "items": st.lists(st.sampled_from(["a", "b", "c d"]), max_size=3),
        "flag": st.booleans(),
    },
    optional={
        "api_key": st.sampled_from(["zq81TTmK20xx", "hunter2 & more", ""]),
        "user": st.just({"name": "Grace", "password": "pa55word-1"}),
    },
)
_TEXTS = st.sampled_from(
    [
        "plain",
        "{{ state.name }}",
        "hello {{ state.name }}, {{ state.count }}",
        "{{ variables.limit }} of ${limit}",
        "{{ state.items | length }}",
        "{{ state.items | join(', ') }}",
        "key {{ state.api_key }}",
        "{{ state.user.password }} of {{ state.user.name }}",
        "{% for one in state.items %}{{ one }};{% endfor %}",
        "{{ state.missing }}",
        "{{ state.last.content }}",
        'it\'s "quoted"',
        "Bearer abcdefgh12345678",
    ]
)
_FAILING = st.sampled_from(
    ["{{ state.missing.deeper + 1 }}", "{{ state.none.at.all.of.it | length }}", "{{ state.items[7].x.y + 1 }}"]
)
_VALUES: Strategy = st.sampled_from(
    ["{{ state.items }}", "{{ state.count + 1 }}", "{{ state.flag }}", "{{ state.user }}", "{{ state.missing }}", [1, "x"]]
)
_VALUES = (
    _VALUES
    | st.none()
    | st.integers(-5, 5)
    | st.sampled_from([0.5, True, {"a": {"token": "secret-1234"}}, "2026-01-31", "yes", ""])
)
_CONDITIONS = st.sampled_from(
    [
        "{{ state.count > 1 }}",
        "state.flag",
        "!flag",
        "{{ state.name == 'Ada' }}",
        "state.items",
        "flag",
        "state.last.success",
        "{{ not state.flag }}",
    ]
)
_LEVELS = st.sampled_from(["debug", "info", "warn", "error"])
_OUTPUTS = st.sampled_from(
    ["last", "out", "out2", {"count": "{{ state.count + 1 }}"}, {"kept": "{{ result }}", "flag": "{{ not state.flag }}"}]
)


def _action(uses: str, parameters: Strategy, outputs: Strategy = _OUTPUTS) -> Strategy:
    return st.fixed_dictionaries({"uses": st.just(uses), "with": parameters, "output": outputs})


_JSON = st.sampled_from(
    [
        "[1, 2]",
        '{"a": "{{ state.name | upper }}", "n": {{ state.count }}}',
        '"{{ state.count }}"',
        "[{{ state.count * 2 }}, null, 0.5, 1e3]",
        "123456789012345678901",
    ]
)
_COUNT = {"uses": "json.parse", "with": {"text": "[{{ state.count + 1 }}]"}, "output": {"count": "{{ result.data[0] }}"}}
_PARSE = _action("json.parse", st.fixed_dictionaries({"text": _JSON})) | st.just(_COUNT).map(dict)
_BROKEN = st.one_of(
    _action("json.parse", st.fixed_dictionaries({"text": _FAILING})),
    _action(
        "json.parse",
        st.fixed_dictionaries({"text": st.sampled_from(["{{ state.count }}", "{{ state.items }}", "{{ state.missing }}"])}),
    ),
    _action("obs.query", st.fixed_dictionaries({"filters": st.just({"event_type": "{{ state.name }}"})})),
    _action("obs.log_event", st.fixed_dictionaries({"level": st.just("{{ state.name }}"), "message": st.just("m")})),
    _action("llm.call", st.fixed_dictionaries({"prompt": _FAILING, "answers": st.just(["a"])})),
)
_ANSWERS = st.lists(
    st.one_of(
        st.sampled_from(["plain", 'it\'s "quoted"', "three words here"]),
        st.fixed_dictionaries(
            {"error": st.sampled_from(["busy", "is down"])},
            optional={"error_type": st.sampled_from(["rate_limit", "connection"]), "status_code": st.just(429)},
        ),
        st.fixed_dictionaries(
            {"content": st.sampled_from(["yes", "ein paar Wörter", "😀 x", ""])},
            optional={
                "usage": st.just({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
                "cost_usd": st.sampled_from([0, 0.25, 1e-7]),
                "model": st.just("m"),
                "finish_reason": st.sampled_from(["stop", "length"]),
                "match": st.sampled_from(["hello", "a", "key "]),
            },
        ),
    ),
    min_size=1,
    max_size=3,
)
_PROMPTS = {"prompt": _TEXTS, "answers": _ANSWERS}
_CALL = _action(
    "llm.call", st.fixed_dictionaries(_PROMPTS, optional={"system": _TEXTS, "temperature": st.just(0), "max_retries": st.just(0)})
)
_STREAM = _action("llm.stream", st.fixed_dictionaries(_PROMPTS))
_NOTE = _action(
    "obs.log_event",
    st.fixed_dictionaries(
        {"message": _TEXTS},
        optional={
            "node": st.sampled_from(["report", "notes.deep", "flow"]),
            "level": _LEVELS,
            "event_type": st.sampled_from(["log", "metric"]),
            "data": st.dictionaries(st.sampled_from(["a", "password", "input"]), _VALUES, max_size=2),
            "metrics": st.dictionaries(
                st.sampled_from(["items", "tokens"]), st.sampled_from([1, 0, 0.5, "{{ state.count }}"]), max_size=2
            ),
        },
    ),
    st.just("logged"),
)
_ACTIONS = st.one_of(_PARSE, _CALL, _STREAM, _NOTE, _NOTE, _BROKEN)
_QUERY = _action(
    "obs.query",
    st.fixed_dictionaries(
        {
            "filters": st.fixed_dictionaries(
                {},
                optional={
                    "node": st.sampled_from(["llm.*", "report", "flow"]),
                    "min_level": _LEVELS,
                    "event_type": st.sampled_from(["entry", "error"]),
                },
            )
        },
        optional={"limit": st.integers(1, 3)},
    ),
    st.just("found"),
)


class _Builder:
    """Draws nodes, and gives each its name."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.count = 0
        self.has_threads = False
        self.edges: list[dict[str, Any]] = []

    def name(self, node: Node) -> Node:
        """Return a node with a name that no other has; some names need care where they are quoted."""
        self.count += 1
        return {"name": f"n{self.count}{self.draw(st.sampled_from(['', '', '', chr(39), ' é']))}", **node}

    def chance(self, of: int) -> bool:
        return self.draw(st.integers(1, of)) == of

    def action(self) -> Node:
        node: Node = self.draw(_ACTIONS)
        return self.handled(self.name(node) if not self.chance(6) else node)

    def handled(self, node: Node) -> Node:
        """Return a node that may say what happens after an error."""
        if self.chance(2):
            mode = self.draw(st.sampled_from(["retry", "graceful", "graceful", "raise"]))
            node["on_error"] = {"mode": mode}
            if mode == "retry":
                node["on_error"] |= {"max_retries": self.draw(st.integers(1, 2)), "delay": 0}
                if self.chance(3):
                    kinds = ["FlowRunError", "ActionError", "ObservabilityError", "QueryError"]
                    node["on_error"]["retryable_errors"] = [self.draw(st.sampled_from(kinds))]
        return node

    def inner(self, depth: int) -> list[Node]:
        """Draw the nodes of a body."""
        return [self.node(depth) for _ in range(self.draw(st.integers(1, 2)))]

    def node(self, depth: int) -> Node:
        if depth == 0 or self.chance(2):
            return self.action()
        body: Callable[[int], Node] = self.draw(st.sampled_from([self.steps, self.loop, self.subflow, self.fan_out]))
        return body(depth - 1)

    def steps(self, depth: int) -> Node:
        return self.handled(self.name({"steps": self.inner(depth)}))

    def loop(self, depth: int) -> Node:
        condition = self.draw(st.sampled_from(["{{ state.count < 2 }}", "state.flag", "{{ state.count < 3 and state.flag }}"]))
        body = [*self.inner(depth), self.name(_COUNT)]
        return self.handled(
            self.name(
                {"type": "while_loop", "condition": condition, "max_iterations": self.draw(st.integers(1, 3)), "body": body}
            )
        )

    def subflow(self, depth: int) -> Node:
        given = self.draw(
            st.fixed_dictionaries({}, optional={"name": _VALUES, "count": st.sampled_from([1, "{{ state.count }}"])})
        )
        return self.handled(self.name({"flow": "child.yaml", "with": given, "output": self.draw(_OUTPUTS)}))

    def fan_out(self, depth: int) -> Node:
        self.has_threads = True
        node = self.name(
            {
                "type": "dynamic_parallel",
                "items": self.draw(st.sampled_from(["{{ state.items }}", ["x", 1, {"k": "v"}], "{{ [1, 2] }}", []])),
            }
        )
        node |= self.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "item_var": st.just("thing"),
                    "index_var": st.just("place"),
                    "max_concurrency": st.integers(1, 3),
                    "output": st.just("fanned"),
                },
            )
        )
        if node.get("max_concurrency") == 1:  # otherwise chance says what has begun when a branch fails
            node["fail_fast"] = self.draw(st.booleans())
        item = node.get("item_var", "item")
        shown = {
            "uses": "obs.log_event",
            "with": {"message": "one of them", "data": {"item": f"{{{{ {item} }}}}"}},
            "output": "logged",
        }
        return node | {"steps": [self.name(shown), *self.inner(depth)]}

    def fork(self) -> list[Node]:
        """Draw a node, branches over edges, and the node that joins them."""
        self.has_threads = True
        start, join = self.action_with_name(), self.name(self.draw(_NOTE))
        join["with"] = {**join["with"], "message": "{% for one in parallel_results %}{{ one.branch }}; {% endfor %}"}
        nodes = [start]
        for _ in range(self.draw(st.integers(1, 3))):
            branch = [self.action_with_name() for _ in range(self.draw(st.integers(1, 2)))]
            edge = {"from": start["name"], "to": branch[0]["name"], "type": "parallel", "fan_in": join["name"]}
            if self.chance(4):
                edge["when"] = self.draw(_CONDITIONS)
            self.edges.append(edge)
            ends = [*(node["name"] for node in branch[1:]), join["name"]]
            self.edges += [{"from": node["name"], "to": end} for node, end in zip(branch, ends, strict=True)]
            nodes += branch
        return [*nodes, join]

    def action_with_name(self) -> Node:
        node = self.action()
        return node if "name" in node else self.name(node)

    def jumps(self, nodes: list[Node]) -> None:
        """Let some nodes say which comes next: by edges, a goto, or a fallback. Nearly all lead forward."""
        forked = {edge["from"] for edge in self.edges}
        for at, node in enumerate(nodes):
            later = [one["name"] for one in nodes[at + 1 :] if "name" in one] + ["__end__"]
            if "name" not in node:
                continue
            if node["name"] not in forked and self.chance(5):
                rule = {"if": self.draw(_CONDITIONS), "to": self.draw(st.sampled_from(later))}
                node["goto"] = self.draw(st.sampled_from([rule, [rule], [rule, {"to": later[0]}]]))
            elif node["name"] not in forked and self.chance(5):
                edges = [{"from": node["name"], "to": self.draw(st.sampled_from(later)), "when": self.draw(_CONDITIONS)}]
                self.edges += edges if self.chance(3) else [*edges, {"from": node["name"], "to": later[0]}]
            if node.get("on_error", {}).get("mode") in ("retry", "graceful") and later != ["__end__"] and self.chance(3):
                node["on_error"]["fallback"] = self.draw(st.sampled_from(later[:-1]))


# The level of `parallel` is not among them: without the spans of branches, what runs side by side has no order (N3).
_BLOCKS = st.fixed_dictionaries(
    {"level": st.sampled_from(["info", "info", "debug"])},
    optional={
        "levels": st.dictionaries(st.sampled_from(["llm", "json.parse", "steps", "loop", "report", "obs"]), _LEVELS, max_size=2)
    },
)


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a flow."""
    build = _Builder(draw)
    parts: list[Callable[[], list[Node]]] = [lambda: [build.node(2)], lambda: [build.node(2)], build.fork]
    nodes = [node for _ in range(draw(st.integers(1, 4))) for node in draw(st.sampled_from(parts))()]
    if not build.has_threads and draw(st.booleans()):
        nodes.append(build.name(draw(_QUERY)))  # the order of what threads logged is left to chance
    build.jumps(nodes)
    # Branches count their steps together, so chance says which of them is the one too many (F8).
    max_steps = 2_000 if build.has_threads else 40
    flow: dict[str, Any] = {"name": "drawn", "variables": {"limit": 100}, "settings": {"max_steps": max_steps}}
    flow |= {"observability": draw(_BLOCKS), "initial_state": draw(_STATE), "nodes": nodes}
    return flow | ({"edges": build.edges} if build.edges else {})
