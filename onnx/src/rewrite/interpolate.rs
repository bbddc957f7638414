//! Resize by interpolation, as a product with a constant matrix along each axis.

use crate::eval::inputs::Inputs;
use crate::eval::{resize_lines, zeros};
use crate::graph::constant::Constant;
use crate::graph::{Attribute, Draft, NodeView, ValueId};

/// Most elements of a matrix.
const MAX_MATRIX: usize = 1 << 20;

/// The result of a Resize that blends its neighbours; `None` for the nearest one, and for parts that lie outside.
pub(crate) fn interpolated(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    if node.text("mode", "nearest").ok()? == "nearest" {
        return None;
    }
    let x = node.input(0)?;
    let ty = p.graph().ty(x)?;
    let own = zeros(ty);
    let mut inputs: Vec<Option<&Constant>> = vec![Some(&own)];
    for i in 1..node.inputs() {
        // One that is there has to be known.
        inputs.push(match node.input(i) {
            None => None,
            Some(_) => Some(node.constant(i)?),
        });
    }
    let lines = resize_lines(node, &Inputs::new(inputs), &own).ok()?;
    let rank = ty.shape.len();
    let mut y = x;
    for (axis, line) in lines.iter().enumerate() {
        let (from, to) = (ty.shape[axis], line.len());
        let whole = from == to
            && line
                .iter()
                .enumerate()
                .all(|(i, taps)| taps.as_deref().is_some_and(|taps| taps == [(i, 1.0)]));
        if whole {
            continue;
        }
        if from.checked_mul(to)? > MAX_MATRIX {
            return None;
        }
        let mut matrix = vec![0f32; from * to];
        for (place, taps) in line.iter().enumerate() {
            for &(element, weight) in taps.as_ref()? {
                matrix[element * to + place] += weight;
            }
        }
        let matrix = p.floats(&[from, to], matrix);
        let mut order: Vec<i64> = (0..rank as i64).collect();
        order.swap(axis, rank - 1);
        let turn = || vec![Attribute::ints("perm", &order)];
        let turned = match axis + 1 == rank {
            true => y,
            false => p.with("Transpose", &[y], turn()),
        };
        let product = p.op("MatMul", &[turned, matrix]);
        y = match axis + 1 == rank {
            true => product,
            false => p.with("Transpose", &[product], turn()),
        };
    }
    (y != x).then_some(y)
}
