//! The action `json.transform`.
#![cfg(feature = "jmespath")]

mod called;

use called::{answer, refusal};

#[test]
fn data_is_selected_and_reshaped() {
    let users =
        r#"[{"name": "Ada", "age": 36, "on": true}, {"name": "Bob", "age": 2.5, "on": false}]"#;
    let cases = [
        ("[?on].name", r#"["Ada"]"#),
        (
            "{names: [].name, count: length(@)}",
            r#"{"count":2,"names":["Ada","Bob"]}"#,
        ),
        ("sum([].age)", "38.5"),
        ("[0].age", "36"),
        ("[0].nobody", "null"),
        ("join(', ', sort([].name))", r#""Ada, Bob""#),
    ];
    for (expression, result) in cases {
        let found = answer(
            "json.transform",
            &format!(r#"{{"data": {users}, "expression": "{expression}"}}"#),
        );
        assert_eq!(
            found,
            format!(r#"{{"result":{result},"expression":"{expression}","success":true}}"#)
        );
    }
}

#[test]
fn failures_are_soft() {
    let failure = answer(
        "json.transform",
        r#"{"data": {"a": 1}, "expression": "length(a)"}"#,
    );
    assert!(
        failure.starts_with(r#"{"success":false,"error":"'length(a)' does not fit the data: "#),
        "{failure}"
    );
    assert!(
        failure.ends_with(r#""error_type":"transform","expression":"length(a)"}"#),
        "{failure}"
    );
    assert_eq!(
        answer("json.transform", r#"{"data": null, "expression": "a"}"#),
        r#"{"success":false,"error":"Input data is None","error_type":"transform","expression":"a"}"#
    );
}

#[test]
fn wrong_expressions_are_refused() {
    let refused = refusal("json.transform", r#"{"data": 1, "expression": "a["}"#);
    assert!(
        refused.contains("json.transform: expression 'a[' is not valid JMESPath: "),
        "{refused}"
    );
    assert!(!refused.contains('\n'));
    let long = format!(r#"{{"data": 1, "expression": "{}"}}"#, "(".repeat(100_000));
    let refused = refusal("json.transform", &long);
    assert!(
        refused.ends_with("it is longer than 2000 characters; use several steps"),
        "{refused}"
    );
    let deep = ["(", "!", "[", "a.", "a|", "&", "{a:", "[*]"]
        .map(|part| part.repeat(2_000 / part.len() - 1));
    for expression in deep {
        let params = format!(r#"{{"data": {{"a": 1}}, "expression": "{expression}a"}}"#);
        let _ = called::call("json.transform", &params); // an error or not, but no crash
    }
}
