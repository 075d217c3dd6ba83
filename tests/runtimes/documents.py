"""Strategies for what stands in flow files and in queries: YAML, templates, blocks, times, globs, filters."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ..strategies import FLOW, NODES, T0, span_id

Strategy = st.SearchStrategy[Any]


def _either(good: Strategy, bad: Strategy) -> Strategy:
    """Draw something valid, and now and then something else."""
    return st.one_of(good, good, good, good, bad)


# --- YAML ----------------------------------------------------------------------------------------------------------------

_DIGITS = st.text("0123456789", min_size=1, max_size=22)
_WORDS = st.sampled_from("yes no on off true false null y n none .inf .nan -.inf +.inf ~ << =".split())
_ZONES = ["", "Z", " \tZ", " +1", " -00", "+00:00", " +23:59", "+24", " 99:59", "+5:30"]
SCALARS = st.one_of(
    st.text("0123456789_.:eE+-xob", min_size=1, max_size=8),
    st.tuples(
        st.sampled_from(["", "-", "+"]),
        st.sampled_from(["0x", "0b", "0o", "0", "1", "12", ""]),
        st.text("01789abfF_", max_size=30),
    ).map("".join),
    st.tuples(
        st.sampled_from(["2026", "0000", "1999", "20261", "2024"]),
        st.sampled_from(["-01", "-1", "-13", "-02", "-12"]),
        st.sampled_from(["-1", "-31", "-29", "-30", "-00"]),
        st.sampled_from(
            ["", "T1:02:03", "t12:00:00.", "  23:59:59.25", " 24:00:00", " 1:2:03", "T01:02:60", " 01:02:03.1234567"]
        ),
        st.sampled_from(_ZONES),
    ).map("".join),
    st.lists(st.sampled_from("0 1 5 9 10 59 60 61 99 123 1_0 00".split()), min_size=2, max_size=5).map(":".join),
    st.tuples(
        st.sampled_from(["", "-", "+"]),
        _DIGITS,
        st.sampled_from(["", ".", ".0", ".5"]),
        st.sampled_from(["", "e+3", "e-30", "E+400"]),
    ).map("".join),
    _WORDS | _WORDS.map(str.upper) | _WORDS.map(str.capitalize) | _WORDS.map("{}x".format),
    st.text("0123_eE+-inf", max_size=7).map(".{}".format),
    st.text("abz059 -:#?.,*&!%@`'\"<=~|>/\\_+é", min_size=1, max_size=7),
)
"""Plain scalars, and what is nearly one."""

_TOKENS = [
    "a",
    "b",
    "key",
    "- ",
    ": ",
    ",",
    "\n",
    "\n  ",
    "\n    ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "'x y'",
    '"q\\n"',
    "# c",
    "&a ",
    "*a",
]
_TOKENS += [
    "<<: ",
    "| ",
    "|\n   text\n",
    ">-\n   fold\n   ed\n",
    "? ",
    "~",
    "1",
    "yes",
    "!!str ",
    "!!int ",
    "---\n",
    "...\n",
    "k: v\n",
]
_TOKENS += ["k2: v2\n", "  in: 3\n", "- i\n", " ", "\t", "%", "-", "b: c"]
_VALUES = ["1", "yes", "x y", '"a\\tb"', "'it''s'", '[1, {a: b}, "c"]', "{x: [1], y: }", "~", "|\n{0}  l1\n{0}   l2\n\n{0}  l3"]
_VALUES += [">\n{0}  f1\n{0}  f2\n\n{0}    f3\n{0}  f4\n", "|-\n{0}  z", "|+\n{0}  z\n\n", "plain\n{0}  more\n\n{0}  still"]
_VALUES += ['"dq\n{0}  x \\\n{0}  y"', "&a1 v # c", "!!str 5", "a#b", "-x", "?x", ":x", "http://x:80/y", "{{ no }", "2026-01-01"]
_VALUES += ["[a b, c\n{0}  d]", "{{a: 'b', \"c\":d}}"]
_TREE_KEYS = ["a", "b", "c d", '"e"', "'f'", "1", "yes", "~", "x:y", "g"]


@st.composite
def _tree(draw: st.DrawFn, depth: int = 3, indent: str = "") -> str:
    """Draw a well-formed document in block style."""
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        value = draw(st.sampled_from(_VALUES))
        return f" {value.replace('{0}', indent).replace('{{', '{').replace('}}', '}')}\n"
    inside = _tree(depth - 1, indent + "  ")
    if draw(st.booleans()):
        keys = draw(st.lists(st.sampled_from(_TREE_KEYS), min_size=1, max_size=3, unique=True))
        return "\n" + "".join(f"{indent}{key}{draw(st.sampled_from([':', ': ', ' :']))}{draw(inside)}" for key in keys)
    return "\n" + "".join(f"{indent}-{draw(inside)}" for _ in range(draw(st.integers(1, 3))))


YAML_TEXTS = st.one_of(
    SCALARS.map("- {}\n".format),
    st.lists(st.sampled_from(_TOKENS), min_size=1, max_size=13).map("".join),
    _tree().map(lambda text: text.lstrip("\n")),
)
"""YAML documents, and what is nearly one."""

# --- templates: the guaranteed subset, F3 ---------------------------------------------------------------------------------

STATE: dict[str, Any] = {
    "name": "Ada Lovelace",
    "city": "Ærøskøbing",
    "blank": "  a b ",
    "count": 3,
    "zero": 0,
    "items": ["a", "b", "c"],
    "numbers": [3, 1, 2],
    "user": {"name": "Grace", "tags": ["x"], "items": 1, "age": 85},
    "empty": [],
    "none": None,
    "yes": True,
    "no": False,
}
VARIABLES = {"limit": 100, "greeting": "Hello"}

_INTS = [
    "state.count",
    "state.zero",
    "state['count']",
    "state.user.age",
    "state.user.items",
    "state.numbers[0]",
    "variables.limit",
]
_TEXTS = ["state.name", "state['name']", "state.user.name", "state.items[1]", "variables.greeting", "state.blank"]
_LISTS = ["state.items", "state.numbers", "state.user.tags", "['p', 'q']", "[1, 2, 3]"]
_ABSENT = ["state.missing", "state.none", "state.missing.deeper", "state.user.missing", "state.missing.at.all"]


def _binary(left: Strategy, signs: list[str], right: Strategy) -> Strategy:
    return st.tuples(left, st.sampled_from(signs), right).map(lambda one: f"({one[0]} {one[1]} {one[2]})")


def _filtered(values: Strategy, *filters: str) -> Strategy:
    return st.tuples(values, st.sampled_from(filters)).map(lambda one: f"({one[0]} | {one[1]})")


@st.composite
def expressions(draw: st.DrawFn, kind: str, depth: int) -> str:
    """Draw an expression of a kind: int, text, list, bool or any."""

    def inner(of: str) -> Strategy:
        return expressions(of, depth - 1)

    ends: dict[str, Strategy] = {
        "int": st.sampled_from(_INTS) | st.integers(0, 999).map(str),
        "text": st.sampled_from(_TEXTS) | st.text("abc XYZ-.!", max_size=6).map("'{}'".format),
        "list": st.sampled_from(_LISTS),
        "bool": st.sampled_from(["state.yes", "state.no", "true", "false"]),
        "any": st.sampled_from(
            [*_INTS, *_TEXTS, *_LISTS, "state", "variables", "state.user", "state.empty", "state.city", *_ABSENT]
        ),
    }
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return str(draw(ends[kind]))
    chosen = st.tuples(inner(kind), inner("bool"), inner(kind)).map(lambda one: f"({one[0]} if {one[1]} else {one[2]})")
    made: dict[str, list[Strategy]] = {
        "int": [
            _binary(inner("int"), ["+", "-", "*"], inner("int")),
            _filtered(inner("text") | inner("list"), "length"),
            inner("int").map("(-{})".format),
        ],
        "text": [
            _binary(inner("text"), ["~"], inner("text") | inner("int")),
            _filtered(inner("text"), "upper", "lower", "trim", "replace('a', 'oo')", "replace('', '-')", "replace(' ', '')"),
            _filtered(inner("list"), "join(', ')", "join"),
        ],
        "list": [inner("list"), st.lists(inner("int"), min_size=1, max_size=3).map(lambda one: f"[{', '.join(one)}]")],
        "bool": [
            _binary(inner("int"), ["<", "<=", ">", ">=", "==", "!="], inner("int")),
            _binary(inner("text"), ["<", "==", "!=", ">="], inner("text")),
            _binary(inner("any"), ["<", "<=", ">", ">=", "==", "!="], inner("any")),  # most of them have no order
            _binary(inner("bool"), ["and", "or"], inner("bool")),
            inner("any").map("(not {})".format),
        ],
        "any": [
            _binary(inner("any"), ["and", "or"], inner("any")),
            _filtered(inner("list"), "first", "last"),
            st.sampled_from(_ABSENT).flatmap(lambda one: st.sampled_from([f"({one} + 1)", f"({one} or 'none')", f"{one}[0]"])),
            *(inner(of) for of in ("int", "text", "list", "bool")),
        ],
    }
    return str(draw(st.one_of(*made[kind], chosen)))


def _of(kind: str) -> Strategy:
    return expressions(kind, 3)


_OUTSIDE = st.text("abc .:%$#\n{}", max_size=5).filter(lambda text: not any(sign in text for sign in ("{{", "{%", "{#", "${")))
_MIXED = st.one_of(
    (_of("text") | _of("int")).map("{{{{ {} }}}}".format),
    _OUTSIDE,
    st.sampled_from(["${limit}", "${greeting}", "${unknown}"]),
    _of("bool").map("{{% if {} %}}yes{{% else %}}no{{% endif %}}".format),
    st.tuples(_of("list"), st.sampled_from(["{{ one }};", "{{ loop.index }}", "{% if loop.last %}.{% endif %}"])).map(
        lambda one: f"{{% for one in {one[0]} %}}{one[1]}{{% endfor %}}"
    ),
    st.tuples(_of("bool"), _of("text")).map(lambda one: f"{{% if {one[0]} %}}{{{{ {one[1]} }}}}{{% endif %}}"),
)
TEMPLATES = st.one_of(
    st.sampled_from(["any", "any", "int", "text", "list", "bool"]).flatmap(_of).map("{{{{ {} }}}}".format),
    st.lists(_MIXED, min_size=1, max_size=4).map("".join),
    st.sampled_from(
        ["{{ nobody }}", "{{ state.name", "{% if %}", "{{ state.name | nothing }}", "{% for x in state.items %}", "{{ }}"]
    ),
)
"""Templates of the subset that all runtimes share, and some with mistakes."""

# --- queries -------------------------------------------------------------------------------------------------------------

GLOBS = st.text("ab.*?[]!-é^\\", max_size=8) | st.sampled_from(["llm.*", "*.call", "[!l]*", "[]a]*", "[a-c]?", "a[!b]", "[z-a]"])
GLOB_NAMES = st.text("ab.*?[]!-éc^\\\n", max_size=6) | st.sampled_from(NODES)

_PADS = st.sampled_from(["", " ", "\t", "\n"])
_MOMENTS = st.tuples(
    st.sampled_from(
        [
            *("2026-01-31", "2024-02-29", "2026-02-29", "2026-1-31", "1970-01-01", "2026-03-29"),
            *("0000-12-31", "0001-01-01", "0001-01-02", "9999-12-30", "9999-12-31"),
        ]
    ),
    st.sampled_from(
        ["", "T00:00", " 23:59:59", "T12:30:15.123456789", "T24:00", "t02:30", "T02:30", "T12", " 12:00:60", "T12:00:00,5"]
    ),
    st.sampled_from(["", "Z", "z", "+01:00", "-05:30", "+24:00", "+0100", "+23:59", " Z"]),
).map("".join)
_DURATIONS = st.tuples(
    st.sampled_from(["", "+", "-", "--"]),
    st.sampled_from(["0", "5", "1.5", "007", "1.", ".5", "1_0", "1e3", "99999999999999999999"]),
    st.sampled_from(["", " ", "\u00a0"]),
    st.sampled_from(["ms", "s", "m", "min", "h", "d", "w", "M", "weeks", ""]),
).map("".join)
_NUMBERS: Strategy = st.integers(-(10**12), 10**12) | st.floats(-1e12, 1e12) | st.sampled_from([1e300, 10**30, True, None, []])
TIMES = st.one_of(
    st.tuples(_PADS, _MOMENTS, _PADS).map("".join),
    st.tuples(_PADS, _DURATIONS, _PADS).map("".join),
    st.text("0123456789+-:.TZe smhd", max_size=12),
    _NUMBERS,
    st.floats(-1e9, 1e9).map(repr),
)

_ANY: Strategy = st.sampled_from([None, True, 0, -1, 2.0, 3, "", "x", [], ["a"], {}, ["llm.*", 3]])
_TIMES = st.sampled_from([T0, T0 + 1, T0 + 1.5, "-2s", "+1s", "2023-11-14T22:13:21Z", "soon"])


def _one_or_many(values: Strategy) -> Strategy:
    return values | st.lists(values, max_size=3)


_FILTERS: dict[str, Strategy] = {
    "node": _one_or_many(st.sampled_from(["llm.*", "*", "llm", "http.?et", "a[[]b]", "[fl]*", "LLM*"])),
    "step": _one_or_many(st.sampled_from(["a*", "ask", "ask again", "*"])),
    "level": _one_or_many(st.sampled_from(["info", "INFO", "warning", "debug", "loud"])),
    "min_level": st.sampled_from(["info", "warn", "Error", "loud"]),
    "event_type": _one_or_many(st.sampled_from(["entry", "exit", "log", "start", "ENTRY"])),
    "start_time": _TIMES,
    "end_time": _TIMES,
    "span_id": _one_or_many(st.sampled_from([span_id(1), span_id(3), span_id(1).upper(), "x"])),
    "text": st.sampled_from(
        ["needle", "Needle", "stra\u00dfe", "STRASSE", "xxx", "input", "12", 7, 0.5, "null", "true", "-1", True, ""]
    ),
    "flow_id": _one_or_many(st.sampled_from([FLOW, FLOW[:8].upper(), "", "x"])),
    "limit": st.sampled_from([1, 2, 1000, 10**30, 0]),
    "last": st.sampled_from([1, 2, 1000, 10**30, 0]),
    "colour": st.just("red"),
}
FILTERS = st.dictionaries(st.sampled_from([*_FILTERS, *list(_FILTERS)[:-1]]), st.none(), max_size=3).flatmap(
    lambda chosen: st.fixed_dictionaries({name: _either(_FILTERS[name], _ANY) for name in chosen})
)

# --- observability blocks ------------------------------------------------------------------------------------------------

_JUNK = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        5,
        1.5,
        "",
        "x",
        "root",
        "info",
        [],
        {},
        ["a"],
        {"a": 1},
        10**25,
        "ext://a",
        "yes",
        "0600",
        ["root"],
    ]
)
_LEVELS = _either(
    st.sampled_from(["debug", "INFO", "warning", "Error", 10, 15, 20, 30, 40, 50, -3, 10**30, "loud", "critical"]), _JUNK
)
_NODES = st.sampled_from(
    [
        "llm",
        "llm.call",
        "http",
        "flow",
        "llm.*",
        "tea.llm",
        "tea",
        "a b",
        "",
        "x.",
        "root",
        "a[0]",
        "shop.db",
        "shop",
        "agent",
        "ü",
    ]
)
_REDACT = st.sampled_from(
    [
        {"keys": ["cpf"]},
        {"keys": ["a_b"], "safe_keys": ["AB"]},
        {"preset": "payment"},
        {"preset": "x"},
        {"patterns": ["AC-[0-9]{6}", "x?"]},
        {"patterns": ["AC-[0-9]{6}"]},
        {"correlate": True},
        {"correlate": 1},
        {"safe_keys": ["password"]},
        {"kes": 1},
        {"keys": [1]},
    ]
)
_MODES = st.sampled_from(["0600", "0o640", "640", "0700", "0666", "600", 384, 0o640, "06000", "88", ""])
_PATHS = st.sampled_from(
    ["logs/{flow_id}.jsonl", "a.jsonl", "{x}", "a{", "}", "/dev/null/x.jsonl", "{flow_id}{flow_id}", "a/../b"]
)
_HANDLERS = _either(
    st.fixed_dictionaries(
        {"type": _either(st.sampled_from(["console", "file", "file", "radio"]), _JUNK)},
        optional={
            "level": _LEVELS,
            "verbose": _either(st.booleans(), _JUNK),
            "path": _either(_PATHS, _JUNK),
            "mode": _either(_MODES, _JUNK),
        },
    ),
    _JUNK,
)
BLOCKS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "enabled": _either(st.booleans(), _JUNK),
            "level": _LEVELS,
            "levels": _either(st.dictionaries(_NODES, _LEVELS, max_size=3), _JUNK),
            "buffer_size": _either(st.sampled_from([1, 10, 10**20]), _JUNK),
            "handlers": _either(st.lists(_HANDLERS, max_size=3), _JUNK),
            "redact": _either(_REDACT, _JUNK),
            "capture": _either(st.lists(_NODES, max_size=3), _JUNK),
            "propagate": _either(st.booleans(), _JUNK),
        },
    ),
    st.fixed_dictionaries({}, optional={"colour": _JUNK, "level": _LEVELS, "Level": st.just("info")}),
    _JUNK,
)
"""Observability blocks, most with mistakes; without callbacks, which only Python has, and patterns whose dialects differ."""
