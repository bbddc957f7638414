//! Tensors in JSON: `{"input_data": [[…], …]}` with one list for each input, an object of tensors by name, or a plain
//! array that is the only input.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::numpy::{Array, Elements};

/// Most axes that are read; more is surely a mistake.
const MAX_AXES: usize = 16;

/// Why a JSON file holds no tensors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is no JSON. `NaN` and `Infinity` are among what JSON does not have.
    #[error("this is not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Neither an array nor an object.
    #[error("expected {{\"input_data\": [[…]]}}, an object of tensors by name, or an array")]
    Form,
    /// An object that has neither `input_data` nor the name of an input.
    #[error("there is neither `input_data` nor an input of the model ({expected}) in the object")]
    Names {
        /// The names of the model's inputs.
        expected: String,
    },
    /// A name that the object holds more than once.
    #[error("`{0}` is in the object twice: leave one")]
    Twice(String),
    /// Names beside `input_data`, or beside those of the inputs.
    #[error("the object holds names that the model does not take: {}", .0.join(", "))]
    Unknown(Vec<String>),
    /// `input_data` has another number of lists than the model has inputs.
    #[error("`input_data` needs one list for each input: expected {expected}, got {got}")]
    Count {
        /// Inputs of the model.
        expected: usize,
        /// Lists in the file.
        got: usize,
    },
    /// Lists of different lengths side by side.
    #[error("the lists of a tensor must all be of one length")]
    Ragged,
    /// Something that is no number inside of a tensor.
    #[error("a tensor may hold numbers only, not {got}")]
    Element {
        /// What it holds.
        got: &'static str,
    },
    /// Lists nested too deep.
    #[error("a tensor of more than {MAX_AXES} axes")]
    Depth,
}

/// The tensors of a JSON text for inputs with the given names.
pub(super) fn read(
    bytes: &[u8],
    names: &[&str],
) -> Result<Vec<(Option<String>, Array)>, JsonError> {
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return by_name(serde_json::from_slice(bytes)?, names);
    }
    match serde_json::from_slice(bytes)? {
        value @ Value::Array(_) => Ok(vec![(None, tensor(&value)?)]),
        _ => Err(JsonError::Form),
    }
}

fn by_name(Pairs(pairs): Pairs, names: &[&str]) -> Result<Vec<(Option<String>, Array)>, JsonError> {
    let mut object = BTreeMap::new();
    for (name, value) in pairs {
        if object.insert(name.clone(), value).is_some() {
            return Err(JsonError::Twice(name));
        }
    }
    let others = |known: &[&str]| {
        let keys = object.keys().filter(|key| !known.contains(&key.as_str()));
        match keys.cloned().collect::<Vec<_>>() {
            others if others.is_empty() => Ok(()),
            others => Err(JsonError::Unknown(others)),
        }
    };
    if let (Some(data), false) = (object.get("input_data"), names.contains(&"input_data")) {
        others(&["input_data"])?;
        return input_data(data, names.len());
    }
    let found = names
        .iter()
        .filter_map(|name| Some((*name, object.get(*name)?)));
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(JsonError::Names {
            expected: names.join(", "),
        });
    }
    others(names)?;
    found
        .into_iter()
        .map(|(name, value)| Ok((Some(name.to_owned()), tensor(value)?)))
        .collect()
}

/// The values of an object by name, all of them: a map would keep the last of two with one name.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = entries.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

fn input_data(data: &Value, inputs: usize) -> Result<Vec<(Option<String>, Array)>, JsonError> {
    let Value::Array(lists) = data else {
        return Err(JsonError::Form);
    };
    if lists.len() == inputs {
        return lists.iter().map(|list| Ok((None, tensor(list)?))).collect();
    }
    // A single input without the list around it is what people write first.
    if inputs == 1 && !lists.is_empty() && lists.iter().all(Value::is_number) {
        return Ok(vec![(None, tensor(data)?)]);
    }
    Err(JsonError::Count {
        expected: inputs,
        got: lists.len(),
    })
}

