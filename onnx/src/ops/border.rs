//! Pad: a border of mirrored, repeated or constant elements, which may wait for the quantization of what is padded.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::ALL;
use crate::eval::types::TypeRule;
use crate::graph::constant::Constant;
use crate::graph::{Draft, NodeView, ValueId};
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::movement::status;
use crate::group::params::real_constant;
use crate::group::real::{Base, Real, Value};
use crate::group::rules::quantize;
use crate::operator::{ANY, EXACT, Facts, Operator, SELECTING};
use crate::ops::selection::{TOO_LARGE, not_empty, numbers};
use std::sync::Arc;

use zkonnx_circuits::ops::{Gather, Pad};
use zkonnx_circuits::program::{MAX_ELEMENTS, elements};

const PADDING: Facts = Facts::new(
    ANY,
    "constant pads; constant, reflect, edge and wrap",
    &[Relation::Kernel],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[Operator::onnx("Pad")
    .whole(0..3)
    .upgraded(11, |u| u.pad())
    .picked(cropped)
    .attributes(&[("pads", 10, 10), ("value", 10, 10)])
    .inputs(&[(11, 1), (18, 3)])
    .value(ALL, TypeRule::Zeros(1), eval::movement::pad)
    .integers(pad, &PADDING)
    .is(EXACT | SELECTING)];

/// The real between blocks of the constant, joined along one axis after the other. Each part is quantized like the
/// result, so that a border which the real's own quantization cannot hold stays what it is.
pub(crate) fn surround(
    real: &Real,
    value: f32,
    before: &[usize],
    after: &[usize],
) -> Result<Real, NodeError> {
    let mut inner = real.clone();
    for (axis, (&before, &after)) in before.iter().zip(after).enumerate() {
        let shape = inner.shape.clone();
        let extent = shape[axis];
        let sized = |extent: usize| {
            let sizes = shape.iter().enumerate();
            let sizes = sizes.map(|(d, &size)| if d == axis { extent } else { size });
            sizes.collect::<Vec<_>>()
        };
        let block = |extent: usize| {
            let shape = sized(extent);
            let floats = Constant::floats(shape.clone(), vec![value; elements(&shape)]);
            Real::new(Base::Constant(Arc::new(floats)), shape)
        };
        if before + after == 0 {
            continue;
        }
        let whole = sized(before + extent + after);
        let mut parts = Vec::with_capacity(3);
        parts.extend((before > 0).then(|| block(before)));
        parts.push(inner);
        parts.extend((after > 0).then(|| block(after)));
        let size = parts.iter().map(|part| part.size + 1).sum();
        inner = Real::new(Base::Concat(parts, axis), whole).grown(size)?;
    }
    Ok(inner)
}

/// `Pad`: a constant border, or one of mirrored or repeated elements.
pub(crate) fn pad(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let value = cx.value(node, 0)?;
    let shape = not_empty(cx.any_shape(&value)?)?;
    let rank = shape.len();
    let missing = NodeError::Attribute {
        name: "pads",
        reason: "they are missing",
    };
    let given = numbers(cx, node, "pads", 1)?.ok_or(missing)?;
    let axes = match cx.numbers(node, 3, "the axes")? {
        Some(axes) => axes
            .iter()
            .map(|&a| node.axis("axes", a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let wrong = |reason| NodeError::Attribute {
        name: "pads",
        reason,
    };
    if given.len() != 2 * axes.len() {
        return Err(wrong("there are not two for each axis"));
    }
    let (mut before, mut after) = (vec![0usize; rank], vec![0usize; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        let side = |v: i64| usize::try_from(v).ok().filter(|&v| v <= MAX_ELEMENTS);
        let negative = || wrong("a negative value is not supported; use Slice");
        before[axis] = side(given[i]).ok_or_else(negative)?;
        after[axis] = side(given[i + axes.len()]).ok_or_else(negative)?;
    }
    let sides = |d: usize| shape[d].saturating_add(before[d]).saturating_add(after[d]);
    if elements(&(0..rank).map(sides).collect::<Vec<_>>()) > MAX_ELEMENTS {
        return Err(TOO_LARGE);
    }
    match node.text("mode", "constant")? {
        "constant" => pad_constant(cx, node, value, before, after),
        mode @ ("reflect" | "edge" | "wrap") => {
            let mut value = value;
            for d in (0..rank).filter(|&d| before[d] + after[d] > 0) {
                let indices = border(mode, shape[d], before[d], after[d])
                    .ok_or_else(|| wrong("the border is wider than the axis allows"))?;
                value = cx.apply(node, value, Gather { axis: d, indices })?;
            }
            Ok(Done::new(value.clone(), status(&value)))
        }
        _ => Err(NodeError::Attribute {
            name: "mode",
            reason: "the value is not known",
        }),
    }
}

/// Indices of an axis with a border; `None` if a mirror would reach beyond the axis.
fn border(mode: &str, extent: usize, before: usize, after: usize) -> Option<Vec<usize>> {
    let n = extent as i64;
    if mode == "reflect" && (before >= extent || after >= extent) {
        return None;
    }
    let place = |i: i64| match mode {
        "edge" => i.clamp(0, n - 1),
        "wrap" => i.rem_euclid(n),
        _ if i < 0 => -i,
        _ if i >= n => 2 * (n - 1) - i,
        _ => i,
    };
    Some(
        (-(before as i64)..n + after as i64)
            .map(|i| place(i) as usize)
            .collect(),
    )
}

fn pad_constant(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    value: Value,
    before: Vec<usize>,
    after: Vec<usize>,
) -> Result<Done, NodeError> {
    let constant = match cx.maybe(node, 2) {
        // Quantizers quantize it like any other constant.
        Some(Value::Weights(w)) => Some(Arc::new(real_constant(&w))),
        _ => cx.maybe_constant(node, 2, "the constant")?,
    };
    let attribute = node.float("value", 0.0)?;
    let integer = match &value {
        Value::Int(_) => match &constant {
            None => 0,
            Some(c) => c.as_int().ok_or(NodeError::Input {
                input: 2,
                what: "the constant",
                reason: "it is not one integer",
            })?,
        },
        Value::Real(real) => {
            let quantized = real
                .as_quantized()
                .and_then(|q| Some((q.params.uniform()?, q.params.range())));
            let Some(((scale, zero), range)) = quantized else {
                return Err(NodeError::Island {
                    reason: "it pads a real that is not quantized",
                });
            };
            let value = match &constant {
                None => attribute,
                Some(c) => match c.as_floats() {
                    Some(&[v]) => v,
                    _ => {
                        let reason = "it is not one float";
                        return Err(NodeError::Input {
                            input: 2,
                            what: "the constant",
                            reason,
                        });
                    }
                },
            };
            let integer = quantize(value, scale, zero, range);
            // A border that the real's own quantization cannot hold waits for the one that follows.
            if (integer - zero) as f32 * scale != value {
                return Ok(Done::pending(surround(real, value, &before, &after)?));
            }
            integer
        }
        _ => {
            return Err(NodeError::Input {
                input: 0,
                what: "x",
                reason: "it is constant",
            });
        }
    };
    if before.iter().chain(&after).all(|&p| p == 0) {
        return Ok(Done::new(value.clone(), status(&value)));
    }
    let moved = cx.apply(
        node,
        value,
        Pad {
            before,
            after,
            value: integer,
        },
    )?;
    Ok(Done::new(moved.clone(), status(&moved)))
}

/// `Pad` by negative numbers: what is cut off is left out, and the rest is padded.
fn cropped(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    if node.opset < 11 {
        return None;
    }
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let (pads, rank) = (node.constant_ints(1)?, shape.len());
    let axes = match node.input(3) {
        None => (0..rank as i64).collect(),
        Some(_) => node.constant_ints(3)?,
    };
    let constant = node.text("mode", "constant").ok()? == "constant";
    if !constant || pads.len() != 2 * axes.len() || pads.iter().all(|pad| *pad >= 0) {
        return None;
    }
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for (i, axis) in axes.iter().enumerate() {
        let extent = *shape.get(node.axis("axes", *axis, rank).ok()?)? as i64;
        let (start, cut) = (pads[i].min(0).checked_neg()?, pads[i + axes.len()].min(0));
        let end = extent.checked_add(cut).filter(|end| *end > start)?;
        starts.push(start);
        ends.push(end);
    }
    let lists = [&starts, &ends, &axes].map(|list| p.ints(list));
    let rest = p.op("Slice", &[x, lists[0], lists[1], lists[2]]);
    let pads: Vec<i64> = pads.iter().map(|pad| (*pad).max(0)).collect();
    let pads = p.ints(&pads);
    let mut inputs = node.node().inputs.clone();
    inputs[0] = Some(rest);
    inputs[1] = Some(pads);
    Some(p.again(node.node(), inputs))
}
