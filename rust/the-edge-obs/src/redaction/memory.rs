//! What a thread remembers of the short texts that it has met, so that threads do not wait for each other.

/// Texts that are remembered, of
const PLACES: usize = 256;
/// bytes at most.
const LONGEST: usize = 48;

/// A memory of short texts: each has one place, and a new one takes the place of another.
pub(super) struct Memory<T> {
    places: Vec<Option<(u64, Box<str>, T)>>,
}

impl<T: Copy> Memory<T> {
    pub const fn new() -> Memory<T> {
        Memory { places: Vec::new() }
    }

    /// Returns what is remembered of a text by somebody, who is a number.
    pub fn get(&self, whose: u64, text: &str) -> Option<T> {
        let (owner, known, value) = self.places.get(place_of(text))?.as_ref()?;
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
        self.places[place_of(text)] = Some((whose, text.into(), value));
    }
}

fn place_of(text: &str) -> usize {
    let mix = |hash: u32, part: u32| (hash.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9);
    let head = text.as_bytes().get(..LONGEST).unwrap_or(text.as_bytes());
    let mut words = head.chunks_exact(4);
    let numbers = words
        .by_ref()
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let hash = numbers.fold(text.len() as u32, mix);
    let hash = words
        .remainder()
        .iter()
        .fold(hash, |hash, byte| mix(hash, u32::from(*byte)));
    (hash >> 16) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_text_of_the_same_owner_is_remembered() {
        let mut memory = Memory::new();
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
