//! What pipelines of classical learning are made of, in fewer steps that mean the same.
//!
//! A cast to the type that a value has is nothing. Two products with constant matrices are one, and two constants that are
//! added are one. The place of the largest probability is that of the largest score, if probabilities grow with their
//! scores: where floats round several probabilities to one, the score still decides.

use std::collections::HashMap;

use crate::graph::constant::{Constant, Element};
use crate::graph::{Graph, Node, NodeView, ValueId};
use zkonnx_circuits::program::DataType;

/// Most nodes between scores and the place of the largest one, and most that tell the sign of a number.
const MAX_STEPS: usize = 16;
/// Most products of numbers that make one matrix of two.
const MAX_PRODUCTS: usize = 1 << 28;

/// Carries out all of it.
pub(crate) fn shorten(graph: &mut Graph) {
    idle_casts(graph);
    row_biases(graph);
    let mut i = 0;
    while i < graph.nodes.len() {
        match joined(graph, i).or_else(|| shifted(graph, i)) {
            Some(before) => {
                graph.nodes.remove(before);
            }
            None => i += 1,
        }
    }
    places(graph);
}

/// Readers of casts that change nothing read what is cast.
fn idle_casts(graph: &mut Graph) {
    let mut same: HashMap<ValueId, ValueId> = HashMap::new();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        let inputs = node.inputs.iter_mut().flatten();
        for value in inputs.chain(node.captures.iter_mut().map(|(_, value)| value)) {
            *value = same.get(value).copied().unwrap_or(*value);
        }
        let (x, y) = (node.input(0), node.only_output());
        let element = |value: Option<ValueId>| Some(graph.ty(value?)?.element);
        let idle = node.is("Cast") && element(x).is_some() && element(x) == element(y);
        match (x, y) {
            (Some(x), Some(y)) if idle && !graph.outputs.contains(&y) => {
                same.insert(y, x);
            }
            _ => kept.push(node),
        }
    }
    graph.nodes = kept;
}

/// What is added to the rows of a matrix, as a vector: `[1, N]` is `[N]`.
fn row_biases(graph: &mut Graph) {
    let mut vectors: HashMap<ValueId, ValueId> = HashMap::new();
    for i in 0..graph.nodes.len() {
        if !graph.nodes[i].is("Add") {
            continue;
        }
        for input in 0..2 {
            let Some(value) = graph.nodes[i].input(input) else {
                continue;
            };
            let Some(vector) = row(graph, i, input) else {
                continue;
            };
            let name = format!("{}_row", graph.name(value));
            let vector = *vectors
                .entry(value)
                .or_insert_with(|| graph.add_constant(&name, vector));
            graph.nodes[i].inputs[input] = Some(vector);
        }
    }
}

/// An operand of a node as a vector, if it is one row that is added to a matrix behind a product.
fn row(graph: &Graph, i: usize, input: usize) -> Option<Constant> {
    let constant = graph.constant(graph.nodes[i].input(input)?)?;
    let (&[1, n], Some(data)) = (constant.shape.as_slice(), constant.as_floats()) else {
        return None;
    };
    let matrix = graph.shape(graph.nodes[i].input(1 - input)?)?.len() == 2;
    let product = &graph.nodes[maker_of(graph, i, 1 - input).filter(|_| matrix)?];
    let follows = product.is_any(&["MatMul", "Gemm", "Add"]);
    follows.then(|| Constant::floats(vec![n], data.to_vec()))
}

/// Rows, columns and elements of the matrix of a product `x · W + b`, and the addends.
type Linear<'g> = (usize, usize, &'g [f32], Option<&'g [f32]>);

fn linear<'g>(graph: &'g Graph, node: &Node) -> Option<Linear<'g>> {
    let read = |i: usize| graph.constant(node.input(i)?);
    let weights = read(1)?;
    let &[rows, columns] = weights.shape.as_slice() else {
        return None;
    };
    let bias = match node.input(2) {
        None => None,
        Some(_) => Some(read(2).filter(|b| b.shape == [columns])?.as_floats()?),
    };
    let plain = node.is("MatMul") || node.is("Gemm") && node.attributes.is_empty();
    let matrix = graph.shape(node.input(0)?)?.len() == 2 && rows > 0 && columns > 0;
    (plain && matrix).then_some((rows, columns, weights.as_floats()?, bias))
}

