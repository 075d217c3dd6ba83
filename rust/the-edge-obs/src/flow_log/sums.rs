//! Sums that do not depend on the order of what is summed, and rounding as Python rounds.

use crate::event::number;
use crate::value::Snap;

/// Returns a number rounded to some decimals; of two that are equally near, the even one, as in Python's `round`.
pub(crate) fn rounded(value: f64, places: usize) -> f64 {
    format!("{value:.places$}").parse().unwrap_or(value)
}

/// Returns the sum of numbers: exact if all are integers, otherwise rounded to 12 decimals.
pub(super) fn sum<'a>(figures: impl IntoIterator<Item = &'a Snap>) -> Snap {
    let figures: Vec<&Snap> = figures.into_iter().collect();
    let whole = |figure: &Snap| match figure {
        Snap::Int(number) => Some(i128::from(*number)),
        // Events have no larger integers than 64 bits: they are null or texts there.
        Snap::Big(digits) => digits.parse().ok(),
        _ => None,
    };
    let mut wholes = figures.iter().map(|figure| whole(figure));
    let total = wholes.try_fold(0i128, |sum, one| one.and_then(|one| sum.checked_add(one)));
    match total {
        Some(total) => Snap::from(total),
        None => {
            let floats = figures.iter().filter_map(|figure| number(figure));
            Snap::Float(rounded(float_sum(floats), 12))
        }
    }
}

/// Returns the float nearest to the exact sum, as Python's `math.fsum` does; the largest float if that is out of range, as it may be
/// in a broken or hostile log.
pub(super) fn float_sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for value in values {
        if !add(&mut partials, value) {
            return f64::MAX;
        }
    }
    rounded_once(&partials)
}

/// Adds a value to floats that do not overlap, smallest first, whose exact sum is the sum so far (Shewchuk, "Adaptive Precision
/// Floating-Point Arithmetic", 1997). Returns false if that is out of range.
fn add(partials: &mut Vec<f64>, mut value: f64) -> bool {
    let mut kept = 0;
    for at in 0..partials.len() {
        let mut other = partials[at];
        if value.abs() < other.abs() {
            std::mem::swap(&mut value, &mut other);
        }
        let high = value + other;
        let low = other - (high - value);
        if low != 0.0 {
            partials[kept] = low;
            kept += 1;
        }
        value = high;
    }
    partials.truncate(kept);
    if value != 0.0 {
        partials.push(value);
    }
    value.is_finite()
}

/// Returns the sum of the partials with one rounding.
fn rounded_once(partials: &[f64]) -> f64 {
    let Some((mut high, mut rest)) = partials.split_last().map(|(last, rest)| (*last, rest)) else {
        return 0.0;
    };
    let mut low = 0.0;
    while let Some((next, before)) = rest.split_last() {
        let before_sum = high;
        high = before_sum + next;
        low = next - (high - before_sum);
        rest = before;
        if low != 0.0 {
            break;
        }
    }
    // Half way between two floats, what is left decides.
    if let Some(next) = rest.last() {
        if (low < 0.0 && *next < 0.0) || (low > 0.0 && *next > 0.0) {
            let twice = low * 2.0;
            let up = high + twice;
            if up - high == twice {
                return up;
            }
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_are_those_of_fsum() {
        // The answers are those of Python 3.11.
        assert_eq!(float_sum([0.1; 10]), 1.0);
        assert_eq!(float_sum([]), 0.0);
        assert_eq!(float_sum([1e100, 1.0, -1e100, 1e-100]), 1.0);
        assert_eq!(float_sum([1.0, 1e-16, 1e-16]), 1.0 + f64::EPSILON);
        // Half way, and a little more or less.
        let half = f64::EPSILON / 2.0;
        assert_eq!(float_sum([1.0, half]), 1.0);
        assert_eq!(float_sum([1.0, half, 1e-300]), 1.0 + f64::EPSILON);
        assert_eq!(
            float_sum([1.0 + f64::EPSILON, half, -1e-300]),
            1.0 + f64::EPSILON
        );
        assert_eq!(float_sum([f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(float_sum([f64::INFINITY]), f64::MAX);
    }

    #[test]
    fn integers_stay_integers() {
        let figures = [Snap::Int(2), Snap::Int(i64::MAX)];
        assert_eq!(sum(&figures), Snap::Big("9223372036854775809".into()));
        assert_eq!(sum([]), Snap::Int(0));
        assert_eq!(sum(&[Snap::Int(1), Snap::Float(0.5)]), Snap::Float(1.5));
        let huge = Snap::Big("9".repeat(400).into());
        assert_eq!(sum([&huge]), Snap::Float(f64::MAX));
    }

    #[test]
    fn half_of_the_last_place_goes_to_the_even_one() {
        assert_eq!(rounded(0.125, 2), 0.12);
        assert_eq!(rounded(0.375, 2), 0.38);
        assert_eq!(rounded(2.675, 2), 2.67);
        assert_eq!(rounded(1e300, 12), 1e300);
    }

    proptest! {
        #[test]
        fn a_sum_does_not_depend_on_the_order(values in proptest::collection::vec(-1e12..1e12, 0..30)) {
            let mut turned = values.clone();
            turned.reverse();
            turned.rotate_left(values.len() / 3);
            prop_assert_eq!(float_sum(values), float_sum(turned));
        }
    }
}
