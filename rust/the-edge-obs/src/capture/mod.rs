//! Capture: any serialisable value as a [`Snap`].
//!
//! What a snapshot would cut anyway is not walked: of a container its first [`MAX_ITEMS`] items, of a value its first few thousand
//! parts, and no deeper than a snapshot goes; the rest is only counted, and that up to a million. So capturing a large value takes
//! bounded time, also one that never ends.

mod key;
mod probe;

use std::cell::Cell;
use std::fmt::{self, Display};

use serde::ser::{self, Serialize, Serializer};

use crate::guard::caught;
use crate::redaction::{items_mark, MAX_DEPTH, MAX_ITEMS, MAX_VALUES};
use key::KeyOf;

pub(crate) use probe::describes_failure;

/// The most wrappers around a value, such as `Some`: each costs stack, and a linked list may be made of nothing else.
const MAX_NESTED: usize = 128;
/// The most items that are counted without being taken, where a container does not say how long it is.
const MAX_COUNTED: usize = 1_000_000;
use crate::value::{Key, Snap};

/// Returns a serialisable value as a [`Snap`].
///
/// It has the form that `serde_json` would give it. Bytes become a mark such as `<12 bytes>`, and what cannot be serialised becomes
/// a mark that says why; a panic while it is serialised is such a reason too. Of a container that does not say how long it is, at
/// most a million items are counted.
///
/// ```
/// use the_edge_obs::to_snap;
///
/// assert_eq!(to_snap(&[("a", 1), ("b", 2)]).to_json(), r#"[["a",1],["b",2]]"#);
/// ```
#[must_use]
pub fn to_snap<T: Serialize + ?Sized>(value: &T) -> Snap {
    let budget = Budget {
        values: Cell::new(4 * MAX_VALUES),
        counted: Cell::new(MAX_COUNTED),
    };
    let walk = Walk {
        budget: &budget,
        depth: 0,
        nested: 0,
    };
    let why = match caught(|| walk.take(value)) {
        Ok(Ok(taken)) => return taken,
        Ok(Err(refusal)) => refusal.why,
        Err(panic) => format!("it panicked: {panic}"),
    };
    Snap::Mark(format!("<cannot be serialised: {why}>").into())
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

/// Why a value cannot be serialised, in the words of its `Serialize`; or that its container was left before its end.
#[derive(Debug)]
struct Refusal {
    why: String,
    /// What there is of a container that was left.
    partial: Option<Snap>,
}

impl Refusal {
    fn new(why: String) -> Refusal {
        Refusal { why, partial: None }
    }
}

impl Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.why)
    }
}

impl std::error::Error for Refusal {}

impl ser::Error for Refusal {
    fn custom<T: Display>(message: T) -> Self {
        Refusal::new(message.to_string())
    }
}

/// What one capture may still spend.
struct Budget {
    /// Values that it takes.
    values: Cell<usize>,
    /// Items that it only counts.
    counted: Cell<usize>,
}

fn spend(budget: &Cell<usize>) -> bool {
    let left = budget.get();
    budget.set(left.saturating_sub(1));
    left > 0
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    budget: &'a Budget,
    depth: usize,
    /// Wrappers around the value on the way here.
    nested: usize,
}

impl<'a> Walk<'a> {
    fn inside(self) -> Walk<'a> {
        Walk {
            depth: self.depth + 1,
            ..self
        }
    }

    /// Takes a value, or the beginning of one that was left before its end.
    fn take<T: Serialize + ?Sized>(self, value: &T) -> Result<Snap, Refusal> {
        value
            .serialize(self)
            .or_else(|mut refusal| refusal.partial.take().ok_or(refusal))
    }

    /// Takes the value in a wrapper.
    fn unwrap<T: Serialize + ?Sized>(self, value: &T) -> Result<Snap, Refusal> {
        if self.nested >= MAX_NESTED {
            return Ok(Snap::Mark("[depth]".into()));
        }
        let nested = self.nested + 1;
        Walk { nested, ..self }.take(value)
    }

    /// Tells whether the next item of a container that has `taken` is worth a look, and counts it.
    fn takes_one(self, taken: usize) -> bool {
        taken < MAX_ITEMS && self.depth <= MAX_DEPTH && spend(&self.budget.values)
    }
}

/// Items that a container leaves out.
struct LeftOut {
    count: usize,
    /// The items of the container, if it says how many there are.
    len: Option<usize>,
}

