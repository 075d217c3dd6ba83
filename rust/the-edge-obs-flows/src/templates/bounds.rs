//! No template hangs, fills the memory or overflows the stack.

use std::time::Duration;

use proptest::prelude::*;

use super::limits::TIME;
use super::tests::rendered;

/// Lets a name `n.v` go on from a value, as often as given, and ends with an expression of it.
fn grown(from: &str, step: &str, times: usize, end: &str) -> String {
    format!(
        "{{% set n = namespace(v={from}) %}}{{% for i in range({times}) %}}{{% set n.v = {step} %}}{{% endfor %}}{end}"
    )
}

/// Renders a template within a time of its own, and returns its error.
#[track_caller]
fn error_of(text: &str, milliseconds: u64) -> String {
    TIME.set(Duration::from_millis(milliseconds));
    let answer = rendered(text).map(|_| ());
    TIME.set(Duration::from_secs(5));
    let message = answer.unwrap_err();
    assert!(message.starts_with("FlowRunError"), "{text}: {message}");
    message
}

#[track_caller]
fn refused(cases: &[(String, &str)]) {
    for (text, problem) in cases {
        let message = error_of(text, 60_000);
        assert!(message.contains(problem), "{text}: {message}");
    }
}

/// As [`refused`]; a slow machine, or a build without optimisation, may need too long before it makes too much.
#[track_caller]
fn refused_soon(text: &str, problems: &[&str]) {
    let message = error_of(text, 200);
    let is_known = problems
        .iter()
        .chain([&CLOCK])
        .any(|problem| message.contains(problem));
    assert!(is_known, "{text}: {message}");
}

const CLOCK: &str = "it takes longer than 5 s";
const SIZE: &str = "more than 50,000,000 characters";
const DEPTH: &str = "a value nests deeper than 300 levels";
const STEPS: &str = "it takes more than 5,000,000 steps";

#[test]
fn a_value_that_doubles_is_refused() {
    let steps = [
        ("[1]", "n.v + n.v"),
        ("[1]", "n.v * 2"),
        ("[1]", "2 * n.v"),
        ("(1, 2)", "n.v + n.v"),
        ("(1, 2)", "n.v * 2"),
        ("'ab'", "n.v + n.v"),
        ("'ab'", "n.v * 2"),
        ("'ab'", "n.v ~ n.v"),
        ("'ab'", "n.v.replace('a', 'aa')"),
        ("'ab'", "n.v | replace('b', 'bb')"),
        ("'ab'", "[n.v, n.v] | join"),
        ("'ab'", "n.v.join([n.v, n.v])"),
        ("'ab'", "'{0}{0}'.format(n.v)"),
        ("'ab'", "'%s%s' | format(n.v, n.v)"),
        ("'ab'", "'%(a)s%(a)s' | format(a=n.v)"),
        ("[1]", "[n.v, n.v]"),
        ("[1]", "(n.v, n.v)"),
        ("[1]", "{'a': n.v, 'b': n.v}"),
        ("[1]", "dict(a=n.v, b=n.v)"),
        ("[1]", "[[1]] | map('batch', 9, n.v) | list"),
        ("[1]", "[1] | batch(9, n.v)"),
        ("[1]", "[1] | slice(9, n.v)"),
        ("[1]", "[n.v, n.v] | sum(start=[])"),
        ("[1]", "n.v if false else n.v + n.v"),
        ("[1]", "(n.v + n.v) | reverse"),
        ("[1]", "(n.v + n.v)[:]"),
        ("[1]", "(n.v, n.v) | list"),
        ("[1]", "[n.v] * 2"),
        ("[1]", "range(3) | list + n.v + n.v"),
        ("'ab'", "[n.v, n.v] | tojson"),
        ("'ab'", "[n.v, n.v] | string"),
        ("[1]", "n.v ~ n.v"),
    ];
    for (from, step) in steps {
        refused_soon(&grown(from, step, 100, "{{ n.v ~ '' }}"), &[SIZE]);
    }
    refused(&[
        (grown("[1]", "n.v + n.v", 100, "{{ n.v ~ '' }}"), SIZE),
        (grown("'ab'", "n.v ~ n.v", 100, "{{ n.v }}"), SIZE),
    ]);
}

