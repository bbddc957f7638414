//! Data movement with constant places: slices, gathers, borders, repetitions, resizing, and joining.

use std::sync::Arc;

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::ALL;
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::graph::constant::Constant as Folded;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::movement::{one, status};
use crate::group::real::Value;
use crate::operator::{
    ANY, COVERING, EXACT, Facts, LAST, MOVING, OF_SCORES, Operator, PREPARING, PRESENTING, ROUTED,
    SELECTING,
};
use crate::ops::lookup::lookup;
use crate::ops::movement::MOVEMENT;
use zkonnx_circuits::ops::{Expand, Gather, Reshape, Slice, Transpose, broadcast};
use zkonnx_circuits::program::{MAX_ELEMENTS, elements};

const PICKED: Facts = Facts::new(
    ANY,
    "constant indices; or constants at computed indices that exist, of at most 4096 values",
    &[Relation::Kernel, Relation::Steps],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("DepthToSpace")
        .attributes(&[("mode", 11, LAST)])
        .value(ALL, TypeRule::Zeros(1), eval::movement::depth_to_space)
        .integers(depth_space, &MOVEMENT)
        .is(EXACT | SELECTING),
    Operator::onnx("Expand")
        .since(8)
        .value(ALL, TypeRule::Zeros(1), eval::movement::expand)
        .integers(expand, &MOVEMENT)
        .is(COVERING | EXACT | MOVING | PRESENTING | SELECTING),
    Operator::onnx("Gather")
        .value(ALL, TypeRule::Zeros(2), eval::index::gather)
        .integers(gather, &PICKED)
        .is(EXACT | MOVING | PREPARING | PRESENTING | SELECTING | OF_SCORES),
    Operator::onnx("Slice")
        .upgraded(10, |u| u.slice())
        .value(ALL, TypeRule::Zeros(1), eval::movement::slice)
        .integers(slice, &MOVEMENT)
        .is(EXACT | MOVING | PREPARING | PRESENTING | ROUTED | SELECTING | OF_SCORES),
    Operator::onnx("SpaceToDepth")
        .value(ALL, TypeRule::Zeros(1), eval::movement::space_to_depth)
        .integers(depth_space, &MOVEMENT)
        .is(EXACT | SELECTING),
    Operator::onnx("Split")
        .upgraded(13, |u| u.split())
        .attributes(&[("num_outputs", 18, LAST), ("split", 10, 12)])
        .inputs(&[(13, 1)])
        .value(ALL, TypeRule::Zeros(1), eval::movement::split)
        .integers(split, &MOVEMENT)
        .is(EXACT | MOVING | PRESENTING | SELECTING),
    Operator::onnx("Tile")
        .value(ALL, TypeRule::Zeros(1), eval::movement::tile)
        .integers(tile, &MOVEMENT)
        .is(COVERING | EXACT | MOVING | PRESENTING | SELECTING),
];

pub(crate) const TOO_LARGE: NodeError = NodeError::Input {
    input: 1,
    what: "the shape",
    reason: "the result has too many elements",
};

/// Numbers that are an attribute in old opsets and an input in new ones.
pub(crate) fn numbers(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
    name: &'static str,
    input: usize,
) -> Result<Option<Vec<i64>>, NodeError> {
    match node.maybe_ints(name)? {
        Some(values) => Ok(Some(values.to_vec())),
        None => cx.numbers(node, input, name),
    }
}

/// A shape without an extent of zero.
pub(crate) fn not_empty(shape: Vec<usize>) -> Result<Vec<usize>, NodeError> {
    if shape.contains(&0) {
        return Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it has no elements",
        });
    }
    Ok(shape)
}

