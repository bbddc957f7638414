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
    let inputs = |from: usize, to: usize| {
        let read = node.inputs.iter().take(to).skip(from);
        read.clone().all(whole) && (to == 0 || from == 0 || node.inputs.len() > from)
    };
    // What is cast from integers is whole.
    if node.is("Cast")
        && node
            .input(0)
            .is_some_and(|x| graph.ty(x).is_some() && !graph.is_float(x))
    {
        return true;
    }
    match vocabulary::of(node) {
        Some(operator) => match operator.whole {
            Some((from, to)) => inputs(from, to),
            None => operator.has(SELECTING) && inputs(0, 1),
        },
        None => false,
    }
}