#[test]
fn a_value_that_doubles_without_a_namespace_is_refused() {
    let sets: String = (0..60)
        .map(|i| format!("{{% set v{} = v{i} + v{i} %}}", i + 1))
        .collect();
    let with: String = (0..60)
        .map(|i| format!("{{% with v{} = [v{i}, v{i}] %}}", i + 1))
        .collect();
    let ends = "{% endwith %}".repeat(60);
    let cases = [
        format!("{{% set v0 = [1] %}}{sets}{{{{ v60 }}}}"),
        format!("{{% set v0 = [1] %}}{with}{{{{ v60 }}}}{ends}"),
        "{% macro m(v) %}{{ m(v + v) }}{% endmacro %}{{ m([1]) }}".to_owned(),
        "{% macro m(v) %}{{ m(namespace(a=v, b=v)) }}{% endmacro %}{{ m([1]) }}".to_owned(),
        "{% for v in [[1]] recursive %}{{ loop([v + v]) }}{% endfor %}".to_owned(),
        "{% macro m(v) %}{% if caller is defined %}{% endif %}{% call m(v * 2) %}{{ caller() }}{% endcall %}{% endmacro %}{{ m('ab') }}".to_owned(),
        "{% set n = namespace(v='ab') %}{% for i in range(60) %}{% set n.v %}{{ n.v }}{{ n.v }}{% endset %}{% endfor %}".to_owned(),
    ];
    for text in cases {
        refused_soon(&text, &[SIZE]);
    }
}

#[test]
fn one_operation_that_makes_too_much_is_refused() {
    let size = [
        "{{ 'x' * 60000000 }}",
        "{{ ('x' * 1000000) * 1000000 }}",
        "{{ [1] * 4000000 }}",
        "{{ (1,) * 4000000 }}",
        "{{ [[1] * 10000] * 10000 }}",
        "{{ ('x' * 4000000) | list }}",
        "{{ ('x' * 1000000) | replace('x', 'y' * 100) }}",
        "{{ ('x' * 1000000).replace('x', 'y' * 100) }}",
        "{{ ('x' * 1000000).replace('', 'y' * 100) }}",
        "{{ range(100000) | join('x' * 1000) }}",
        "{{ ('x' * 1000).join(range(100000)) }}",
        "{{ ('x,' * 4000000).split(',') | length }}",
        "{{ ('x\\n' * 4000000).splitlines() | length }}",
        "{{ ('\\n' * 100000) | indent(1000, true, true) }}",
        "{{ [[[1] * 1000] * 100] | tojson(indent=1000) }}",
        "{{ ('%s' * 1000) | format(*(['x' * 100000] * 1000)) }}",
        "{{ ('%(a)s' * 1000) | format(a='x' * 100000) }}",
        "{{ ('{0}' * 1000).format('x' * 100000) }}",
        "{{ ('%1000000d' * 100) | format(*[1] * 100) }}",
        "{{ ('{:1000000}' * 100).format(*[1] * 100) }}",
        "{{ [1] | batch(1000000, [1] * 100000) }}",
        "{{ ('[' ~ '0,' * 4000000 ~ '0]') | fromjson | length }}",
        "{% for i in range(100) %}{{ 'x' * 1000000 }}{% endfor %}",
    ];
    let size = size.map(|text| (text.to_owned(), SIZE));
    refused(&size);
    let width = [
        "{{ 'x' | center(10000000) }}",
        "{{ '%10000000d' | format(1) }}",
        "{{ '%.10000000f' | format(1.5) }}",
        "{{ '%-010000000d' | format(1) }}",
        "{{ '%(a)10000000d' | format(a=1) }}",
        "{{ '%*d' | format(10000000, 1) }}",
        "{{ '{:10000000}'.format(1) }}",
        "{{ '{:>010000000}'.format(1) }}",
        "{{ '{a:.10000000f}'.format(a=1.5) }}",
        "{{ '{:99999999999999999999999999999999999999999999}'.format(1) }}",
        "{{ 'x' | indent(10000000, true) }}",
        "{{ 'x' | indent(width=10000000, first=true) }}",
        "{{ [1] | batch(10000000, 0) }}",
        "{{ [1] | slice(10000000) }}",
    ];
    refused(&width.map(|text| (text.to_owned(), "a width or count above 1,000,000")));
    refused(&[
        (
            "{{ ('x' * 200000) | pprint }}".to_owned(),
            "the filter pprint takes at most 100,000 characters, not 200000",
        ),
        (
            "{{ ([[1]] * 2000) | sum(start=[]) }}".to_owned(),
            "the filter sum adds at most 1,000 lists, not 2000",
        ),
    ]);
}