impl LeftOut {
    /// Counts an item after those that were `taken`; returns false if there is nothing more to find out.
    fn count_one(&mut self, taken: usize, budget: &Budget) -> bool {
        self.count += 1;
        match self.len {
            Some(len) => {
                self.count = self.count.max(len.saturating_sub(taken));
                false
            }
            None => spend(&budget.counted),
        }
    }
}

fn stop(partial: Snap) -> Refusal {
    Refusal {
        why: "it was not taken to its end".to_owned(),
        partial: Some(partial),
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
        self.unwrap(value)
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
        self.unwrap(value)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Snap, Refusal> {
        Ok(tagged(variant, self.inside().unwrap(value)?))
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'a>, Refusal> {
        Ok(Items::new(self, None, len))
    }
    fn serialize_tuple(self, len: usize) -> Result<Items<'a>, Refusal> {
        Ok(Items::new(self, None, Some(len)))
    }
    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items<'a>, Refusal> {
        Ok(Items::new(self, None, Some(len)))
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'a>, Refusal> {
        Ok(Items::new(self, Some(variant), Some(len)))
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Pairs<'a>, Refusal> {
        Ok(Pairs::new(self, None, len))
    }
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Pairs<'a>, Refusal> {
        Ok(Pairs::new(self, None, Some(len)))
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Pairs<'a>, Refusal> {
        Ok(Pairs::new(self, Some(variant), Some(len)))
    }
}

fn tagged(variant: &'static str, value: Snap) -> Snap {
    Snap::Map(Box::new([(Key::named(variant), value)]))
}

/// The items of a list, tuple or tuple variant.
struct Items<'a> {
    walk: Walk<'a>,
    variant: Option<&'static str>,
    taken: Vec<Snap>,
    left_out: LeftOut,
}

impl<'a> Items<'a> {
    fn new(walk: Walk<'a>, variant: Option<&'static str>, len: Option<usize>) -> Items<'a> {
        Items {
            walk: walk.inside(),
            variant,
            taken: Vec::with_capacity(len.unwrap_or(0).min(MAX_ITEMS)),
            left_out: LeftOut { count: 0, len },
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        if self.walk.takes_one(self.taken.len()) {
            self.taken.push(self.walk.take(value)?);
        } else if !self.left_out.count_one(self.taken.len(), self.walk.budget) {
            return Err(stop(self.end()));
        }
        Ok(())
    }

    fn end(&mut self) -> Snap {
        if self.left_out.count > 0 {
            self.taken.push(items_mark(self.left_out.count));
        }
        let list = Snap::List(std::mem::take(&mut self.taken).into());
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
            fn end(mut self) -> Result<Snap, Refusal> {
                Ok(Items::end(&mut self))
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
    taken: Vec<(Key, Snap)>,
    left_out: LeftOut,
    key: Key,
}

impl<'a> Pairs<'a> {
    fn new(walk: Walk<'a>, variant: Option<&'static str>, len: Option<usize>) -> Pairs<'a> {
        Pairs {
            walk: walk.inside(),
            variant,
            taken: Vec::with_capacity(len.unwrap_or(0).min(MAX_ITEMS)),
            left_out: LeftOut { count: 0, len },
            key: Key::named(""),
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, key: Key, value: &T) -> Result<(), Refusal> {
        if self.walk.takes_one(self.taken.len()) {
            self.taken.push((key, self.walk.take(value)?));
        } else if !self.left_out.count_one(self.taken.len(), self.walk.budget) {
            return Err(stop(self.end()));
        }
        Ok(())
    }

    fn end(&mut self) -> Snap {
        if self.left_out.count > 0 {
            self.taken
                .push(("…".into(), items_mark(self.left_out.count)));
        }
        let map = Snap::Map(std::mem::take(&mut self.taken).into());
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
        self.key = key.serialize(KeyOf::new())?;
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let key = std::mem::replace(&mut self.key, Key::named(""));
        self.push(key, value)
    }
    fn end(mut self) -> Result<Snap, Refusal> {
        Ok(Pairs::end(&mut self))
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
                self.push(Key::named(key), value)
            }
            fn end(mut self) -> Result<Snap, Refusal> {
                Ok(Pairs::end(&mut self))
            }
        }
    };
}
pairs!(SerializeStruct);
pairs!(SerializeStructVariant);

#[cfg(test)]
mod tests;
