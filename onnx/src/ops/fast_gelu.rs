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

fn evaluate(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (x, bias) = (inputs.get(0)?, inputs.maybe_floats(1)?);
    let data = x.as_floats().ok_or(wrong_type(0, x))?;
    let fits = bias.is_none_or(|bias| x.shape.last() == Some(&bias.len()) && !bias.is_empty());
    if !fits {
        return Err(NodeError::Input {
            input: 1,
            what: "the bias",
            reason: "it has not one value for each index of the last axis",
        });
    }
    let shifted = |i: usize, x: f32| bias.map_or(x, |bias| x + bias[i % bias.len()]);
    let result = |(i, x): (usize, &f32)| Unary::GeluTanh.eval(shifted(i, *x));
    let data = data.iter().enumerate().map(result).collect();
    one(x.shape.clone(), Data::Float(data))
}

fn import(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    if cx.maybe(node, 1).is_none() {
        return unary(cx, node, Unary::GeluTanh);
    }
    let mut sum = binary(cx, node, Binary::Add)?;
    for value in &mut sum.values {
        if let Value::Real(real) = value {
            *value = Value::Real(Arc::new(append(real, Unary::GeluTanh)?));
        }
    }
    Ok(sum)
}
