//! Softmax of scores that are scaled, and masked by a constant, before anything quantizes them.
//!
//! A masked score is so far below the others of its line that its exponential is nothing, in binary32 and here. So the
//! Softmax is that of the scores which are not masked: lines with the same mask are one Softmax of their own, and zeros
//! stand between its results. All of that is movement.

use std::sync::Arc;

use crate::error::NodeError;
use crate::eval::Binary;
use crate::graph::NodeView;
use crate::graph::constant::Constant;
use crate::group::expr::{Expr, Operand};
use crate::group::importer::{Done, Importer};
use crate::group::real::{Base, Deferred, Real, Value};
use crate::group::softmax;
use zkonnx_circuits::ops::{Gather, Move, Reshape, broadcast, broadcast_places};
use zkonnx_circuits::program::{TensorId, elements};

/// The exponential of this is less than half of the last bit of one, for as many elements as a line may have.
const NOTHING: f32 = -40.0;
/// Most different masks of lines.
const MAX_MASKS: usize = 256;

/// Scores: a quantized tensor times a positive number, of which some are masked.
struct Scores {
    tensor: TensorId,
    scale: f32,
    shape: Vec<usize>,
    /// For each element in order.
    masked: Option<Vec<bool>>,
}

/// The number that an expression multiplies its variable by, if it does only that.
fn factor(expr: &Expr) -> Option<f32> {
    let factor = match expr {
        Expr::X => Some(1.0),
        Expr::Binary(f, a, b) => match (f, &**a, &**b) {
            (Binary::Mul, inner, Expr::Const(Operand::Scalar(k)))
            | (Binary::Mul, Expr::Const(Operand::Scalar(k)), inner) => Some(factor(inner)? * k),
            (Binary::Div, inner, Expr::Const(Operand::Scalar(k))) => Some(factor(inner)? / k),
            _ => None,
        },
        _ => None,
    };
    factor.filter(|k| k.is_normal() && *k > 0.0)
}

/// What is added to each element of a tensor of this shape, and the expression that it is added to.
fn addend<'e>(expr: &'e Expr, shape: &[usize]) -> Option<(&'e Expr, Vec<f32>)> {
    let (inner, operand) = match expr {
        Expr::Binary(Binary::Add, a, b) => match (&**a, &**b) {
            (inner, Expr::Const(c)) | (Expr::Const(c), inner) => (inner, c),
            _ => return None,
        },
        _ => return None,
    };
    let count = elements(shape);
    let values = match operand {
        Operand::Scalar(v) => vec![*v; count],
        Operand::Axis(axis, values) => {
            let after: usize = shape.get(axis + 1..)?.iter().product();
            let of = |i: usize| values.get(i / after.max(1) % values.len().max(1)).copied();
            (0..count).map(of).collect::<Option<_>>()?
        }
    };
    Some((inner, values))
}

impl Scores {
    /// The scores that a real is, if it is no quantized tensor but one that is scaled or masked.
    fn of(real: &Real) -> Option<Self> {
        let Base::Quantized(x) = &real.base else {
            return None;
        };
        let ((scale, _), range) = (x.params.uniform()?, x.params.range());
        // Constants of each element stand along the flat tensor, which has its shape again afterwards.
        let count = elements(&real.shape);
        match real.after.as_slice() {
            [] => {}
            [Deferred::Move(_)] if real.base_shape == [count] => {}
            _ => return None,
        }
        let (inner, added) = match addend(&real.expr, &real.base_shape) {
            Some((inner, added)) => (inner, Some(added)),
            None => (&*real.expr, None),
        };
        let scale = scale * factor(inner)?;
        // A constant along one axis may be of a tensor that is moved as well.
        if added.is_none() && !real.after.is_empty() {
            return None;
        }
        let span = (range.hi - range.lo) as f32 * scale;
        let masked = match added {
            None => None,
            Some(added) => {
                let is_masked = |v: f32| v + span <= NOTHING;
                if !added.iter().all(|v| *v == 0.0 || is_masked(*v)) {
                    return None;
                }
                Some(added.into_iter().map(is_masked).collect())
            }
        };
        Some(Self {
            tensor: x.tensor,
            scale,
            shape: real.shape.clone(),
            masked,
        })
    }
}

impl Scores {
    /// The scores that a Where with a constant condition leaves, if it puts numbers in the place of the others that are
    /// masked beside every score.
    fn chosen(
        cx: &Importer<'_>,
        node: &NodeView<'_>,
        real: &Real,
        (a, b): &(Real, Real),
    ) -> Option<Self> {
        let maker = cx.routes.maker(node.input(0)?)?;
        if !maker.is("Where") || *real.expr != Expr::X || !real.after.is_empty() {
            return None;
        }
        let Some(Value::Const(condition)) = cx.value_of(maker.input(0)?) else {
            return None;
        };
        let (scores, number, when) = match (&a.base, &b.base) {
            (Base::Quantized(_), Base::Constant(c)) => (a, c, 0),
            (Base::Constant(c), Base::Quantized(_)) => (b, c, 1),
            _ => return None,
        };
        let Base::Quantized(x) = &scores.base else {
            return None;
        };
        let ((scale, zero), range) = (x.params.uniform()?, x.params.range());
        let scale = scale * factor(&scores.expr)?;
        let least = (range.lo - zero) as f32 * scale;
        let plain = scores.after.is_empty() && scores.shape == real.shape;
        let numbers = number.as_floats()?;
        if !plain || !numbers.iter().all(|v| v - least <= NOTHING) {
            return None;
        }
        let truths = condition.as_ints()?;
        let fits = broadcast(&real.shape, &condition.shape)? == real.shape;
        if !fits || condition.shape.len() > real.shape.len() {
            return None;
        }
        let places = broadcast_places(&real.shape, &condition.shape);
        Some(Self {
            tensor: x.tensor,
            scale,
            shape: real.shape.clone(),
            masked: Some(places.into_iter().map(|p| truths[p] == when).collect()),
        })
    }
}

