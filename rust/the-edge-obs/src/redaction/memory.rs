//! What a thread remembers of the short texts that it has met, so that threads do not wait for each other.

/// A memory of short texts: each has one place, and a new one takes the place of another.
///
/// It holds so many texts at most, of so many bytes at most.
pub(super) struct Memory<T, const PLACES: usize, const LONGEST: usize> {
    places: Vec<Option<(u64, String, T)>>,
}

impl<T: Copy, const PLACES: usize, const LONGEST: usize> Memory<T, PLACES, LONGEST> {
    pub const fn new() -> Self {
        Memory { places: Vec::new() }
    }

    /// Returns what is remembered of a text by somebody, who is a number.
    #[inline]
    pub fn get(&self, whose: u64, text: &str) -> Option<T> {
        if text.len() > LONGEST {
            return None;
        }
        self.get_at(hash_of(text), whose, text)
    }

    /// As [`Memory::get`], of a text whose hash is known.
    #[inline]
    pub fn get_at(&self, hash: u64, whose: u64, text: &str) -> Option<T> {
        let place = place_of(hash) % PLACES;
        let (owner, known, value) = self.places.get(place)?.as_ref()?;
        (*owner == whose && **known == *text).then_some(*value)
    }

    /// Remembers something of a text, if it is short.
    pub fn put(&mut self, whose: u64, text: &str, value: T) {
        if text.len() <= LONGEST {
            self.put_at(hash_of(text), whose, text, value);
        }
    }

    /// As [`Memory::put`], of a text whose hash is known, and which is short.
    pub fn put_at(&mut self, hash: u64, whose: u64, text: &str, value: T) {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let place = &mut self.places[place_of(hash) % PLACES];
        match place {
            Some(known) => {
                known.1.clear();
                known.1.push_str(text);
                (known.0, known.2) = (whose, value);
            }
            None => *place = Some((whose, text.to_owned(), value)),
        }
    }
}

/// Returns the place of a hash, of any number of places up to 2^24.
fn place_of(hash: u64) -> usize {
    (hash >> 40) as usize
}

/// Returns a number that different texts seldom share, in its highest bits.
#[inline]
pub(super) fn hash_of(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let (mut one, mut two) = (bytes.len() as u64, 0);
    let mut rest = bytes;
    while let Some((sixteen, behind)) = rest.split_first_chunk::<16>() {
        let both = u128::from_le_bytes(*sixteen);
        one = mixed(one, both as u64);
        two = mixed(two, (both >> 64) as u64);
        rest = behind;
    }
    // What is left, or bytes that were seen before with it.
    if let Some(eight) = rest.first_chunk() {
        one = mixed(one, u64::from_le_bytes(*eight));
    }
    let last = match (bytes.last_chunk(), rest) {
        (_, []) => 0,
        (Some(eight), _) => u64::from_le_bytes(*eight),
        (None, _) => few(rest),
    };
    mixed(one ^ two.rotate_left(32), last)
}

#[inline]
fn mixed(hash: u64, part: u64) -> u64 {
    (hash.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Returns up to seven bytes as a number.
#[inline]
fn few(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
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
