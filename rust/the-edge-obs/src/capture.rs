//! Capture: any serialisable value as a [`Snap`].
//!
//! What a snapshot would cut anyway is not walked: of a container its first [`MAX_ITEMS`] items, of a value its first few thousand
//! parts, and no deeper than a snapshot goes; the rest is only counted. So capturing a large value takes bounded time.

use std::cell::Cell;
use std::fmt::{self, Display};

use serde::ser::{self, Impossible, Serialize, Serializer};

use crate::redaction::{items_mark, MAX_DEPTH, MAX_ITEMS, MAX_VALUES};
use crate::value::Snap;

/// Returns a serialisable value as a [`Snap`].
///
/// It has the form that `serde_json` would give it. Bytes become a mark such as `<12 bytes>`, and what cannot be serialised becomes
/// a mark that says why.
///
/// ```
/// use the_edge_obs::to_snap;
///
/// assert_eq!(to_snap(&[("a", 1), ("b", 2)]).to_json(), r#"[["a",1],["b",2]]"#);
/// ```
#[must_use]
pub fn to_snap<T: Serialize + ?Sized>(value: &T) -> Snap {
    let left = Cell::new(4 * MAX_VALUES);
    let walk = Walk {
        left: &left,
        depth: 0,
    };
    value.serialize(walk).unwrap_or_else(|error| {
        Snap::Mark(format!("<cannot be serialised: {error}>").into_boxed_str())
    })
}

impl Serialize for Snap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Snap::Null => serializer.serialize_unit(),
            Snap::Bool(value) => serializer.serialize_bool(*value),
            Snap::Int(value) => serializer.serialize_i64(*value),
            Snap::Float(value) => serializer.serialize_f64(*value),
            Snap::Big(text) | Snap::Str(text) | Snap::Mark(text) => serializer.serialize_str(text),
            Snap::List(items) => serializer.collect_seq(items.iter()),
            Snap::Map(pairs) => {
                serializer.collect_map(pairs.iter().map(|(key, value)| (&**key, value)))
            }
        }
    }
}

/// Why a value cannot be serialised: the words of its `Serialize`.
#[derive(Debug)]
pub struct Refusal(String);

impl Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl ser::Error for Refusal {
    fn custom<T: Display>(message: T) -> Self {
        Refusal(message.to_string())
    }
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn inside(self) -> Walk<'a> {
        Walk {
            depth: self.depth + 1,
            ..self
        }
    }

    /// Tells whether the next item of a container that has `taken` is worth a look, and counts it.
    fn takes_one(self, taken: usize) -> bool {
        let left = self.left.get();
        if left == 0 || taken >= MAX_ITEMS || self.depth > MAX_DEPTH {
            return false;
        }
        self.left.set(left - 1);
        true
    }
}

fn integer(value: impl Display + TryInto<i64> + Copy) -> Snap {
    match value.try_into() {
        Ok(small) => Snap::Int(small),
        Err(_) => Snap::Big(value.to_string().into_boxed_str()),
    }
}

impl<'a> Serializer for Walk<'a> {
    type Ok = Snap;
    type Error = Refusal;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Pairs<'a>;
    type SerializeStruct = Pairs<'a>;
    type SerializeStructVariant = Pairs<'a>;

