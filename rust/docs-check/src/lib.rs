//! Runs the Rust programs in the documentation as tests: `cargo test -p docs-check`.
#![forbid(unsafe_code)]

/// `docs/rust.md`.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
pub struct Guide;

/// `rust/the-edge-obs/README.md`.
#[cfg(doctest)]
#[doc = include_str!("../../the-edge-obs/README.md")]
pub struct Library;

/// `rust/the-edge-obs-flows/README.md`.
#[cfg(doctest)]
#[doc = include_str!("../../the-edge-obs-flows/README.md")]
pub struct Flows;
