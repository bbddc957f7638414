//! Comparisons, boolean functions, and the choice between two tensors.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{BOOL, D, F, INTS, NUMBERS};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::graph::constant::Constant;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::params::{Quantized, scalar};
use crate::group::real::{Base, Real, Value};
use crate::group::{pair, pointwise};
use crate::operator::{BENDING, EXACT, Facts, NARROW, OF_SCORES, Operator, PREPARING, QUANTIZED};
use zkonnx_circuits::ops::{
    Expand, Lanes, Maximum, Move, Offset, Requantize, Rule, Steps, Table, WeightedSum, broadcast,
    broadcast_places,
};
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, TensorId, elements};

const COMPARISON: Facts = Facts::new(
    "u8, i8 to bool",
    "one scale for each tensor; constants as scalars or along one axis",
    &[Relation::Kernel, Relation::Steps, Relation::Pairs],
);

const BOOLEAN: Facts = Facts::new("bool", "none", &[Relation::Kernel]);

const CHOICE: Facts = Facts::new(
    NARROW,
    "one output scale; QuantizeLinear or data movement follows directly",
    &[Relation::Kernel, Relation::Steps],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("And")
        .upgraded(7, |u| u.aligned())
        .value(BOOL, TypeRule::Broadcast, eval::logic::boolean)
        .integers(boolean, &BOOLEAN)
        .is(EXACT),
    Operator::onnx("BitwiseAnd")
        .since(18)
        .value(INTS, TypeRule::Broadcast, eval::logic::bitwise),
    Operator::onnx("BitwiseNot")
        .since(18)
        .value(INTS, TypeRule::Zeros(1), eval::logic::bitwise),
    Operator::onnx("BitwiseOr")
        .since(18)
        .value(INTS, TypeRule::Broadcast, eval::logic::bitwise),
    Operator::onnx("BitwiseXor")
        .since(18)
        .value(INTS, TypeRule::Broadcast, eval::logic::bitwise),
    Operator::onnx("Equal")
        .upgraded(7, |u| u.aligned())
        .value(NUMBERS | BOOL, TypeRule::Truth, eval::logic::compare)
        .deciding(compare, &COMPARISON)
        .is(EXACT | PREPARING | OF_SCORES),
    Operator::onnx("Greater")
        .upgraded(7, |u| u.aligned())
        .value(NUMBERS, TypeRule::Truth, eval::logic::compare)
        .deciding(compare, &COMPARISON)
        .is(BENDING | EXACT | PREPARING | OF_SCORES),
    Operator::onnx("GreaterOrEqual")
        .since(12)
        .value(NUMBERS, TypeRule::Truth, eval::logic::compare)
        .deciding(compare, &COMPARISON)
        .is(EXACT),
    Operator::onnx("IsInf")
        .since(10)
        .value(F | D, TypeRule::Zeros(1), eval::logic::is_special)
        .is(EXACT),
    Operator::onnx("IsNaN")
        .since(9)
        .value(F | D, TypeRule::Zeros(1), eval::logic::is_special)
        .is(BENDING | EXACT | PREPARING),
    Operator::onnx("Less")
        .upgraded(7, |u| u.aligned())
        .value(NUMBERS, TypeRule::Truth, eval::logic::compare)
        .deciding(compare, &COMPARISON)
        .is(EXACT | PREPARING | OF_SCORES),
    Operator::onnx("LessOrEqual")
        .since(12)
        .value(NUMBERS, TypeRule::Truth, eval::logic::compare)
        .deciding(compare, &COMPARISON)
        .is(EXACT),
    Operator::onnx("Not")
        .value(BOOL, TypeRule::Zeros(1), eval::logic::boolean)
        .integers(boolean, &BOOLEAN)
        .is(EXACT | PREPARING | OF_SCORES),
    Operator::onnx("Or")
        .upgraded(7, |u| u.aligned())
        .value(BOOL, TypeRule::Broadcast, eval::logic::boolean)
        .integers(boolean, &BOOLEAN)
        .is(EXACT | PREPARING),
    Operator::onnx("Where")
        .since(9)
        .whole(1..usize::MAX)
        .value(BOOL, TypeRule::Broadcast, eval::logic::choose)
        .integers(choose, &CHOICE)
        .is(EXACT | PREPARING | OF_SCORES),
    Operator::onnx("Xor")
        .upgraded(7, |u| u.aligned())
        .value(BOOL, TypeRule::Broadcast, eval::logic::boolean)
        .integers(boolean, &BOOLEAN),
    Operator::microsoft("QLinearWhere")
        .typed(TypeRule::Own(eval::types::qlinear_where))
        .closing(qlinear_where, &CHOICE)
        .is(QUANTIZED),
];

