//! Types of all values, and the values of those that depend on constants alone.
//!
//! A dequantized constant stays what it is, integers with a scale: weights are made of it. Shapes are known whatever
//! becomes of the elements, so that arithmetic on shapes is folded too.

use std::sync::Arc;

use crate::eval;
use crate::eval::inputs::Inputs;
use crate::eval::{Operand, Operands};
use crate::graph::constant::Constant;
use crate::graph::{Graph, Node, NodeView, Type, ValueId};
use crate::vocabulary;

/// Gives the inputs of a graph their types, and no other value but constants one.
pub(crate) fn inputs(graph: &mut Graph) {
    graph.forget_types();
    let inputs: Vec<(ValueId, Type)> = graph.inputs.iter().map(|i| (i.value, i.ty())).collect();
    for (value, ty) in inputs {
        graph.set_type(value, ty);
    }
}

/// Makes the results of a node constants, if they are known. Answers whether they are.
pub(crate) fn folded(graph: &mut Graph, node: &Node) -> bool {
    // After a constant that was too large nothing is folded, or a short file would have many of them computed in vain.
    if graph.spare == 0 {
        return false;
    }
    let Some(results) = results(graph, node) else {
        return false;
    };
    let count: usize = results.iter().map(Constant::len).sum();
    let Some(left) = graph.spare.checked_sub(count) else {
        graph.spare = 0;
        return false;
    };
    graph.spare = left;
    for (output, result) in node.outputs.iter().zip(results) {
        if let Some(output) = output {
            graph.set_constant(*output, Arc::new(result));
        }
    }
    true
}

/// Gives the results of a node their types, as far as they follow.
pub(crate) fn type_results(graph: &mut Graph, node: &Node) {
    let mut untyped = graph.untyped;
    for (value, ty) in types(graph, node, &mut untyped) {
        graph.set_type(value, ty);
    }
    graph.untyped = untyped;
}

/// The results of a node if they are known at import. What fails is left to whoever reports on nodes.
fn results(graph: &Graph, node: &Node) -> Option<Vec<Constant>> {
    let view = NodeView::new(graph, node);
    let operator = vocabulary::of(node);
    let supported = operator.is_none_or(|operator| operator.check(&view).is_ok());
    if !supported
        || node.fault.is_some()
        || node.is("DequantizeLinear")
        || !node.captures.is_empty()
    {
        return None;
    }
    if node.is_any(&["Shape", "Size"]) {
        let shape = graph.shape(node.input(0)?)?;
        return eval::of_shape(&view, shape).ok();
    }
    vocabulary::evaluate(&view, &Inputs::of_constants(view.constants()?)).ok()
}

/// Types of what a node makes, as far as they follow.
fn types(graph: &Graph, node: &Node, untyped: &mut usize) -> Vec<(ValueId, Type)> {
    let operand = |input: &Option<ValueId>| match input {
        None => Some(None),
        Some(value) => Some(Some(Operand {
            ty: graph.ty(*value)?,
            constant: graph.constant(*value).map(Arc::as_ref),
        })),
    };
    let operands: Option<Vec<Option<Operand<'_>>>> = node.inputs.iter().map(operand).collect();
    let view = NodeView::new(graph, node);
    let types = operands.and_then(|all| vocabulary::types(&view, &Operands(all), untyped));
    let outputs = node.outputs.iter().zip(types.unwrap_or_default());
    outputs
        .filter_map(|(output, ty)| Some(((*output)?, ty)))
        .collect()
}
