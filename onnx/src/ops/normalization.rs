//! Normalizations.

use crate::eval;
use crate::eval::inputs::F;
use crate::eval::types::TypeRule;
use crate::group::exactness::Relation;
use crate::operator::{ABSORBING, Facts, LAST, NARROW, Operator};
use crate::ops::elementwise;

const NORMALIZATION: Facts = Facts::new(
    NARROW,
    "inference; constant statistics, one table for each channel",
    &[Relation::Steps],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("BatchNormalization")
        .attributes(&[("training_mode", 14, LAST)])
        .value(F, TypeRule::First, eval::norm::batch_normalization)
        .integers(elementwise::batch_normalization, &NORMALIZATION)
        .is(ABSORBING),
    Operator::onnx("GroupNormalization").since(18),
    Operator::onnx("InstanceNormalization").value(
        F,
        TypeRule::First,
        eval::norm::instance_normalization,
    ),
    Operator::onnx("LRN"),
    Operator::onnx("LayerNormalization").since(17).value(
        F,
        TypeRule::First,
        eval::norm::layer_normalization,
    ),
    Operator::onnx("LpNormalization"),
];
