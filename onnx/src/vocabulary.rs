//! The operators by name, and what is asked of them by name.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, bit, type_name};
use crate::eval::types::{Operand, Operands, TypeRule, zeros};
use crate::graph::constant::{Constant, Element};
use crate::graph::{MICROSOFT, Node, NodeView, Type};
use crate::group::routes::Passage;
use crate::operator::{CLAMPING, Kinds, Operator, QUANTIZED, ROUTED, TRANSPARENT};
use crate::ops::FILES;
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, MAX_RANK, elements};

/// By domain and name.
static OPERATORS: LazyLock<HashMap<(&str, &str), &Operator>> = LazyLock::new(|| {
    let all = FILES.iter().flat_map(|(_, operators)| *operators);
    all.map(|operator| ((operator.domain, operator.name), operator))
        .collect()
});

/// The operator of this identity.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static Operator> {
    OPERATORS.get(&(domain, name)).copied()
}

/// The operator of a node.
pub(crate) fn of(node: &Node) -> Option<&'static Operator> {
    find(&node.domain, &node.op)
}

/// Whether the operator of a node has all of some properties.
pub(crate) fn has(node: &Node, kinds: Kinds) -> bool {
    of(node).is_some_and(|operator| operator.has(kinds))
}

/// Whether the operator of a node is one that is proved.
pub(crate) fn is_proved(node: &Node) -> bool {
    of(node).is_some_and(|operator| operator.integers.is_some())
}

/// Whether a node quantizes or computes with quantized integers, as the names of ONNX Runtime's operators tell, too.
pub(crate) fn is_quantized(node: &Node) -> bool {
    let named = || {
        node.domain == MICROSOFT
            && (node.op.starts_with('Q') || node.op.starts_with("DynamicQuantize"))
    };
    of(node).map_or_else(named, |operator| operator.has(QUANTIZED))
}

/// What a node of a model of some opset is to the way of a float result to its quantization.
pub(crate) fn passage(node: &Node, opset: i64) -> Passage {
    match of(node) {
        _ if node.op == "QuantizeLinear" => Passage::Quantizes,
        _ if node.op == "DequantizeLinear" => Passage::Dequantizes,
        Some(operator) if operator.has(TRANSPARENT) => Passage::Transparent,
        Some(operator) if operator.has(CLAMPING) => Passage::Clamps,
        // Before opset 12 there is no MaxPool of integers.
        Some(operator) if operator.has(ROUTED) && (!node.is("MaxPool") || opset >= 12) => {
            Passage::Moves
        }
        _ => Passage::Ends,
    }
}

/// The results of a node. Every attribute has been looked at, and no result has more elements than the cap.
pub(crate) fn evaluate(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let operator = of(node.node()).ok_or(NodeError::Unknown)?;
    let rule = operator.value.as_ref().ok_or(NodeError::Unknown)?;
    operator.exists(node.opset)?;
    if let Some(first) = inputs.maybe(0)
        && rule.types & bit(first.element()) == 0
    {
        let got = type_name(first.element());
        return Err(NodeError::ElementType { input: 0, got });
    }
    let results = (rule.run)(node, inputs)?;
    node.check_attributes()?;
    Ok(results)
}

/// Types of the results of a node, if they follow. Where they are found by computing, as many elements are taken from
/// `spare` as operands have; no type follows where fewer are left.
pub(crate) fn types(
    node: &NodeView<'_>,
    operands: &Operands<'_>,
    spare: &mut usize,
) -> Option<Vec<Type>> {
    let types = match of(node.node())?.results? {
        TypeRule::First => vec![operands.get(0)?.ty.clone()],
        TypeRule::Broadcast => vec![Type {
            element: operands.get(usize::from(node.op() == "Where"))?.ty.element,
            shape: operands.broadcast(0..operands.0.len())?,
        }],
        TypeRule::Truth => vec![Type {
            element: Element::Int(DataType::Bool),
            shape: operands.broadcast(0..operands.0.len())?,
        }],
        TypeRule::Zeros(open) => of_zeros(node, operands, open, spare)?,
        TypeRule::Several(own) => own(node, operands)?,
        TypeRule::Own(own) => vec![own(node, operands)?],
    };
    let fits = |ty: &Type| elements(&ty.shape) <= MAX_ELEMENTS && ty.shape.len() <= MAX_RANK;
    types.iter().all(fits).then_some(types)
}

/// Types of what an operator makes of zeros.
fn of_zeros(
    node: &NodeView<'_>,
    operands: &Operands<'_>,
    open: usize,
    spare: &mut usize,
) -> Option<Vec<Type>> {
    let known = |(i, operand): (usize, &Option<Operand<'_>>)| {
        i < open || operand.is_none_or(|operand| operand.constant.is_some())
    };
    if !operands.0.iter().enumerate().all(known) {
        return None;
    }
    let count = operands.0.iter().flatten();
    let count = count.fold(0usize, |n, operand| {
        n.saturating_add(elements(&operand.ty.shape))
    });
    *spare = spare.checked_sub(count)?;
    let zeros = |operand: &Option<Operand<'_>>| match operand {
        Some(operand) if operand.constant.is_none() => Some(zeros(operand.ty)),
        _ => None,
    };
    let zeros: Vec<Option<Constant>> = operands.0.iter().map(zeros).collect();
    let values = operands.0.iter().zip(&zeros).map(|(operand, zeros)| {
        let constant = operand.and_then(|operand| operand.constant);
        zeros.as_ref().or(constant)
    });
    let results = evaluate(node, &Inputs::new(values.collect())).ok()?;
    Some(results.iter().map(Constant::ty).collect())
}
