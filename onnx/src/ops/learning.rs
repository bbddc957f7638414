//! Operators of classical learning (`ai.onnx.ml`) as the standard operators that they are made of.
//!
//! Each function here is what ONNX Runtime computes, on floats, but for the order of its sums. Trees are no such operators
//! (`trees.rs`), nor is what has strings.

use crate::error::NodeError;
use crate::eval::inputs::attribute;
use crate::graph::constant::{Constant, Element};
use crate::graph::{Attribute, ValueId};
use crate::operator::{Operator, PRESENTING};
use crate::proto::tensor::FLOAT;
use crate::rewrite::Rewrite;
use zkonnx_circuits::program::DataType;

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::learning("ArrayFeatureExtractor").expressed(extracted),
    Operator::learning("Binarizer").expressed(binarized),
    Operator::learning("FeatureVectorizer").expressed(joined),
    Operator::learning("Imputer").expressed(imputed),
    Operator::learning("LabelEncoder").expressed(encoded),
    Operator::learning("Normalizer").expressed(normalized),
    Operator::learning("OneHotEncoder").expressed(one_hot),
    Operator::learning("Scaler").expressed(scaled),
    Operator::learning("ZipMap")
        .expressed(renamed)
        .is(PRESENTING),
];

/// ONNX's codes of element types.
const INT32: i64 = 6;
/// Integers up to here are floats.
const MAX_FLOAT_INTEGER: u64 = 1 << 24;

/// Integers as floats, if they are the same.
fn as_floats(name: &'static str, integers: &[i64]) -> Result<Vec<f32>, NodeError> {
    if integers
        .iter()
        .any(|v| v.unsigned_abs() >= MAX_FLOAT_INTEGER)
    {
        return Err(attribute(name, "an integer is beyond 2^24"));
    }
    Ok(integers.iter().map(|v| *v as f32).collect())
}

/// `(x − offset) · scale`.
fn scaled(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    let x = r.float(0)?;
    let (offset, scale) = (r.features("offset", 0.0)?, r.features("scale", 1.0)?);
    let moved = r.p.op("Sub", &[x, offset]);
    Ok(vec![r.p.op("Mul", &[moved, scale])])
}

fn binarized(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    let x = r.float(0)?;
    let threshold = r.node.float("threshold", 0.0)?;
    let threshold = r.p.scalar(threshold);
    let above = r.p.op("Greater", &[x, threshold]);
    Ok(vec![r.cast(above, i64::from(FLOAT))])
}

/// What is missing is a number that stands for it, or none.
fn imputed(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    let x = r.input(0)?;
    if r.element(0)? == Element::Float {
        let replaced = r.node.float("replaced_value_float", 0.0)?;
        r.node.maybe_ints("imputed_value_int64s")?;
        r.node.int("replaced_value_int64", 0)?;
        let values = r.features("imputed_value_floats", 0.0)?;
        let missing = match replaced.is_nan() {
            true => r.p.op("IsNaN", &[x]),
            false => {
                let replaced = r.p.scalar(replaced);
                r.p.op("Equal", &[x, replaced])
            }
        };
        return Ok(vec![r.p.op("Where", &[missing, values, x])]);
    }
    if r.element(0)? != Element::Int(DataType::I64) {
        let reason = "it is neither float32 nor int64";
        let what = "x";
        return Err(NodeError::Input {
            input: 0,
            what,
            reason,
        });
    }
    r.node.maybe_floats("imputed_value_floats")?;
    r.node.float("replaced_value_float", 0.0)?;
    let replaced = r.node.int("replaced_value_int64", 0)?;
    let values = r
        .node
        .maybe_ints("imputed_value_int64s")?
        .unwrap_or_default();
    let extent = r.shape(0)?.last().copied().unwrap_or(1);
    if values.len() != 1 && values.len() != extent {
        let reason = "it has neither one value nor one for each feature";
        return Err(attribute("imputed_value_int64s", reason));
    }
    let (values, replaced) = (r.p.ints(values), r.p.ints(&[replaced]));
    let missing = r.p.op("Equal", &[x, replaced]);
    Ok(vec![r.p.op("Where", &[missing, values, x])])
}

/// Rows divided by their largest number, the sum of magnitudes or the root of the sum of squares, unless that is zero.
fn normalized(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    let x = r.float(0)?;
    let norm = match r.node.text("norm", "MAX")? {
        "MAX" => r.p.reduce("ReduceMax", x, &[-1]),
        "L1" => {
            let magnitude = r.p.op("Abs", &[x]);
            r.p.reduce("ReduceSum", magnitude, &[-1])
        }
        "L2" => {
            let square = r.p.op("Mul", &[x, x]);
            let sum = r.p.reduce("ReduceSum", square, &[-1]);
            r.p.op("Sqrt", &[sum])
        }
        _ => return Err(attribute("norm", "it is none of MAX, L1 and L2")),
    };
    let (zero, one) = (r.p.scalar(0.0), r.p.scalar(1.0));
    let nothing = r.p.op("Equal", &[norm, zero]);
    let norm = r.p.op("Where", &[nothing, one, norm]);
    Ok(vec![r.p.op("Div", &[x, norm])])
}

