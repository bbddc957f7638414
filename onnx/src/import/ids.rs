//! Ranges of integer inputs that are places in a table.
//!
//! A Gather of constants fails in ONNX Runtime at a place that does not exist. So an input whose integers become such
//! places holds no others: its range is that of the places, the program refuses others at the door, with their position,
//! and nothing has to be proved of them. Inputs of more than 16 bits that a Clip limits before they become anything are
//! bounded by its limits too, beyond which the circuit could not take them.

use crate::graph::{Graph, Node, NodeView, STANDARD, ValueId};
use crate::group::routes::Routes;
use crate::operator::COVERING;
use crate::vocabulary;
use zkonnx_circuits::program::{DataType, Range};

/// Most values that are followed from an input.
const MAX_STEPS: usize = 1 << 12;

/// The integers that an input of a graph may hold.
pub(crate) fn range(graph: &Graph, routes: &Routes<'_>, input: ValueId, dtype: DataType) -> Range {
    let mut range = Range::of(dtype);
    let (mut waiting, mut steps) = (vec![input], 0);
    while let Some(value) = waiting.pop() {
        steps += 1;
        if steps > MAX_STEPS {
            break;
        }
        for node in routes.readers(value).filter(|n| n.domain == STANDARD) {
            let first = node.input(0) == Some(value);
            let limits = match node.op.as_str() {
                "Gather" if node.input(1) == Some(value) => places(graph, routes, node),
                "Clip" if first && dtype.width() > 16 => limits(graph, node),
                _ if first && vocabulary::has(node, COVERING) => {
                    waiting.extend(node.output(0));
                    None
                }
                // Types that hold all of it.
                "Cast"
                    if NodeView::new(graph, node)
                        .int("to", 0)
                        .is_ok_and(|to| to == 7) =>
                {
                    waiting.extend(node.output(0));
                    None
                }
                _ => None,
            };
            if let Some((lo, hi)) = limits {
                let both = (range.lo.max(lo), range.hi.min(hi));
                // What no integer fulfils is found where it stands.
                if both.0 <= both.1 {
                    range = Range::new(both.0, both.1);
                }
            }
        }
    }
    range
}

/// The places that exist along the axis of a constant: from the end too, where that leaves 8 bits for all of them.
fn places(graph: &Graph, routes: &Routes<'_>, node: &Node) -> Option<(i64, i64)> {
    let data = node.input(0)?;
    let constant = graph.constant(data).or_else(|| {
        let maker = routes.maker(data).filter(|n| n.op == "DequantizeLinear")?;
        graph.constant(maker.input(0)?)
    })?;
    let view = NodeView::new(graph, node);
    let axis = view.axis("axis", view.int("axis", 0).ok()?, constant.shape.len());
    let extent = i64::try_from(*constant.shape.get(axis.ok()?)?).ok()?;
    match extent {
        0 => None,
        129..=256 => Some((0, extent - 1)),
        _ => Some((-extent, extent - 1)),
    }
}

/// The limits of a Clip of integers, if both are constants.
fn limits(graph: &Graph, node: &Node) -> Option<(i64, i64)> {
    let limit = |input| graph.constant(node.input(input)?)?.as_int();
    Some((limit(1)?, limit(2)?)).filter(|(lo, hi)| lo <= hi)
}
