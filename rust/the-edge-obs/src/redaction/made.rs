//! Values that tests make up: with secrets, marks and keys of all kinds, and the flows that they belong to.

use proptest::prelude::*;

use super::Policy;
use crate::flow::Flow;
use crate::ids::FlowId;
use crate::value::{from_json, Key, Snap};

pub(crate) fn texts() -> impl Strategy<Value = String> {
    let secrets = "password=hunter2xy|hunter3xyz|hunter3x…\\[\\+9 chars\\]|AC-[0-9]{6}|4111111111111111|…|cut|\\[\\+3 items\\]";
    prop_oneof![
        "\\PC{0,20}",
        "[a-c\"\\\\\n\u{1}é]{0,5}",
        secrets,
        "[a-b]{230,260}"
    ]
}

pub(crate) fn snaps() -> impl Strategy<Value = Snap> {
    let leaf = prop_oneof![
        texts().prop_map(Snap::from),
        texts().prop_map(|text| Snap::Mark(text.into())),
        any::<i64>().prop_map(Snap::Int),
        prop_oneof![Just(1_234_567), Just(-1_234_567), Just(i64::MIN)].prop_map(Snap::Int),
        any::<f64>().prop_map(Snap::Float),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY)].prop_map(Snap::Float),
        "-?[1-9][0-9]{19,30}".prop_map(|digits| Snap::Big(digits.into())),
        Just(Snap::Big("9".repeat(2_000).into())),
        Just(Snap::Big("98765432109876543210".into())),
        Just(Snap::Null),
        any::<bool>().prop_map(Snap::Bool),
    ];
    let key = prop_oneof![
        texts(),
        "type|message|error|where|cut|cause|[ab]'{0,2}".prop_map(String::from)
    ];
    leaf.prop_recursive(4, 200, 70, move |inner| {
        let pairs = prop::collection::vec((key.clone().prop_map(Key::from), inner.clone()), 0..70);
        prop_oneof![
            prop::collection::vec(inner, 0..8).prop_map(|items| Snap::List(items.into())),
            pairs.prop_map(|pairs| Snap::Map(pairs.into())),
        ]
    })
}

/// Flows that know some of the secrets in the texts, under policies of several kinds.
pub(crate) fn flows() -> impl Strategy<Value = Flow> {
    let policies = [
        "{}",
        r#"{"correlate": true, "keys": ["cpf"]}"#,
        r#"{"patterns": ["AC-[0-9]{6}", "ype"], "preset": "payment"}"#,
    ];
    prop::sample::select(policies.to_vec()).prop_map(|entry| {
        let policy = Policy::from_snap(&from_json(entry).unwrap(), "redact").unwrap();
        let flow = Flow::with_policy(FlowId::random(), "triage", policy.into());
        let secrets = r#"["hunter3xyz", 1234567, 98765432109876543210]"#;
        flow.taint(from_json(secrets).unwrap()).unwrap();
        flow
    })
}
