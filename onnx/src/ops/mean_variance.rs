//! `MeanVarianceNormalization`, which `quantize` takes apart as the text of ONNX defines it.

use crate::eval::types::TypeRule;
use crate::graph::{Draft, NodeView, ValueId};
use crate::operator::{Operator, Parts};

/// What is added to the deviation.
const EPSILON: f32 = 1e-9;

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[Operator::onnx("MeanVarianceNormalization")
    .since(9)
    .typed(TypeRule::First)
    .decomposed(Parts::One(parts))];

/// `(x − mean) / (sqrt(mean of squares − squared mean) + epsilon)`, whose variance is that of what is centered.
fn parts(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let (x, rank) = (node.input(0)?, node.shape(0)?.len());
    let given = node.maybe_ints("axes").ok()?;
    let mut axes = Vec::new();
    for axis in given.unwrap_or(&[0, 2, 3]) {
        axes.push(node.axis("axes", *axis, rank).ok()? as i64);
    }
    let mean = p.reduce("ReduceMean", x, &axes);
    let centered = p.op("Sub", &[x, mean]);
    let square = p.op("Mul", &[centered, centered]);
    let variance = p.reduce("ReduceMean", square, &axes);
    let deviation = p.op("Sqrt", &[variance]);
    let epsilon = p.scalar(EPSILON);
    let divisor = p.op("Add", &[deviation, epsilon]);
    Some(p.op("Div", &[centered, divisor]))
}