/// A comparison of two numbers.
type Compare = fn(f32, f32) -> bool;

fn comparison(op: &str) -> Option<Compare> {
    Some(match op {
        "Less" => |a, b| a < b,
        "LessOrEqual" => |a, b| a <= b,
        "Greater" => |a, b| a > b,
        "GreaterOrEqual" => |a, b| a >= b,
        "Equal" => |a, b| a == b,
        _ => return None,
    })
}

/// `Less`, `LessOrEqual`, `Greater`, `GreaterOrEqual`, `Equal`: of reals as binary32 numbers, of integers as they are.
pub(crate) fn compare(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let f = comparison(node.op()).ok_or(NodeError::Unknown)?;
    let (a, b) = (cx.value(node, 0)?, cx.value(node, 1)?);
    match (&a, &b) {
        (Value::Real(x), Value::Real(y)) => two_reals(cx, node, f, x, y),
        (Value::Real(x), Value::Const(c)) => with_constant(cx, node, x, c, f),
        (Value::Const(c), Value::Real(x)) => with_constant(cx, node, x, c, |x, c| f(c, x)),
        (Value::Int(x), Value::Int(y)) => {
            let sum = cx.push(node, WeightedSum::new(vec![1, -1], 0)?, &[*x, *y])?;
            sign(cx, node, sum, f)
        }
        (Value::Int(x), Value::Const(c)) => integer_constant(cx, node, *x, c, f, false),
        (Value::Const(c), Value::Int(x)) => integer_constant(cx, node, *x, c, f, true),
        _ => Err(NodeError::Input {
            input: 0,
            what: "a",
            reason: "it is neither quantized nor an integer",
        }),
    }
}

/// The comparison of a difference with zero.
fn sign(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    difference: TensorId,
    f: Compare,
) -> Result<Done, NodeError> {
    let [below, at, above] = [-1.0, 0.0, 1.0].map(|d| i64::from(f(d, 0.0)));
    let mut steps = Vec::new();
    let mut last = below;
    for (start, value) in [(0, at), (1, above)] {
        if std::mem::replace(&mut last, value) != value {
            steps.push((start, value));
        }
    }
    let rule = Rule::Steps(Steps::new(below, steps)?);
    let op = Requantize::new(DataType::Bool, vec![rule], Lanes::Tensor)?;
    Ok(Done::int(cx.push(node, op, &[difference])?))
}

fn integer_constant(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    x: TensorId,
    constant: &Constant,
    f: Compare,
    first: bool,
) -> Result<Done, NodeError> {
    let bad = |reason| NodeError::Input {
        input: usize::from(!first),
        what: "the constant",
        reason,
    };
    let values = constant
        .as_ints()
        .ok_or_else(|| bad("it is not an integer"))?;
    let (c, several) = match values {
        &[c] => (c, false),
        _ => (0, true),
    };
    if c.unsigned_abs() >= 1 << 60 {
        return Err(bad("it is beyond 2^60"));
    }
    if several {
        let difference = differences(cx, node, x, constant, first)?;
        return sign(cx, node, difference, f);
    }
    let fact = cx.builder.fact(x);
    if broadcast(&fact.shape, &constant.shape).as_ref() != Some(&fact.shape) {
        return Err(bad("it is larger than the activation"));
    }
    let op = if first {
        WeightedSum::new(vec![-1], c)?
    } else {
        WeightedSum::new(vec![1], -c)?
    };
    let difference = cx.push(node, op, &[x])?;
    sign(cx, node, difference, f)
}

