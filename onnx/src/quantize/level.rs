//! Features of different sizes, made alike in front of the product that reads them.
//!
//! One 8-bit scale for ages and incomes leaves nothing of the ages. Where an input is read by matrix products alone,
//! `x · W + b = ((x − m) / h) · (h · W) + (m · W + b)` holds for any middle `m` and half width `h` of each feature: the
//! first brackets are a float head, and one scale serves what they give.

use crate::graph::constant::Constant;
use crate::graph::{Draft, Graph, InputType, Node, NodeView, ValueId};
use crate::run::Values;

/// How much wider the widest feature has to be than the narrowest.
const UNLIKE: f32 = 4.0;

/// Levels the inputs whose features differ on these samples.
pub(crate) fn level(graph: &mut Graph, samples: &[Values]) {
    let inputs: Vec<ValueId> = graph
        .inputs
        .iter()
        .filter(|input| input.dtype == InputType::Float && input.shape.len() == 2)
        .map(|input| input.value)
        .collect();
    for value in inputs {
        let readers = || graph.nodes.iter().filter(|n| n.reads().any(|v| v == value));
        let products =
            readers().count() > 0 && readers().all(|node| reads_as_factor(graph, node, value));
        let features = spans(samples, value).filter(|spans| products && differ(spans));
        if let Some(features) = features.filter(|_| !graph.outputs.contains(&value)) {
            leveled(graph, value, &features);
        }
    }
}

/// Smallest and largest number of each feature, the last axis of a value; `None` if there is no sample of it.
fn spans(samples: &[Values], value: ValueId) -> Option<Vec<(f32, f32)>> {
    let mut spans: Vec<(f32, f32)> = Vec::new();
    for sample in samples {
        let constant = sample.get(&value)?;
        let features = *constant.shape.last()?;
        spans.resize(features, (f32::INFINITY, f32::NEG_INFINITY));
        for row in constant.as_floats()?.chunks(features.max(1)) {
            for (span, v) in spans.iter_mut().zip(row) {
                *span = (span.0.min(*v), span.1.max(*v));
            }
        }
    }
    Some(spans).filter(|spans| !spans.is_empty())
}

/// Whether a node multiplies a value with a constant matrix, and does nothing else with it.
fn reads_as_factor(graph: &Graph, node: &Node, value: ValueId) -> bool {
    let view = NodeView::new(graph, node);
    let floats = |i: usize| view.constant(i).and_then(Constant::as_floats).is_some();
    let matrix = view.shape(1).is_some_and(|shape| shape.len() == 2);
    let plain = ["transA", "transB"]
        .iter()
        .all(|name| !view.has_attribute(name))
        && ["alpha", "beta"]
            .iter()
            .all(|name| !view.has_attribute(name));
    let bias = view.input(2).is_none() || view.shape(2).is_some_and(|s| s.len() == 1) && floats(2);
    let once = node.reads().filter(|read| *read == value).count() == 1;
    node.is_any(&["Gemm", "MatMul"])
        && node.input(0) == Some(value)
        && once
        && matrix
        && floats(1)
        && plain
        && bias
}

/// Whether features, each from `lo` to `hi`, are of different sizes.
fn differ(spans: &[(f32, f32)]) -> bool {
    let widths = spans
        .iter()
        .map(|(lo, hi)| hi - lo)
        .filter(|width| *width > 0.0);
    let (least, most) = widths.fold((f32::INFINITY, 0f32), |(least, most), width| {
        (least.min(width), most.max(width))
    });
    // One that is small beside its distance from zero is as bad.
    let far = spans
        .iter()
        .any(|(lo, hi)| lo.abs().max(hi.abs()) > UNLIKE * (hi - lo) && hi > lo);
    spans.len() > 1 && (most > UNLIKE * least || far)
}

fn leveled(graph: &mut Graph, value: ValueId, spans: &[(f32, f32)]) {
    let middle: Vec<f32> = spans.iter().map(|(lo, hi)| lo / 2.0 + hi / 2.0).collect();
    let half = |(lo, hi): &(f32, f32)| {
        let half = hi / 2.0 - lo / 2.0;
        if half > f32::MIN_POSITIVE { half } else { 1.0 }
    };
    let half: Vec<f32> = spans.iter().map(half).collect();
    if half.iter().chain(&middle).any(|v| !v.is_finite()) {
        return;
    }
    let mut draft = Draft::new(graph, graph.name(value));
    let (m, h) = (
        draft.floats(&[middle.len()], middle.clone()),
        draft.floats(&[half.len()], half.clone()),
    );
    let moved = draft.op("Sub", &[value, m]);
    let alike = draft.op("Div", &[moved, h]);
    let mut products = Vec::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        if node.input(0) != Some(value) {
            continue;
        }
        let view = NodeView::new(graph, node);
        let weights = view.constant(1).and_then(Constant::as_floats);
        let (Some(weights), Some(shape)) = (weights, view.shape(1)) else {
            continue;
        };
        let columns = shape[1];
        let scaled = weights
            .iter()
            .enumerate()
            .map(|(i, w)| w * half[i / columns]);
        let scaled = draft.floats(&shape, scaled.collect());
        let bias = view.constant(2).and_then(Constant::as_floats);
        let of = |column: usize| {
            let own = bias.map_or(0.0, |b| f64::from(b[column % b.len()]));
            let rows = middle.iter().enumerate();
            let sum =
                rows.map(|(row, m)| f64::from(*m) * f64::from(weights[row * columns + column]));
            (own + sum.sum::<f64>()) as f32
        };
        let bias = draft.floats(&[columns], (0..columns).map(of).collect());
        products.push((place, vec![Some(alike), Some(scaled), Some(bias)]));
    }
    let front = draft.finish(&[], &[]).apply(graph);
    for (place, inputs) in products {
        let node = &mut graph.nodes[place];
        node.op = "Gemm".to_owned();
        node.inputs = inputs;
    }
    graph.nodes.splice(0..0, front);
}
