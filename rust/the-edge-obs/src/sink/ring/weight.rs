//! An estimate of the memory that an event takes.

use crate::facts::{Facts, Metrics, Payload};
use crate::value::{Key, Snap};

/// What an event takes beside its values: the facts, the two counts of their `Arc`, and their place in a ring.
const BASE: usize = size_of::<Facts>() + 2 * size_of::<usize>() + 2 * size_of::<usize>();

/// What the allocator needs for each allocation, about.
const ALLOCATION: usize = 16;

const PAIR: usize = size_of::<(Key, Snap)>();

/// Returns an estimate of the bytes that facts hold in memory. Names and the state of the flow are shared, so they do not count.
pub(super) fn weight(facts: &Facts) -> u32 {
    let message = facts.message.as_ref().map_or(0, value);
    let payload = match &facts.payload {
        Payload::None => 0,
        Payload::Under(_, taken) => value(taken),
        Payload::Data(data) => pairs(data),
    };
    let metrics = match &facts.metrics {
        Metrics::None | Metrics::Duration(_) => 0,
        Metrics::Numbers(numbers) => pairs(numbers),
    };
    let total = BASE + ALLOCATION + message + payload + metrics;
    u32::try_from(total).unwrap_or(u32::MAX)
}

/// Returns what a value holds beside itself.
fn value(taken: &Snap) -> usize {
    match taken {
        Snap::Null | Snap::Bool(_) | Snap::Int(_) | Snap::Float(_) => 0,
        Snap::Big(text) | Snap::Str(text) | Snap::Mark(text) => ALLOCATION + text.len(),
        Snap::List(items) => {
            ALLOCATION + size_of_val::<[Snap]>(items) + items.iter().map(value).sum::<usize>()
        }
        Snap::Map(inner) => pairs(inner),
    }
}

fn pairs(pairs: &[(Key, Snap)]) -> usize {
    let key = |key: &Key| key.own_bytes().map_or(0, |bytes| ALLOCATION + bytes);
    let each = |(name, taken): &(Key, Snap)| PAIR + key(name) + value(taken);
    ALLOCATION + pairs.iter().map(each).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_value_weighs_more() {
        let small = Snap::map([("a", Snap::Int(1))]);
        let nested = Snap::map([("a", vec![small.clone(), small.clone()].into())]);
        let text = Snap::from("x".repeat(1_000));
        assert_eq!(value(&Snap::Int(7)), 0);
        assert_eq!(value(&text), 1_016);
        assert!(value(&nested) > 2 * value(&small));
    }
}
