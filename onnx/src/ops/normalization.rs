//! Normalizations.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::F;
use crate::eval::types::TypeRule;
use crate::group::exactness::Relation;
use crate::operator::{ABSORBING, Chain, Facts, LAST, NARROW, Operator, Parts};
use crate::ops::elementwise;
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
        .integers(elementwise::batch_normalization, &NORMALIZATION)
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
