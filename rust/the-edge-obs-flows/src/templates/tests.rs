use super::*;
use crate::state::State;
use the_edge_obs::value::from_json;

const STATE: &str = r#"{"name": "Ada", "count": 3, "zero": 0, "items": ["a", "b", "c"],
    "user": {"name": "Grace", "tags": ["x"], "items": 1}, "empty": [], "none": null, "yes": true,
    "half": 2.5, "big": 123456789012345678901234567890123456789012, "large": 18446744073709551616}"#;

fn render(text: &str, state: &Snap, variables: &Snap) -> Result<Snap, String> {
    let compiler = Compiler::new(variables, true);
    let renderer = compiler.text(text, || "step 'a'".to_owned(), Some("a"));
    let renderer = renderer.map_err(|mistake| format!("FlowFileError: {}", mistake.problem))?;
    let fixed = Fixed::new(
        variables,
        &Snap::map([("model", Snap::from("m"))]),
        "/flows",
    );
    let state = State::from_snap(state.clone());
    let names = Names::new(&fixed, &state, &Vec::new());
    renderer
        .render(&names)
        .map_err(|failure| format!("{}: {}", failure.kind, failure.message))
}

pub(super) fn rendered(text: &str) -> Result<Snap, String> {
    let variables = Snap::map([("limit", Snap::Int(100))]);
    render(text, &from_json(STATE).unwrap(), &variables)
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, value) in cases {
        let answer = rendered(text).map(|value| value.to_json());
        assert_eq!(answer.as_deref(), Ok(*value), "{text}");
    }
}

#[test]
fn vectors_have_the_answers_of_python() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/observability/vectors/templates.json"
    );
    let vectors = from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
    let Some(Snap::List(cases)) = vectors.get("cases") else {
        panic!("no cases");
    };
    let (first, cases) = cases.split_first().unwrap();
    let (state, variables) = (first.get("state").unwrap(), first.get("variables").unwrap());
    assert!(cases.len() > 25);
    for case in cases {
        let text = case.get("template").and_then(Snap::as_str).unwrap();
        let answer = render(text, state, variables);
        match case.get("error").and_then(Snap::as_str) {
            Some(kind) => {
                let message = answer.unwrap_err();
                assert!(message.starts_with(kind), "{text}: {message}");
            }
            None => assert_eq!(
                answer.as_ref().ok(),
                case.get("value"),
                "{text}: {answer:?}"
            ),
        }
    }
}

#[test]
fn values_keep_their_types() {
    check(&[
        ("{{ state.large }}", "\"18446744073709551616\""),
        (
            "{{ state.big }}",
            "\"123456789012345678901234567890123456789012\"",
        ),
        ("{{ state.large - 1 }}", "\"18446744073709551615\""),
        ("{{ state.half }}", "2.5"),
        (
            " {{- state.user -}} ",
            r#"{"name":"Grace","tags":["x"],"items":1}"#,
        ),
        (
            "{{ {'b': 1, 'a': [state.count, none]} }}",
            r#"{"b":1,"a":[3,null]}"#,
        ),
        ("{{ '}}{{' }}", "\"}}{{\""),
        ("{{ range(3) | list }}", "[0,1,2]"),
        ("{{ state.count / 2 }}", "1.5"),
        ("{{ 7 // 2 }}", "3"),
    ]);
    assert_eq!(
        rendered("{{ state.large }}").unwrap(),
        Snap::Big("18446744073709551616".into())
    );
}

#[test]
fn missing_keys_are_none() {
    check(&[
        ("{{ state['missing'] }}", "null"),
        ("{{ state.missing is none }}", "true"),
        ("{{ state.missing or 'x' }}", "\"x\""),
        ("{{ state['missing'] or 'x' }}", "\"x\""),
        ("{{ state.get('missing', 4) }}", "4"),
        ("{{ state.missing == none }}", "true"),
        ("{{ state.missing.deeper | default('d') }}", "\"d\""),
        ("{{ state.missing }} x", "\"None x\""),
        ("{{ 'a' if state.missing else 'b' }}", "\"b\""),
        (
            "{{ state.user == {'name': 'Grace', 'tags': ['x'], 'items': 1} }}",
            "true",
        ),
    ]);
    for text in [
        "{{ state.missing.deeper.more }}",
        "{{ state.missing.deeper ~ '' }}",
        "{{ state.missing.deeper }} x",
        "{% if state.missing.deeper %}a{% endif %}",
        "{{ state.user.items() }}",
        "{{ state.missing + 1 }}",
    ] {
        let message = rendered(text).unwrap_err();
        assert!(
            message.starts_with("FlowRunError: step 'a': cannot render"),
            "{message}"
        );
    }
}

