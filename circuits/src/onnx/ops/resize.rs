//! `Resize` to the nearest neighbour: a gather along each axis.

use super::super::error::NodeError;
use super::super::importer::{Done, Importer};
use super::super::node::NodeView;
use super::movement::status;
use super::selection::not_empty;
use crate::ops::Gather;
use crate::program::MAX_ELEMENTS;

/// `Resize` to the nearest neighbour.
pub(crate) fn resize(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let mut value = cx.value(node, 0)?;
    let shape = not_empty(cx.any_shape(&value)?)?;
    if node.text("mode", "nearest")? != "nearest" {
        return Err(NodeError::Attribute {
            name: "mode",
            reason: "only nearest is supported",
        });
    }
    node.float("cubic_coeff_a", -0.75)?;
    node.float("extrapolation_value", 0.0)?;
    node.int("exclude_outside", 0)?;
    let old = node.opset == 10;
    let transform = node.text(
        "coordinate_transformation_mode",
        if old { "asymmetric" } else { "half_pixel" },
    )?;
    let nearest = node.text(
        "nearest_mode",
        if old { "floor" } else { "round_prefer_floor" },
    )?;
    let scales = cx.maybe_constant(node, if old { 1 } else { 2 }, "the scales")?;
    let scales = scales
        .as_ref()
        .and_then(|c| c.as_floats())
        .filter(|s| !s.is_empty());
    let sizes = if old {
        None
    } else {
        cx.numbers(node, 3, "the sizes")?
    };
    let bad = |reason| NodeError::Input {
        input: 2,
        what: "the scales",
        reason,
    };
    let axes = match node.maybe_ints("axes")? {
        None => (0..shape.len()).collect(),
        Some(axes) => axes
            .iter()
            .map(|&axis| node.axis("axes", axis, shape.len()))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let extents: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    let targets = match (scales, &sizes) {
        (Some(s), _) if s.len() == axes.len() => extents
            .iter()
            .zip(s)
            .map(|(&extent, &scale)| ((extent as f32 * scale).floor() as usize, scale))
            .collect(),
        (None, Some(s)) if s.len() == axes.len() => sized(node, &extents, s)?,
        _ => return Err(bad("there is not one for each axis")),
    };
    for (&axis, (size, scale)) in axes.iter().zip(targets) {
        let extent = shape[axis];
        if size == 0 || size > MAX_ELEMENTS || !scale.is_normal() || scale < 0.0 {
            return Err(bad(
                "a scale is not positive, or the result is empty or too large",
            ));
        }
        if size == extent && scale == 1.0 {
            continue;
        }
        let indices = (0..size)
            .map(|i| neighbour(i, extent, size, scale, transform, nearest))
            .collect::<Result<Vec<_>, _>>()?;
        value = cx.apply(node, value, Gather { axis, indices })?;
    }
    Ok(Done::new(value.clone(), status(&value)))
}

/// Size and scale of each axis where the sizes are given.
fn sized(
    node: &NodeView<'_>,
    extents: &[usize],
    sizes: &[i64],
) -> Result<Vec<(usize, f32)>, NodeError> {
    let scale = |(&size, &extent): (&i64, &usize)| size as f32 / extent as f32;
    let scales = sizes.iter().zip(extents).map(scale);
    let common = match node.text("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => {
            let size = |&size: &i64| usize::try_from(size).unwrap_or(0);
            return Ok(sizes.iter().map(size).zip(scales).collect());
        }
        "not_larger" => scales.fold(f32::INFINITY, f32::min),
        "not_smaller" => scales.fold(0.0, f32::max),
        _ => {
            return Err(NodeError::Attribute {
                name: "keep_aspect_ratio_policy",
                reason: "the value is not known",
            });
        }
    };
    let size = |&extent: &usize| ((common * extent as f32).round() as usize, common);
    Ok(extents.iter().map(size).collect())
}

/// The index of the input nearest to index `i` of the output.
fn neighbour(
    i: usize,
    extent: usize,
    size: usize,
    scale: f32,
    transform: &str,
    nearest: &str,
) -> Result<usize, NodeError> {
    let name = "coordinate_transformation_mode";
    let x = i as f32;
    let at = match transform {
        "half_pixel" => (x + 0.5) / scale - 0.5,
        "pytorch_half_pixel" if size > 1 => (x + 0.5) / scale - 0.5,
        "pytorch_half_pixel" => 0.0,
        "asymmetric" => x / scale,
        "align_corners" if size > 1 => x * (extent - 1) as f32 / (size - 1) as f32,
        "align_corners" => 0.0,
        _ => {
            return Err(NodeError::Attribute {
                name,
                reason: "the value is not supported",
            });
        }
    };
    let index = match nearest {
        "round_prefer_floor" => (at - 0.5).ceil(),
        "round_prefer_ceil" => (at + 0.5).floor(),
        "floor" => at.floor(),
        "ceil" => at.ceil(),
        _ => {
            let reason = "the value is not known";
            return Err(NodeError::Attribute {
                name: "nearest_mode",
                reason,
            });
        }
    };
    Ok(index.clamp(0.0, (extent - 1) as f32) as usize)
}