    fn serialize_bool(self, value: bool) -> Result<Snap, Refusal> {
        Ok(Snap::Bool(value))
    }
    fn serialize_i8(self, value: i8) -> Result<Snap, Refusal> {
        Ok(Snap::Int(value.into()))
    }
    fn serialize_i16(self, value: i16) -> Result<Snap, Refusal> {
        Ok(Snap::Int(value.into()))
    }
    fn serialize_i32(self, value: i32) -> Result<Snap, Refusal> {
        Ok(Snap::Int(value.into()))
    }
    fn serialize_i64(self, value: i64) -> Result<Snap, Refusal> {
        Ok(Snap::Int(value))
    }
    fn serialize_i128(self, value: i128) -> Result<Snap, Refusal> {
        Ok(integer(value))
    }
    fn serialize_u8(self, value: u8) -> Result<Snap, Refusal> {
        Ok(Snap::Int(value.into()))
    }
    fn serialize_u16(self, value: u16) -> Result<Snap, Refusal> {
        Ok(Snap::Int(value.into()))
    }
    fn serialize_u32(self, value: u32) -> Result<Snap, Refusal> {
        Ok(Snap::Int(value.into()))
    }
    fn serialize_u64(self, value: u64) -> Result<Snap, Refusal> {
        Ok(integer(value))
    }
    fn serialize_u128(self, value: u128) -> Result<Snap, Refusal> {
        Ok(integer(value))
    }
    fn serialize_f32(self, value: f32) -> Result<Snap, Refusal> {
        // By its shortest decimal form: 0.1 stays 0.1.
        Ok(Snap::Float(
            value.to_string().parse().unwrap_or(value.into()),
        ))
    }
    fn serialize_f64(self, value: f64) -> Result<Snap, Refusal> {
        Ok(Snap::Float(value))
    }
    fn serialize_char(self, value: char) -> Result<Snap, Refusal> {
        Ok(Snap::from(value.to_string()))
    }
    fn serialize_str(self, value: &str) -> Result<Snap, Refusal> {
        Ok(Snap::from(value))
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<Snap, Refusal> {
        Ok(Snap::Mark(
            format!("<{} bytes>", value.len()).into_boxed_str(),
        ))
    }
    fn serialize_none(self) -> Result<Snap, Refusal> {
        Ok(Snap::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Snap, Refusal> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Snap, Refusal> {
        Ok(Snap::Null)
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Result<Snap, Refusal> {
        Ok(Snap::Null)
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Snap, Refusal> {
        Ok(Snap::from(variant))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Snap, Refusal> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Snap, Refusal> {
        Ok(tagged(variant, value.serialize(self.inside())?))
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'a>, Refusal> {
        Ok(Items::new(self, None, len.unwrap_or(0)))
    }
    fn serialize_tuple(self, len: usize) -> Result<Items<'a>, Refusal> {
        Ok(Items::new(self, None, len))
    }
    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items<'a>, Refusal> {
        Ok(Items::new(self, None, len))
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'a>, Refusal> {
        Ok(Items::new(self, Some(variant), len))
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Pairs<'a>, Refusal> {
        Ok(Pairs::new(self, None, len.unwrap_or(0)))
    }
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Pairs<'a>, Refusal> {
        Ok(Pairs::new(self, None, len))
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Pairs<'a>, Refusal> {
        Ok(Pairs::new(self, Some(variant), len))
    }
}

fn tagged(variant: &'static str, value: Snap) -> Snap {
    Snap::Map(Box::new([(variant.into(), value)]))
}

/// The items of a list, tuple or tuple variant.
struct Items<'a> {
    walk: Walk<'a>,
    variant: Option<&'static str>,
    taken: Vec<Snap>,
    left_out: usize,
}

impl<'a> Items<'a> {
    fn new(walk: Walk<'a>, variant: Option<&'static str>, count: usize) -> Items<'a> {
        Items {
            walk: walk.inside(),
            variant,
            taken: Vec::with_capacity(count.min(MAX_ITEMS)),
            left_out: 0,
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        if self.walk.takes_one(self.taken.len()) {
            self.taken.push(value.serialize(self.walk)?);
        } else {
            self.left_out += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Snap {
        if self.left_out > 0 {
            self.taken.push(items_mark(self.left_out));
        }
        let list = Snap::List(self.taken.into());
        match self.variant {
            Some(variant) => tagged(variant, list),
            None => list,
        }
    }
}

macro_rules! items {
    ($trait:ident, $push:ident) => {
        impl ser::$trait for Items<'_> {
            type Ok = Snap;
            type Error = Refusal;
            fn $push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
                self.push(value)
            }
            fn end(self) -> Result<Snap, Refusal> {
                Ok(Items::end(self))
            }
        }
    };
}
items!(SerializeSeq, serialize_element);
items!(SerializeTuple, serialize_element);
items!(SerializeTupleStruct, serialize_field);
items!(SerializeTupleVariant, serialize_field);

/// The pairs of a map, struct or struct variant.
struct Pairs<'a> {
    walk: Walk<'a>,
    variant: Option<&'static str>,
    taken: Vec<(Box<str>, Snap)>,
    left_out: usize,
    key: Box<str>,
}

impl<'a> Pairs<'a> {
    fn new(walk: Walk<'a>, variant: Option<&'static str>, count: usize) -> Pairs<'a> {
        Pairs {
            walk: walk.inside(),
            variant,
            taken: Vec::with_capacity(count.min(MAX_ITEMS)),
            left_out: 0,
            key: "".into(),
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, key: Box<str>, value: &T) -> Result<(), Refusal> {
        if self.walk.takes_one(self.taken.len()) {
            self.taken.push((key, value.serialize(self.walk)?));
        } else {
            self.left_out += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Snap {
        if self.left_out > 0 {
            self.taken.push(("…".into(), items_mark(self.left_out)));
        }
        let map = Snap::Map(self.taken.into());
        match self.variant {
            Some(variant) => tagged(variant, map),
            None => map,
        }
    }
}

impl ser::SerializeMap for Pairs<'_> {
    type Ok = Snap;
    type Error = Refusal;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        self.key = key.serialize(Key)?;
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let key = std::mem::take(&mut self.key);
        self.push(key, value)
    }
    fn end(self) -> Result<Snap, Refusal> {
        Ok(Pairs::end(self))
    }
}

macro_rules! pairs {
    ($trait:ident) => {
        impl ser::$trait for Pairs<'_> {
            type Ok = Snap;
            type Error = Refusal;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Refusal> {
                self.push(key.into(), value)
            }
            fn end(self) -> Result<Snap, Refusal> {
                Ok(Pairs::end(self))
            }
        }
    };
}
pairs!(SerializeStruct);
pairs!(SerializeStructVariant);

