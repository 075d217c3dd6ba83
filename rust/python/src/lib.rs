//! The native core of the Python package `the_edge_obs`: payloads as bytes from the moment of capture, and their lines.
//!
//! One pass walks a value, judges its keys, and writes compact JSON. It takes what most payloads are made of: dicts, lists, tuples, texts,
//! numbers, booleans and `None`, within the caps. For anything else it returns `None`, and the package captures the value in Python, so
//! each value has one meaning. No code of the value's classes runs: only exact types are read.
//!
//! Texts are judged by the Rust runtime's redaction, once per payload, when an event is written or read. The lines of entries and exits are
//! joined from the bytes.
//!
//! When events are read, the core makes them of facts and of these bytes; what is not usual, or must be redacted, is left to Python.

mod core;
mod encoded;
mod json;
mod keys;
mod lines;
mod pass;
mod reading;

use pyo3::prelude::*;

/// What the Python package asks for. It changes whenever a name or a meaning here changes.
const INTERFACE: u32 = 4;

#[pymodule]
fn the_edge_obs_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("INTERFACE", INTERFACE)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<encoded::Encoded>()?;
    module.add_class::<lines::Lines>()?;
    module.add_class::<core::Core>()
}
