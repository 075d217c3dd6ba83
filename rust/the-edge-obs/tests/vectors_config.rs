//! The Python package's answers about YAML scalars.

use std::path::Path;

use the_edge_obs::value::{from_json, Snap};
use the_edge_obs::yaml::{read, Yaml, YamlValue};

/// Returns the cases of a file of vectors; none where the repository is not around the crate.
fn cases(name: &str) -> Vec<Snap> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/observability/vectors");
    if !folder.exists() {
        println!("the vectors are not there: {}", folder.display());
        return Vec::new();
    }
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    match from_json(&text).unwrap().get("cases") {
        Some(Snap::List(cases)) if !cases.is_empty() => cases.to_vec(),
        other => panic!("{name} has no cases: {other:?}"),
    }
}

/// Returns the type of a scalar and its value as Python shows it.
fn shown(value: &Yaml) -> (&'static str, String) {
    match &value.value {
        YamlValue::Time(text) if text.contains('T') => ("time", text.replace('T', " ")),
        YamlValue::Time(text) => ("date", text.to_string()),
        YamlValue::Scalar(Snap::Float(number)) if number.is_finite() => {
            ("float", format!("{number:?}"))
        }
        YamlValue::Scalar(Snap::Float(number)) => ("float", number.to_string().to_lowercase()),
        YamlValue::Scalar(Snap::Int(number)) => ("int", number.to_string()),
        YamlValue::Scalar(Snap::Big(digits)) => ("int", digits.to_string()),
        YamlValue::Scalar(Snap::Str(text)) => ("str", text.to_string()),
        YamlValue::Scalar(Snap::Bool(value)) => ("bool", value.to_string()),
        YamlValue::Scalar(Snap::Null) => ("null", "null".to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn scalars_are_read_as_python_reads_them() {
    for case in cases("yaml_scalars.json") {
        let text = |key: &str| case.get(key).unwrap().as_str().unwrap();
        let answer = read(&format!("- {}\n", text("scalar")), "a.yaml");
        let answer = answer.map_or(("error", String::new()), |document| {
            let YamlValue::List(items) = document.value else {
                panic!()
            };
            shown(&items[0])
        });
        assert_eq!(answer, (text("type"), text("value").to_owned()), "{case:?}");
    }
}