#[test]
fn a_value_that_nests_without_end_is_refused() {
    let steps = [
        "[n.v]",
        "(n.v,)",
        "{'a': n.v}",
        "dict(a=n.v)",
        "[n.v] | list",
        "[[n.v]] | map('list') | list",
        "[n.v] * 1",
        "[n.v] | batch(1)",
        "[n.v] | unique",
        "[n.v] | sort",
        "[] + [n.v]",
    ];
    let cases = steps.map(|step| (grown("1", step, 5_000, "{{ n.v }}"), DEPTH));
    refused(&cases);
    let itself = "a namespace cannot hold a namespace";
    refused(&[
        (grown("1", "n", 1, "{{ n }}"), itself),
        (grown("1", "[n]", 1, "{{ n }}"), itself),
        (grown("1", "{'a': (n, 1)}", 1, "{{ n == n }}"), itself),
    ]);
}

#[test]
fn comparisons_of_shared_values_end() {
    let deep = |name: &str| {
        format!("{{% set {name} = namespace(v=[1]) %}}{{% for i in range(17) %}}{{% set {name}.v = [{name}.v, {name}.v] %}}{{% endfor %}}")
    };
    let (a, b) = (deep("a"), deep("b"));
    let uses = [
        "{% if a.v == b.v %}{% endif %}",
        "{% if a.v != b.v %}{% endif %}",
        "{% if a.v < b.v %}{% endif %}",
        "{% if a.v in [b.v] %}{% endif %}",
        "{% if a.v is eq(b.v) %}{% endif %}",
        "{% if [a.v].count(b.v) %}{% endif %}",
        "{% set x = [a.v, b.v] | unique %}",
        "{% set x = [a.v, b.v] | sort %}",
        "{% set x = [a.v, b.v] | max %}",
        "{% set x = [a.v] | select('eq', b.v) | list %}",
        "{% set x = {'a': 1, 'b': 2}[a.v] is defined %}",
        "{% set x = {a.v: 1} %}",
        "{% set x = loop.changed(a.v) %}{% set x = loop.changed(b.v) %}",
    ];
    for used in uses {
        let text = format!("{a}{b}{{% for i in range(100000) %}}{used}{{% endfor %}}");
        refused_soon(&text, &[SIZE, STEPS]);
    }
}

#[test]
fn loops_and_calls_end() {
    let cases = [
        ("{% set x = 'x ' * 100000 %}{% for a in range(100000) %}{% set y = x | wordcount %}{% endfor %}", STEPS),
        ("{% set x = 'x ' * 100000 %}{% for a in range(100000) %}{% set y = x | title() %}{% endfor %}", STEPS),
        ("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}", STEPS),
        ("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", STEPS),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion limit"),
        ("{% macro m() %}{% call m() %}{{ m() }}{% endcall %}{{ caller() }}{% endmacro %}{{ m() }}", "recursion limit"),
        ("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursion limit"),
        ("{{ range(1000000) | list }}", "range has too many elements"),
    ];
    for (text, problem) in cases {
        refused_soon(text, &[problem, SIZE]);
    }
}

#[test]
fn operations_on_a_long_text_end() {
    let uses = [
        "{% set y = x[1:] %}",
        "{% set y = x[:-1] %}",
        "{% set y = x[(1 if i else 2):5 if i else 6:2] %}",
        "{% set y = x[::-1].y %}",
        "{% set y = (x[1:])[:9000000] %}",
        "{% set y = x[9000000] %}",
        "{% set y = x[i] %}",
        "{% set y = x * 1 %}",
        "{% set y = x ~ '' %}",
        "{% if x is upper or x is lower %}{% endif %}",
        "{% if [x] | select('lower') | list %}{% endif %}",
        "{% if 'b' in x or x == x ~ 'c' or x < x %}{% endif %}",
        "{% set y = x.upper() %}",
        "{% if x.startswith('b') or x.isdigit() or x.find('c') %}{% endif %}",
        "{% set y = x | length %}",
        "{% set y = l[1:] %}",
    ];
    for used in uses {
        let text = format!(
            "{{% set x = 'a' * 9000000 %}}{{% set l = [1] * 500000 %}}{{% for i in range(100000) %}}{used}{{% endfor %}}"
        );
        let began = std::time::Instant::now();
        refused_soon(&text, &[SIZE, STEPS, "has no"]);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{used}: {took:?}");
    }
}

