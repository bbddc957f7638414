//! Conversions between element types.

use half::{bf16, f16};

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, attribute, undefined};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data, Element, Half};
use crate::proto::tensor::element_type;
use zkonnx_circuits::program::DataType;

/// An integer or a boolean of a tensor.
pub(crate) fn number(data: &Data, i: usize) -> Option<i128> {
    match data {
        Data::Int(_, data) => data.get(i).copied().map(i128::from),
        Data::Long(data) => data.get(i).copied().map(i128::from),
        _ => None,
    }
}

/// An integer reduced to the bits of a type; a boolean is whether it is not zero.
pub(crate) fn wrap(element: Element, v: i128) -> Option<i128> {
    Some(match element {
        Element::Int(DataType::Bool) => i128::from(v != 0),
        Element::Int(DataType::U8) => i128::from(v as u8),
        Element::Int(DataType::I8) => i128::from(v as i8),
        Element::Int(DataType::U16) => i128::from(v as u16),
        Element::Int(DataType::I16) => i128::from(v as i16),
        Element::Int(DataType::U32) => i128::from(v as u32),
        Element::Int(DataType::I32) => i128::from(v as i32),
        Element::Int(DataType::I64) => i128::from(v as i64),
        Element::Long => i128::from(v as u64),
        _ => return None,
    })
}

/// `Cast`.
pub(crate) fn cast(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    // Both concern floats of 8 bits only.
    node.int("saturate", 1)?;
    node.text("round_mode", "up")?;
    let to = i32::try_from(node.int("to", 0)?)
        .ok()
        .and_then(element_type)
        .filter(|to| !matches!(to, Element::Short(_)));
    let to = to.ok_or(attribute("to", "the type is not supported"))?;
    converted(inputs.get(0)?, to)
}

/// `CastLike`.
pub(crate) fn cast_like(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    node.int("saturate", 1)?;
    node.text("round_mode", "up")?;
    converted(inputs.get(0)?, inputs.get(1)?.element())
}

fn converted(x: &Constant, to: Element) -> Results {
    let data = convert(&x.data, to)?;
    let shape = x.shape.clone();
    Ok(vec![Constant { shape, data }])
}

/// A float of 16 bits as binary32, which holds all of them.
fn widened(kind: Half, bits: u16) -> f32 {
    match kind {
        Half::F16 => f16::from_bits(bits).to_f32(),
        Half::BFloat16 => bf16::from_bits(bits).to_f32(),
    }
}

fn narrowed(kind: Half, v: f32) -> u16 {
    match kind {
        Half::F16 => f16::from_f32(v).to_bits(),
        Half::BFloat16 => bf16::from_f32(v).to_bits(),
    }
}

/// Elements in another type.
pub(crate) fn convert(data: &Data, to: Element) -> Result<Data, NodeError> {
    if data.element() == to {
        return Ok(data.clone());
    }
    match data {
        Data::Float(v) => from_floats(v.iter().copied().map(f64::from), to),
        Data::Double(v) => from_floats(v.iter().copied(), to),
        Data::Half(kind, v) => {
            from_floats(v.iter().map(|&bits| f64::from(widened(*kind, bits))), to)
        }
        Data::Int(_, v) | Data::Short(_, v) => from_integers(v.iter().copied().map(i128::from), to),
        Data::Long(v) => from_integers(v.iter().copied().map(i128::from), to),
    }
}

/// What lies outside the integer type has no value that C++ defines.
fn from_floats(values: impl Iterator<Item = f64>, to: Element) -> Result<Data, NodeError> {
    let integer = |v: f64| {
        if to == Element::Int(DataType::Bool) {
            return Ok(i128::from(v != 0.0));
        }
        let cut = v.trunc();
        let fits = cut.is_finite() && wrap(to, cut as i128) == Some(cut as i128);
        let reason = "a float outside an integer type is cast to it";
        fits.then_some(cut as i128).ok_or(undefined(reason))
    };
    Ok(match to {
        Element::Float => Data::Float(values.map(|v| v as f32).collect()),
        Element::Double => Data::Double(values.collect()),
        Element::Half(kind) => Data::Half(kind, values.map(|v| narrowed(kind, v as f32)).collect()),
        Element::Int(dtype) => {
            let values = values.map(|v| integer(v).map(|v| v as i64));
            Data::Int(dtype, values.collect::<Result<_, _>>()?)
        }
        Element::Long => {
            let values = values.map(|v| integer(v).map(|v| v as u64));
            Data::Long(values.collect::<Result<_, _>>()?)
        }
        Element::Short(_) => return Err(NodeError::Unknown),
    })
}

fn from_integers(values: impl Iterator<Item = i128>, to: Element) -> Result<Data, NodeError> {
    Ok(match to {
        Element::Float => Data::Float(values.map(|v| v as f32).collect()),
        Element::Double => Data::Double(values.map(|v| v as f64).collect()),
        Element::Half(kind) => Data::Half(kind, values.map(|v| narrowed(kind, v as f32)).collect()),
        integer => integers(integer, values.collect()).ok_or(NodeError::Unknown)?,
    })
}

/// Integers of a type, reduced to its bits.
pub(crate) fn integers(element: Element, values: Vec<i128>) -> Option<Data> {
    Some(match element {
        Element::Int(dtype) => Data::Int(
            dtype,
            values
                .into_iter()
                .map(|v| wrap(element, v).map(|v| v as i64))
                .collect::<Option<_>>()?,
        ),
        Element::Long => Data::Long(values.into_iter().map(|v| v as u64).collect()),
        _ => return None,
    })
}
