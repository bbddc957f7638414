//! `com.microsoft.FastGelu`: Gelu by tanh, of the first input and a bias that may be left out.

use std::sync::Arc;

use crate::error::NodeError;
use crate::eval::inputs::{F, Inputs, Results, one, wrong_type};
use crate::eval::types::TypeRule;
use crate::eval::{Binary, Unary};
use crate::graph::NodeView;
use crate::graph::constant::Data;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::pointwise::{append, binary, unary};
use crate::group::real::Value;
use crate::operator::{Facts, NARROW, Operator};

const FACTS: Facts = Facts::new(
    NARROW,
    "between DequantizeLinear and QuantizeLinear; a constant bias",
    &[Relation::Steps, Relation::Functions],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[Operator::microsoft("FastGelu")
    .value(F, TypeRule::First, evaluate)
    .integers(import, &FACTS)];

/// Refuses a bias that is not one value for each index of the last axis.
fn check(shape: Option<&[usize]>, bias: &[usize]) -> Result<(), NodeError> {
    let last = shape.and_then(|shape| shape.last());
    match bias {
        &[n] if n > 0 && last == Some(&n) => Ok(()),
        _ => Err(NodeError::Input {
            input: 1,
            what: "the bias",
            reason: "it is not a vector with a value for each index of the last axis",
        }),
    }
}

fn evaluate(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let data = x.as_floats().ok_or(wrong_type(0, x))?;
    let bias = inputs.maybe_floats(1)?;
    if let Some(bias) = inputs.maybe(1) {
        check(Some(&x.shape), &bias.shape)?;
    }
    let shifted = |i: usize, x: f32| bias.map_or(x, |bias| x + bias[i % bias.len()]);
    let result = |(i, x): (usize, &f32)| Unary::GeluTanh.eval(shifted(i, *x));
    let data = data.iter().enumerate().map(result).collect();
    one(x.shape.clone(), Data::Float(data))
}

fn import(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let bias = match cx.maybe(node, 1) {
        None => return unary(cx, node, Unary::GeluTanh),
        Some(Value::Const(bias)) => bias.shape.clone(),
        Some(Value::Weights(bias)) => bias.data.shape.clone(),
        Some(_) => {
            let (input, what) = (1, "the bias");
            return Err(NodeError::NotConstant { input, what });
        }
    };
    let shape = cx.shape(&cx.value(node, 0)?);
    check(shape.as_deref(), &bias)?;
    let mut sum = binary(cx, node, Binary::Add)?;
    for value in &mut sum.values {
        if let Value::Real(real) = value {
            *value = Value::Real(Arc::new(append(real, Unary::GeluTanh)?));
        }
    }
    Ok(sum)
}
