//! Texts in which no secret stands, by shape and by the built-in names: the same keys and texts come again and again, and to look
//! a text up takes a tenth of the time that it takes to judge it.

use std::cell::RefCell;

use super::memory::Memory;

const MAX_TEXTS: usize = 1_024; // per thread,
const MAX_BYTES: usize = 256; // of at most so many bytes each

thread_local! {
    static ORDINARY: RefCell<Memory<(), MAX_TEXTS, MAX_BYTES>> = const { RefCell::new(Memory::new()) };
}

/// Tells whether a text was noted on this thread.
pub(super) fn is_ordinary(text: &str) -> bool {
    let known = ORDINARY.try_with(|known| known.borrow().get(0, text));
    known.ok().flatten().is_some()
}

/// Notes a text that holds no secret.
pub(super) fn note(text: &str) {
    // Without its storage, a thread that ends judges each text anew.
    let _ = ORDINARY.try_with(|known| known.borrow_mut().put(0, text, ()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_remembers_so_many_short_texts() {
        let long = "x".repeat(MAX_BYTES + 1);
        note(&long);
        assert!(!is_ordinary(&long));
        let texts: Vec<String> = (0..=MAX_TEXTS).map(|number| number.to_string()).collect();
        for text in &texts {
            note(text);
            assert!(is_ordinary(text));
        }
        let kept = texts.iter().filter(|text| is_ordinary(text)).count();
        assert!((MAX_TEXTS / 2..=MAX_TEXTS).contains(&kept), "{kept}");
    }
}
