//! Chains of functions of one quantized tensor stay float inside, and become one table at import.
//!
//! Gelu written by Erf, or a normalization's `1 / sqrt(variance + epsilon)`, is a function of one number: rounding
//! between its parts would cost accuracy, and a table each.

use std::collections::{HashMap, HashSet};

use crate::eval;
use crate::graph::{Graph, Node, NodeView, ValueId};
use crate::operator::Chain as Rule;
use crate::vocabulary;
use zkonnx_circuits::ops::broadcast;

/// Most operations between a quantized tensor and the next one; the importer allows 256.
const MAX_CHAIN: usize = 64;

/// A tensor as a function of a quantized one.
#[derive(Clone, Copy, Debug)]
struct Chain {
    root: ValueId,
    /// The axis that constants follow, if they follow one.
    axis: Option<usize>,
    /// Operations from the root on, shared ones counted each time.
    size: usize,
}

/// The tensors that need no quantization, as each that reads them goes on with the function. `stay` are float for other
/// reasons.
pub(crate) fn fused(graph: &Graph, tail: &[bool], stay: &HashSet<ValueId>) -> HashSet<ValueId> {
    let mut readers: HashMap<ValueId, Vec<(&Node, bool)>> = HashMap::new();
    for (node, &tail) in graph.nodes.iter().zip(tail) {
        for input in node.reads() {
            readers.entry(input).or_default().push((node, tail));
        }
    }
    // Tensors that somebody needs quantized begin a chain of their own, which may make others needed.
    let mut needed: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    loop {
        let chains = chains(graph, tail, stay, &needed);
        let inside = |tensor: &ValueId| !needed.contains(tensor) && !stay.contains(tensor);
        let goes_on = |tensor: &ValueId, chain: &Chain| {
            let on = |(node, tail): &(&Node, bool)| {
                let next = node.output(0).and_then(|o| chains.get(&o));
                !tail && next.is_some_and(|next| next.root == chain.root)
            };
            readers
                .get(tensor)
                .is_some_and(|readers| readers.iter().all(on))
        };
        let more: Vec<ValueId> = chains
            .iter()
            .filter(|(tensor, chain)| inside(tensor) && !goes_on(tensor, chain))
            .map(|(tensor, _)| *tensor)
            .collect();
        if more.is_empty() {
            return chains.into_keys().filter(inside).collect();
        }
        needed.extend(more);
    }
}

/// Whether a node computes a function of one quantized tensor, which none of `stay` is.
pub(crate) fn is_function(graph: &Graph, stay: &HashSet<ValueId>, node: &Node) -> bool {
    function_of(graph, node, |x| start(graph, stay, x)).is_some()
}

/// A tensor that begins a chain.
fn start(graph: &Graph, stay: &HashSet<ValueId>, tensor: ValueId) -> Option<Chain> {
    let float = graph.is_float(tensor) && !graph.is_constant(tensor) && !stay.contains(&tensor);
    float.then_some(Chain {
        root: tensor,
        axis: None,
        size: 0,
    })
}

/// The tensors that are functions of one quantized tensor. Those that are `needed` begin anew for their readers.
fn chains(
    graph: &Graph,
    tail: &[bool],
    stay: &HashSet<ValueId>,
    needed: &HashSet<ValueId>,
) -> HashMap<ValueId, Chain> {
    let mut chains: HashMap<ValueId, Chain> = HashMap::new();
    for (node, _) in graph.nodes.iter().zip(tail).filter(|(_, tail)| !**tail) {
        let Some(output) = node.only_output() else {
            continue;
        };
        let of = |x: ValueId| match chains.get(&x) {
            Some(chain) if !needed.contains(&x) && !stay.contains(&x) => Some(*chain),
            _ => start(graph, stay, x),
        };
        if let Some(chain) = function_of(graph, node, of) {
            chains.insert(output, chain);
        }
    }
    chains
}

/// The result of a node as a function of one quantized tensor, if it is one.
fn function_of(graph: &Graph, node: &Node, of: impl Fn(ValueId) -> Option<Chain>) -> Option<Chain> {
    let view = NodeView::new(graph, node);
    let is_constant = |x: ValueId| graph.is_constant(x);
    let grown = |chain: Chain, more: usize| {
        let size = chain.size + more;
        (size <= MAX_CHAIN).then_some(Chain { size, ..chain })
    };
    let shape = |x: ValueId| graph.shape(x);
    let first = view.input(0)?;
    let rule = vocabulary::of(node).map_or(Rule::Function, |operator| operator.chains);
    match rule {
        Rule::Limits => {
            let limits = (1..view.inputs()).filter_map(|i| view.input(i));
            limits
                .into_iter()
                .all(is_constant)
                .then(|| grown(of(first)?, 1))?
        }
        Rule::Pair => {
            let second = view.input(1)?;
            match (is_constant(first), is_constant(second)) {
                (false, true) => with_constant(graph, of(first)?, shape(first)?, second),
                (true, false) => with_constant(graph, of(second)?, shape(second)?, first),
                (false, false) => {
                    let (a, b) = (of(first)?, of(second)?);
                    let alike = a.root == b.root && shape(first) == shape(second);
                    let axis = a.axis.or(b.axis);
                    let compatible = b.axis.is_none() || b.axis == axis;
                    let more = b.size + 1;
                    (alike && compatible).then(|| grown(Chain { axis, ..a }, more))?
                }
                (true, true) => None,
            }
        }
        Rule::Extreme if view.inputs() == 2 => {
            let second = view.input(1)?;
            match (is_constant(first), is_constant(second)) {
                (false, true) => with_constant(graph, of(first)?, shape(first)?, second),
                (true, false) => with_constant(graph, of(second)?, shape(second)?, first),
                _ => None,
            }
        }
        Rule::Channels => {
            let chain = of(first)?;
            let constants = (1..5).all(|i| view.input(i).is_some_and(is_constant));
            let fits = constants && chain.axis.is_none_or(|axis| axis == 1);
            let axis = Some(1);
            fits.then(|| grown(Chain { axis, ..chain }, 2))?
        }
        _ => {
            eval::function(&view).ok()?;
            grown(of(first)?, 1)
        }
    }
}

/// A chain that a constant joins: one number, or one for each index of an axis.
fn with_constant(graph: &Graph, chain: Chain, shape: &[usize], constant: ValueId) -> Option<Chain> {
    let constant = graph.constant(constant)?;
    constant.as_floats()?;
    if broadcast(shape, &constant.shape).as_deref() != Some(shape) {
        return None;
    }
    let skip = shape.len() - constant.shape.len();
    let long: Vec<usize> = (0..constant.shape.len())
        .filter(|&d| constant.shape[d] > 1)
        .map(|d| d + skip)
        .collect();
    let axis = match (long.as_slice(), chain.axis) {
        ([], axis) => axis,
        (&[axis], None) => Some(axis),
        (&[axis], Some(other)) if axis == other => Some(axis),
        _ => return None,
    };
    let size = chain.size + 1;
    (size <= MAX_CHAIN).then_some(Chain {
        axis,
        size,
        ..chain
    })
}
