//! Functions of reals, element by element, as part of a group: of one, of two, and of one with constants.

use crate::error::NodeError;
use crate::eval::{Binary, Unary};
use crate::graph::NodeView;
use crate::group::expr::{Expr, Operand, Spread};
use crate::group::importer::{Done, Importer};
use crate::group::integer::clamp_integers;
use crate::group::operands::quantized;
use crate::group::params::{Quantized, dequantize, scalar};
use crate::group::real::{Base, Deferred, Pair, PairOp, Real, Value};
use crate::group::routes::{Origin, alike};
use crate::group::totals;
use std::sync::Arc;
use zkonnx_circuits::ops::Constant;
use zkonnx_circuits::ops::Move;
use zkonnx_circuits::ops::Reshape;
use zkonnx_circuits::ops::broadcast;
use zkonnx_circuits::ops::broadcast_places;
use zkonnx_circuits::program::elements;

/// A tensor that is combined with itself, as the float function of one tensor that it is if more than a clamp follows:
/// then no kernel of two tensors has a part in it.
fn of_one(real: &Real) -> Real {
    let (Base::Pair(pair), true) = (&real.base, real.after.is_empty()) else {
        return real.clone();
    };
    if pair.a != pair.b {
        return real.clone();
    }
    let f = match pair.op {
        PairOp::Add => Binary::Add,
        PairOp::Sub => Binary::Sub,
        PairOp::Mul => Binary::Mul,
    };
    let both = Arc::new(Expr::Binary(f, Arc::new(Expr::X), Arc::new(Expr::X)));
    Real {
        base: Base::Quantized(pair.a.clone()),
        expr: real.expr.of(&both),
        ..real.clone()
    }
}

/// Appends a function of each element.
pub(crate) fn append(real: &Real, f: Unary) -> Result<Real, NodeError> {
    let real = &match f {
        Unary::Relu | Unary::Clip(..) if real.expr.as_clamp().is_some() => real.clone(),
        _ => of_one(real),
    };
    let expr = real.expr.unary(f);
    let pooled = real.after.iter().any(|d| matches!(d, Deferred::MaxPool(_)));
    let monotone = Expr::Unary(f, Arc::new(Expr::X)).is_monotone();
    if pooled && !monotone {
        return Err(NodeError::Island {
            reason: "a function that is not monotone follows MaxPool",
        });
    }
    Real {
        expr,
        ..real.clone()
    }
    .grown(1)
}

/// A function of one argument.
pub(crate) fn unary(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    f: Unary,
) -> Result<Done, NodeError> {
    match cx.value(node, 0)? {
        Value::Real(real) => Ok(Done::pending(append(&real, f)?)),
        Value::Int(tensor) => match f {
            Unary::Relu => clamp_integers(cx, node, tensor, 0, i64::MAX),
            _ => Err(NodeError::Input {
                input: 0,
                what: "x",
                reason: "it is not float",
            }),
        },
        _ => Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it is not a dequantized activation",
        }),
    }
}

/// Combines each element with a constant; `first` says that the constant is the first argument.
pub(crate) fn with_operand(
    real: &Real,
    f: Binary,
    operand: Operand,
    first: bool,
) -> Result<Real, NodeError> {
    let real = &of_one(real);
    if matches!(operand, Operand::Axis(..)) && !real.after.is_empty() {
        return Err(NodeError::Island {
            reason: "a constant for each channel follows data movement",
        });
    }
    let constant = Arc::new(Expr::Const(operand));
    let one = Arc::new(Expr::X);
    let (a, b) = if first {
        (constant.clone(), one.clone())
    } else {
        (one, constant.clone())
    };
    let pooled = real.after.iter().any(|d| matches!(d, Deferred::MaxPool(_)));
    if pooled && !Expr::Binary(f, a, b).is_monotone() {
        return Err(NodeError::Island {
            reason: "a function that is not monotone follows MaxPool",
        });
    }
    let expr = match first {
        true => Expr::Binary(f, constant, real.expr.clone()),
        false => Expr::Binary(f, real.expr.clone(), constant),
    };
    Real {
        expr: Arc::new(expr),
        ..real.clone()
    }
    .grown(1)
}

