//! Calls of code that is not ours, such as a sink, a `Serialize` or a `Display`: a panic in there must not reach the observed code.

use std::any::Any;
use std::io::Write;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs a function, and returns its result, or the text of its panic.
#[inline]
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(disposed)
}

/// Drops what a panic carried, and returns its text.
#[cold]
fn disposed(panic: Box<dyn Any + Send>) -> String {
    let text = panic_text(&*panic);
    dispose(panic);
    text
}

/// Drops what a panic carried. That can panic again.
fn dispose(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// Returns the text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Writes a line to stderr, for what no log can tell; a closed stderr is no reason to panic.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "the-edge-obs: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics again when the panic that it was part of is dropped.
    struct Again;

    impl Drop for Again {
        fn drop(&mut self) {
            std::panic::panic_any(3);
        }
    }

    #[test]
    fn a_panic_becomes_its_text() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught::<()>(|| panic!("no {}", 7)), Err("no 7".to_owned()));
        assert_eq!(caught::<()>(|| panic!("no")), Err("no".to_owned()));
        let silent = caught::<()>(|| std::panic::panic_any(Again));
        assert_eq!(silent, Err("a panic without a text".to_owned()));
    }
}
