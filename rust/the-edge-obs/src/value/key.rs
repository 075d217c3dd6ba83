//! Keys of objects.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// A key of an object: a text. Names in the program's code, such as those of a struct's fields, take no memory of their own.
///
/// ```
/// use the_edge_obs::value::Key;
///
/// let (named, made) = (Key::named("tokens"), Key::from("tok".to_owned() + "ens"));
/// assert_eq!(named, made);
/// assert_eq!(&*named, "tokens");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Cow<'static, str>);

impl Key {
    /// Returns a key that is in the program's code.
    #[inline]
    #[must_use]
    pub const fn named(name: &'static str) -> Key {
        Key(Cow::Borrowed(name))
    }

    /// Returns the bytes of the text, if it takes memory of its own.
    pub(crate) fn own_bytes(&self) -> Option<usize> {
        match &self.0 {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.len()),
        }
    }
}

impl Deref for Key {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, out)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, out)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        text.to_owned().into()
    }
}

impl From<String> for Key {
    fn from(text: String) -> Key {
        text.into_boxed_str().into() // without room that it does not need
    }
}

impl From<Box<str>> for Key {
    fn from(text: Box<str>) -> Key {
        Key(Cow::Owned(text.into()))
    }
}

impl From<Cow<'_, str>> for Key {
    fn from(text: Cow<'_, str>) -> Key {
        text.into_owned().into()
    }
}

impl From<Key> for Box<str> {
    fn from(key: Key) -> Box<str> {
        key.0.into()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.0.into()
    }
}