/// A float constant as an operand of a tensor of this shape.
fn operand(values: &[f32], of: &[usize], shape: &[usize]) -> Result<Operand, NodeError> {
    if let [only] = values
        && of.len() <= shape.len()
    {
        return Ok(Operand::Scalar(*only));
    }
    if broadcast(shape, of).as_deref() != Some(shape) {
        return Err(NodeError::Island {
            reason: "a constant is larger than the activation",
        });
    }
    let skip = shape.len() - of.len();
    let long: Vec<usize> = (0..of.len()).filter(|&d| of[d] > 1).collect();
    match long.as_slice() {
        &[d] => Ok(Operand::Axis(d + skip, values.to_vec())),
        _ => Err(NodeError::Island {
            reason: "a constant differs along several axes",
        }),
    }
}

/// A function of two arguments, one of which may be constant.
pub(crate) fn binary(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    f: Binary,
) -> Result<Done, NodeError> {
    let (a, b) = (cx.value(node, 0)?, cx.value(node, 1)?);
    match (&a, &b) {
        (Value::Real(x), Value::Real(y)) => two_reals(cx, node, f, x, y),
        (Value::Real(x), other) => one_real(cx, node, f, x, other, false),
        (other, Value::Real(x)) => one_real(cx, node, f, x, other, true),
        _ => crate::group::integer::sum(cx, node, f, (&a, &b)),
    }
}

pub(crate) fn pair_op(f: Binary) -> Option<PairOp> {
    match f {
        Binary::Add => Some(PairOp::Add),
        Binary::Sub => Some(PairOp::Sub),
        Binary::Mul => Some(PairOp::Mul),
        _ => None,
    }
}

/// ONNX Runtime has kernels of sums and products.
fn pair_origin(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
    op: PairOp,
    (a, b): (&Quantized, &Quantized),
    activations: &[usize],
) -> Origin {
    let kernel = match op {
        PairOp::Add | PairOp::Mul if node.op() != "Sum" => alike(&[a.params.dtype, b.params.dtype]),
        _ => None,
    };
    cx.origin(node, activations, kernel)
}

pub(crate) fn two_reals(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
    f: Binary,
    x: &Real,
    y: &Real,
) -> Result<Done, NodeError> {
    if let (Some(a), Some(b), Some(op)) = (x.as_quantized(), y.as_quantized(), pair_op(f)) {
        let shape = broadcast(&x.shape, &y.shape).ok_or(NodeError::Input {
            input: 1,
            what: "b",
            reason: "its shape does not broadcast to that of a",
        })?;
        return Ok(Done::pending(Real::new(
            Base::Pair(Pair {
                op,
                a: a.clone(),
                b: b.clone(),
                origin: pair_origin(cx, node, op, (a, b), &[0, 1]),
            }),
            shape,
        )));
    }
    let (x, y) = (&of_one(x), &of_one(y));
    let same = match (&x.base, &y.base) {
        (Base::Quantized(a), Base::Quantized(b)) => a == b,
        (Base::Acc(a), Base::Acc(b)) => a.tensor == b.tensor,
        _ => false,
    };
    if same && x.after.is_empty() && y.after.is_empty() {
        let expr = Arc::new(Expr::Binary(f, x.expr.clone(), y.expr.clone()));
        return Ok(Done::pending(Real { expr, ..x.clone() }.grown(y.size + 1)?));
    }
    if matches!(f, Binary::Add | Binary::Sub)
        && let Some(total) = totals::add(x, y, f == Binary::Sub)?
    {
        return Ok(Done::pending(total));
    }
    Err(NodeError::Island {
        reason: "it combines two values of which one is not quantized",
    })
}

