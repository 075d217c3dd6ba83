//! A look at whether a result describes a failure, for nodes that are not recorded: nothing of it is taken.

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};

use super::key::Key;
use super::{Refusal, MAX_NESTED};
use crate::guard::caught;
use crate::redaction::MAX_ITEMS;

/// Tells whether a value is an object whose `success` is false.
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
    False,
}

/// Returns whether a value is what is wanted. It refuses what it need not look at.
#[derive(Clone, Copy)]
struct Probe {
    wanted: Wanted,
    /// Wrappers around the value on the way here.
    nested: usize,
}

type None = Impossible<bool, Refusal>;

/// Refuses what is not looked into: a list, or what comes after enough items.
fn other<T>() -> Result<T, Refusal> {
    Err(Refusal::new(String::new()))
}

impl Probe {
    fn unwrap<T: Serialize + ?Sized>(self, value: &T) -> Result<bool, Refusal> {
        if self.nested >= MAX_NESTED {
            return other();
        }
        let nested = self.nested + 1;
        value.serialize(Probe { nested, ..self })
    }

    fn object(self) -> Result<Object, Refusal> {
        if self.wanted != Wanted::Object {
            return other();
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
        fn $name(self, _value: $type) -> Result<bool, Refusal> {
            Ok(false)
        }
    )* };
}

impl Serializer for Probe {
    type Ok = bool;
    type Error = Refusal;
    type SerializeSeq = None;
    type SerializeTuple = None;
    type SerializeTupleStruct = None;
    type SerializeTupleVariant = None;
    type SerializeMap = Object;
    type SerializeStruct = Object;
    type SerializeStructVariant = None;

    others!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
            serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
            serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
            serialize_unit_struct: &'static str);

    fn serialize_bool(self, value: bool) -> Result<bool, Refusal> {
        Ok(self.wanted == Wanted::False && !value)
    }
    fn serialize_none(self) -> Result<bool, Refusal> {
        Ok(false)
    }
    fn serialize_unit(self) -> Result<bool, Refusal> {
        Ok(false)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<bool, Refusal> {
        self.unwrap(value)
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
    ) -> Result<bool, Refusal> {
        Ok(false)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<bool, Refusal> {
        self.unwrap(value)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<bool, Refusal> {
        other()
    }
    fn serialize_seq(self, _len: Option<usize>) -> Result<None, Refusal> {
        other()
    }
    fn serialize_tuple(self, _len: usize) -> Result<None, Refusal> {
        other()
    }
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<None, Refusal> {
        other()
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<None, Refusal> {
        other()
    }
    fn serialize_map(self, _len: Option<usize>) -> Result<Object, Refusal> {
        self.object()
    }
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Object, Refusal> {
        self.object()
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<None, Refusal> {
        other()
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
    fn look<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        self.seen += 1;
        if self.is_next {
            self.found = value.serialize(Probe {
                wanted: Wanted::False,
                nested: 0,
            })?;
        }
        if self.seen >= MAX_ITEMS && !self.found {
            return other(); // as far as a capture looks
        }
        Ok(())
    }
}

impl SerializeMap for Object {
    type Ok = bool;
    type Error = Refusal;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        self.is_next = &*key.serialize(Key::new())? == "success";
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        self.look(value)
    }
    fn end(self) -> Result<bool, Refusal> {
        Ok(self.found)
    }
}

impl SerializeStruct for Object {
    type Ok = bool;
    type Error = Refusal;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        self.is_next = key == "success";
        self.look(value)
    }
    fn end(self) -> Result<bool, Refusal> {
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