#[test]
fn in_asks_for_the_keys_of_a_mapping() {
    check(&[
        ("{{ 'name' in state.user }}", "true"),
        ("{{ 'missing' in state.user }}", "false"),
        (
            "{{ 'missing' not in state['user'] and 'b' in state.items }}",
            "true",
        ),
        ("{{ 'x' in state.user.tags + ['y'] }}", "true"),
        ("{{ 'da' in state.name }}", "true"),
        (
            "{{ 'missing' is in(state) or 'missing' is not in state }}",
            "true",
        ),
        (
            "{% for key in state.user if key in {'name': 1} %}{{ key }}{% endfor %}",
            "\"name\"",
        ),
        ("{% if 'count' in state %}yes{% endif %}", "\"yes\""),
    ]);
}

#[test]
fn values_are_compared_as_in_python() {
    check(&[
        ("{{ 1 < 2.5 <= 2.5 != 3 }}", "true"),
        ("{{ [1, 'a'] < [1, 'b'] and not [2] < [1, 'a'] }}", "true"),
        (
            "{{ true < 2 and 'A' < 'a' and state.big in [state.big] }}",
            "true",
        ),
        ("{{ 9007199254740993 > 9007199254740992 }}", "true"),
        ("{{ 2 is lt(3) and 3 is ge 3 }}", "true"),
        (
            "{% for a in [1, 2, 3] if a > 1 %}{{ a }}{% endfor %}",
            "\"23\"",
        ),
        ("{{ state.name | list }}", "[\"A\",\"d\",\"a\"]"),
        ("{{ [none, none] | sort }}", "[null,null]"),
        ("{{ {'b': 1, 'a': 2} | sort }}", "[\"a\",\"b\"]"),
        ("{{ [2, true, 1.5] | sort }}", "[true,1.5,2]"),
        (
            "{{ ['b', 'A'] | sort }}{{ [] | sort }}{{ [none] | max }}",
            "\"['A', 'b'][]None\"",
        ),
        (
            "{{ [{'a': 2}, {'a': 1}] | sort(attribute='a') | map(attribute='a') | join }}",
            "\"12\"",
        ),
        (
            "{{ [{'a': 2}, {'a': 1}] | max(attribute='a') }}",
            "{\"a\":2}",
        ),
        (
            "{{ [{'a': 2}, {'a': 1.5}, {'a': true}] | groupby('a') | length }}{{ [{'a': none}] | groupby('a') | length }}",
            "\"31\"",
        ),
        (
            "{{ {'b': 1, 'A': 2} | dictsort | map('first') | join }}{{ {1: 'b', none: 'a'} | dictsort(by='value') | map('last') | join }}",
            "\"Abab\"",
        ),
    ]);
    for text in [
        "{{ state.missing < 3 }}",
        "{{ 'a' < 3 }}",
        "{{ state.user < state.user }}",
        "{{ [1] < ['a'] }}",
        "{{ 3 in state.name }}",
        "{{ 3 in state.missing }}",
        "{{ state.missing.deeper == none }}",
        "{% for a in state.missing %}{{ a }}{% endfor %}",
        "{% for a in 3 %}{{ a }}{% endfor %}",
        "{{ state.missing | list }}",
        "{{ state.missing | join }}",
        "{{ [1, 'a'] | sort }}",
        "{{ [none, none] | max }}",
        "{{ 'a' * 2.0 }}",
        "{{ 1.0 * [1] }}",
        "{{ [1, [1]] | min }}",
        "{{ ['a', 1.5] | max }}",
        "{{ [{'a': 1}, {'a': 'b'}] | sort(attribute='a') }}",
        "{{ [{'a': 1, 'b': 1}, {'a': 1, 'b': 'b'}] | sort(attribute='a,b') }}",
        "{{ [{'a': 1}, {'a': none}] | groupby('a') }}",
        "{{ [{'a': none}, {'a': none}] | groupby(attribute='a') }}",
        "{{ [[1], ['a']] | groupby(0) }}",
        "{{ {1: 2, 'a': 3} | dictsort }}",
        "{{ {'a': 2, 'b': none} | dictsort(by='value') }}",
        "{{ {'a': 2, 'b': none} | dictsort(false, 'value') }}",
    ] {
        let message = rendered(text).unwrap_err();
        assert!(message.starts_with("FlowRunError"), "{text}: {message}");
    }
    for (text, types) in [
        (
            "{{ state.missing < 2 }}",
            "'<' not supported between instances of 'NoneType' and 'int'",
        ),
        (
            "{{ 1.5 >= 'a' }}",
            "'>=' not supported between instances of 'float' and 'str'",
        ),
        (
            "{{ 1 < 2 < [1] }}",
            "'<' not supported between instances of 'int' and 'list'",
        ),
        (
            "{% if (1,) > true %}{% endif %}",
            "'>' not supported between instances of 'tuple' and 'bool'",
        ),
    ] {
        let message = rendered(text).unwrap_err();
        assert!(message.contains(types), "{text}: {message}");
    }
}

