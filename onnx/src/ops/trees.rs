//! Tree ensembles on ranks, as `passes/trees.rs` leaves them: the sums of their leaves.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{F, WORDS};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::{Exactness, Relation, Status};
use crate::group::importer::{Done, Importer};
use crate::group::params::{Params, Quantized};
use crate::group::real::{Base, Real, Value};
use crate::operator::{Facts, Operator};
use crate::trees::Forest;
use zkonnx_circuits::program::DataType;

const TREES: Facts = Facts::new(
    "float32 features, and integers that are cast to them",
    "sums and averages; at most 65000 thresholds of a feature; scores as they are, through Sigmoid or Softmax",
    &[Relation::Leaves],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::learning("TreeEnsemble")
        .value(
            F | WORDS,
            TypeRule::Several(eval::trees::types),
            eval::trees::regressor,
        )
        .closing(sums, &TREES),
    Operator::learning("TreeEnsembleClassifier")
        .value(
            F | WORDS,
            TypeRule::Several(eval::trees::types),
            eval::trees::classifier,
        )
        .closing(sums, &TREES),
    Operator::learning("TreeEnsembleRegressor")
        .value(
            F | WORDS,
            TypeRule::Several(eval::trees::types),
            eval::trees::regressor,
        )
        .closing(sums, &TREES),
];

/// The sums of the leaves that ranks choose, in units of a power of two.
pub(crate) fn sums(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let ranks = match cx.value(node, 0)? {
        Value::Int(tensor) => tensor,
        _ => cx.integer_head(node, 0)?,
    };
    let shape = cx.builder.fact(ranks).shape.clone();
    let forest = Forest::read(node)?;
    let cuts = forest.cuts(shape.last().copied().unwrap_or(0))?;
    let ranked = forest.ranked(&cuts)?;
    let tensor = cx.push(node, ranked.trees, &[ranks])?;
    let shape = cx.builder.fact(tensor).shape.clone();
    let params = Params {
        scale: vec![ranked.scale],
        zero: vec![0],
        axis: None,
        dtype: DataType::I64,
    };
    let real = Real::new(Base::Quantized(Quantized { tensor, params }), shape);
    let exactness = Exactness::Leaves {
        exact: ranked.exact,
    };
    Ok(Done::new(
        Value::Real(std::sync::Arc::new(real)),
        Status::Closed(exactness),
    ))
}