/// The node that makes what a node reads. Most stand right in front of those that read them.
fn maker_of(graph: &Graph, i: usize, input: usize) -> Option<usize> {
    let value = graph.nodes.get(i)?.input(input)?;
    graph.nodes[..i].iter().rposition(|node| node.makes(value))
}

/// The product that a node reads, if nobody else reads it.
fn product_before(graph: &Graph, i: usize, input: usize) -> Option<(usize, Linear<'_>)> {
    let place = maker_of(graph, i, input)?;
    let product = linear(graph, &graph.nodes[place])?;
    let value = graph.nodes[i].input(input)?;
    (graph.uses(value) == 1).then_some((place, product))
}

/// Makes one product of two, if that is not larger; answers the one that is gone.
fn joined(graph: &mut Graph, i: usize) -> Option<usize> {
    let node = graph.nodes.get(i)?;
    let (middle, columns, second, added) = linear(graph, node)?;
    let (place, (rows, inner, first, bias)) = product_before(graph, i, 0)?;
    let products = rows.saturating_mul(inner).saturating_mul(columns);
    if inner != middle || rows * columns > rows * inner + inner * columns || products > MAX_PRODUCTS
    {
        return None;
    }
    let product = |left: &dyn Fn(usize) -> f32, column: usize| -> f64 {
        let term = |k: usize| f64::from(left(k)) * f64::from(second[k * columns + column]);
        (0..inner).map(term).sum()
    };
    let weight = |i: usize| product(&|k| first[i / columns * inner + k], i % columns) as f32;
    let weights = Constant::floats(
        vec![rows, columns],
        (0..rows * columns).map(weight).collect(),
    );
    let addend = |column: usize| {
        let own = added.map_or(0.0, |b| f64::from(b[column]));
        (own + bias.map_or(0.0, |b| product(&|k| b[k], column))) as f32
    };
    let addends: Vec<f32> = (0..columns).map(addend).collect();
    let finite = |c: &[f32]| c.iter().all(|v| v.is_finite());
    if !finite(&addends) || !weights.as_floats().is_some_and(finite) {
        return None;
    }
    let name = format!("{}_weights", graph.node_name(&graph.nodes[i]));
    let weights = graph.add_constant(&name, weights);
    become_gemm(graph, i, place, weights, addends);
    Some(place)
}

/// Makes one addend of two behind a product; answers the product that is gone.
fn shifted(graph: &mut Graph, i: usize) -> Option<usize> {
    let node = graph.nodes.get(i)?;
    if !node.is("Add") {
        return None;
    }
    let sum = (0..2).find(|input| node.input(*input).is_some_and(|v| !graph.is_constant(v)))?;
    let more = graph.constant(node.input(1 - sum)?)?;
    let (place, (_, columns, _, bias)) = product_before(graph, i, sum)?;
    let (Some(more), true) = (
        more.as_floats(),
        [vec![], vec![1], vec![columns]].contains(&more.shape),
    ) else {
        return None;
    };
    let addend = |column: usize| bias.map_or(0.0, |b| b[column]) + more[column % more.len().max(1)];
    let addends: Vec<f32> = (0..columns).map(addend).collect();
    let weights = graph.nodes[place].input(1)?;
    become_gemm(graph, i, place, weights, addends);
    Some(place)
}

/// A node becomes the product of what another one reads.
fn become_gemm(graph: &mut Graph, i: usize, place: usize, weights: ValueId, addends: Vec<f32>) {
    let x = graph.nodes[place].input(0);
    let name = graph.node_name(&graph.nodes[i]);
    let bias = Constant::floats(vec![addends.len()], addends);
    let bias = graph.add_constant(&format!("{name}_bias"), bias);
    let node = &mut graph.nodes[i];
    node.op = "Gemm".into();
    node.attributes.clear();
    node.inputs = vec![x, Some(weights), Some(bias)];
}

/// The place of the largest of some functions of scores is that of the largest score.
fn places(graph: &mut Graph) {
    for i in 0..graph.nodes.len() {
        let node = &graph.nodes[i];
        if !node.is("ArgMax") {
            continue;
        }
        let view = NodeView::new(graph, node);
        let rank = view.shape(0).map_or(0, |shape| shape.len());
        let axis = view
            .int("axis", 0)
            .map(|axis| view.axis("axis", axis, rank));
        let (Some(x), Ok(Ok(axis))) = (node.input(0), axis) else {
            continue;
        };
        let source = ordered_by(graph, x, axis);
        let found = source.filter(|value| {
            let maker = graph.maker(*value).map(|at| &graph.nodes[at]);
            maker.is_some_and(|node| node.is_any(&["Gemm", "MatMul", "Add"]))
        });
        if let Some(source) = found {
            graph.nodes[i].inputs[0] = Some(source);
        }
    }
}