#[test]
fn texts_are_as_python_writes_them() {
    check(&[
        (
            "x{{ state.yes }}{{ state.none }}{{ 1.0 }}",
            "\"xTrueNone1.0\"",
        ),
        ("x{{ 10.0 ** 16 }}{{ 0.00001 }}", "\"x1e+161e-05\""),
        (
            "x{{ state.user }}",
            "\"x{'name': 'Grace', 'tags': ['x'], 'items': 1}\"",
        ),
        ("x{{ (1, 'it\\'s') }}", "\"x(1, \\\"it's\\\")\""),
        (
            "{{ state.user | tojson }}",
            "\"{\\\"name\\\": \\\"Grace\\\", \\\"tags\\\": [\\\"x\\\"], \\\"items\\\": 1}\"",
        ),
        (
            "{{ {'a': ['é<']} | json(indent=1) }}",
            "\"{\\n \\\"a\\\": [\\n  \\\"\\\\u00e9<\\\"\\n ]\\n}\"",
        ),
        ("{{ [] | tojson }}", "\"[]\""),
        ("{{ '[1, {\"a\": null}]' | fromjson }}", "[1,{\"a\":null}]"),
        ("{{ 'no json' | fromjson }}", "\"no json\""),
        ("{{ [1, none, 'a'] | join('-') }}", "\"1-None-a\""),
        (
            "{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 3 | round }}",
            "\"2.0 4.0 2.67 3\"",
        ),
        (
            "{{ 1234.5 | round(-2) }} {{ 1.21 | round(1, 'ceil') }}",
            "\"1200.0 1.3\"",
        ),
        ("a\n{{ 1 }}\n", "\"a\\n1\\n\""),
        ("x{{ 'a' if state.zero }}", "\"x\""),
        ("{{ 'x' | int }} {{ '3.7' | int }} {{ 'x' | int(5) }} {{ '2' | float }} {{ true | int }}", "\"0 3 5 2.0 1\""),
        ("{{ [state.user] | join(', ', attribute='name') }}", "\"Grace\""),
        ("{{ 'ab' | center(5) }}|{{ 'abc' | center(6) }}", "\"  ab | abc  \""),
        ("{{ cycler('a', 'b').next() }}", "\"a\""),
        ("{{ 'a b'.split(' ') }}", "[\"a\",\"b\"]"),
    ]);
}

#[test]
fn texts_are_shortened_and_encoded_as_in_jinja2() {
    check(&[
        ("{{ 'foo bar baz qux' | truncate(9) }}", "\"foo...\""),
        (
            "{{ 'foo bar baz qux' | truncate(9, true) }}",
            "\"foo ba...\"",
        ),
        (
            "{{ 'foo bar baz qux' | truncate(11) }}",
            "\"foo bar baz qux\"",
        ),
        (
            "{{ 'foo bar baz qux' | truncate(11, false, '…', leeway=0) }}",
            "\"foo bar…\"",
        ),
        (
            "{{ 'foobarbazqux' | truncate(length=5, end='', leeway=1) }}",
            "\"fooba\"",
        ),
        ("{{ 'a b/c?ü~' | urlencode }}", "\"a%20b/c%3F%C3%BC~\""),
        (
            "{{ {'a b': 'c/d', 'e': 1.0} | urlencode }}",
            "\"a+b=c%2Fd&e=1.0\"",
        ),
        (
            "{{ [('a', none), ('b', true)] | urlencode }}",
            "\"a=None&b=True\"",
        ),
        ("{{ 7 | urlencode }}", "\"7\""),
    ]);
    for text in [
        "{{ 'abcdefghijkl' | truncate(2) }}",
        "{{ 7 | truncate }}",
        "{{ [1] | urlencode }}",
        "{{ [(1, 2, 3)] | urlencode }}",
    ] {
        let message = rendered(text).unwrap_err();
        assert!(message.starts_with("FlowRunError"), "{text}: {message}");
    }
}

