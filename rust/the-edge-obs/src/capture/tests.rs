//! Values that are captured, and those that a capture must end before they do.

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

/// A list or map that has no end and does not say so, with a field after it.
struct Broad {
    is_map: bool,
}

impl Serialize for Broad {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = (0_u64..).filter(|number| number % 2 == 0);
        match self.is_map {
            true => serializer.collect_map(numbers.map(|number| (number, ""))),
            false => serializer.collect_seq(numbers),
        }
    }
}

#[test]
fn a_container_without_an_end_is_left() {
    let both = [Broad { is_map: false }, Broad { is_map: true }];
    let Snap::List(taken) = to_snap(&(&both[0], &both[1], "after")) else {
        panic!()
    };
    let (Snap::List(items), Snap::Map(pairs)) = (&taken[0], &taken[1]) else {
        panic!()
    };
    assert_eq!(items.len(), MAX_ITEMS + 1);
    assert_eq!(items.last(), Some(&items_mark(MAX_COUNTED + 1)));
    assert_eq!(pairs.last(), Some(&("…".into(), items_mark(1)))); // the count is that of the whole value
    assert_eq!(taken[2], "after".into());
}

/// A list of a million lists, none of which says how long it is.
#[test]
fn many_broad_lists_take_bounded_time() {
    let all: Vec<Broad> = (0..1_000).map(|_| Broad { is_map: false }).collect();
    let Snap::List(taken) = to_snap(&all) else {
        panic!()
    };
    assert!(taken.len() <= MAX_ITEMS + 1);
}

/// A linked list of nothing but wrappers.
enum Chain {
    End,
    Link(usize),
}

impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let next = |left: usize| match left {
            0 => Chain::End,
            left => Chain::Link(left - 1),
        };
        match self {
            Chain::End => serializer.serialize_str("end"),
            Chain::Link(left) if left % 3 == 0 => serializer.serialize_some(&next(*left)),
            Chain::Link(left) if left % 3 == 1 => {
                serializer.serialize_newtype_struct("Link", &next(*left))
            }
            Chain::Link(left) => {
                serializer.serialize_newtype_variant("Chain", 1, "Link", &next(*left))
            }
        }
    }
}

#[test]
fn a_value_of_many_wrappers_is_left_before_the_stack_is_full() {
    assert_eq!(to_snap(&Chain::Link(1)), Snap::from("end"));
    let deep = to_snap(&Chain::Link(1_000_000)).to_json();
    assert!(deep.contains("[depth]") && deep.len() < 1_000, "{deep}");
    let as_key = to_snap(&BTreeMap::from([(Keyed(1_000_000), 1)]));
    assert!(as_key.to_json().contains("cannot be serialised"));
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Keyed(usize);

impl Serialize for Keyed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_some(&Keyed(self.0 - 1))
    }
}

struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        panic!("not today")
    }
}

#[test]
fn a_panic_is_a_reason_too() {
    assert_eq!(
        to_snap(&[Panics]).as_str(),
        Some("<cannot be serialised: it panicked: not today>")
    );
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
