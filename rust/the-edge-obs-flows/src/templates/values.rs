//! Values of the state as templates see them, and back.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, OnceLock};

use minijinja::value::{from_args, DynObject, Enumerator, Object, ObjectRepr, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use the_edge_obs::Snap;

use super::display;
use super::limits::{self, ITEM, MAX_DEPTH, MAX_SIZE};

/// Mappings with more keys than this get an index.
const FEW: usize = 16;

/// The content of a mapping.
pub(crate) trait Fields: Debug + Send + Sync + 'static {
    /// Returns the value of a key.
    fn find(&self, key: &str) -> Option<Value>;
    /// Returns the keys in their order.
    fn keys(&self) -> Vec<Value>;
}

/// A mapping in a template. A missing key is none, and a key hides a method of the same name.
#[derive(Debug)]
pub(crate) struct Mapping<T>(pub T);

impl<T: Fields> Mapping<T> {
    fn pairs(&self) -> Vec<(Value, Value)> {
        let pair = |key: Value| {
            let value = key.as_str().and_then(|key| self.0.find(key));
            (key, value.unwrap_or_default())
        };
        self.0.keys().into_iter().map(pair).collect()
    }
}

impl<T: Fields> Object for Mapping<T> {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(key) => self.get_value_by_str(key),
            None => None,
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(self.0.find(key).unwrap_or_else(|| Value::from(())))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if let Some(value) = self.0.find(method) {
            let problem = format!(
                "{method} is a key here, and its value ({}) cannot be called",
                value.kind()
            );
            return Err(Error::new(ErrorKind::InvalidOperation, problem));
        }
        if method == "get" {
            let (key, default): (&str, Option<Value>) = from_args(args)?;
            let value = self.0.find(key).or(default);
            return Ok(value.unwrap_or_else(|| Value::from(())));
        }
        let pairs = self.pairs();
        let values: Vec<Value> = match method {
            "keys" => pairs.into_iter().map(|(key, _)| key).collect(),
            "values" => pairs.into_iter().map(|(_, value)| value).collect(),
            "items" => pairs
                .into_iter()
                .map(|(key, value)| Value::from(Tuple::from([key, value])))
                .collect(),
            "copy" => return Ok(Value::from_dyn_object(self.clone())),
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        };
        let () = from_args(args)?;
        Ok(Value::from(values))
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        let is_same = self.0.keys().len() == other.0.keys().len()
            && self.pairs().into_iter().all(|(key, value)| {
                let theirs = key.as_str().and_then(|key| other.0.find(key));
                theirs.is_some_and(|theirs| theirs == value)
            });
        if is_same {
            return Some(Ordering::Equal);
        }
        let order = self.pairs().cmp(&other.pairs());
        Some(order.then(Ordering::Less))
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match display::text(&Value::from_dyn_object(self.clone())) {
            Ok(text) => out.write_str(&text),
            Err(_) => out.write_str("{...}"),
        }
    }
}

/// The keys and values of a mapping.
#[derive(Debug)]
pub(crate) struct Pairs {
    pairs: Box<[(Value, Value)]>,
    index: OnceLock<HashMap<Box<str>, usize>>,
}

impl Pairs {
    fn position(&self, key: &str) -> Option<usize> {
        if self.pairs.len() <= FEW {
            return self
                .pairs
                .iter()
                .position(|(name, _)| name.as_str() == Some(key));
        }
        let index = self.index.get_or_init(|| {
            let numbered = self.pairs.iter().enumerate();
            numbered
                .filter_map(|(at, (name, _))| Some((name.as_str()?.into(), at)))
                .collect()
        });
        index.get(key).copied()
    }
}

impl Fields for Pairs {
    fn find(&self, key: &str) -> Option<Value> {
        self.position(key).map(|at| self.pairs[at].1.clone())
    }

    fn keys(&self) -> Vec<Value> {
        self.pairs.iter().map(|(key, _)| key.clone()).collect()
    }
}

/// The result of a branch: what it does not have itself is read from its state.
#[derive(Debug)]
struct BranchFields(Pairs);

impl Fields for BranchFields {
    fn find(&self, key: &str) -> Option<Value> {
        self.0.find(key).or_else(|| {
            let state = self.0.find("state")?;
            let inner = state.downcast_object_ref::<Mapping<Pairs>>()?;
            inner.0.find(key)
        })
    }

    fn keys(&self) -> Vec<Value> {
        self.0.keys()
    }
}