/// `Slice`.
pub(crate) fn slice(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let shape = not_empty(cx.any_shape(&cx.value(node, 0)?)?)?;
    let missing = |name| NodeError::Attribute {
        name,
        reason: "they are missing",
    };
    let starts = numbers(cx, node, "starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = numbers(cx, node, "ends", 2)?.ok_or_else(|| missing("ends"))?;
    let axes = numbers(cx, node, "axes", 3)?.unwrap_or((0..starts.len() as i64).collect());
    let steps = cx
        .numbers(node, 4, "the steps")?
        .unwrap_or(vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()]
        .iter()
        .any(|&n| n != starts.len())
    {
        return Err(NodeError::Attribute {
            name: "starts",
            reason: "the lists differ in length",
        });
    }
    let mut slice = Slice {
        starts: vec![0; shape.len()],
        steps: vec![1; shape.len()],
        extents: shape.clone(),
    };
    for i in 0..starts.len() {
        let d = node.axis("axes", axes[i], shape.len())?;
        let (extent, step) = (shape[d] as i64, steps[i]);
        let wrap = |v: i64| if v < 0 { v.saturating_add(extent) } else { v };
        if step == 0 || step == i64::MIN {
            return Err(NodeError::Attribute {
                name: "steps",
                reason: "a step is zero",
            });
        }
        let (start, end) = if step > 0 {
            (
                wrap(starts[i]).clamp(0, extent),
                wrap(ends[i]).clamp(0, extent),
            )
        } else {
            (
                wrap(starts[i]).clamp(0, extent - 1),
                wrap(ends[i]).clamp(-1, extent - 1),
            )
        };
        let span = if step > 0 { end - start } else { start - end };
        let count = if span <= 0 {
            0
        } else {
            (span - 1) / step.abs() + 1
        };
        if count == 0 {
            return Err(NodeError::Attribute {
                name: "ends",
                reason: "nothing is left",
            });
        }
        slice.starts[d] = start as usize;
        slice.steps[d] = if count == 1 { 1 } else { step };
        slice.extents[d] = count as usize;
    }
    one(cx, node, slice)
}

/// `Split`: one slice for each output.
pub(crate) fn split(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let value = cx.value(node, 0)?;
    let shape = cx.any_shape(&value)?;
    let axis = node.axis("axis", node.int("axis", 0)?, shape.len())?;
    let outputs = node.outputs();
    let parts = usize::try_from(node.int("num_outputs", outputs as i64)?).unwrap_or(0);
    let extent = shape[axis];
    let sizes: Vec<usize> = match numbers(cx, node, "split", 1)? {
        Some(sizes) => sizes
            .iter()
            .map(|&s| usize::try_from(s).unwrap_or(usize::MAX))
            .collect(),
        None => {
            let size = extent.div_ceil(parts.max(1));
            (0..parts)
                .map(|i| size.min(extent.saturating_sub(i * size)))
                .collect()
        }
    };
    let total = sizes.iter().fold(0usize, |acc, &s| acc.saturating_add(s));
    if sizes.len() != outputs || total != extent {
        return Err(NodeError::Attribute {
            name: "split",
            reason: "it does not fit the axis",
        });
    }
    let mut values = Vec::with_capacity(outputs);
    let mut start = 0;
    for size in sizes {
        let mut part = Slice {
            starts: vec![0; shape.len()],
            steps: vec![1; shape.len()],
            extents: shape.clone(),
        };
        part.starts[axis] = start;
        part.extents[axis] = size;
        start += size;
        if size == 0 {
            values.push(nothing(cx, &value, part.extents));
            continue;
        }
        values.push(cx.apply(node, value.clone(), part)?);
    }
    let status = values
        .first()
        .map_or(crate::group::exactness::Status::Group, status);
    Ok(Done { values, status })
}

/// A tensor without elements, which is a constant of the type of `of`.
fn nothing(cx: &Importer<'_>, of: &Value, shape: Vec<usize>) -> Value {
    let dtype = match of {
        Value::Int(tensor) => Some(cx.builder.fact(*tensor).dtype),
        Value::Const(c) => c.dtype(),
        _ => None,
    };
    Value::Const(Arc::new(match dtype {
        Some(dtype) => Folded::ints(dtype, shape, Vec::new()),
        None => Folded::floats(shape, Vec::new()),
    }))
}

/// `Gather` with constant indices.
pub(crate) fn gather(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let value = cx.value(node, 0)?;
    let shape = cx.any_shape(&value)?;
    let axis = node.axis("axis", node.int("axis", 0)?, shape.len())?;
    if let (Value::Int(index), Value::Const(_) | Value::Weights(_)) = (cx.value(node, 1)?, &value) {
        return lookup(cx, node, index, &value, axis);
    }
    let indices = cx.constant(node, 1, "the indices")?;
    let bad = NodeError::Input {
        input: 1,
        what: "the indices",
        reason: "an index does not exist",
    };
    let extent = shape[axis] as i64;
    let place = |&i: &i64| {
        let i = if i < 0 { i.checked_add(extent)? } else { i };
        usize::try_from(i).ok().filter(|&i| i < shape[axis])
    };
    let places: Option<Vec<usize>> = indices
        .as_ints()
        .unwrap_or_default()
        .iter()
        .map(place)
        .collect();
    let places = places.filter(|p| p.len() == indices.len()).ok_or(bad)?;
    let result = [&shape[..axis], indices.shape.as_slice(), &shape[axis + 1..]].concat();
    if elements(&result) > MAX_ELEMENTS {
        return Err(TOO_LARGE);
    }
    let moved = cx.apply(
        node,
        value,
        Gather {
            axis,
            indices: places,
        },
    )?;
    let moved = cx.apply(node, moved, Reshape { shape: result })?;
    Ok(Done::new(moved.clone(), status(&moved)))
}

/// `Expand` to a constant shape.
pub(crate) fn expand(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let shape = cx.any_shape(&cx.value(node, 0)?)?;
    let bad = NodeError::Input {
        input: 1,
        what: "the shape",
        reason: "it is not a shape to expand to",
    };
    let wanted = cx
        .numbers(node, 1, "the shape")?
        .ok_or_else(|| bad.clone())?;
    let wanted: Option<Vec<usize>> = wanted.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = wanted.and_then(|w| broadcast(&shape, &w)).ok_or(bad)?;
    if elements(&shape) > MAX_ELEMENTS {
        return Err(TOO_LARGE);
    }
    one(cx, node, Expand { shape })
}

/// `Tile` with constant repeats.
pub(crate) fn tile(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let mut value = cx.value(node, 0)?;
    let shape = cx.any_shape(&value)?;
    let repeats = cx.numbers(node, 1, "the repeats")?.unwrap_or_default();
    let repeats: Option<Vec<usize>> = repeats.iter().map(|&r| usize::try_from(r).ok()).collect();
    let bad = NodeError::Input {
        input: 1,
        what: "the repeats",
        reason: "there is not one for each axis",
    };
    let repeats = repeats
        .filter(|r| r.len() == shape.len() && !r.contains(&0))
        .ok_or(bad)?;
    let total = repeats
        .iter()
        .fold(elements(&shape), |acc, &r| acc.saturating_mul(r));
    if total > MAX_ELEMENTS {
        return Err(TOO_LARGE);
    }
    for (axis, &repeat) in repeats.iter().enumerate().filter(|(_, r)| **r > 1) {
        let indices = (0..shape[axis] * repeat).map(|i| i % shape[axis]).collect();
        value = cx.apply(node, value, Gather { axis, indices })?;
    }
    Ok(Done::new(value.clone(), status(&value)))
}

/// Reshape, transpose, reshape.
fn rearrange(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    split: Vec<usize>,
    perm: [usize; 6],
    shape: Vec<usize>,
) -> Result<Done, NodeError> {
    let value = cx.value(node, 0)?;
    let value = cx.apply(node, value, Reshape { shape: split })?;
    let value = cx.apply(
        node,
        value,
        Transpose {
            perm: perm.to_vec(),
        },
    )?;
    let value = cx.apply(node, value, Reshape { shape })?;
    Ok(Done::new(value.clone(), status(&value)))
}

/// `DepthToSpace` and `SpaceToDepth`.
pub(crate) fn depth_space(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let bad = NodeError::Attribute {
        name: "blocksize",
        reason: "it does not divide the axes",
    };
    let block = usize::try_from(node.int("blocksize", 0)?)
        .ok()
        .filter(|b| (1..=1 << 10).contains(b));
    let block = block.ok_or_else(|| bad.clone())?;
    let &[n, c, h, w] = cx.any_shape(&cx.value(node, 0)?)?.as_slice() else {
        return Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it has not four axes",
        });
    };
    if node.op() == "SpaceToDepth" {
        if !h.is_multiple_of(block) || !w.is_multiple_of(block) {
            return Err(bad);
        }
        let (h, w) = (h / block, w / block);
        let shape = vec![n, c * block * block, h, w];
        return rearrange(
            cx,
            node,
            vec![n, c, h, block, w, block],
            [0, 3, 5, 1, 2, 4],
            shape,
        );
    }
    if !c.is_multiple_of(block * block) {
        return Err(bad);
    }
    let (c, shape) = (
        c / (block * block),
        vec![n, c / (block * block), h * block, w * block],
    );
    match node.text("mode", "DCR")? {
        "DCR" => rearrange(
            cx,
            node,
            vec![n, block, block, c, h, w],
            [0, 3, 4, 1, 5, 2],
            shape,
        ),
        "CRD" => rearrange(
            cx,
            node,
            vec![n, c, block, block, h, w],
            [0, 1, 4, 2, 5, 3],
            shape,
        ),
        _ => Err(NodeError::Attribute {
            name: "mode",
            reason: "the value is not known",
        }),
    }
}
