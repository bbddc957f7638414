//! Tensors of whole numbers: truths that were cast, what is rounded, and sums and products of those.
//!
//! With a scale of one they lose nothing, and comparisons for equality mean what they say; a scale fitted to their
//! range would put most of them beside the numbers that they are.

use std::collections::HashSet;

use crate::graph::constant::{Constant, Data};
use crate::graph::{Graph, Node, ValueId};
use crate::operator::SELECTING;
use crate::vocabulary;

/// Whether all values of a constant are whole, and small enough for sums of them to be exact.
pub(crate) fn is_whole(constant: &Constant) -> bool {
    let whole = |v: &f32| *v == v.round_ties_even() && v.abs() <= (1 << 16) as f32;
    match &constant.data {
        Data::Float(values) => values.iter().all(whole),
        Data::Int(..) => true,
        _ => false,
    }
}

/// The float tensors that are whole for every input of the model.
pub(crate) fn integral(graph: &Graph) -> HashSet<ValueId> {
    let mut found: HashSet<ValueId> = HashSet::new();
    for node in &graph.nodes {
        if makes_whole(graph, &found, node) {
            found.extend(node.made());
        }
    }
    found
}

fn makes_whole(graph: &Graph, found: &HashSet<ValueId>, node: &Node) -> bool {
    let whole = |x: &Option<ValueId>| match x.map(|x| (x, graph.constant(x))) {
        None => true,
        Some((_, Some(constant))) => is_whole(constant),
        Some((x, None)) => found.contains(&x),
    };
    let first = |n: usize| node.inputs.iter().take(n).all(whole);
    match node.op.as_str() {
        "Round" | "Floor" | "Ceil" | "Sign" | "Hardmax" => true,
        "OneHot" => node.inputs.get(2).is_some_and(whole),
        "Cast" => {
            let of = node.input(0).filter(|x| graph.ty(*x).is_some());
            of.is_some_and(|x| !graph.is_float(x)) || first(1)
        }
        "Add" | "Sub" | "Mul" | "MatMul" | "Max" | "Min" | "Concat" | "Conv" | "Gemm" | "Clip" => {
            first(usize::MAX)
        }
        "Where" => node.inputs.iter().skip(1).all(whole),
        "Neg" | "Abs" | "Relu" | "ReduceSum" | "CumSum" | "TopK" => first(1),
        // A border may be of another constant.
        "Pad" => first(1) && node.inputs.get(2).is_none_or(whole),
        _ => vocabulary::has(node, SELECTING) && first(1),
    }
}