/// The keys of the result of a branch, in their order. A mapping with just these keys is one.
pub(crate) const BRANCH_KEYS: [&str; 6] = [
    "branch",
    "success",
    "state",
    "error",
    "error_type",
    "timing_ms",
];

/// An integer that is too large for the engine. It can be passed on and written, but not calculated with.
#[derive(Debug)]
struct LargeInteger(Box<str>);

impl Object for LargeInteger {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Returns a value as templates see it.
pub(crate) fn to_value(value: &Snap) -> Value {
    match value {
        Snap::Null => Value::from(()),
        Snap::Bool(value) => Value::from(*value),
        Snap::Int(number) => Value::from(*number),
        Snap::Float(number) => Value::from(*number),
        Snap::Big(digits) => match (digits.parse::<i128>(), digits.parse::<u128>()) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(number)) => Value::from(number),
            _ => Value::from_object(LargeInteger(digits.clone())),
        },
        Snap::Str(text) | Snap::Mark(text) => Value::from(&**text),
        Snap::List(items) => Value::from(items.iter().map(to_value).collect::<Vec<Value>>()),
        Snap::Map(pairs) => {
            let is_branch = pairs.len() == BRANCH_KEYS.len()
                && pairs
                    .iter()
                    .zip(BRANCH_KEYS)
                    .all(|((key, _), known)| &**key == known);
            let fields = Pairs {
                pairs: pairs
                    .iter()
                    .map(|(key, value)| (Value::from(&**key), to_value(value)))
                    .collect(),
                index: OnceLock::new(),
            };
            if is_branch {
                Value::from_object(Mapping(BranchFields(fields)))
            } else {
                Value::from_object(Mapping(fields))
            }
        }
    }
}

/// Returns a template's value as plain data.
///
/// # Errors
///
/// It is too large or too deep, or an iterator in it fails, for example because it does too much work.
pub(crate) fn to_snap(value: &Value) -> Result<Snap, Error> {
    plain(value, &mut Budget::default())
}

/// What is left of the size and depth that a value may have. A part that occurs twice counts twice.
pub(super) struct Budget {
    size: usize,
    depth: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            size: MAX_SIZE,
            depth: MAX_DEPTH,
        }
    }
}

impl Budget {
    /// Takes a value's own size away.
    pub(super) fn spend(&mut self, value: &Value) -> Result<(), Error> {
        let own = value.as_str().map_or(ITEM, str::len);
        let left = self.size.checked_sub(own);
        self.size = left.ok_or_else(limits::too_large_a_value)?;
        Ok(())
    }

    /// Does what belongs one level deeper.
    pub(super) fn inside<T>(
        &mut self,
        work: impl FnOnce(&mut Budget) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let depth = self.depth.checked_sub(1);
        self.depth = depth.ok_or_else(limits::too_deep)?;
        let done = work(self);
        self.depth += 1;
        done
    }
}

fn plain(value: &Value, budget: &mut Budget) -> Result<Snap, Error> {
    budget.spend(value)?;
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Snap::Null,
        ValueKind::Bool => Snap::Bool(value.is_true()),
        ValueKind::Number => number(value),
        ValueKind::String => value.as_str().unwrap_or_default().into(),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()?.checked() {
                let item = item?;
                items.push(budget.inside(|budget| plain(&item, budget))?);
            }
            Snap::List(items.into())
        }
        ValueKind::Map => {
            let mut pairs = Vec::new();
            for (key, item) in value.as_object().and_then(pairs_of).into_iter().flatten() {
                let key = match key.as_str() {
                    Some(key) => key.to_owned(),
                    None => display::text(&key)?,
                };
                pairs.push((key, budget.inside(|budget| plain(&item, budget))?));
            }
            Snap::map(pairs)
        }
        _ => match value.downcast_object_ref::<LargeInteger>() {
            Some(number) => Snap::Big(number.0.clone()),
            None => display::text(value)?.into(),
        },
    })
}

pub(super) fn pairs_of(object: &DynObject) -> Option<Vec<(Value, Value)>> {
    object.try_iter_pairs().map(Iterator::collect)
}

fn number(value: &Value) -> Snap {
    if value.is_integer() {
        if let Ok(number) = i128::try_from(value.clone()) {
            return Snap::from(number);
        }
        if let Ok(number) = u128::try_from(value.clone()) {
            return Snap::from(number);
        }
    }
    f64::try_from(value.clone()).map_or(Snap::Null, Snap::Float)
}