/// The value that functions are made of which grow with it along an axis.
fn ordered_by(graph: &Graph, value: ValueId, axis: usize) -> Option<ValueId> {
    let (mut value, mut grows) = (value, true);
    for _ in 0..MAX_STEPS {
        // Rows that broadcasting repeats have places of their own.
        let like = |(next, _): &(ValueId, bool)| graph.shape(*next) == graph.shape(value);
        let Some((next, same)) = step(graph, value, axis).filter(like) else {
            break;
        };
        (value, grows) = (next, grows == same);
    }
    grows.then_some(value)
}

/// What a value is made of, and whether it grows with that.
fn step(graph: &Graph, value: ValueId, axis: usize) -> Option<(ValueId, bool)> {
    let node = graph.nodes.get(graph.maker(value)?)?;
    let x = node.input(0)?;
    let view = NodeView::new(graph, node);
    let shape = graph.shape(value)?;
    // One number for all that are compared.
    let shared = |value: ValueId| match graph.shape(value) {
        Some(own) => {
            own.iter().product::<usize>() == 1 || own.len() == shape.len() && own[axis] == 1
        }
        None => false,
    };
    match node.op.as_str() {
        "Identity" | "Sigmoid" | "Exp" => Some((x, true)),
        "Reciprocal" => is_positive(graph, x).then_some((x, false)),
        "Neg" => Some((x, false)),
        "Softmax" | "LogSoftmax" => {
            let own = view.int("axis", -1).ok()?;
            (view.axis("axis", own, shape.len()).ok()? == axis && node.opset >= 13)
                .then_some((x, true))
        }
        "Add" => {
            let other = node.input(1)?;
            match (shared(x), shared(other)) {
                (false, true) => Some((x, true)),
                (true, false) => Some((other, true)),
                _ => None,
            }
        }
        "Sub" => {
            let other = node.input(1)?;
            match (shared(x), shared(other)) {
                (false, true) => Some((x, true)),
                (true, false) => Some((other, false)),
                _ => None,
            }
        }
        "Mul" => {
            let other = node.input(1)?;
            let (own, factor) = match (shared(x), shared(other)) {
                (false, true) => (x, other),
                (true, false) => (other, x),
                _ => return None,
            };
            match graph.constant(factor).and_then(|c| c.as_floats()) {
                Some(&[factor]) if factor != 0.0 => Some((own, factor > 0.0)),
                Some(_) => None,
                None => is_positive(graph, factor).then_some((own, true)),
            }
        }
        _ => None,
    }
}

/// Whether all numbers of a value are above zero.
fn is_positive(graph: &Graph, value: ValueId) -> bool {
    sign(graph, value, &mut MAX_STEPS.clone()) == Some(true)
}

/// Whether all numbers of a value are above zero, or else at least none is below; `None` if that is not known. Two
/// operands may be made of the same value, so that it is nodes that are counted, and not how deep they stand.
fn sign(graph: &Graph, value: ValueId, steps: &mut usize) -> Option<bool> {
    if let Some(constant) = graph.constant(value) {
        let data = constant.as_floats()?;
        let least = data.iter().copied().fold(f32::INFINITY, f32::min);
        let known = least >= 0.0 && data.iter().all(|v| v.is_finite());
        return known.then_some(least > 0.0);
    }
    *steps = steps.checked_sub(1)?;
    let node = graph.nodes.get(graph.maker(value)?)?;
    let mut of = |input: usize| sign(graph, node.input(input)?, steps);
    match node.op.as_str() {
        "Exp" | "Sigmoid" | "Softmax" => Some(true),
        "Reciprocal" => of(0).filter(|positive| *positive),
        "Identity" | "ReduceSum" | "ReduceMax" => of(0),
        "Add" => of(0).zip(of(1)).map(|(a, b)| a || b),
        "Mul" => of(0).zip(of(1)).map(|(a, b)| a && b),
        "Cast" => {
            let from = graph.ty(node.input(0)?)?.element;
            (from == Element::Int(DataType::Bool)).then_some(false)
        }
        _ => None,
    }
}
