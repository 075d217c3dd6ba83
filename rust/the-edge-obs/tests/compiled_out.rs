//! Compiled without recording, an observed call is the bare call: same results, same instructions, no name of a node in the program.

use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = include_str!("compiled_out/program.rs");
const NAME: &[u8] = b"tea.llm.call";
const MANIFEST: &str = r#"[package]
name = "program"
version = "0.0.0"
edition = "2021"

[dependencies]
the-edge-obs = { path = 'PATH', default-features = false }
tracing = { version = "0.1.41", default-features = false }

[features]
default = []
record = ["the-edge-obs/record"]
off = ["record", "tracing/release_max_level_off"]

[workspace]
"#;

/// Writes the crate of the program, and returns its folder.
fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled_out");
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = MANIFEST.replace("PATH", own.to_str().unwrap());
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/main.rs"), PROGRAM).unwrap();
    // With the versions of the workspace nothing has to be downloaded.
    let _ = std::fs::copy(own.join("../Cargo.lock"), folder.join("Cargo.lock"));
    folder
}

/// Builds the program with features; `None`, and a note, where that is not possible.
fn built(folder: &Path, features: &str) -> Option<PathBuf> {
    // All of them share what they need.
    let target = folder.join("target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", &target);
    cargo.args([
        "build",
        "--release",
        "--offline",
        "--quiet",
        "--features",
        features,
    ]);
    match cargo.output() {
        Ok(output) if output.status.success() => {
            let built = folder.join(exe(features));
            std::fs::copy(target.join("release").join(exe("program")), &built).unwrap();
            Some(built)
        }
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            // Without a network, a crate that was never downloaded is nobody's mistake here.
            let is_missing = told.contains("--offline") || told.contains("no matching package");
            assert!(is_missing, "the program does not build: {told}");
            eprintln!("skipped: {told}");
            None
        }
        Err(error) => {
            eprintln!("skipped: cargo cannot be run: {error}");
            None
        }
    }
}

fn exe(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

fn output_of(program: &Path) -> String {
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn names_node(program: &Path) -> bool {
    let bytes = std::fs::read(program).unwrap();
    bytes.windows(NAME.len()).any(|window| window == NAME)
}

/// Returns the instructions of a function, without padding; `None`, and a note, where `objdump` is missing.
fn instructions(program: &Path, function: &str) -> Option<Vec<String>> {
    let output = Command::new("objdump")
        .args(["-d", "-C", "--no-show-raw-insn"])
        .arg(program)
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: objdump cannot be run");
        return None;
    };
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let head = format!("<program::{function}>:");
    let mut lines = listing.lines().skip_while(|line| !line.ends_with(&head));
    assert!(lines.next().is_some(), "{function} is not in the listing");
    let body = lines.take_while(|line| !line.is_empty());
    let codes = body.filter_map(|line| Some(line.split_once('\t')?.1.trim().to_owned()));
    let padding = ["nop", "data16", "cs nop", "int3", "xchg", "udf"];
    let is_padding = |code: &String| padding.iter().any(|start| code.starts_with(start));
    Some(codes.filter(|code| !is_padding(code)).collect())
}

/// Returns the instructions without what they work on.
fn names(codes: &[String]) -> Vec<&str> {
    codes
        .iter()
        .filter_map(|code| code.split_whitespace().next())
        .collect()
}

#[test]
#[ignore = "it builds the crate three times; `cargo test --test compiled_out -- --ignored` runs it"]
fn without_recording_an_observed_call_is_the_bare_call() {
    let folder = program();
    let Some(recording) = built(&folder, "record") else {
        return;
    };
    assert!(names_node(&recording));
    let expected = output_of(&recording);
    for features in ["off", "default"] {
        let Some(program) = built(&folder, features) else {
            return;
        };
        assert_eq!(output_of(&program), expected, "{features}");
        assert!(
            !names_node(&program),
            "{features}: the name of the node is in the program"
        );
        let Some(empty) = instructions(&program, "observed_empty") else {
            return;
        };
        let of = |function: &str| instructions(&program, function).unwrap();
        assert_eq!(names(&empty), ["ret"], "{features}");
        assert_eq!(
            names(&of("observed_sum")),
            names(&of("bare_sum")),
            "{features}"
        );
        // Its branches may stand in another order than those of the bare body.
        let failure = of("observed_failure");
        assert!(
            !failure.iter().any(|code| code.contains("the_edge_obs")),
            "{features}: {failure:?}"
        );
    }
}