/// Keys of maps: texts, numbers, truth values and names of variants.
struct Key;

type NoKey = Impossible<Box<str>, Refusal>;

fn no_key<T>() -> Result<T, Refusal> {
    Err(Refusal("a key is not a text or number".to_owned()))
}

macro_rules! keys {
    ($($name:ident: $type:ty),*) => { $(
        fn $name(self, value: $type) -> Result<Box<str>, Refusal> {
            Ok(value.to_string().into_boxed_str())
        }
    )* };
}

impl Serializer for Key {
    type Ok = Box<str>;
    type Error = Refusal;
    type SerializeSeq = NoKey;
    type SerializeTuple = NoKey;
    type SerializeTupleStruct = NoKey;
    type SerializeTupleVariant = NoKey;
    type SerializeMap = NoKey;
    type SerializeStruct = NoKey;
    type SerializeStructVariant = NoKey;

    keys!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
          serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
          serialize_u128: u128, serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_str: &str);

    fn serialize_bytes(self, _value: &[u8]) -> Result<Box<str>, Refusal> {
        no_key()
    }
    fn serialize_none(self) -> Result<Box<str>, Refusal> {
        Ok("null".into())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Box<str>, Refusal> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Box<str>, Refusal> {
        Ok("null".into())
    }
    fn serialize_unit_struct(self, name: &'static str) -> Result<Box<str>, Refusal> {
        Ok(name.into())
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Box<str>, Refusal> {
        Ok(variant.into())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Box<str>, Refusal> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Box<str>, Refusal> {
        no_key()
    }
    fn serialize_seq(self, _len: Option<usize>) -> Result<NoKey, Refusal> {
        no_key()
    }
    fn serialize_tuple(self, _len: usize) -> Result<NoKey, Refusal> {
        no_key()
    }
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<NoKey, Refusal> {
        no_key()
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<NoKey, Refusal> {
        no_key()
    }
    fn serialize_map(self, _len: Option<usize>) -> Result<NoKey, Refusal> {
        no_key()
    }
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<NoKey, Refusal> {
        no_key()
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<NoKey, Refusal> {
        no_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn values_have_the_form_that_serde_json_gives_them() {
        assert_eq!(to_snap(&()), Snap::Null);
        assert_eq!(to_snap(&0.1_f32), Snap::Float(0.1));
        assert_eq!(to_snap(&u64::MAX), Snap::Big("18446744073709551615".into()));
        assert_eq!(
            to_snap(&i128::MIN).to_json(),
            "\"-170141183460469231731687303715884105728\""
        );
        let map = BTreeMap::from([(2, Some("b")), (10, None)]);
        assert_eq!(to_snap(&map).to_json(), r#"{"2":"b","10":null}"#);
        let error: Result<u8, (char, bool)> = Err(('x', true));
        assert_eq!(to_snap(&error).to_json(), r#"{"Err":["x",true]}"#);
        let odd = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(
            to_snap(&odd).as_str(),
            Some("<cannot be serialised: a key is not a text or number>")
        );
    }

    #[test]
    fn a_snap_is_taken_as_it_is() {
        let value = crate::value::from_json(r#"{"b":[1,2.5,null],"a":{"x":"é"}}"#).unwrap();
        assert_eq!(to_snap(&value), value);
    }

    /// A list of lists of lists that never ends downwards, and counts who looks at it.
    struct Endless<'a>(&'a Cell<usize>);

    impl Serialize for Endless<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.set(self.0.get() + 1);
            serializer.collect_seq((0..1_000).map(|_| Endless(self.0)))
        }
    }

    #[test]
    fn what_a_snapshot_would_cut_is_not_walked() {
        let looks = Cell::new(0);
        let taken = to_snap(&Endless(&looks));
        assert!(looks.get() <= 4 * MAX_VALUES + 1, "{}", looks.get());
        let Snap::List(items) = taken else { panic!() };
        assert_eq!(items.last(), Some(&items_mark(999))); // the first item took all that may be taken
    }

    #[test]
    fn the_mark_of_a_cut_counts_what_was_not_captured() {
        let taken = to_snap(&vec![0_u8; 1_000_000]);
        let cut = crate::flow::Flow::new(crate::ids::FlowId::random(), "f");
        let Snap::List(items) = cut.policy.snapshot(&taken, &cut.taints) else {
            panic!()
        };
        assert_eq!(items.len(), MAX_ITEMS + 1);
        assert_eq!(items.last(), Some(&items_mark(999_800)));
    }
}