pub(crate) fn one_real(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    f: Binary,
    x: &Real,
    other: &Value,
    first: bool,
) -> Result<Done, NodeError> {
    let input = usize::from(!first);
    if let (Base::Acc(acc), Binary::Add, Expr::X, true) =
        (&x.base, f, x.expr.as_ref(), x.after.is_empty())
        && node.op() == "Add"
        && let Some(real) = cx.add_bias(node, acc, other.clone(), input)?
    {
        return Ok(Done::pending(real));
    }
    let (values, of) = match other {
        Value::Const(c) => match (c.as_floats(), c.as_ints()) {
            (Some(values), _) => (values.to_vec(), c.shape.clone()),
            // Only an exponent may be of another type than the base.
            (None, Some(ints)) if f == Binary::Pow => {
                (ints.iter().map(|&v| v as f32).collect(), c.shape.clone())
            }
            _ => {
                return Err(NodeError::Input {
                    input,
                    what: "the constant",
                    reason: "it is not float",
                });
            }
        },
        Value::Weights(w) => {
            // A quantized constant beside a quantized activation is the kernel of two quantized tensors.
            if let (Some(a), Some(op), None) = (x.as_quantized(), pair_op(f), w.params.axis)
                && w.is_for_kernels()
                && broadcast(&x.shape, &w.data.shape).as_deref() == Some(x.shape.as_slice())
            {
                let data = w.data.as_ints().unwrap_or_default().to_vec();
                let constant = Constant::new(w.params.dtype, w.data.shape.clone(), data)?;
                let tensor = cx.push(node, constant, &[])?;
                let b = Quantized {
                    tensor,
                    params: w.params.clone(),
                };
                let origin = pair_origin(cx, node, op, (a, &b), &[usize::from(first)]);
                let (a, b) = if first {
                    (b, a.clone())
                } else {
                    (a.clone(), b)
                };
                return Ok(Done::pending(Real::new(
                    Base::Pair(Pair { op, a, b, origin }),
                    x.shape.clone(),
                )));
            }
            (dequantize(w), w.data.shape.clone())
        }
        _ => {
            return Err(NodeError::Input {
                input,
                what: "b",
                reason: "it is not a real",
            });
        }
    };
    if let (Base::Quantized(a), Some(Spread::Tensor)) = (&x.base, x.expr.spread())
        && x.after.is_empty()
        && several_axes(&of, &x.shape)
    {
        let one = (a, x, f);
        return Ok(Done::pending(each_element(
            cx, node, one, &values, &of, first,
        )?));
    }
    Ok(Done::pending(with_operand(
        x,
        f,
        operand(&values, &of, &x.shape)?,
        first,
    )?))
}

/// Most elements of a tensor that is combined with a constant of its own for each: each costs a table.
pub(crate) const MAX_TABLES: usize = 1024;

/// Whether a constant that differs along several axes can be combined element by element.
fn several_axes(of: &[usize], shape: &[usize]) -> bool {
    of.iter().filter(|extent| **extent > 1).count() > 1
        && elements(shape) <= MAX_TABLES
        && broadcast(shape, of).as_deref() == Some(shape)
}

/// Combines a function of each element with a constant of its own: on the flattened tensor, whose only axis the constants follow.
fn each_element(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    (a, x, f): (&Quantized, &Real, Binary),
    values: &[f32],
    of: &[usize],
    first: bool,
) -> Result<Real, NodeError> {
    let shape = cx.builder.fact(a.tensor).shape.clone();
    if a.params.axis.is_some() {
        return Err(NodeError::Island {
            reason: "a constant differs along several axes",
        });
    }
    let count = elements(&shape);
    let flat = Move(Reshape { shape: vec![count] });
    let tensor = cx.push(node, flat, &[a.tensor])?;
    let flat = Quantized {
        tensor,
        params: a.params.clone(),
    };
    let places = broadcast_places(&shape, of);
    let each = places.into_iter().map(|place| values[place]).collect();
    let mut real = Real::new(Base::Quantized(flat), vec![count]);
    (real.expr, real.size) = (x.expr.clone(), x.size);
    let mut real = with_operand(&real, f, Operand::Axis(0, each), first)?;
    real.after.push(Deferred::Move(Arc::new(Move(Reshape {
        shape: shape.clone(),
    }))));
    real.shape = shape;
    real.grown(1)
}

/// An operand of a QLinear operator: an activation, or an integer constant.
pub(crate) fn operand_of(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    first: usize,
) -> Result<Quantized, NodeError> {
    let Value::Const(c) = cx.value(node, first)? else {
        return quantized(cx, node, first);
    };
    let bad = |reason| NodeError::Input {
        input: first,
        what: "the constant",
        reason,
    };
    let (Some(dtype), Some(data)) = (c.dtype(), c.as_ints()) else {
        return Err(bad("it is not an integer"));
    };
    let params = cx.params(node, &scalar(first + 1, first + 2, dtype))?;
    if params.dtype != dtype {
        return Err(bad("its type is not that of its zero point"));
    }
    let tensor = cx.push(
        node,
        Constant::new(dtype, c.shape.clone(), data.to_vec())?,
        &[],
    )?;
    Ok(Quantized { tensor, params })
}
