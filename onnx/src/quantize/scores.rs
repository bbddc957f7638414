//! Linear models: scores that are sums of products of prepared features.
//!
//! A model that is one matrix product is nothing but its scores, and 8 bits of them would be all that is left. Its
//! features and weights are quantized with 16 bits, and the sums stay as they are: what is proved are the accumulators, and
//! the label is the place of the largest of them. Functions of scores, such as a Softmax, follow in float.

use std::collections::HashSet;

use super::layers::bias_of;
use crate::graph::constant::Constant;
use crate::graph::{Graph, Node, NodeView, ValueId};

/// The first opset with a QuantizeLinear to 16 bits.
pub(super) const OPSET: i64 = 21;
/// Most features that a sum adds up: so that accumulators with weights of some bits stay in int32.
const MAX_FEATURES: usize = 1 << 10;

/// Operators that make probabilities and other numbers of scores, or move them.
pub(super) const FUNCTIONS: [&str; 35] = [
    "Abs",
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "Div",
    "Equal",
    "Exp",
    "Flatten",
    "Gather",
    "Greater",
    "Identity",
    "Less",
    "Log",
    "LogSoftmax",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Pow",
    "Reciprocal",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceSum",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Squeeze",
    "Sub",
    "Tanh",
    "Unsqueeze",
    "Where",
];

/// The roles of values and nodes in a linear model; empty in any other.
#[derive(Clone, Debug, Default)]
pub(super) struct Scores {
    /// The features that products read.
    pub(super) features: HashSet<ValueId>,
    /// What stays accumulators: products and, behind a MatMul, their sums with the bias.
    pub(super) sums: HashSet<ValueId>,
    /// Those of them whose largest place is looked for.
    pub(super) compared: HashSet<ValueId>,
    /// For each node, whether it computes with scores outside of the proof.
    pub(super) after: Vec<bool>,
}

impl Scores {
    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }
}

/// The scores of a linear model. `front` says which nodes prepare its features.
pub(super) fn find(graph: &Graph, front: &[bool]) -> Scores {
    let mut ready: HashSet<ValueId> = graph.inputs.iter().map(|input| input.value).collect();
    let mut scores = Scores {
        after: vec![false; graph.nodes.len()],
        ..Scores::default()
    };
    let mut outside: HashSet<ValueId> = HashSet::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        if front.get(i).copied().unwrap_or(false) {
            ready.extend(node.made());
            continue;
        }
        let features = node.input(0).filter(|x| ready.contains(x));
        if let Some(features) = features.filter(|_| is_product(graph, node)) {
            scores.features.insert(features);
            scores.sums.extend(node.made());
            continue;
        }
        let reads = || node.reads().filter(|value| !graph.is_constant(*value));
        let product = reads().find(|value| scores.sums.contains(value));
        let product = product.and_then(|value| graph.maker(value));
        if let Some(product) = product.and_then(|place| graph.nodes.get(place))
            && bias_of(graph, product, node).is_some()
            && product.output(0).is_some_and(|sum| graph.uses(sum) == 1)
        {
            scores.sums.extend(node.made());
            continue;
        }
        if node.is("ArgMax") && node.input(0).is_some_and(|x| scores.sums.contains(&x)) {
            scores.compared.extend(node.input(0));
            continue;
        }
        let computes =
            reads().any(|value| outside.contains(&value) || scores.sums.contains(&value));
        let names = !computes && reads().all(|value| !ready.contains(&value));
        if names
            && !node
                .made()
                .any(|value| graph.is_float(value) && graph.outputs.contains(&value))
        {
            // What is made of labels.
            continue;
        }
        if !computes || !node.is_any(&FUNCTIONS) {
            return Scores::default();
        }
        scores.after[i] = true;
        outside.extend(node.made());
    }
    scores
}

/// Whether a node multiplies rows of features with a constant matrix.
fn is_product(graph: &Graph, node: &Node) -> bool {
    let view = NodeView::new(graph, node);
    let matrix = |i: usize| {
        let constant = view.constant(i)?;
        let finite = constant.as_floats()?.iter().all(|v| v.is_finite());
        (finite && constant.len() > 0).then_some(constant.shape.as_slice())
    };
    let Some(&[features, columns]) = matrix(1) else {
        return false;
    };
    let plain = ["transA", "transB", "alpha", "beta"]
        .iter()
        .all(|name| !view.has_attribute(name));
    let bias = view.input(2).is_none() || matrix(2) == Some(&[columns]);
    let once = |value| node.reads().filter(|read| *read == value).count() == 1;
    node.is_any(&["Gemm", "MatMul"])
        && plain
        && bias
        && features <= MAX_FEATURES
        && view.shape(0).is_some_and(|shape| shape.len() == 2)
        && node.input(0).is_some_and(|x| graph.is_float(x) && once(x))
}

/// The scale of 16-bit weights for features of this scale that are at most `reach` from their zero point: the smallest
/// under which neither weights nor accumulators leave their types.
pub(super) fn weight_scale(
    weights: &Constant,
    columns: std::ops::Range<usize>,
    bias: impl Fn(usize) -> f32,
    (x_scale, reach): (f32, i64),
) -> f32 {
    let Some((data, &n)) = weights.as_floats().zip(weights.shape.last()) else {
        return 1.0;
    };
    let rows = data.len() / n.max(1);
    // Each weight is rounded by half at most.
    let room = f64::from(i32::MAX) - (rows as f64 + 1.0) * reach as f64;
    let least = |column: usize| {
        let own = || {
            data.iter()
                .skip(column)
                .step_by(n)
                .map(|w| f64::from(w.abs()))
        };
        let sum = own().sum::<f64>() * reach as f64 + f64::from(bias(column).abs() / x_scale);
        (own().fold(0.0, f64::max) / f64::from(i16::MAX)).max(sum / room)
    };
    let scale = columns.map(least).fold(0.0, f64::max);
    if scale > 0.0 {
        scale as f32 * (1.0 + 1e-6)
    } else {
        1.0
    }
}
