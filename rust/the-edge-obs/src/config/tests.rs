use super::*;
use crate::value::from_json;

fn read(block: &str) -> Config {
    let config = Config::from_snap(&from_json(block).unwrap());
    config.unwrap_or_else(|error| panic!("{block}: {error}"))
}

fn mistake(block: &str) -> (String, String) {
    match Config::from_snap(&from_json(block).unwrap()) {
        Err(Error::Configuration { place, problem }) => (place, problem),
        other => panic!("{block}: {other:?}"),
    }
}

#[test]
fn a_block_is_read() {
    let config = read(
        r#"{"enabled": false, "level": 30, "levels": {"llm": "DEBUG", "http.get": 41}, "buffer_size": 5, "redact": {"keys": ["cpf"]},
        "handlers": [{"type": "console"}, {"type": "file", "path": "x-{flow_id}.jsonl", "mode": "0640", "level": "warning"}],
        "capture": ["shop.db", "agent", "shop", "agent", "shopping"], "propagate": true}"#,
    );
    assert!(!config.enabled && config.propagate);
    assert_eq!(config.level, Some(Level::Warn));
    assert_eq!(
        config.levels,
        [
            ("llm".into(), Some(Level::Debug)),
            ("http.get".into(), None)
        ]
    );
    assert_eq!(config.buffer_size, 5);
    let [console, file] = &config.handlers[..] else {
        panic!()
    };
    assert_eq!(console.level, Some(Level::Debug));
    assert_eq!(console.kind, HandlerKind::Console { verbose: false });
    assert_eq!(file.level, Some(Level::Warn));
    let path = "x-{flow_id}.jsonl".into();
    assert_eq!(file.kind, HandlerKind::File { path, mode: 0o640 });
    assert_eq!(
        config.capture,
        ["agent".into(), "shop".into(), "shopping".into()]
    );
    let taints = crate::redaction::Taints::new();
    let value = from_json(r#"{"cpf": "1"}"#).unwrap();
    let taken = config.redact.snapshot(&value, &taints).to_json();
    assert_eq!(taken, r#"{"cpf":"[REDACTED]"}"#);
}

#[test]
fn what_is_not_given_has_its_default() {
    for block in [
        "null",
        "{}",
        r#"{"levels": null, "handlers": null, "redact": null, "capture": null, "propagate": null, "prices": null, "record": null}"#,
    ] {
        let config = read(block);
        assert!(config.enabled && !config.propagate && config.handlers.is_empty());
        assert_eq!(
            (config.level, config.buffer_size),
            (Some(Level::Info), 1_000)
        );
        assert!(config.levels.is_empty() && config.capture.is_empty());
    }
    assert_eq!(read(r#"{"capture": "root"}"#).capture, ["".into()]);
    let HandlerKind::File { path, mode } = read(r#"{"handlers": [{"type": "file"}]}"#).handlers[0]
        .kind
        .clone()
    else {
        panic!()
    };
    assert_eq!((&*path, mode), ("logs/flow-{flow_id}.jsonl", 0o600));
}

#[test]
fn mistakes_name_the_key_the_value_and_what_is_allowed() {
    let cases = [
        ("5", "observability", "observability is 5; it must be a mapping with allowed: enabled, level,"),
        (r#"{"colour": 1}"#, "observability.colour", "unknown key 'colour' in observability; allowed: enabled, level, levels,"),
        (r#"{"enabled": null}"#, "observability.enabled", "observability.enabled is null; allowed: true, false"),
        (r#"{"level": true}"#, "observability.level", "observability.level: unknown level true; allowed: debug,"),
        (r#"{"levels": {"llm.*": "info"}}"#, "observability.levels.llm.*", "observability.levels has a level for 'llm.*'; name a category"),
        (r#"{"levels": {"tea.llm": "info"}}"#, "observability.levels.tea.llm", "observability.levels has a level for 'tea.llm'"),
        (r#"{"buffer_size": 10.0}"#, "observability.buffer_size", "observability.buffer_size is 10.0; it must be a whole number of at least 1"),
        (r#"{"buffer_size": true}"#, "observability.buffer_size", "observability.buffer_size is true;"),
        (r#"{"handlers": [{"type": "radio"}]}"#, "observability.handlers[0].type", "observability.handlers[0].type is 'radio'; allowed: console, file in this runtime; other types, such as otlp, and class: package.Name are handlers of the Python package;"),
        (r#"{"handlers": [{"type": "otlp", "endpoint": "http://localhost"}]}"#, "observability.handlers[0].type", "observability.handlers[0].type is 'otlp'; allowed: console, file in this runtime;"),
        (r#"{"handlers": [{"class": "shop.Handler"}]}"#, "observability.handlers[0].class", "observability.handlers[0].class is 'shop.Handler'; allowed: console, file in this runtime;"),
        (r#"{"handlers": [5]}"#, "observability.handlers[0]", "observability.handlers[0] is 5; it must be a mapping with a type; allowed: console, file"),
        (r#"{"handlers": [{"type": "console", "verbose": 1}]}"#, "observability.handlers[0].verbose", "observability.handlers[0].verbose is 1; allowed: true, false"),
        (r#"{"handlers": [{"type": "file", "path": ""}]}"#, "observability.handlers[0].path", "observability.handlers[0].path: path \"\" is not a path of flow files; the only placeholder is {flow_id}"),
        (r#"{"handlers": [{"type": "file", "path": 3}]}"#, "observability.handlers[0].path", "observability.handlers[0].path is 3; it must be a path such as logs/flow-{flow_id}.jsonl"),
        (r#"{"handlers": [{"type": "file", "mode": "0700"}]}"#, "observability.handlers[0].mode", "observability.handlers[0].mode is '0700'; it must be an octal file mode"),
        (r#"{"handlers": [{"type": "file", "mode": "08"}]}"#, "observability.handlers[0].mode", "observability.handlers[0].mode is '08';"),
        (r#"{"handlers": [{"type": "callback", "callback": "pprint:pprint"}]}"#, "observability.handlers[0].callback", "observability.handlers[0].callback is 'pprint:pprint'; a configuration cannot name a function of a Rust program; add a sink"),
        (r#"{"redact": {"keys": "cpf"}}"#, "observability.redact.keys", "observability.redact.keys is 'cpf'; it must be a list of texts"),
        (r#"{"capture": 5}"#, "observability.capture", "observability.capture is 5; it must be root or a list of loggers"),
        (r#"{"capture": ["a", 5]}"#, "observability.capture", "observability.capture is [\"a\",5]; it must be root or a list"),
        (r#"{"capture": ["root"]}"#, "observability.capture[0]", "observability.capture[0] is 'root'; it has all other loggers below it; write capture: root"),
        (r#"{"capture": ["a", "b.*"]}"#, "observability.capture[1]", "observability.capture[1] is 'b.*'; name a logger such as agent"),
        (r#"{"capture": ["tea.llm"]}"#, "observability.capture[0]", "observability.capture[0] is 'tea.llm'; the logger tea and those below"),
        (r#"{"propagate": "yes"}"#, "observability.propagate", "observability.propagate is 'yes'; allowed: true, false"),
        (r#"{"prices": {"m": {"input": 1}}}"#, "observability.prices", "observability.prices is not supported by the Rust runtime"),
        (r#"{"record": {"full": ["llm.*"]}}"#, "observability.record", "observability.record is not supported by the Rust runtime"),
        (r#"{"redact": {"keys": ["ext://sys.stdout"]}}"#, "observability.redact.keys[0]", "observability.redact.keys[0] is 'ext://sys.stdout'; a block has no links to objects"),
        (r#"{"level": "password=hunter2xyz"}"#, "observability.level", "observability.level: unknown level 'password=[REDACTED]'"),
    ];
    for (block, expected_place, expected) in cases {
        let (place, problem) = mistake(block);
        assert_eq!(place, expected_place, "{block}");
        assert!(problem.starts_with(expected), "{problem}");
    }
    let (_, problem) = mistake(&format!(r#"{{"level": "{}"}}"#, "x".repeat(9_000)));
    assert!(problem.len() < 400 && !problem.contains('\n'));
}

#[test]
fn levels_given_apart_count_more() {
    let config = read(r#"{"level": "error", "levels": {"llm": "debug", "http": "warn"}}"#);
    let config = config
        .with_levels("warn,llm=info,web=error", "--level")
        .unwrap();
    let table = config.to_levels().unwrap();
    let least = |node: &str| table.threshold(node).map(Level::name);
    let nodes = ["llm.call", "http.get", "web.fetch", "json.parse", "flow"];
    let expected = ["info", "warn", "error", "warn", "info"];
    assert_eq!(nodes.map(least), expected.map(Some));
    let error = config.with_levels("llm=loud", "--level").unwrap_err();
    assert!(error
        .to_string()
        .starts_with("--level 'llm=loud': unknown level 'loud'"));
}

#[cfg(feature = "yaml")]
#[test]
fn mistakes_in_yaml_have_a_line() {
    let text = |text: &str| Config::from_yaml(text).map(|_| ()).unwrap_err().to_string();
    let cases = [
        ("observability:\n  level: info\n  handlers:\n    - type: console\n    - type: radio\n", "line 5: observability.handlers[1].type is 'radio'; allowed: console, file in this runtime; other types, such as otlp, and class: package.Name are handlers of the Python package; use tea-obs for them, or add a sink to the layer in code"),
        ("levels:\n  llm: debug\n  http.get: loud\n", "line 3: observability.levels.http.get: unknown level 'loud'; allowed: debug, info, warn, error"),
        ("level: info\ncolour: red\n", "line 2: unknown key 'colour' in observability"),
        ("level: info\nlevels:\n  on: debug\n", "line 3: observability.levels has the key true, which YAML does not read as a text; put it in quotes"),
        ("level: 2026-01-31", "line 1: observability.level: unknown level '2026-01-31'"),
        ("observability: 5", "line 1: observability is 5; it must be a mapping"),
        ("- a", "configuration holds [\"a\"]; it must hold a mapping"),
        ("", "configuration holds null; it must hold a mapping"),
        ("version: 1\nloggers: {}", "a configuration with version: is a dictConfig of Python's logging"),
        ("level: [", "configuration:2:1: broken YAML: "),
    ];
    for (block, expected) in cases {
        assert!(text(block).starts_with(expected), "{}", text(block));
    }
    assert!(!Config::from_yaml("nodes: []\n").unwrap().enabled);
    assert!(
        Config::from_yaml("nodes: []\nobservability:\n")
            .unwrap()
            .enabled
    );
    let file = Config::from_yaml("handlers: [{type: file, mode: 0640}]").unwrap();
    assert!(matches!(
        file.handlers[0].kind,
        HandlerKind::File { mode: 0o640, .. }
    ));
}
