//! Texts in which no secret stands, by shape and by the built-in names: the same keys and texts come again and again, and to look
//! a text up takes a tenth of the time that it takes to judge it.

use std::cell::RefCell;

use super::memory::{hash_of, Memory};

const MAX_TEXTS: usize = 1_024; // per thread,
const MAX_BYTES: usize = 1_024; // of at most so many bytes each: a chat sends its history again and again

/// Texts, once they have come twice: to keep each one that never comes again would cost more than it saves.
struct Ordinary {
    /// By place, a part of the hash of the text that came last.
    seen: [u16; MAX_TEXTS],
    known: Memory<(), MAX_TEXTS, MAX_BYTES>,
}

thread_local! {
    static ORDINARY: RefCell<Ordinary> = const {
        RefCell::new(Ordinary { seen: [0; MAX_TEXTS], known: Memory::new() })
    };
}

impl Ordinary {
    /// Returns the mark that a text of a hash leaves, and its place.
    fn mark(&mut self, hash: u64) -> (u16, &mut u16) {
        let seen = &mut self.seen[(hash >> 40) as usize % MAX_TEXTS];
        ((hash >> 24) as u16 | 1, seen)
    }

    fn has(&mut self, hash: u64, text: &str) -> bool {
        let (mark, seen) = self.mark(hash);
        *seen == mark && self.known.get_at(hash, 0, text).is_some()
    }

    fn note(&mut self, hash: u64, text: &str) {
        let (mark, seen) = self.mark(hash);
        if std::mem::replace(seen, mark) == mark {
            self.known.put_at(hash, 0, text, ());
        }
    }
}

/// Tells whether it is known on this thread that a text holds no secret.
#[inline]
pub(super) fn is_known(text: &str) -> bool {
    text.len() <= MAX_BYTES && has(hash_of(text), text)
}

// Without its storage, a thread that ends judges each text anew.
#[inline]
fn has(hash: u64, text: &str) -> bool {
    ORDINARY.try_with(|known| known.borrow_mut().has(hash, text)) == Ok(true)
}

/// Tells whether a text holds no secret; one that did not when it was judged twice on this thread is not judged again.
pub(super) fn is_ordinary(text: &str, judge: impl FnOnce() -> bool) -> bool {
    if text.len() > MAX_BYTES {
        return judge();
    }
    let hash = hash_of(text);
    if has(hash, text) {
        return true;
    }
    let is_ordinary = judge();
    if is_ordinary {
        let _ = ORDINARY.try_with(|known| known.borrow_mut().note(hash, text));
    }
    is_ordinary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_remembers_so_many_short_texts() {
        let long = "x".repeat(MAX_BYTES + 1);
        let come_twice = |text: &str| (0..2).for_each(|_| assert!(is_ordinary(text, || true)));
        come_twice(&long);
        assert!(!is_known(&long));
        assert!(is_ordinary("once", || true) && !is_known("once"));
        let texts: Vec<String> = (0..=MAX_TEXTS).map(|number| number.to_string()).collect();
        for text in &texts {
            come_twice(text);
            assert!(is_known(text));
        }
        let kept = texts.iter().filter(|text| is_known(text)).count();
        assert!((MAX_TEXTS / 2..=MAX_TEXTS).contains(&kept), "{kept}");
    }
}
