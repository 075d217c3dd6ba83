//! What a thread remembers of the short texts that it has met, so that threads do not wait for each other.

/// A memory of short texts: each has one place, and a new one takes the place of another.
///
/// It holds so many texts at most, of so many bytes at most.
pub(super) struct Memory<T, const PLACES: usize, const LONGEST: usize> {
    places: Vec<Option<(u64, Box<str>, T)>>,
}

impl<T: Copy, const PLACES: usize, const LONGEST: usize> Memory<T, PLACES, LONGEST> {
    pub const fn new() -> Self {
        Memory { places: Vec::new() }
    }

    /// Returns what is remembered of a text by somebody, who is a number.
    pub fn get(&self, whose: u64, text: &str) -> Option<T> {
        if text.len() > LONGEST {
            return None;
        }
        let (owner, known, value) = self.places.get(place_of(text) % PLACES)?.as_ref()?;
        (*owner == whose && **known == *text).then_some(*value)
    }

    /// Remembers something of a text, if it is short.
    pub fn put(&mut self, whose: u64, text: &str, value: T) {
        if text.len() > LONGEST {
            return;
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        self.places[place_of(text) % PLACES] = Some((whose, text.into(), value));
    }
}

/// Returns a number that different texts seldom share.
fn place_of(text: &str) -> usize {
    let mix =
        |hash: u64, part: u64| (hash.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut words = text.as_bytes().chunks_exact(8);
    let numbers = words.by_ref().filter_map(<[u8]>::first_chunk);
    let numbers = numbers.map(|word| u64::from_le_bytes(*word));
    let hash = numbers.fold(text.len() as u64, mix);
    let rest = words.remainder().iter();
    let rest = rest.fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    (mix(hash, rest) >> 40) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 256;
    const LONGEST: usize = 48;

    #[test]
    fn only_the_same_text_of_the_same_owner_is_remembered() {
        let mut memory = Memory::<usize, PLACES, LONGEST>::new();
        let texts: Vec<String> = (0..1_000).map(|number| format!("key_{number}")).collect();
        for (value, text) in texts.iter().enumerate() {
            memory.put(1, text, value);
            assert_eq!(
                (memory.get(1, text), memory.get(2, text)),
                (Some(value), None)
            );
        }
        let kept = texts.iter().enumerate().filter(|(value, text)| {
            let got = memory.get(1, text);
            assert!(got.is_none() || got == Some(*value));
            got.is_some()
        });
        assert!((100..=PLACES).contains(&kept.count()));
        let long = "x".repeat(LONGEST + 1);
        memory.put(1, &long, 7);
        assert_eq!(memory.get(1, &long), None);
    }
}
