//! Normalizations.

use crate::error::NodeError;
use crate::eval;
use crate::eval::Binary;
use crate::eval::inputs::F;
use crate::eval::norm::factors;
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::Relation;
use crate::group::expr::Operand;
use crate::group::importer::{Done, Importer};
use crate::group::params::dequantize;
use crate::group::pointwise::with_operand;
use crate::group::real::Value;
use crate::operator::{ABSORBING, Chain, Facts, LAST, NARROW, Operator, Parts};
use crate::rewrite::decompose;

const NORMALIZATION: Facts = Facts::new(
    NARROW,
    "inference; constant statistics, one table for each channel",
    &[Relation::Steps],
);

const MOMENTS: &NodeError = &NodeError::Input {
    input: 0,
    what: "x",
    reason: "mean and variance of the input have no integer rule of their own; `zkonnx quantize` expresses the operator of \
             the float model by others that are proved",
};

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("BatchNormalization")
        .chains(Chain::Channels)
        .upgraded(9, |u| u.batch_normalization())
        .attributes(&[("training_mode", 14, LAST)])
        .value(F, TypeRule::First, eval::norm::batch_normalization)
        .integers(batch_normalization, &NORMALIZATION)
        .is(ABSORBING),
    Operator::onnx("GroupNormalization")
        .since(18)
        .refused(MOMENTS)
        .decomposed(Parts::One(decompose::group_normalization)),
    Operator::onnx("InstanceNormalization")
        .refused(MOMENTS)
        .decomposed(Parts::One(decompose::group_normalization))
        .value(F, TypeRule::First, eval::norm::instance_normalization),
    Operator::onnx("LRN").decomposed(Parts::One(decompose::local_response)),
    Operator::onnx("LayerNormalization")
        .since(17)
        .refused(MOMENTS)
        .decomposed(Parts::One(decompose::layer_normalization))
        .value(F, TypeRule::First, eval::norm::layer_normalization),
    Operator::onnx("LpNormalization").decomposed(Parts::One(decompose::lp_normalization)),
];

/// `BatchNormalization` in inference, with the factors as ONNX Runtime forms them.
pub(crate) fn batch_normalization(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let Value::Real(real) = cx.value(node, 0)? else {
        return Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it is not a dequantized activation",
        });
    };
    let channels = *real.shape.get(1).ok_or(NodeError::Input {
        input: 0,
        what: "x",
        reason: "it has no channels",
    })?;
    let read = |input, what| -> Result<Vec<f32>, NodeError> {
        // Quantizers store the scale as quantized weights and the bias as int32.
        let values = match cx.value(node, input)? {
            Value::Weights(w) => dequantize(&w),
            _ => {
                let values = cx.constant(node, input, what)?;
                values.as_floats().unwrap_or_default().to_vec()
            }
        };
        match values.len() == channels {
            true => Ok(values),
            false => Err(NodeError::Input {
                input,
                what,
                reason: "it has not one float for each channel",
            }),
        }
    };
    let (scale, bias) = (read(1, "the scale")?, read(2, "the bias")?);
    let (mean, variance) = (read(3, "the mean")?, read(4, "the variance")?);
    let (factors, shifts) = factors(node, [&scale, &bias, &mean, &variance])?;
    if !factors.iter().chain(&shifts).all(|v| v.is_finite()) {
        return Err(NodeError::Input {
            input: 4,
            what: "the variance",
            reason: "it makes a factor infinite",
        });
    }
    let scaled = with_operand(&real, Binary::Mul, Operand::Axis(1, factors), false)?;
    Ok(Done::pending(with_operand(
        &scaled,
        Binary::Add,
        Operand::Axis(1, shifts),
        false,
    )?))
}