/// Columns of several tensors beside each other, cut or filled with zeros to given widths.
fn joined(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    let widths = r
        .node
        .maybe_ints("inputdimensions")?
        .unwrap_or_default()
        .to_vec();
    if widths.len() != r.node.inputs() {
        return Err(attribute(
            "inputdimensions",
            "it is not one width for each input",
        ));
    }
    let mut parts = Vec::with_capacity(widths.len());
    for (input, width) in widths.iter().enumerate() {
        let x = r.float(input)?;
        let &[rows, columns] = r.shape(input)?.as_slice() else {
            return Err(attribute("inputdimensions", "an input is not a matrix"));
        };
        if usize::try_from(*width) != Ok(columns) {
            let width = usize::try_from(*width)
                .ok()
                .filter(|w| *w > columns && *w <= 1 << 12);
            let width = width.ok_or(attribute(
                "inputdimensions",
                "a width does not fit its input",
            ))?;
            let rest = r.p.floats(
                &[rows, width - columns],
                vec![0.0; rows * (width - columns)],
            );
            parts.extend([x, rest]);
        } else {
            parts.push(x);
        }
    }
    Ok(match parts.as_slice() {
        &[only] => vec![only],
        parts => vec![r.p.with("Concat", parts, vec![Attribute::int("axis", 1)])],
    })
}

/// Elements of the last axis by their places.
fn extracted(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    let (mut x, places) = (r.input(0)?, r.input(1)?);
    let shape = r.shape(0)?;
    let count: usize = r.shape(1)?.iter().product();
    if shape.len() == 1 {
        x = r.p.reshape(x, &[1, shape[0]]);
    }
    let places = r.p.reshape(places, &[count]);
    let axis = shape.len().max(2) as i64 - 1;
    Ok(vec![r.p.with(
        "Gather",
        &[x, places],
        vec![Attribute::int("axis", axis)],
    )])
}

/// Categories as rows of zeros and ones. One that is not known is a row of zeros, whatever the attribute `zeros` says.
fn one_hot(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    r.node.flag("zeros", true)?;
    let cats = r.node.maybe_ints("cats_int64s")?.unwrap_or_default();
    if cats.is_empty() {
        let reason =
            "only categories that are integers are supported; encode strings before the model";
        return Err(attribute("cats_int64s", reason));
    }
    let cats = as_floats("cats_int64s", cats)?;
    let x = r.input(0)?;
    let x = match r.element(0)? {
        // ONNX Runtime compares whole numbers.
        Element::Float => {
            let (zero, up, down) = (r.p.scalar(0.0), r.p.op("Ceil", &[x]), r.p.op("Floor", &[x]));
            let negative = r.p.op("Less", &[x, zero]);
            r.p.op("Where", &[negative, up, down])
        }
        _ => r.float(0)?,
    };
    let equal = r.equal_to(x, &cats);
    Ok(vec![r.cast(equal, i64::from(FLOAT))])
}

/// Numbers for numbers, and one for all others.
fn encoded(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    for name in [
        "keys_strings",
        "values_strings",
        "keys_tensor",
        "values_tensor",
        "default_tensor",
    ] {
        if r.node.has_attribute(name) {
            return Err(attribute(name, "only lists of numbers are supported"));
        }
    }
    // What stands for strings.
    r.node.text("default_string", "_Unused")?;
    let keys = match (
        r.node.maybe_ints("keys_int64s")?,
        r.node.maybe_floats("keys_floats")?,
    ) {
        (Some(keys), None) => as_floats("keys_int64s", keys)?,
        (None, Some(keys)) => keys.to_vec(),
        _ => return Err(attribute("keys_int64s", "there is not one list of keys")),
    };
    let others = (
        r.node.int("default_int64", -1)?,
        r.node.float("default_float", -0.0)?,
    );
    let values = match (
        r.node.maybe_ints("values_int64s")?,
        r.node.maybe_floats("values_floats")?,
    ) {
        (Some(values), None) => {
            let all = [values, &[others.0]].concat();
            Constant::ints(DataType::I64, vec![all.len()], all)
        }
        (None, Some(values)) => {
            let all = [values, &[others.1]].concat();
            Constant::floats(vec![all.len()], all)
        }
        _ => {
            return Err(attribute(
                "values_int64s",
                "there is not one list of values",
            ));
        }
    };
    if values.len() != keys.len() + 1 {
        return Err(attribute(
            "values_int64s",
            "it has another length than the keys",
        ));
    }
    let x = r.float(0)?;
    let shape = r.shape(0)?;
    let equal = r.equal_to(x, &keys);
    let found = r.cast(equal, INT32);
    // Behind all keys stands one that always fits; the first that fits is taken.
    let always = [shape.as_slice(), &[1]].concat();
    let len = always.iter().product();
    let always = Constant::ints(DataType::I32, always, vec![1; len]);
    let always = r.p.constant(always);
    let last = shape.len() as i64;
    let all = r.p.with(
        "Concat",
        &[found, always],
        vec![Attribute::int("axis", last)],
    );
    let attributes = vec![Attribute::int("axis", last), Attribute::int("keepdims", 0)];
    let place = r.p.with("ArgMax", &[all], attributes);
    let values = r.p.constant(values);
    Ok(vec![r.p.with(
        "Gather",
        &[values, place],
        vec![Attribute::int("axis", 0)],
    )])
}

fn renamed(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    r.node.maybe_ints("classlabels_int64s")?;
    r.node.maybe_texts("classlabels_strings")?;
    Ok(vec![r.input(0)?])
}
