//! A look at whether a result describes a failure, for nodes that are not recorded: nothing of it is taken.

use std::fmt;

use serde::ser::{self, Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};

use super::MAX_NESTED;
use crate::guard::caught;
use crate::redaction::MAX_ITEMS;

const SUCCESS: &str = "success";

/// Tells whether a value is an object whose `success` is false.
#[inline]
pub(crate) fn describes_failure<T: Serialize + ?Sized>(value: &T) -> bool {
    let probe = Probe {
        wanted: Wanted::Object,
        nested: 0,
    };
    matches!(caught(|| value.serialize(probe)), Ok(Ok(true)))
}

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Object,
    /// The name of the key.
    Name,
    False,
}

/// Returns whether a value is what is wanted. It refuses what it need not look at.
#[derive(Clone, Copy)]
struct Probe {
    wanted: Wanted,
    /// Wrappers around the value on the way here.
    nested: usize,
}

/// Says that no more need be looked at. It holds nothing, so that the compiler can see through a whole look.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("no more need be looked at")
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: fmt::Display>(_message: T) -> Stop {
        Stop
    }
}

type None = Impossible<bool, Stop>;

impl Probe {
    #[inline]
    fn unwrap<T: Serialize + ?Sized>(self, value: &T) -> Result<bool, Stop> {
        if self.nested >= MAX_NESTED {
            return Err(Stop);
        }
        let nested = self.nested + 1;
        value.serialize(Probe { nested, ..self })
    }

    #[inline]
    fn object(self) -> Result<Object, Stop> {
        if self.wanted != Wanted::Object {
            return Err(Stop);
        }
        Ok(Object {
            is_next: false,
            seen: 0,
            found: false,
        })
    }
}

macro_rules! others {
    ($($name:ident: $type:ty),*) => { $(
        #[inline]
        fn $name(self, _value: $type) -> Result<bool, Stop> {
            Ok(false)
        }
    )* };
}

impl Serializer for Probe {
    type Ok = bool;
    type Error = Stop;
    type SerializeSeq = None;
    type SerializeTuple = None;
    type SerializeTupleStruct = None;
    type SerializeTupleVariant = None;
    type SerializeMap = Object;
    type SerializeStruct = Object;
    type SerializeStructVariant = None;

    others!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
            serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
            serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_bytes: &[u8]);

    #[inline]
    fn serialize_str(self, value: &str) -> Result<bool, Stop> {
        Ok(self.wanted == Wanted::Name && value == SUCCESS)
    }
    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<bool, Stop> {
        self.serialize_str(name)
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<bool, Stop> {
        Ok(self.wanted == Wanted::False && !value)
    }
    #[inline]
    fn serialize_none(self) -> Result<bool, Stop> {
        Ok(false)
    }
    #[inline]
    fn serialize_unit(self) -> Result<bool, Stop> {
        Ok(false)
    }
    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<bool, Stop> {
        self.unwrap(value)
    }
    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<bool, Stop> {
        self.serialize_str(variant)
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<bool, Stop> {
        self.unwrap(value)
    }
    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<bool, Stop> {
        Err(Stop)
    }
    #[inline]
    fn serialize_seq(self, _len: Option<usize>) -> Result<None, Stop> {
        Err(Stop)
    }
    #[inline]
    fn serialize_tuple(self, _len: usize) -> Result<None, Stop> {
        Err(Stop)
    }
    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<None, Stop> {
        Err(Stop)
    }
    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<None, Stop> {
        Err(Stop)
    }
    #[inline]
    fn serialize_map(self, _len: Option<usize>) -> Result<Object, Stop> {
        self.object()
    }
    #[inline]
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Object, Stop> {
        self.object()
    }
    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<None, Stop> {
        Err(Stop)
    }
}

/// Looks for the key of an object.
struct Object {
    /// Whether the value that comes next is that of the key.
    is_next: bool,
    seen: usize,
    found: bool,
}

impl Object {
    #[inline]
    fn look<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.seen += 1;
        if self.is_next {
            self.found = value.serialize(Probe {
                wanted: Wanted::False,
                nested: 0,
            })?;
        }
        if self.seen >= MAX_ITEMS && !self.found {
            return Err(Stop); // as far as a capture looks
        }
        Ok(())
    }
}

impl SerializeMap for Object {
    type Ok = bool;
    type Error = Stop;
    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stop> {
        self.is_next = key.serialize(Probe {
            wanted: Wanted::Name,
            nested: 0,
        })?;
        Ok(())
    }
    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.look(value)
    }
    #[inline]
    fn end(self) -> Result<bool, Stop> {
        Ok(self.found)
    }
}

impl SerializeStruct for Object {
    type Ok = bool;
    type Error = Stop;
    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        self.is_next = key == SUCCESS;
        self.look(value)
    }
    #[inline]
    fn end(self) -> Result<bool, Stop> {
        Ok(self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json;
    use std::collections::BTreeMap;

    #[test]
    fn only_an_object_without_success_describes_a_failure() {
        let of = |text: &str| describes_failure(&from_json(text).unwrap());
        assert!(of(r#"{"a":[1],"success":false,"error":"x"}"#));
        assert!(describes_failure(&Some(BTreeMap::from([(
            "success", false
        )]))));
        for text in [
            r#"{"success":true}"#,
            r#"{"success":0}"#,
            r#"{"success":{"success":false}}"#,
            "[false]",
            "false",
            "{}",
        ] {
            assert!(!of(text), "{text}");
        }
    }

    /// An object without an end, which says so late.
    struct Endless;

    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map((0_u64..).map(|number| (number, number)))
        }
    }

    #[test]
    fn an_object_without_an_end_is_left() {
        assert!(!describes_failure(&Endless));
    }
}
