//! The table of ratios: contenders take turns, so that what else runs on the machine disturbs all of them alike.

use std::time::{Duration, Instant};

/// Runs a number of calls, and returns how long they took.
pub type Sample<'s> = Box<dyn FnMut(u64) -> Duration + 's>;

/// What is measured, and its name.
pub struct Contender<'s> {
    pub name: &'static str,
    pub sample: Sample<'s>,
}

/// Returns a contender that calls a function.
pub fn contender<'s>(name: &'static str, mut call: impl FnMut() + 's) -> Contender<'s> {
    let sample = move |calls| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed()
    };
    Contender {
        name,
        sample: Box::new(sample),
    }
}

/// Nanoseconds a call of each contender: the least of all rounds.
pub fn least(mut contenders: Vec<Contender<'_>>, rounds: usize, calls: u64) -> Vec<f64> {
    let mut least = vec![f64::INFINITY; contenders.len()];
    for round in 0..=rounds {
        for (at, contender) in contenders.iter_mut().enumerate() {
            let took = (contender.sample)(calls).as_nanos() as f64 / calls as f64;
            // The first round warms up.
            if round > 0 {
                least[at] = least[at].min(took);
            }
        }
    }
    least
}

/// A goal of a row.
pub enum Goal {
    /// None: the row is shown for itself.
    None,
    /// The most that the ratio may be.
    Ratio(f64),
    /// The most nanoseconds.
    Nanoseconds(f64),
}

/// Prints the head of the table.
pub fn head() {
    println!(
        "\n{:<44} {:>10} {:>10} {:>7}  goal",
        "what", "ours ns", "peer ns", "ratio"
    );
}

/// Prints a row, and whether its goal is met.
pub fn row(what: &str, own: f64, peer: f64, goal: &Goal) {
    let ratio = own / peer;
    let (text, is_met) = match goal {
        Goal::None => (String::new(), true),
        Goal::Ratio(most) => (format!("ratio <= {most}"), ratio <= *most),
        Goal::Nanoseconds(most) => (format!("<= {most} ns"), own <= *most),
    };
    let missed = if is_met { "" } else { "  MISSED" };
    println!("{what:<44} {own:>10.1} {peer:>10.1} {ratio:>7.3}  {text}{missed}");
}
