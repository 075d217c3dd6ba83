//! Values: what an event holds as its data, and JSON in and out.
//!
//! A [`Snap`] is a JSON value of a fixed shape. It keeps the order of the keys of an object, and integers of any size.

use std::collections::HashMap;

mod key;
mod read;
mod write;

pub use key::Key;

pub(crate) use write::{decimal as write_decimal, string as write_string, Out};

pub(crate) use read::from_lenient_json;
pub use read::{
    from_json, from_json_of_others, from_json_within, JsonError, MAX_DEPTH, MAX_DIGITS,
};

/// Of so few pairs, the key of each is compared with those of the others.
const FEW: usize = 16;

/// The largest integer that is written as a JSON number. Larger ones, and those below `-MAX_INT`, are written as strings.
pub const MAX_INT: i64 = i64::MAX;

/// A JSON value, taken from a program's data and independent of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Snap {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A floating-point number; it may be NaN or infinite.
    Float(f64),
    /// An integer that does not fit into 64 bits, in decimal digits, with a `-` if it is negative and without leading zeros.
    Big(Box<str>),
    /// A text.
    Str(Box<str>),
    /// A text that stands for more than it says: what was cut, left out or redacted. In JSON it is a string like others.
    Mark(Box<str>),
    /// A list.
    List(Box<[Snap]>),
    /// An object, as pairs in their order. Keys are unique.
    Map(Box<[(Key, Snap)]>),
}

impl Snap {
    /// Returns the value of a key of an object; `None` for other values and missing keys.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Snap> {
        match self {
            Snap::Map(pairs) => pairs
                .iter()
                .find(|(name, _)| &**name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns the text of a string or mark.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Snap::Str(text) | Snap::Mark(text) => Some(text),
            _ => None,
        }
    }

    /// Tells whether Python takes the value for true: all but null, false, zero, and what is empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Snap::Null => false,
            Snap::Bool(value) => *value,
            Snap::Int(value) => *value != 0,
            Snap::Float(value) => *value != 0.0,
            Snap::Big(_) => true,
            Snap::Str(text) | Snap::Mark(text) => !text.is_empty(),
            Snap::List(items) => !items.is_empty(),
            Snap::Map(pairs) => !pairs.is_empty(),
        }
    }

    /// Returns an object made of pairs. Of two pairs with the same key, the later value stays, in the place of the first.
    pub fn map<K: Into<Key>>(pairs: impl IntoIterator<Item = (K, Snap)>) -> Snap {
        let pairs = pairs.into_iter();
        let mut taken: Vec<(Key, Snap)> = Vec::with_capacity(pairs.size_hint().0);
        let mut places = HashMap::new(); // of more than a few keys
        for (key, value) in pairs {
            let key = key.into();
            if taken.len() == FEW && places.is_empty() {
                let keys = taken.iter().enumerate();
                places.extend(keys.map(|(at, (key, _))| (key.clone(), at)));
            }
            let place = match taken.len() {
                0..FEW => taken.iter().position(|(known, _)| *known == key),
                _ => places.get(&key).copied(),
            };
            match place {
                Some(at) => taken[at].1 = value,
                None => {
                    if taken.len() >= FEW {
                        places.insert(key.clone(), taken.len());
                    }
                    taken.push((key, value));
                }
            }
        }
        Snap::Map(taken.into())
    }

    /// Returns the value as strict JSON (RFC 8259) without blanks, on one line.
    ///
    /// The text equals that of Python's `json.dumps(value, separators=(",", ":"), ensure_ascii=False)`. What JSON has no number
    /// for becomes a string: `"NaN"`, `"Infinity"`, `"-Infinity"`, and integers outside `-MAX_INT..=MAX_INT`. An integer of more
    /// than 4,096 bits becomes its size, such as `"<int of 5000 bits>"`.
    ///
    /// ```
    /// use the_edge_obs::value::Snap;
    ///
    /// let value = Snap::map([("cost", Snap::Float(1e16)), ("text", Snap::from("a\nb"))]);
    /// assert_eq!(value.to_json(), r#"{"cost":1e+16,"text":"a\nb"}"#);
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Appends the JSON text of the value, as [`Snap::to_json`] returns it.
    pub fn write_json(&self, out: &mut String) {
        self.write_to(out);
    }

    /// As [`Snap::write_json`], also to bytes.
    pub(crate) fn write_to(&self, out: &mut impl Out) {
        write::value(self, out);
    }
}

