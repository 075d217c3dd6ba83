//! Runs the Rust programs in the documentation as tests: `cargo test -p docs-check`.
#![forbid(unsafe_code)]

/// `docs/rust.md`.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
pub struct Guide;

/// `rust/README.md`.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Workspace;
