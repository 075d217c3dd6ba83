//! Questions about texts and single values.

use the_edge_obs::event::problems;
use the_edge_obs::globs::Glob;
use the_edge_obs::jsonl::decoded;
use the_edge_obs::line::to_line;
use the_edge_obs::redaction::{
    classify, cut_paths, look_of, redact, scrub, snapshot, KeyClasses, Look, Policy, Taints,
};
use the_edge_obs::text::printable;
use the_edge_obs::times::parse_time;
use the_edge_obs::traceparent::RemoteParent;
use the_edge_obs::validation::{check_line, Verdict};
use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::{yaml, Snap};

use super::{now_of, text_of, value_of, Answer, Question};
use crate::replay::digest;
use crate::state::State;
use crate::templates::{Compiler, Fixed, Names};

pub(super) const QUESTIONS: [Question; 16] = [
    ("classify", |case| {
        Ok(classify(text_of(case, "text")?).name().into())
    }),
    ("look_of", |case| Ok(look(text_of(case, "text")?))),
    ("redact", |case| {
        Ok(redact(text_of(case, "text")?, KeyClasses::built_in()).into())
    }),
    ("printable", |case| {
        Ok(printable(text_of(case, "text")?).into_owned().into())
    }),
    ("json", |case| Ok(json_of(case)?.to_json().into())),
    ("snapshot", take_snapshot),
    ("typed", whole),
    ("line", |case| Ok(to_line(&json_of(case)?).into())),
    ("problems", |case| Ok(problems(&json_of(case)?).into())),
    ("glob", |case| {
        Ok(Glob::new(text_of(case, "pattern")?)
            .matches(text_of(case, "name")?)
            .into())
    }),
    ("time", time),
    ("traceparent", traceparent),
    ("yaml", |case| {
        match yaml::read(text_of(case, "text")?, "text") {
            Ok(value) => Ok(value.to_snap()),
            Err(error) => Err(error.to_string()),
        }
    }),
    ("yaml_types", |case| {
        let read = yaml::read(text_of(case, "text")?, "text");
        read.map(|value| typed(&value))
            .map_err(|error| error.to_string())
    }),
    ("check", |case| {
        Ok(match check_line(text_of(case, "text")?.as_bytes()) {
            Verdict::Valid(_) => "event".into(),
            Verdict::Loose => "loose".into(),
            Verdict::Invalid(_) => Snap::Null,
        })
    }),
    ("template", template),
];

fn look(text: &str) -> Snap {
    Snap::Int(match look_of(text) {
        Look::Ordinary => 0,
        Look::Word => 1,
        Look::Secret => 2,
    })
}

/// Returns the value of the JSON text in `text`.
fn json_of(case: &Snap) -> Answer {
    decoded(text_of(case, "text")?.as_bytes())
}

fn take_snapshot(case: &Snap) -> Answer {
    let taints = Taints::new();
    let taken = snapshot(&json_of(case)?, &taints, KeyClasses::built_in());
    let clean = scrub(&taken, &taints);
    let paths = cut_paths("input", &taken, &clean);
    Ok(Snap::List([clean.to_json().into(), paths.into()].into()))
}

/// Returns typed JSON of the whole value of the JSON text in `text`, and its digest; null for one that is too large.
fn whole(case: &Snap) -> Answer {
    let typed = Policy::built_in().typed(json_of(case)?, &Taints::new());
    Ok(typed.map_or(Snap::Null, |typed| {
        Snap::List([digest(&typed).into(), typed.to_json().into()].into())
    }))
}

/// Returns a YAML value with the types that JSON lacks: each scalar as its type and its text, each mapping as pairs.
fn typed(value: &Yaml) -> Snap {
    let named = |name: &str, items: Vec<Snap>| {
        Snap::List(std::iter::once(name.into()).chain(items).collect())
    };
    let scalar = |name: &str, text: String| named(name, vec![text.into()]);
    match &value.value {
        YamlValue::Time(text) => scalar("time", text.to_string()),
        YamlValue::List(items) => named("list", items.iter().map(typed).collect()),
        YamlValue::Map(pairs) => {
            let pair = |(key, item)| Snap::List([typed(key), typed(item)].into());
            named(
                "map",
                pairs.iter().map(|(key, item)| pair((key, item))).collect(),
            )
        }
        YamlValue::Scalar(Snap::Null) => named("null", Vec::new()),
        YamlValue::Scalar(Snap::Bool(is)) => scalar("bool", is.to_string()),
        YamlValue::Scalar(Snap::Float(number)) if !number.is_finite() => {
            scalar("float", number.to_string().to_lowercase())
        }
        YamlValue::Scalar(Snap::Float(number)) => scalar("float", Snap::Float(*number).to_json()),
        YamlValue::Scalar(Snap::Str(text)) => scalar("str", text.to_string()),
        YamlValue::Scalar(number) => scalar("int", number.to_json()),
    }
}

fn time(case: &Snap) -> Answer {
    let seconds = parse_time(value_of(case, "given")?, now_of(case), "time");
    seconds.map(Snap::Float).map_err(|error| error.to_string())
}

fn traceparent(case: &Snap) -> Answer {
    let Snap::Map(headers) = value_of(case, "headers")? else {
        return Err("headers must be an object".to_owned());
    };
    let headers = headers
        .iter()
        .filter_map(|(name, value)| Some((&**name, value.as_str()?)));
    Ok(RemoteParent::extract(headers).map_or(Snap::Null, |parent| parent.traceparent().into()))
}

/// Renders a template with `state` and `variables`, as the `with` of a step named a would have it.
fn template(case: &Snap) -> Answer {
    let object = |key: &str| case.get(key).cloned().unwrap_or(Snap::Map(Box::default()));
    let variables = object("variables");
    let text = text_of(case, "template")?;
    let renderer = Compiler::new(&variables, true)
        .text(text, || "step 'a'".to_owned(), Some("a"))
        .map_err(|mistake| format!("FlowFileError: {}", mistake.problem))?;
    let fixed = Fixed::new(&variables, &object("settings"), "");
    let names = Names::new(&fixed, &State::from_snap(object("state")), &Vec::new());
    let rendered = renderer.render(&names);
    rendered.map_err(|failure| format!("{}: {}", failure.kind, failure.message))
}