fn tensor(value: &Value) -> Result<Array, JsonError> {
    let mut shape = Vec::new();
    let mut first = value;
    while let Value::Array(list) = first {
        if shape.len() == MAX_AXES {
            return Err(JsonError::Depth);
        }
        shape.push(list.len());
        match list.first() {
            Some(inner) => first = inner,
            None => break,
        }
    }
    let mut numbers = Vec::new();
    flatten(value, &shape, &mut numbers)?;
    Ok(Array {
        shape,
        elements: elements(&numbers),
    })
}

fn flatten<'a>(
    value: &'a Value,
    shape: &[usize],
    out: &mut Vec<&'a serde_json::Number>,
) -> Result<(), JsonError> {
    match (value, shape) {
        (Value::Array(list), [extent, inner @ ..]) if list.len() == *extent => {
            list.iter().try_for_each(|value| flatten(value, inner, out))
        }
        (Value::Number(number), []) => {
            out.push(number);
            Ok(())
        }
        (Value::Array(_), _) | (Value::Number(_), _) => Err(JsonError::Ragged),
        (Value::Null, _) => Err(JsonError::Element { got: "null" }),
        (Value::Bool(_), _) => Err(JsonError::Element {
            got: "true or false",
        }),
        (Value::String(_), _) => Err(JsonError::Element { got: "text" }),
        (Value::Object(_), _) => Err(JsonError::Element { got: "an object" }),
    }
}

/// Integers if all numbers are written as such, real numbers otherwise.
fn elements(numbers: &[&serde_json::Number]) -> Elements {
    match numbers.iter().map(|number| number.as_i64()).collect() {
        Some(values) => Elements::Int("<i8", values),
        // Decimal to binary64 to binary32, as `numpy.float32(json.load(…))` does.
        None => Elements::F32(
            numbers
                .iter()
                .map(|number| number.as_f64().unwrap_or(f64::NAN) as f32)
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Shapes = Vec<(Option<String>, Vec<usize>)>;

    fn shapes(text: &str, names: &[&str]) -> Result<Shapes, String> {
        let arrays = read(text.as_bytes(), names).map_err(|error| error.to_string())?;
        Ok(arrays
            .into_iter()
            .map(|(name, array)| (name, array.shape))
            .collect())
    }

    #[test]
    fn accepts_all_three_forms() {
        assert_eq!(
            shapes("{\"input_data\": [[1, 2.5]]}", &["x"]).unwrap(),
            [(None, vec![2])]
        );
        assert_eq!(
            shapes("{\"input_data\": [1, 2.5]}", &["x"]).unwrap(),
            [(None, vec![2])]
        );
        assert_eq!(
            shapes("[[1, 2], [3, 4]]", &["x"]).unwrap(),
            [(None, vec![2, 2])]
        );
        let named = shapes("{\"b\": [1], \"a\": [[2]]}", &["a", "b"]).unwrap();
        assert_eq!(
            named,
            [(Some("a".into()), vec![1, 1]), (Some("b".into()), vec![1])]
        );
        let unknown = shapes("{\"a\": [1], \"c\": \"note\"}", &["a"]).unwrap_err();
        assert!(unknown.contains("does not take: c"), "{unknown}");
        let two = shapes("{\"input_data\": [[1, 2], [3]]}", &["a", "b"]).unwrap();
        assert_eq!(two, [(None, vec![2]), (None, vec![1])]);
    }

    #[test]
    fn rejects_with_one_sentence() {
        for (text, expected) in [
            ("{\"input_data\": [[1], [2]]}", "expected 1, got 2"),
            ("{\"data\": [1]}", "neither `input_data` nor"),
            ("[[1, 2], [3]]", "of one length"),
            ("[1, [2]]", "of one length"),
            ("[1, null]", "not null"),
            ("[\"1\"]", "not text"),
            ("[NaN]", "not valid JSON"),
            ("[1e999]", "not valid JSON"),
            ("3", "expected {"),
            ("null", "expected {"),
            (
                "{\"x\": [1], \"y\": [1], \"x\": [2]}",
                "`x` is in the object twice",
            ),
            ("{\"input_data\": [1], \"input_data\": [1]}", "twice"),
            ("[1", "not valid JSON"),
        ] {
            let error = shapes(text, &["x"]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(20), "]".repeat(20));
        assert!(shapes(&deep, &["x"]).unwrap_err().contains("axes"));
    }
}