/// `Softmax` of such scores; `None` if the input is something else.
pub(crate) fn softmax(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Option<Done>, NodeError> {
    let Value::Real(real) = cx.value(node, 0)? else {
        return Ok(None);
    };
    if real.as_quantized().is_some() || node.op() != "Softmax" {
        return Ok(None);
    }
    let scores = match &real.base {
        Base::Select(_, values) => Scores::chosen(cx, node, &real, values),
        _ => Scores::of(&real),
    };
    let Some(scores) = scores else {
        return Ok(None);
    };
    let rank = scores.shape.len();
    let default = if node.opset < 13 { 1 } else { -1 };
    let axis = node.axis("axis", node.int("axis", default)?, rank)?;
    if axis + 1 != rank {
        return Ok(None);
    }
    let columns = scores.shape[axis];
    let rows = elements(&scores.shape) / columns.max(1);
    if columns == 0 || rows == 0 {
        return Ok(None);
    }
    let flat = Reshape {
        shape: vec![rows, columns],
    };
    let flat = cx.push(node, Move(flat), &[scores.tensor])?;
    let all = vec![false; rows * columns];
    let masked = scores.masked.as_ref().unwrap_or(&all);
    // Lines by their masks, in order of the first.
    let mut groups: Vec<(&[bool], Vec<usize>)> = Vec::new();
    for (row, mask) in masked.chunks(columns).enumerate() {
        match groups.iter_mut().find(|(own, _)| *own == mask) {
            Some((_, lines)) => lines.push(row),
            None => groups.push((mask, vec![row])),
        }
        if groups.len() > MAX_MASKS {
            return Err(NodeError::Input {
                input: 0,
                what: "the mask",
                reason: "its lines differ in more than 256 ways",
            });
        }
    }
    let mut parts = Vec::with_capacity(groups.len());
    let mut order = Vec::with_capacity(rows);
    for (mask, lines) in groups {
        parts.push(part(cx, node, (flat, scores.scale), mask, &lines)?);
        order.extend(lines);
    }
    let mut back = vec![0; rows];
    for (place, row) in order.into_iter().enumerate() {
        back[row] = place;
    }
    let size = parts.iter().map(|p| p.size + 1).sum::<usize>();
    let mut real = match parts.as_slice() {
        [only] => only.clone(),
        _ => Real::new(Base::Concat(parts, 0), vec![rows, columns]),
    };
    if !back.iter().copied().eq(0..rows) {
        let gather = Move(Gather {
            axis: 0,
            indices: back,
        });
        real.after.push(Deferred::Move(Arc::new(gather)));
    }
    let shape = scores.shape.clone();
    let reshape = Move(Reshape { shape });
    real.after.push(Deferred::Move(Arc::new(reshape)));
    real.shape = scores.shape;
    Ok(Some(Done::pending(real.grown(size + 2)?)))
}

/// The results of the lines with one mask.
fn part(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    (flat, scale): (TensorId, f32),
    mask: &[bool],
    lines: &[usize],
) -> Result<Real, NodeError> {
    let (columns, rows) = (mask.len(), lines.len());
    let (open, closed): (Vec<usize>, Vec<usize>) = (0..columns).partition(|&c| !mask[c]);
    if open.is_empty() {
        return Err(NodeError::Input {
            input: 0,
            what: "the mask",
            reason: "all of a line is masked",
        });
    }
    let gather = |cx: &mut Importer<'_>, x: TensorId, axis: usize, indices: Vec<usize>| {
        let all = cx.builder.fact(x).shape.get(axis).copied();
        match all == Some(indices.len()) && indices.iter().copied().eq(0..indices.len()) {
            true => Ok(x),
            false => cx.push(node, Move(Gather { axis, indices }), &[x]),
        }
    };
    let tensor = gather(cx, flat, 0, lines.to_vec())?;
    let tensor = gather(cx, tensor, 1, open.clone())?;
    let softmax = softmax::of_scores(cx, node, tensor, scale)?;
    if closed.is_empty() {
        return Ok(softmax);
    }
    let zeros = Constant::floats(vec![rows, closed.len()], vec![0.0; rows * closed.len()]);
    let zeros = Real::new(Base::Constant(Arc::new(zeros)), vec![rows, closed.len()]);
    let mut indices = vec![0; columns];
    for (place, column) in open.into_iter().chain(closed).enumerate() {
        indices[column] = place;
    }
    let shape = vec![rows, columns];
    let mut real = Real::new(Base::Concat(vec![softmax, zeros], 1), shape);
    let gather = Move(Gather { axis: 1, indices });
    real.after.push(Deferred::Move(Arc::new(gather)));
    real.grown(3)
}