impl From<&str> for Snap {
    fn from(text: &str) -> Self {
        Snap::Str(text.into())
    }
}

impl From<String> for Snap {
    fn from(text: String) -> Self {
        Snap::Str(text.into())
    }
}

impl From<bool> for Snap {
    fn from(value: bool) -> Self {
        Snap::Bool(value)
    }
}

impl From<f64> for Snap {
    fn from(value: f64) -> Self {
        Snap::Float(value)
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Snap {
            fn from(value: $kind) -> Self {
                i64::try_from(value).map_or_else(|_| Snap::Big(value.to_string().into()), Snap::Int)
            }
        }
    )*};
}
integers!(i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, isize, usize);

impl<T: Into<Snap>> From<Option<T>> for Snap {
    fn from(value: Option<T>) -> Self {
        value.map_or(Snap::Null, Into::into)
    }
}

impl<T: Into<Snap>> From<Vec<T>> for Snap {
    fn from(items: Vec<T>) -> Self {
        Snap::List(items.into_iter().map(Into::into).collect())
    }
}

/// Returns how many bits an integer has, without its sign: 3 for `-4`. The digits are ASCII, with an optional `-` before them.
pub(crate) fn bit_length(digits: &str) -> usize {
    let mut limbs: Vec<u32> = vec![0];
    for digit in digits.trim_start_matches('-').bytes() {
        let mut carry = u64::from(digit - b'0');
        for limb in &mut limbs {
            let sum = u64::from(*limb) * 10 + carry;
            *limb = (sum & 0xffff_ffff) as u32;
            carry = sum >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    }
    let top = limbs.iter().rposition(|limb| *limb > 0);
    top.map_or(0, |top| 32 * top + 32 - limbs[top].leading_zeros() as usize)
}

/// Returns an integer as text; one of more than 4,096 bits as its size.
pub(crate) fn integer_text(digits: &str) -> String {
    // 1,233 digits are fewer than 4,096 bits.
    if digits.len() <= 1_200 {
        return digits.to_owned();
    }
    let bits = bit_length(digits);
    if bits <= 4_096 {
        digits.to_owned()
    } else {
        format!("<int of {bits} bits>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = Snap> {
        let text = "\\PC{0,8}|[\\x00-\\x7f]{0,8}";
        let leaf = prop_oneof![
            Just(Snap::Null),
            any::<bool>().prop_map(Snap::Bool),
            any::<i64>()
                .prop_filter("written as a string", |value| *value != i64::MIN)
                .prop_map(Snap::Int),
            any::<f64>()
                .prop_filter("not JSON", |value| value.is_finite())
                .prop_map(Snap::Float),
            text.prop_map(Snap::from),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6)
                    .prop_map(|items| Snap::List(items.into())),
                proptest::collection::vec((text, inner), 0..6).prop_map(Snap::map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in json()) {
            let text = value.to_json();
            prop_assert!(!text.contains('\n'));
            prop_assert_eq!(from_json(&text).unwrap(), value);
        }

        #[test]
        fn a_reader_never_panics(text in "[\\[\\]{}\",:0-9a-z\\\\.eE+\\- ]{0,40}") {
            let _ = from_json(&text);
        }

        #[test]
        fn bits_are_counted(number in any::<u128>()) {
            let expected = 128 - number.leading_zeros() as usize;
            prop_assert_eq!(bit_length(&number.to_string()), expected);
        }
    }

    #[test]
    fn a_later_value_of_a_key_takes_the_place_of_the_first() {
        let value = Snap::map([
            ("a", Snap::Int(1)),
            ("b", Snap::Int(2)),
            ("a", Snap::Int(3)),
        ]);
        assert_eq!(value.to_json(), r#"{"a":3,"b":2}"#);
        assert_eq!(value.get("a"), Some(&Snap::Int(3)));
        assert_eq!(value.get("c"), None);
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_strings() {
        let texts = [
            (Snap::Float(f64::NAN), "\"NaN\""),
            (Snap::Float(f64::NEG_INFINITY), "\"-Infinity\""),
            (Snap::Int(i64::MIN), "\"-9223372036854775808\""),
            (Snap::Int(-i64::MAX), "-9223372036854775807"),
            (Snap::from(u64::MAX), "\"18446744073709551615\""),
        ];
        for (value, text) in texts {
            assert_eq!(value.to_json(), text);
        }
        let huge = "9".repeat(1_300);
        assert_eq!(
            Snap::Big(huge.into()).to_json(),
            format!("\"<int of {} bits>\"", 4_319)
        );
    }
}
