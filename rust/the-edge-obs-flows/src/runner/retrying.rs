//! Repeat failed attempts: one rule of delays for `on_error` and for actions.

use std::hash::{BuildHasher, RandomState};

use crate::error::Failure;

/// How much of a delay is random, so that clients that failed together do not retry together.
const JITTER: f64 = 0.25;

/// How often a failed attempt is repeated, and how long to wait before each repetition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retrying {
    /// Attempts after the first one.
    pub retries: u64,
    /// Seconds before the second attempt, before jitter.
    pub delay: f64,
    /// By how much the delay grows from attempt to attempt; at least 1.
    pub factor: f64,
    /// The cap of a delay, in seconds.
    pub longest: f64,
}

impl Retrying {
    /// Makes attempts until one needs no repetition, or no more are allowed. Returns the last result, and how many attempts there
    /// were.
    ///
    /// An attempt gets its number, from 1; a pause gets that number, the result and the delay in seconds.
    ///
    /// # Errors
    ///
    /// The pause fails: the run is interrupted.
    pub(crate) fn run<T>(
        &self,
        mut attempt: impl FnMut(u64) -> T,
        may_retry: impl Fn(&T) -> bool,
        mut pause: impl FnMut(u64, &T, f64) -> Result<(), Failure>,
    ) -> Result<(T, u64), Failure> {
        let mut delay = self.delay.min(self.longest);
        let mut number = 1;
        loop {
            let result = attempt(number);
            if number > self.retries || !may_retry(&result) {
                return Ok((result, number));
            }
            pause(number, &result, delay * (1.0 - JITTER * chance()))?;
            delay = (delay * self.factor).min(self.longest);
            number += 1;
        }
    }
}

/// Returns a random number from 0 to 1.
fn chance() -> f64 {
    let number = RandomState::new().hash_one(0_u8) >> 11;
    number as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_cap_and_are_shortened_at_random() {
        let rule = Retrying {
            retries: 4,
            delay: 1.0,
            factor: 3.0,
            longest: 5.0,
        };
        let mut delays = Vec::new();
        let pause = |number: u64, _: &u64, delay: f64| {
            delays.push((number, delay));
            Ok(())
        };
        let result = rule.run(|number| number * 10, |_| true, pause).unwrap();
        assert_eq!(result, (50, 5));
        for ((number, delay), most) in delays.into_iter().zip([1.0, 3.0, 5.0, 5.0]) {
            assert!((most * 0.75..=most).contains(&delay), "{number}: {delay}");
        }
    }

    #[test]
    fn a_success_is_not_repeated() {
        let rule = Retrying {
            retries: 3,
            delay: 0.0,
            factor: 1.0,
            longest: 0.0,
        };
        let result = rule.run(|number| number, |number| *number < 2, |_, _, _| Ok(()));
        assert_eq!(result.unwrap(), (2, 2));
    }
}
