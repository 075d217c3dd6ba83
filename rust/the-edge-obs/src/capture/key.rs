//! Keys of maps: texts, numbers, truth values and names of variants.

use serde::ser::{Impossible, Serialize, Serializer};

use super::{Refusal, MAX_NESTED};
use crate::value::Key;

/// Takes a key.
pub(super) struct KeyOf {
    /// Wrappers around the key on the way here.
    nested: usize,
}

impl KeyOf {
    pub(super) fn new() -> KeyOf {
        KeyOf { nested: 0 }
    }

    /// Takes the key in a wrapper.
    fn unwrap<T: Serialize + ?Sized>(self, value: &T) -> Result<Key, Refusal> {
        if self.nested >= MAX_NESTED {
            return no_key();
        }
        let nested = self.nested + 1;
        value.serialize(KeyOf { nested })
    }
}

type NoKey = Impossible<Key, Refusal>;

fn no_key<T>() -> Result<T, Refusal> {
    Err(Refusal::new("a key is not a text or number".to_owned()))
}

macro_rules! keys {
    ($($name:ident: $type:ty),*) => { $(
        fn $name(self, value: $type) -> Result<Key, Refusal> {
            Ok(value.to_string().into())
        }
    )* };
}

impl Serializer for KeyOf {
    type Ok = Key;
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

    fn serialize_bytes(self, _value: &[u8]) -> Result<Key, Refusal> {
        no_key()
    }
    fn serialize_none(self) -> Result<Key, Refusal> {
        Ok("null".into())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Key, Refusal> {
        self.unwrap(value)
    }
    fn serialize_unit(self) -> Result<Key, Refusal> {
        Ok("null".into())
    }
    fn serialize_unit_struct(self, name: &'static str) -> Result<Key, Refusal> {
        Ok(name.into())
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Key, Refusal> {
        Ok(variant.into())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Key, Refusal> {
        self.unwrap(value)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Key, Refusal> {
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
