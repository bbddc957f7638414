//! Tensors of whole numbers: truths that were cast, what is rounded, and sums and products of those.
//!
//! With a scale of one they lose nothing, and comparisons for equality mean what they say; a scale fitted to their
//! range would put most of them beside the numbers that they are.

use std::collections::HashSet;

use tract_onnx::pb::NodeProto;

use super::super::constant::{Constant, Data};
use super::super::graph::Graph;
use super::super::run::Values;
use super::layers::SELECTING;

/// Whether all values of a constant are whole, and small enough for sums of them to be exact.
pub(super) fn is_whole(constant: &Constant) -> bool {
    let whole = |v: &f32| *v == v.round_ties_even() && v.abs() <= (1 << 16) as f32;
    match &constant.data {
        Data::Float(values) => values.iter().all(whole),
        Data::Int(..) => true,
        _ => false,
    }
}

/// The float tensors that are whole for every input of the model.
pub(super) fn integral(graph: &Graph, values: &Values) -> HashSet<String> {
    let mut found: HashSet<String> = HashSet::new();
    for node in &graph.nodes {
        if makes_whole(graph, values, &found, node) {
            found.extend(node.output.iter().cloned());
        }
    }
    found
}

fn makes_whole(graph: &Graph, values: &Values, found: &HashSet<String>, node: &NodeProto) -> bool {
    let whole = |x: &String| match graph.constants.get(x) {
        Some(constant) => is_whole(constant),
        None => x.is_empty() || found.contains(x),
    };
    let first = |n: usize| node.input.iter().take(n).all(whole);
    match node.op_type.as_str() {
        "Round" | "Floor" | "Ceil" | "Sign" | "Hardmax" => true,
        "OneHot" => node.input.get(2).is_some_and(whole),
        "Cast" => {
            let of = node.input.first().and_then(|x| values.get(x));
            of.is_some_and(|v| v.as_floats().is_none()) || first(1)
        }
        "Add" | "Sub" | "Mul" | "MatMul" | "Max" | "Min" | "Concat" | "Conv" | "Gemm" | "Clip" => {
            first(usize::MAX)
        }
        "Where" => node.input.iter().skip(1).all(whole),
        "Neg" | "Abs" | "Relu" | "ReduceSum" | "CumSum" | "TopK" => first(1),
        // A border may be of another constant.
        "Pad" => first(1) && node.input.get(2).is_none_or(whole),
        op => SELECTING.contains(&op) && first(1),
    }
}
