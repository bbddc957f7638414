//! Comparisons, booleans and bits.

use crate::eval::cast::{integers, number};
use crate::eval::inputs::{
    D, F, H, I8, Inputs, Results, U8, U32, WORDS, bad, bit, one, wrong_type,
};
use crate::eval::places::together;
use crate::graph::NodeView;
use crate::graph::constant::Data;
use zkonnx_circuits::program::DataType;

/// Less, LessOrEqual, Greater, GreaterOrEqual, Equal. What is not a number compares false.
pub(crate) fn compare(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (a, b) = (inputs.get(0)?, inputs.get(1)?);
    let (shape, places) = together(inputs, 0..2)?;
    if a.element() != b.element() {
        return Err(bad(1, "b", "it has another element type than a"));
    }
    let order = |i: usize| {
        let (i, j) = (places[0].at(i), places[1].at(i));
        match (&a.data, &b.data) {
            (Data::Float(x), Data::Float(y)) => x[i].partial_cmp(&y[j]),
            (Data::Double(x), Data::Double(y)) => x[i].partial_cmp(&y[j]),
            (x, y) => Some(number(x, i)?.cmp(&number(y, j)?)),
        }
    };
    let holds = |i: usize| {
        order(i).is_some_and(|o| match node.op() {
            "Less" => o.is_lt(),
            "LessOrEqual" => o.is_le(),
            "Greater" => o.is_gt(),
            "GreaterOrEqual" => o.is_ge(),
            _ => o.is_eq(),
        })
    };
    let data = (0..inputs.count(&shape)?)
        .map(|i| i64::from(holds(i)))
        .collect();
    one(shape, Data::Int(DataType::Bool, data))
}

/// And, Or, Xor, Not.
pub(crate) fn boolean(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    if node.op() == "Not" {
        let data = inputs.ints(0)?.iter().map(|v| i64::from(*v == 0)).collect();
        let shape = inputs.get(0)?.shape.clone();
        return one(shape, Data::Int(DataType::Bool, data));
    }
    let (shape, places) = together(inputs, 0..2)?;
    let (a, b) = (inputs.ints(0)?, inputs.ints(1)?);
    if inputs.get(1)?.dtype() != Some(DataType::Bool) {
        return Err(wrong_type(1, inputs.get(1)?));
    }
    let value = |i: usize| {
        let (a, b) = (a[places[0].at(i)], b[places[1].at(i)]);
        match node.op() {
            "And" => a & b,
            "Or" => a | b,
            _ => a ^ b,
        }
    };
    let data = (0..inputs.count(&shape)?).map(value).collect();
    one(shape, Data::Int(DataType::Bool, data))
}

/// BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot.
pub(crate) fn bitwise(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let not = node.op() == "BitwiseNot";
    let a = inputs.get(0)?;
    let b = if not { a } else { inputs.get(1)? };
    let (shape, places) = together(inputs, 0..if not { 1 } else { 2 })?;
    if a.element() != b.element() {
        return Err(bad(1, "b", "it has another element type than a"));
    }
    let value = |i: usize| {
        let x = number(&a.data, places[0].at(i))?;
        if not {
            return Some(!x);
        }
        let y = number(&b.data, places[1].at(i))?;
        Some(match node.op() {
            "BitwiseAnd" => x & y,
            "BitwiseOr" => x | y,
            _ => x ^ y,
        })
    };
    let values: Option<Vec<i128>> = (0..inputs.count(&shape)?).map(value).collect();
    let data = values.and_then(|values| integers(a.element(), values));
    one(shape, data.ok_or_else(|| wrong_type(0, a))?)
}

/// IsNaN and IsInf.
pub(crate) fn is_special(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let values: Vec<f64> = match &x.data {
        Data::Float(data) => data.iter().copied().map(f64::from).collect(),
        Data::Double(data) => data.clone(),
        _ => return Err(wrong_type(0, x)),
    };
    let data = if node.op() == "IsNaN" {
        values.iter().map(|v| i64::from(v.is_nan())).collect()
    } else {
        let below = node.flag("detect_negative", true)?;
        let above = node.flag("detect_positive", true)?;
        let is = |v: &f64| v.is_infinite() && if *v < 0.0 { below } else { above };
        values.iter().map(|v| i64::from(is(v))).collect()
    };
    one(x.shape.clone(), Data::Int(DataType::Bool, data))
}

/// Where.
pub(crate) fn choose(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let condition = inputs.ints(0)?;
    let (shape, places) = together(inputs, 0..3)?;
    let (a, b) = (inputs.get(1)?, inputs.get(2)?);
    let kernel = F | D | H | I8 | U8 | WORDS | U32;
    if kernel & bit(a.element()) == 0 {
        return Err(wrong_type(1, a));
    }
    // One list of both, of which places are picked. ONNX Runtime takes the first argument where it is not zero, and then
    // the second or a positive zero.
    let mut both = match &a.data {
        Data::Float(v) => Data::Float(v.iter().map(|v| v + 0.0).collect()),
        Data::Double(v) => Data::Double(v.iter().map(|v| v + 0.0).collect()),
        other => other.clone(),
    };
    if !both.extend(&b.data) {
        return Err(bad(2, "b", "it has another element type than a"));
    }
    let place = |i: usize| match condition[places[0].at(i)] != 0 {
        true => places[1].at(i),
        false => a.len() + places[2].at(i),
    };
    let places: Vec<usize> = (0..inputs.count(&shape)?).map(place).collect();
    one(shape, both.pick(&places))
}
