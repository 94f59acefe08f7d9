//! One value of a row, whatever format it came in, with numbers as they are spelled.

use std::fmt;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Deepest nesting that is read: no field of a question lies deeper.
const MAX_DEPTH: u32 = 12;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    /// A number as it stands in the file: `0.10` stays so, and no digit of a long one is lost.
    Number(String),
    Text(String),
    List(Vec<Cell>),
    Map(Vec<(String, Cell)>),
}

impl Cell {
    /// Reads JSON.
    pub(super) fn json(raw: &RawValue) -> Result<Self, String> {
        Self::nested(raw, MAX_DEPTH)
    }

    /// Reads JSON that stands in a text.
    pub(crate) fn json_text(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| plain(&error))?;
        Self::json(raw)
    }

    fn nested(raw: &RawValue, depth: u32) -> Result<Self, String> {
        if depth == 0 {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let text = raw.get();
        Ok(match text.as_bytes()[0] {
            b'"' => Self::Text(serde_json::from_str(text).map_err(|error| plain(&error))?),
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| plain(&error))?;
                Self::List(items.into_iter().map(|item| Self::nested(item, depth - 1)).collect::<Result<_, _>>()?)
            }
            b'{' => {
                let object: Object = serde_json::from_str(text).map_err(|error| plain(&error))?;
                let pairs = object.0.into_iter().map(|(key, value)| Ok((key, Self::nested(value, depth - 1)?)));
                Self::Map(pairs.collect::<Result<_, String>>()?)
            }
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            b'n' => Self::Null,
            _ => Self::Number(text.to_owned()),
        })
    }

    /// Reads one value of an Arrow column.
    pub(super) fn arrow(array: &dyn Array, i: usize) -> Self {
        if array.is_null(i) {
            return Self::Null;
        }
        let list = |items: &dyn Array| Self::List((0..items.len()).map(|i| Self::arrow(items, i)).collect());
        match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(i).to_owned()),
            DataType::LargeUtf8 => Self::Text(array.as_string::<i64>().value(i).to_owned()),
            DataType::Utf8View => Self::Text(array.as_string_view().value(i).to_owned()),
            DataType::Boolean => Self::Bool(array.as_boolean().value(i)),
            DataType::List(_) => list(&*array.as_list::<i32>().value(i)),
            DataType::LargeList(_) => list(&*array.as_list::<i64>().value(i)),
            DataType::FixedSizeList(..) => list(&*array.as_fixed_size_list().value(i)),
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let pairs = fields.iter().zip(columns);
                Self::Map(pairs.map(|(field, column)| (field.name().clone(), Self::arrow(column, i))).collect())
            }
            kind => match arrow::util::display::array_value_to_string(array, i) {
                // Not a number is how data frames write "nothing".
                Ok(text) if kind.is_floating() && text == "NaN" => Self::Null,
                Ok(text) if kind.is_numeric() => Self::Number(text.strip_suffix(".0").unwrap_or(&text).to_owned()),
                Ok(text) => Self::Text(text),
                Err(_) => Self::Null,
            },
        }
    }

    /// The same as a JSON value, for readers of other crates.
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(items) => items.iter().map(Self::value).collect(),
            Self::Map(pairs) => pairs.iter().map(|(key, value)| (key.clone(), value.value())).collect(),
        }
    }

    /// The value under a dotted path; text that holds a JSON object is looked into.
    pub(crate) fn at(&self, path: &str) -> Option<Self> {
        let decoded;
        let pairs = match self {
            Self::Map(pairs) => pairs,
            Self::Text(text) if text.trim_start().starts_with('{') => {
                decoded = Self::json_text(text).ok()?;
                return if let Self::Map(_) = &decoded { decoded.at(path) } else { None };
            }
            _ => return None,
        };
        let named = |name: &str| pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value);
        if let Some(value) = named(path) {
            return Some(value.clone());
        }
        let (head, rest) = path.split_once('.')?;
        named(head)?.at(rest)
    }

    /// Whether it holds nothing: null, blank, or empty.
    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(pairs) => pairs.is_empty(),
            Self::Bool(_) | Self::Number(_) => false,
        }
    }

    /// A text, or a number as text.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            _ => None,
        }
    }

    /// Name of its type, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}

/// For YAML, whose numbers arrive already read.
impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(Cell::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        Ok(Cell::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Cell, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Cell::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Cell, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = access.next_entry::<Cell, Cell>()? {
            let key = key.scalar().map(str::to_owned).unwrap_or_default();
            pairs.push((key, value));
        }
        Ok(Cell::Map(pairs))
    }
}

/// A JSON object whose values are not read yet. Of a key that stands twice, the last counts, as in Python.
#[derive(Debug)]
pub(crate) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The value under a dotted path; a column with dots in its own name is found first.
    pub(super) fn at(&self, path: &str) -> Option<&'a RawValue> {
        if let Some(value) = self.named(path) {
            return Some(value);
        }
        let (head, rest) = path.split_once('.')?;
        serde_json::from_str::<Object<'a>>(self.named(head)?.get()).ok()?.at(rest)
    }

    fn named(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// Names of the columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = access.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(ObjectVisitor).map(Object)
    }
}

/// A JSON error without the line number, which is always 1 within a row.
pub(super) fn plain(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling() {
        let cell = Cell::json_text(r#"{"a": [0.10, 123456789012345678901234567890, -1e5], "b": {"c.d": 1}}"#).unwrap();
        let Some(Cell::List(numbers)) = cell.at("a") else { panic!("{cell:?}") };
        let spelled: Vec<_> = numbers.iter().filter_map(Cell::scalar).collect();
        assert_eq!(spelled, ["0.10", "123456789012345678901234567890", "-1e5"]);
        assert_eq!(cell.at("b.c.d"), Some(Cell::Number("1".into())));
        assert_eq!(cell.at("b.x"), None);
    }

    #[test]
    fn deep_nesting_is_refused_without_a_stack_overflow() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(Cell::json_text(&deep).unwrap_err().contains("deeper"));
    }

    #[test]
    fn paths_look_into_texts_that_hold_json() {
        let cell = Cell::Map(vec![("meta".into(), Cell::Text(r#"{"unit": "kg"}"#.into()))]);
        assert_eq!(cell.at("meta.unit"), Some(Cell::Text("kg".into())));
    }
}