/// What integers are above constants of their own, or those above them if these come `first`; the integers are expanded
/// where the constants have more axes or longer ones.
fn differences(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    x: TensorId,
    constant: &Constant,
    first: bool,
) -> Result<TensorId, NodeError> {
    let own = cx.builder.fact(x).shape.clone();
    let shape = broadcast(&own, &constant.shape);
    let shape = shape.filter(|s| (1..=MAX_ELEMENTS).contains(&elements(s)));
    let (Some(shape), Some(values)) = (shape, constant.as_ints()) else {
        return Err(NodeError::Input {
            input: usize::from(!first),
            what: "the constant",
            reason: "it does not fit the activation",
        });
    };
    let mut x = x;
    if shape != own {
        let shape = shape.clone();
        x = cx.push(node, Move(Expand { shape }), &[x])?;
    }
    let sign = if first { -1 } else { 1 };
    let wide = cx.push(node, WeightedSum::new(vec![sign], 0)?, &[x])?;
    let places = broadcast_places(&shape, &constant.shape).into_iter();
    let constants = places
        .map(|place| values[place].saturating_mul(-sign))
        .collect();
    cx.push(node, Offset::new(shape, constants)?, &[wide])
}

/// Comparison of an activation with constants: a table for each distinct constant. The activation is expanded where
/// the constants have more axes or longer ones.
fn with_constant(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    x: &Real,
    c: &Constant,
    f: impl Fn(f32, f32) -> bool,
) -> Result<Done, NodeError> {
    let island = |reason| NodeError::Island { reason };
    let Some(q) = x.as_quantized().filter(|q| q.params.dtype.width() <= 16) else {
        return Err(island("it compares a value that is not quantized"));
    };
    let Some((scale, zero)) = q.params.uniform() else {
        return Err(island("it compares a value whose scales follow an axis"));
    };
    let Some(constants) = c.as_floats() else {
        return Err(island("it compares a real with an integer"));
    };
    let shape = broadcast(&x.shape, &c.shape).filter(|s| (1..=MAX_ELEMENTS).contains(&elements(s)));
    let shape = shape.ok_or(NodeError::Input {
        input: 1,
        what: "b",
        reason: "its shape does not broadcast to that of a",
    })?;
    let mut tensor = q.tensor;
    if shape != x.shape {
        let shape = shape.clone();
        tensor = cx.push(node, Move(Expand { shape }), &[tensor])?;
    }
    let range = q.params.range();
    let mut known: HashMap<u32, Arc<Vec<i64>>> = HashMap::new();
    let mut table = |c: f32| {
        let value = |v: i64| i64::from(f((v - zero) as f32 * scale, c));
        let make = || Arc::new((range.lo..=range.hi).map(value).collect());
        Arc::clone(known.entry(c.to_bits()).or_insert_with(make))
    };
    let each: Vec<_> = constants.iter().map(|c| table(*c)).collect();
    let skip = shape.len() - c.shape.len();
    let long: Vec<usize> = (0..c.shape.len()).filter(|&d| c.shape[d] > 1).collect();
    let (tables, lanes) = match long.as_slice() {
        [] => Lanes::by_element(&each[..1]),
        &[d] => Lanes::along_axis(d + skip, &each),
        _ => {
            let places = broadcast_places(&shape, &c.shape);
            let each: Vec<_> = places.into_iter().map(|p| each[p].clone()).collect();
            Lanes::by_element(&each)
        }
    };
    if tables.len() > pointwise::MAX_TABLES {
        return Err(island(
            "it compares with more than 1024 different constants",
        ));
    }
    let tables = tables.iter().map(|t| t.to_vec()).collect();
    let table = Table::new(q.params.dtype, DataType::Bool, tables, lanes)?;
    Ok(Done::int(cx.push(node, table, &[tensor])?))
}

fn two_reals(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    f: Compare,
    x: &Real,
    y: &Real,
) -> Result<Done, NodeError> {
    let (Some(a), Some(b)) = (x.as_quantized(), y.as_quantized()) else {
        return Err(NodeError::Island {
            reason: "it compares a value that is not quantized",
        });
    };
    if a.params == b.params && a.params.axis.is_none() {
        let difference = cx.push(
            node,
            WeightedSum::new(vec![1, -1], 0)?,
            &[a.tensor, b.tensor],
        )?;
        return sign(cx, node, difference, f);
    }
    let (tensor, exactness) = pair::close_comparison(cx, node, a, b, f)?;
    Ok(Done::closed(tensor, exactness))
}