#[test]
fn deep_values_need_no_large_stack() {
    TIME.set(Duration::from_secs(60));
    let deep = |name: &str, step: &str| {
        let set = format!("{{% set {name} = namespace(v=1) %}}");
        format!("{set}{{% for i in range(290) %}}{{% set {name}.v = {step} %}}{{% endfor %}}")
    };
    for (one, other) in [
        ("[a.v]", "[b.v]"),
        ("{'k': a.v}", "{'k': b.v}"),
        ("(a.v,)", "(b.v,)"),
    ] {
        let (a, b) = (deep("a", one), deep("b", other));
        let uses = [
            "x{{ a.v }}",
            "{{ a.v == b.v }}",
            "{{ a.v | tojson }}{{ a.v | pprint }}{{ a.v ~ b.v }}{{ a.v is in([b.v]) }}",
            "{{ [a.v, b.v] | unique }}{{ {(a.v,): 1} }}",
        ];
        for used in uses {
            let text = format!(
                "{a}{b}{{% macro m(a, b, i) %}}{{% if i > 0 %}}{{{{ m(a, b, i - 1) }}}}{{% else %}}{used}{{% endif %}}{{% endmacro %}}{{{{ m(a, b, 60) }}}}"
            );
            rendered(&text).unwrap();
        }
        let whole = format!("{a}{{{{ a.v }}}}");
        rendered(&whole).unwrap();
    }
}

/// Returns the texts of expressions that may make something large.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "n.v",
        "n.w",
        "n",
        "x",
        "i",
        "1",
        "2.5",
        "-3",
        "'ab'",
        "'%s {} {0}'",
        "none",
        "[]",
        "[1]",
        "(1,)",
        "{}",
        "state",
        "state.items",
        "state.user",
        "range(9)",
        "true",
        "10 ** 9",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 12, 3, |inner| {
            let binary = prop::sample::select(vec![
                "+",
                "*",
                "~",
                "-",
                "/",
                "//",
                "%",
                "**",
                "==",
                "<",
                "in",
                "and",
                "or",
                "not in",
                "is sameas",
            ]);
            let filter = prop::sample::select(vec![
                "list",
                "join",
                "sort",
                "unique",
                "reverse",
                "length",
                "string",
                "tojson",
                "sum",
                "max",
                "batch(3, n.v)",
                "slice(3, n.v)",
                "map('list')",
                "map('batch', 3, n.v)",
                "replace('a', n.v)",
                "format(n.v, 7)",
                "center(300)",
                "indent(9)",
                "items",
                "dictsort",
                "pprint",
                "first",
                "last",
                "default(n.v)",
                "round",
                "int",
                "groupby(0)",
                "wordcount",
                "title",
                "abs",
                "min",
                "fromjson",
                "select('eq', n.v)",
                "filesizeformat",
            ]);
            let method = prop::sample::select(vec![
                "join(n.v)",
                "format(n.v)",
                "replace('', n.v)",
                "split(',')",
                "count(n.v)",
                "items()",
                "get(n.v)",
                "upper()",
                "changed(n.v)",
            ]);
            prop_oneof![
                (inner.clone(), binary, inner.clone())
                    .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
                (inner.clone(), filter).prop_map(|(a, filter)| format!("({a}) | {filter}")),
                (inner.clone(), method).prop_map(|(a, method)| format!("({a}).{method}")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("dict(a={a}, b={b})")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
                inner.clone().prop_map(|a| format!("m({a}, n)")),
                inner.prop_map(|a| format!("[{a}, 1][:1]")),
            ]
        })
}

fn statements() -> impl Strategy<Value = String> {
    let one = (0..7_u8, expressions()).prop_map(|(kind, value)| match kind {
        0..=2 => format!("{{% set n.v = {value} %}}"),
        3 => format!("{{% set n.w = {value} %}}"),
        4 => format!("{{{{ {value} }}}}"),
        5 => format!("{{% set n.v %}}{{{{ {value} }}}}{{{{ n.v }}}}{{% endset %}}"),
        _ => format!("{{% if {value} %}}{{{{ n.w }}}}{{% endif %}}"),
    });
    prop::collection::vec(one, 1..4).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_small_program_breaks_the_engine(before in statements(), inside in statements(), called in expressions()) {
        let text = format!(
            "{{% set n = namespace(v=[1, 'a'], w=3) %}}{{% set x = 'x' %}}{{% set i = 2 %}}\
             {{% macro m(x, n, i=0) %}}{{{{ [{called}] | length }}}}{{% endmacro %}}\
             {before}{{% for i in range(60) %}}{inside}{{% endfor %}}{{{{ n.v ~ n.w }}}}"
        );
        TIME.set(Duration::from_millis(100));
        let answer = rendered(&text);
        TIME.set(Duration::from_secs(5));
        if let Err(message) = answer {
            // So the engine's panics are reported.
            prop_assert!(!message.contains("it is nested too deeply"), "{text}: {message}");
        }
    }
}