#[test]
fn names_are_checked_when_a_template_is_compiled() {
    check(&[
        ("{{ settings.model }}{{ flow_dir }}", "\"m/flows\""),
        ("{{ parallel_results }}", "[]"),
        ("{% set x = 1 %}{{ x + 1 }}", "\"2\""),
        ("{{ env.get('SURELY_NOT_SET', 'd') }}", "\"d\""),
        ("{{ env['SURELY_NOT_SET'] }}", "null"),
        ("{% raw %}{{ unknown }}{% endraw %}", "\"{{ unknown }}\""),
    ]);
    let refused = [
        (
            "{{ counter }}",
            "unknown name 'counter' in '{{ counter }}'; for a key of the state write state.counter; \
             allowed: env, flow_dir, parallel_results, settings, state, variables",
        ),
        (
            "{{ env }}",
            "env in '{{ env }}' cannot be used as a whole; read one variable, such as env.HOME",
        ),
        (
            "{{ state.a | nothing }}",
            "template syntax error in '{{ state.a | nothing }}': No filter named 'nothing'.",
        ),
        (
            "{{ state.a is not strange }}",
            "template syntax error in '{{ state.a is not strange }}': No test named 'strange'.",
        ),
    ];
    for (text, problem) in refused {
        assert_eq!(
            rendered(text).unwrap_err(),
            format!("FlowFileError: {problem}")
        );
    }
    for text in [
        "{{ a) + (b }}",
        "{{ }}",
        "{% if %}",
        "{{ debug() }}",
        "{% include 'x' %}",
        "{{ 1 is none is defined }}",
        "{{ 1 is not divisibleby(3) is none }}",
        "{{ a b }}",
    ] {
        let message = rendered(text).unwrap_err();
        assert!(message.starts_with("FlowFileError"), "{text}: {message}");
    }
    let compiler = Compiler::new(&Snap::Map([].into()), false);
    let mistake = compiler
        .text("\n{{ env.HOME }}", String::new, None)
        .unwrap_err();
    assert!(mistake
        .problem
        .contains("not available to a flow without code"));
    let mistake = compiler
        .text("a\nb {{ state. }}", String::new, None)
        .unwrap_err();
    assert_eq!(mistake.line, Some(2));
}

#[test]
fn templates_that_are_too_long_are_refused() {
    let texts = [
        format!("{{{{ {} }}}}", vec!["1"; 100_000].join(" + ")),
        format!("{{{{ {} }}}}", vec!["1"; 20_000].join(" < ")),
        format!("{{{{ {}1{} }}}}", "(".repeat(200), ")".repeat(200)),
        format!("{{{{ {} }}}}", "(".repeat(20_000)),
        format!("{{{{ state{} }}}}", ".a".repeat(20_000)),
        format!("{{{{ 1{} }}}}", "|int".repeat(20_000)),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(20_000)),
        format!(
            "{}{}",
            "{% if 1 %}".repeat(2_000),
            "{% endif %}".repeat(2_000)
        ),
        "{% raw %}".repeat(20_000),
        "{{ '".repeat(20_000),
    ];
    for text in texts {
        let message = rendered(&text).unwrap_err();
        assert!(message.starts_with("FlowFileError"), "{message}");
        assert!(message.len() < 3_000);
    }
    let long = format!(
        "{{{{ [{}] | length }}}}",
        vec!["{'a': 1 + 2}"; 2_000].join(", ")
    );
    assert_eq!(rendered(&long), Ok(Snap::Int(2_000)));
}

#[test]
fn text_beside_an_expression_is_noticed() {
    for text in [
        "a {{ b }}",
        "{{ a }} and {{ b }}",
        "{{ a }}{% if b %}c{% endif %}d",
    ] {
        assert!(mixes_text(text), "{text}");
    }
    for text in [
        "{{ a }}",
        " {{ a }} ",
        "{% if a %}b {{ c }}{% endif %}",
        "text",
        "{% set x = 1 %}{{ x }}",
    ] {
        assert!(!mixes_text(text), "{text}");
    }
}

#[test]
fn the_result_of_a_branch_shows_its_state() {
    let state = r#"{"parallel_results": [{"branch": "a", "success": true, "state": {"x": 5, "error": 1},
        "error": null, "error_type": null, "timing_ms": 1.5}]}"#;
    let state = from_json(state).unwrap();
    let none = Snap::Map([].into());
    let text = "{% for one in parallel_results %}{{ one.branch }}{{ one.x }}{{ one.get('x') }}{{ one.error }}{% endfor %}";
    assert_eq!(render(text, &state, &none), Ok("a55None".into()));
}