/// `Not`, `And`, `Or`, `Xor` of booleans.
pub(crate) fn boolean(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let mut tensors = Vec::new();
    for input in 0..node.inputs() {
        match cx.value(node, input)? {
            Value::Int(t) if cx.builder.fact(t).dtype == DataType::Bool => tensors.push(t),
            _ => {
                let reason = "it is not a computed boolean";
                return Err(NodeError::Input {
                    input,
                    what: "the operand",
                    reason,
                });
            }
        }
    }
    let not = |cx: &mut Importer<'_>, t| {
        let table = Table::new(
            DataType::Bool,
            DataType::Bool,
            vec![vec![1, 0]],
            Lanes::Tensor,
        )?;
        cx.push(node, table, &[t])
    };
    let tensor = match (node.op(), tensors.as_slice()) {
        ("Not", &[x]) => not(cx, x)?,
        ("Or", &[x, y]) => cx.push(node, Maximum, &[x, y])?,
        ("Xor", &[x, y]) => {
            // One of two is one: the sum is.
            let sum = cx.push(node, WeightedSum::new(vec![1, 1], 0)?, &[x, y])?;
            let rule = Rule::Steps(Steps::new(0, vec![(1, 1), (2, 0)])?);
            let op = Requantize::new(DataType::Bool, vec![rule], Lanes::Tensor)?;
            cx.push(node, op, &[sum])?
        }
        ("And", &[x, y]) => {
            // By De Morgan's law.
            let both = [not(cx, x)?, not(cx, y)?];
            let either = cx.push(node, Maximum, &both)?;
            not(cx, either)?
        }
        _ => {
            return Err(NodeError::Arity {
                what: "inputs",
                expected: "1 or 2",
                got: tensors.len(),
            });
        }
    };
    Ok(Done::int(tensor))
}

/// A value that `Where` may choose, as a real.
fn option(cx: &mut Importer<'_>, node: &NodeView<'_>, input: usize) -> Result<Real, NodeError> {
    match cx.value(node, input)? {
        Value::Real(real) => Ok((*real).clone()),
        Value::Const(c) if c.as_floats().is_some() => {
            Ok(Real::new(Base::Constant(Arc::clone(&c)), c.shape.clone()))
        }
        _ => Err(NodeError::Input {
            input,
            what: "the value",
            reason: "it is not a real",
        }),
    }
}

fn condition(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<TensorId, NodeError> {
    match cx.value(node, 0)? {
        Value::Int(tensor) => Ok(tensor),
        Value::Const(c) if c.dtype() == Some(DataType::Bool) => {
            let data = c.as_ints().unwrap_or_default().to_vec();
            let constant =
                zkonnx_circuits::ops::Constant::new(DataType::Bool, c.shape.clone(), data)?;
            cx.push(node, constant, &[])
        }
        _ => Err(NodeError::Input {
            input: 0,
            what: "the condition",
            reason: "it is not boolean",
        }),
    }
}

/// `Where`: both values are quantized, then one of them is chosen.
pub(crate) fn choose(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let condition = condition(cx, node)?;
    let (a, b) = (option(cx, node, 1)?, option(cx, node, 2)?);
    let of = cx.builder.fact(condition).shape.clone();
    let shape = broadcast(&of, &a.shape).and_then(|s| broadcast(&s, &b.shape));
    let bad = NodeError::Input {
        input: 1,
        what: "the value",
        reason: "the shapes do not broadcast",
    };
    let shape = shape.ok_or(bad)?;
    let size = a.size + b.size + 2;
    let real = Real::new(Base::Select(condition, Box::new((a, b))), shape);
    Ok(Done::pending(real.grown(size)?))
}

/// `com.microsoft.QLinearWhere`.
pub(crate) fn qlinear_where(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let condition = condition(cx, node)?;
    let a = pointwise::operand_of(cx, node, 1)?;
    let b = pointwise::operand_of(cx, node, 4)?;
    let y = cx.output_params(node, &scalar(7, 8, a.params.dtype))?;
    let shape_of = |q: &Quantized| cx.builder.fact(q.tensor).shape.clone();
    let [a, b] = [a, b].map(|q| Real::new(Base::Quantized(q.clone()), shape_of(&q)));
    let of = cx.builder.fact(condition).shape.clone();
    let shape = broadcast(&of, &a.shape).and_then(|s| broadcast(&s, &b.shape));
    let bad = NodeError::Input {
        input: 1,
        what: "the value",
        reason: "the shapes do not broadcast",
    };
    let real = Real::new(Base::Select(condition, Box::new((a, b))), shape.ok_or(bad)?);
    let (tensor, exactness) = cx.close(node, &real, &y)?;
    Ok(Done::closed(tensor, exactness))
}
