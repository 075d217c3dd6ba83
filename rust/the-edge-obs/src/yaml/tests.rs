use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn json(text: &str) -> String {
    read(text, "f").unwrap().to_snap().to_json()
}

fn error(text: &str) -> String {
    read(text, "f").expect_err(text).to_string()
}

#[test]
fn documents_become_values() {
    let cases = [
        ("", "null"),
        ("# nothing\n", "null"),
        ("a: yes\nb: 'yes'\nc: \"yes\"", r#"{"a":true,"b":"yes","c":"yes"}"#),
        ("a: |\n  x\n   y\nb: >-\n  x\n  y\n\n  z\n", r#"{"a":"x\n y\n","b":"x y\nz"}"#),
        ("- - a\n  - b\n-\n- {c: 1, d}", r#"[["a","b"],null,{"c":1,"d":null}]"#),
        ("1: a\n'1': b\ntrue1: c\n~: d\n2.5: e\n2026-01-31: f", r#"{"1":"a","1'":"b","true1":"c","null":"d","2.5":"e","2026-01-31":"f"}"#),
        ("a: !!str 12\nb: !!int '12'\nc: !!float 1e3\nd: ! '12'\ne: !!str\nf: !<tag:yaml.org,2002:str> no", r#"{"a":"12","b":12,"c":1000.0,"d":12,"e":"","f":"no"}"#),
        ("a: |\n  no\n  break", r#"{"a":"no\nbreak"}"#),
        ("a: >-\n  no\n  break", r#"{"a":"no break"}"#),
        ("a: |\n  x\n ", r#"{"a":"x\n"}"#),
        ("\u{feff}a: 2026-01-31 1:02:03.5 +2", r#"{"a":"2026-01-31T01:02:03.500000+02:00"}"#),
        ("a: \"\\u00e9\\n\\U0001F600\"", "{\"a\":\"é\\n😀\"}"),
    ];
    for (text, expected) in cases {
        assert_eq!(json(text), expected, "{text}");
    }
}

#[test]
fn aliases_and_merges_are_expanded() {
    let cases = [
        (
            "a: &x [1]\nb: *x\nc: [*x, *x]",
            r#"{"a":[1],"b":[1],"c":[[1],[1]]}"#,
        ),
        (
            "a: &x {k: 1, l: 2}\nb: {m: 3, <<: *x, k: 4}",
            r#"{"a":{"k":1,"l":2},"b":{"k":4,"l":2,"m":3}}"#,
        ),
        (
            "a: &x {kk: 1}\nb: &y {kk: 2, l: 3}\nc: {<<: [*x, *y]}",
            r#"{"a":{"kk":1},"b":{"kk":2,"l":3},"c":{"kk":1,"l":3}}"#,
        ),
        ("'<<': 1", r#"{"<<":1}"#),
        ("&a k: *a", r#"{"k":"k"}"#),
    ];
    for (text, expected) in cases {
        assert_eq!(json(text), expected, "{text}");
    }
}

#[test]
fn mistakes_name_their_place() {
    let cases = [
        ("a: 1\nb: 2\na: 3", "f:3:1: key 'a' appears twice, first on line 1; keep one of them"),
        ("1: a\n1.0: b", "f:2:1: key 1.0 appears twice, first on line 1; keep one of them"),
        ("1: a\ntrue: b", "f:2:1: key true appears twice, first on line 1; keep one of them"),
        ("a: *b", "f:1:4: broken YAML: while parsing node, found unknown anchor"),
        ("a: &a [*a]", "f:1:8: an alias that contains itself"),
        ("a: !x 1", "f:1:4: tag '!x' is not supported here; write plain mappings, lists and scalars without it"),
        ("a: !!binary aGk=", "f:1:4: tag 'tag:yaml.org,2002:binary' is not supported here; write plain mappings, lists and scalars without it"),
        ("? [a]\n: b", "f:1:3: a key is a list or a mapping; keys must be strings"),
        ("<<: 3", "f:1:5: '<<' merges a mapping or a list of mappings; write one, or an alias of one, behind it"),
        ("<<: [3]", "f:1:6: '<<' merges mappings; write one, or an alias of one, behind it"),
        ("- 2026-13-01", "f:1:3: '2026-13-01' is not a valid value: month must be in 1..12; put it in quotes to make it a string"),
        ("- 1.0e+999", "f:1:3: '1.0e+999' is too large for a number; put it in quotes to make it a string"),
        ("- 0b_", "f:1:3: '0b_' is not a valid value: it is not an integer; put it in quotes to make it a string"),
        ("99999999999999999999: a", "f:1:1: key 99999999999999999999 is too large for a number; put it in quotes to make it a string"),
        ("a: 1\n---\nb: 2", "f:2:1: another document begins; a file has one"),
        ("a: \"x\u{7}\"", "f:1:6: broken YAML: character U+0007 is not allowed; write it as an escape in a double-quoted string"),
        ("a: x\u{2028}y", "f:1:5: broken YAML: character U+2028 is a line break in YAML 1.1 only; write it as an escape in a double-quoted string"),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
    let long = error(&format!("- {}", "1".repeat(101)));
    assert_eq!(long, "f:1:3: '11111111111111111111'... is a number or date of 101 characters; put it in quotes to make it a string");
}

#[test]
fn places_are_those_of_the_text() {
    let document = read("a:\n  - b: |\n      x\n    c: 'd'\n", "f").unwrap();
    let YamlValue::List(items) = &document.get("a").unwrap().value else {
        panic!()
    };
    let (b, c) = (items[0].get("b").unwrap(), items[0].get("c").unwrap());
    assert_eq!((items[0].line, items[0].column), (2, 5));
    assert_eq!((b.line, b.column, b.text_line), (2, 8, 3));
    assert_eq!((c.line, c.column, c.text_line), (4, 8, 4));
    for text in [
        "a: |+2 # x\n\n  \n   b\n",
        "a: |\n\n\n",
        "a: |",
        "x: 1\r\na: >\r\n\r\n | \r\n",
    ] {
        let document = read(text, "f").unwrap();
        let a = document.get("a").unwrap();
        let line = 1 + usize::from(text.starts_with('x'));
        assert_eq!((a.line, a.column), (line, 4), "{text}");
    }
}

#[test]
fn a_hostile_text_is_refused_in_time() {
    let laughs: String = (1..40)
        .map(|at| {
            format!(
                "a{at}: &a{at} [{}]\n",
                vec![format!("*a{}", at - 1); 9].join(",")
            )
        })
        .collect();
    let texts = format!(
        "a: &a '{}'\nb: [{}]",
        "x".repeat(500_000),
        "*a,".repeat(90_000)
    );
    let anchors: String = (0..60).map(|at| format!("&x{at} [")).collect();
    let cases = [
        (
            format!("a0: &a0 [x]\n{laughs}"),
            "more than 100000 values once aliases are expanded",
        ),
        (texts, "aliases copy too much"),
        (
            format!("{anchors}{}{}", "1,".repeat(90_000), "]".repeat(60)),
            "aliases copy too much",
        ),
        ("[".repeat(1 << 20), "nesting deeper than 64 levels"),
        ("{a: ".repeat(1 << 18), "nesting deeper than 64 levels"),
        ("- ".repeat(1 << 19), "nesting deeper than 64 levels"),
        ("? ".repeat(1 << 19), "nesting deeper than 64 levels"),
        (
            format!("[{}", "1,".repeat(200_000)),
            "more than 100000 values",
        ),
        (
            "x".repeat((1 << 20) + 1),
            "the text is larger than 1048576 bytes",
        ),
        (format!("'{}", "x".repeat((1 << 20) - 1)), "broken YAML"),
        (
            format!("a: {}\n{}", "x\n ".repeat(1 << 18), "b"),
            "broken YAML",
        ),
        (format!("&{} *b", "a".repeat(1 << 19)), "broken YAML"),
    ];
    for (text, expected) in cases {
        let started = Instant::now();
        let found = error(&text);
        assert!(
            found.contains(expected),
            "{}: {}",
            &text[..20.min(text.len())],
            &found[..200.min(found.len())]
        );
        assert!(started.elapsed().as_secs() < 20, "{expected}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([-:?,{}\\[\\]&*!|>'\"%@#a1<=.~ \n\t]|: |- |\n  |<<: |&a |\\*a ){0,24}") {
        if let Ok(document) = read(&text, "f") {
            let _ = document.to_snap();
        }
    }

    #[test]
    fn json_is_yaml(text in "[a-zé:# '\\-]{0,12}", number in any::<i64>(), float in -1e15..1e15f64) {
        let value = Snap::map([("a", Snap::from(text.clone())), ("b", Snap::List([Snap::Int(number), Snap::Bool(true), Snap::Null].into())), (&*format!("k{text}"), Snap::Float(float))]);
        prop_assert_eq!(read(&value.to_json(), "f").unwrap().to_snap(), value);
    }
}
