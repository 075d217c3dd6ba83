//! The Python package's answers about YAML scalars and observability blocks.

// Each test takes what it needs of it.
#[allow(dead_code)]
mod support;

use support::{field, folder, items, read};
use the_edge_obs::config::Config;
use the_edge_obs::value::Snap;
use the_edge_obs::yaml::{self, Yaml, YamlValue};
use the_edge_obs::Error;

/// Calls a check with each case of a file of vectors.
fn each(name: &str, check: impl Fn(&Snap)) {
    let Some(folder) = folder("vectors") else {
        return;
    };
    let file = read(&folder.join(name));
    let cases = items(field(&file, "cases"));
    assert!(!cases.is_empty(), "{name}");
    cases.iter().for_each(check);
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
    each("yaml_scalars.json", |case| {
        let text = |key: &str| field(case, key).as_str().unwrap();
        let answer = yaml::read(&format!("- {}\n", text("scalar")), "a.yaml");
        let answer = answer.map_or(("error", String::new()), |document| {
            let YamlValue::List(items) = document.value else {
                panic!()
            };
            shown(&items[0])
        });
        assert_eq!(answer, (text("type"), text("value").to_owned()), "{case:?}");
    });
}

#[test]
fn mistakes_in_blocks_have_the_place_that_python_names() {
    each("blocks.json", |case| {
        let place = match Config::from_snap(field(case, "block")) {
            Ok(_) => Snap::Null,
            Err(Error::Configuration { place, .. }) => place.into(),
            Err(other) => panic!("{case:?}: {other:?}"),
        };
        assert_eq!(&place, field(case, "wrong"), "{case:?}");
    });
}
