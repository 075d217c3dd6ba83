//! A program with observed functions, some beside their bare bodies, which differ by a constant, or the compiler would merge them. `compiled_out.rs` builds it with and without recording.

use std::hint::black_box;
use std::num::ParseIntError;

use the_edge_obs::node;

#[inline(never)]
pub fn observed_empty(prompt: &str) {
    node!("llm.call", step: "ask", input: [("prompt", prompt.repeat(3))]).in_scope(|_| ());
}

#[inline(never)]
pub fn observed_sum(left: u64, right: u64) -> u64 {
    node!("llm.call", warn, input: format!("{left} and {right}")).in_scope(|span| {
        span.metric("left", left as i64);
        span.end_metric("right", right as i64);
        left.wrapping_mul(right) ^ 7
    })
}

#[inline(never)]
pub fn bare_sum(left: u64, right: u64) -> u64 {
    left.wrapping_mul(right) ^ 9
}

#[inline(never)]
pub fn observed_failure(text: &str) -> Result<u64, ParseIntError> {
    node!("llm.call", error, input: text).run(|span| {
        span.error_kind("Parse");
        the_edge_obs::log!("llm.call", error, message: "parsing", data: {"text": text});
        text.parse::<u64>().map(|number| number ^ 7)
    })
}

#[inline(never)]
pub fn bare_failure(text: &str) -> Result<u64, ParseIntError> {
    text.parse::<u64>().map(|number| number ^ 9)
}

fn main() {
    // Called by pointers, so that the compiler does not make versions of its own for these arguments.
    let empty = black_box(observed_empty as fn(&str));
    empty("hi");
    for sum in black_box([observed_sum as fn(u64, u64) -> u64, bare_sum]) {
        println!("{}", sum(6, 7));
    }
    for failure in black_box([observed_failure as fn(&str) -> Result<u64, ParseIntError>, bare_failure]) {
        println!("{:?} {:?}", failure("12"), failure("no number"));
    }
}
