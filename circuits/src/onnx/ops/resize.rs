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
    if node.maybe_ints("axes")?.is_some()
        || node.text("keep_aspect_ratio_policy", "stretch")? != "stretch"
    {
        return Err(NodeError::Attribute {
            name: "axes",
            reason: "only all axes are supported",
        });
    }
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
    let rank = shape.len();
    for axis in 0..rank {
        let extent = shape[axis];
        let (size, scale) = match (scales, &sizes) {
            (Some(s), _) if s.len() == rank => {
                ((extent as f32 * s[axis]).floor() as usize, s[axis])
            }
            (None, Some(s)) if s.len() == rank => {
                let size = usize::try_from(s[axis]).unwrap_or(0);
                (size, size as f32 / extent as f32)
            }
            _ => return Err(bad("there is not one for each axis")),
        };
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
