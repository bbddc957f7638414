//! `Resize` to the nearest neighbour: a gather along each axis.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{F, I8, I32, U8};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::movement::status;
use crate::operator::{ANY, Facts, LAST, Operator, Parts, SELECTING};
use crate::ops::selection::not_empty;
use crate::rewrite;
use zkonnx_circuits::ops::Gather;
use zkonnx_circuits::program::MAX_ELEMENTS;

const NEAREST: Facts = Facts::new(
    ANY,
    "nearest; constant sizes or scales",
    &[Relation::Kernel],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Resize")
        .since(10)
        .decomposed(Parts::One(rewrite::interpolate::interpolated))
        .upgraded(11, |u| u.resize())
        .attributes(&[
            ("antialias", 18, LAST),
            ("axes", 18, LAST),
            ("coordinate_transformation_mode", 11, LAST),
            ("cubic_coeff_a", 11, LAST),
            ("exclude_outside", 11, LAST),
            ("extrapolation_value", 11, LAST),
            ("keep_aspect_ratio_policy", 18, LAST),
            ("nearest_mode", 11, LAST),
        ])
        .inputs(&[(11, 2)])
        .value(F | I8 | U8 | I32, TypeRule::Zeros(1), eval::resize::resize)
        .integers(resize, &NEAREST)
        .is(SELECTING),
    Operator::onnx("Upsample").upgraded(10, |u| u.resize()),
];

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
    // It says how sizes are meant, and nothing where there are none.
    node.text("keep_aspect_ratio_policy", "stretch")?;
    if node.flag("antialias", false)? {
        return Err(NodeError::Attribute {
            name: "antialias",
            reason: "it is not supported",
        });
    }
    let old = node.opset == 10;
    let (transform, nearest) = (Transform::read(node)?, Nearest::read(node)?);
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
    let targets: Vec<(usize, f32)> = match (scales, &sizes) {
        (Some(s), _) if s.len() == axes.len() => extents
            .iter()
            .zip(s)
            .map(|(&extent, &scale)| ((extent as f32 * scale).floor() as usize, scale))
            .collect(),
        (None, Some(s)) if s.len() == axes.len() => sized(node, &extents, s)?,
        _ => return Err(bad("there is not one for each axis")),
    };
    // A result of the same shape is a copy, also under a scale that rounds down to it.
    if targets.iter().map(|target| target.0).eq(extents) {
        return Ok(Done::new(value.clone(), status(&value)));
    }
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
        let indices = neighbours(extent, size, scale, transform, nearest);
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

/// How near a half a place counts as one in ONNX Runtime.
const HALF: f32 = 1e-6;

/// From a place in the output to one in the input: the steps of ONNX Runtime, in binary32 but where it takes binary64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transform {
    HalfPixel,
    PytorchHalfPixel,
    HalfPixelSymmetric,
    TfHalfPixel,
    Asymmetric,
    AlignCorners,
}

/// From a place between pixels to a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nearest {
    /// Opset 10: up where the axis shrinks, down where it grows.
    Simple,
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

impl Transform {
    /// The mode of this name, if the opset has it.
    fn of(name: &str, opset: i64) -> Option<Self> {
        Some(match name {
            "half_pixel" => Self::HalfPixel,
            "pytorch_half_pixel" => Self::PytorchHalfPixel,
            "half_pixel_symmetric" if opset >= 19 => Self::HalfPixelSymmetric,
            "tf_half_pixel_for_nn" if opset < 13 => Self::TfHalfPixel,
            "asymmetric" => Self::Asymmetric,
            "align_corners" => Self::AlignCorners,
            _ => return None,
        })
    }

    fn read(node: &NodeView<'_>) -> Result<Self, NodeError> {
        let name = "coordinate_transformation_mode";
        let given = match node.opset {
            10 => "asymmetric",
            _ => node.text(name, "half_pixel")?,
        };
        let reason = "the value is not supported in this opset";
        Self::of(given, node.opset).ok_or(NodeError::Attribute { name, reason })
    }

    /// The place in an axis of `extent` that index `i` of the `size` of the result comes from.
    fn at(self, i: usize, extent: usize, size: usize, scale: f32) -> f32 {
        let (x, extent, size) = (i as f32, extent as f32, size as f32);
        match self {
            Self::HalfPixel => (x + 0.5) / scale - 0.5,
            Self::PytorchHalfPixel if size > 1.0 => (x + 0.5) / scale - 0.5,
            Self::TfHalfPixel => (x + 0.5) / scale,
            Self::Asymmetric => x / scale,
            Self::AlignCorners if size > 1.0 => x * (extent - 1.0) / (size - 1.0),
            Self::PytorchHalfPixel | Self::AlignCorners => 0.0,
            Self::HalfPixelSymmetric => {
                let adjustment = size / (scale * extent);
                let offset = extent / 2.0 * (1.0 - adjustment);
                (f64::from(offset) + (f64::from(x) + 0.5) / f64::from(scale) - 0.5) as f32
            }
        }
    }
}

impl Nearest {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "round_prefer_floor" => Self::PreferFloor,
            "round_prefer_ceil" => Self::PreferCeil,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            _ => return None,
        })
    }

    fn read(node: &NodeView<'_>) -> Result<Self, NodeError> {
        let name = "nearest_mode";
        if node.opset == 10 {
            return Ok(Self::Simple);
        }
        let reason = "the value is not known";
        Self::of(node.text(name, "round_prefer_floor")?)
            .ok_or(NodeError::Attribute { name, reason })
    }

    /// The pixel of a place. What lies within `HALF` of a half is one.
    fn pixel(self, at: f32, shrinks: bool) -> f32 {
        let half = (at - (at.floor() + 0.5)).abs() < HALF;
        match self {
            Self::Simple if shrinks => at.ceil(),
            Self::Simple => at.trunc(),
            Self::PreferFloor if half => at.floor(),
            Self::PreferCeil if half => at.floor() + 1.0,
            Self::PreferFloor | Self::PreferCeil => at.round(),
            Self::Floor => at.floor(),
            Self::Ceil => at.ceil(),
        }
    }
}

/// The index of the input nearest to each index of the output.
fn neighbours(
    extent: usize,
    size: usize,
    scale: f32,
    transform: Transform,
    nearest: Nearest,
) -> Vec<usize> {
    let last = extent.saturating_sub(1) as f32;
    let place = |i| {
        let at = transform.at(i, extent, size, scale);
        nearest.pixel(at, scale < 1.0).clamp(0.0, last) as usize
    };
    (0..size).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ONNX Runtime 1.31 takes from an axis whose size is given: modes, extents, indices.
    const KNOWN: &str = "\
        half_pixel round_prefer_floor 20 6: 1 4 8 11 14 18
        half_pixel round_prefer_floor 7 3: 1 3 5
        half_pixel round_prefer_floor 5 13: 0 0 0 1 1 2 2 2 3 3 4 4 4
        half_pixel round_prefer_ceil 20 6: 1 5 8 11 15 18
        half_pixel round_prefer_ceil 7 3: 1 3 5
        half_pixel round_prefer_ceil 5 13: 0 0 0 1 1 2 2 2 3 3 4 4 4
        half_pixel floor 20 6: 1 4 7 11 14 17
        half_pixel floor 7 3: 0 3 5
        half_pixel floor 5 13: 0 0 0 0 1 1 2 2 2 3 3 3 4
        half_pixel ceil 20 6: 2 5 8 12 15 18
        half_pixel ceil 7 3: 1 3 6
        half_pixel ceil 5 13: 0 1 1 1 2 2 2 3 3 4 4 4 4
        pytorch_half_pixel round_prefer_floor 20 6: 1 4 8 11 14 18
        pytorch_half_pixel round_prefer_floor 7 3: 1 3 5
        pytorch_half_pixel round_prefer_floor 5 13: 0 0 0 1 1 2 2 2 3 3 4 4 4
        pytorch_half_pixel round_prefer_ceil 20 6: 1 5 8 11 15 18
        pytorch_half_pixel round_prefer_ceil 7 3: 1 3 5
        pytorch_half_pixel round_prefer_ceil 5 13: 0 0 0 1 1 2 2 2 3 3 4 4 4
        pytorch_half_pixel floor 20 6: 1 4 7 11 14 17
        pytorch_half_pixel floor 7 3: 0 3 5
        pytorch_half_pixel floor 5 13: 0 0 0 0 1 1 2 2 2 3 3 3 4
        pytorch_half_pixel ceil 20 6: 2 5 8 12 15 18
        pytorch_half_pixel ceil 7 3: 1 3 6
        pytorch_half_pixel ceil 5 13: 0 1 1 1 2 2 2 3 3 4 4 4 4
        half_pixel_symmetric round_prefer_floor 20 6: 1 4 8 11 14 18
        half_pixel_symmetric round_prefer_floor 7 3: 1 3 5
        half_pixel_symmetric round_prefer_floor 5 13: 0 0 0 1 1 2 2 2 3 3 4 4 4
        half_pixel_symmetric round_prefer_ceil 20 6: 1 5 8 11 15 18
        half_pixel_symmetric round_prefer_ceil 7 3: 1 3 5
        half_pixel_symmetric round_prefer_ceil 5 13: 0 0 0 1 1 2 2 2 3 3 4 4 4
        half_pixel_symmetric floor 20 6: 1 4 7 11 14 17
        half_pixel_symmetric floor 7 3: 0 3 5
        half_pixel_symmetric floor 5 13: 0 0 0 0 1 1 2 2 2 3 3 3 4
        half_pixel_symmetric ceil 20 6: 2 5 8 12 15 18
        half_pixel_symmetric ceil 7 3: 1 3 6
        half_pixel_symmetric ceil 5 13: 0 1 1 1 2 2 2 3 3 4 4 4 4
        tf_half_pixel_for_nn round_prefer_floor 20 6: 2 5 8 12 15 18
        tf_half_pixel_for_nn round_prefer_floor 7 3: 1 3 6
        tf_half_pixel_for_nn round_prefer_floor 5 13: 0 1 1 1 2 2 2 3 3 4 4 4 4
        tf_half_pixel_for_nn round_prefer_ceil 20 6: 2 5 8 12 15 18
        tf_half_pixel_for_nn round_prefer_ceil 7 3: 1 4 6
        tf_half_pixel_for_nn round_prefer_ceil 5 13: 0 1 1 1 2 2 3 3 3 4 4 4 4
        tf_half_pixel_for_nn floor 20 6: 1 5 8 11 14 18
        tf_half_pixel_for_nn floor 7 3: 1 3 5
        tf_half_pixel_for_nn floor 5 13: 0 0 0 1 1 2 2 2 3 3 4 4 4
        tf_half_pixel_for_nn ceil 20 6: 2 5 9 12 15 19
        tf_half_pixel_for_nn ceil 7 3: 2 4 6
        tf_half_pixel_for_nn ceil 5 13: 1 1 1 2 2 3 3 3 4 4 4 4 4
        asymmetric round_prefer_floor 20 6: 0 3 7 10 13 17
        asymmetric round_prefer_floor 7 3: 0 2 5
        asymmetric round_prefer_floor 5 13: 0 0 1 1 2 2 2 3 3 3 4 4 4
        asymmetric round_prefer_ceil 20 6: 0 3 7 10 13 17
        asymmetric round_prefer_ceil 7 3: 0 2 5
        asymmetric round_prefer_ceil 5 13: 0 0 1 1 2 2 2 3 3 3 4 4 4
        asymmetric floor 20 6: 0 3 6 10 13 16
        asymmetric floor 7 3: 0 2 4
        asymmetric floor 5 13: 0 0 0 1 1 1 2 2 3 3 3 4 4
        asymmetric ceil 20 6: 0 4 7 10 14 17
        asymmetric ceil 7 3: 0 3 5
        asymmetric ceil 5 13: 0 1 1 2 2 2 3 3 4 4 4 4 4
        align_corners round_prefer_floor 20 6: 0 4 8 11 15 19
        align_corners round_prefer_floor 7 3: 0 3 6
        align_corners round_prefer_floor 5 13: 0 0 1 1 1 2 2 2 3 3 3 4 4
        align_corners round_prefer_ceil 20 6: 0 4 8 11 15 19
        align_corners round_prefer_ceil 7 3: 0 3 6
        align_corners round_prefer_ceil 5 13: 0 0 1 1 1 2 2 2 3 3 3 4 4
        align_corners floor 20 6: 0 3 7 11 15 19
        align_corners floor 7 3: 0 3 6
        align_corners floor 5 13: 0 0 0 1 1 1 2 2 2 3 3 3 4
        align_corners ceil 20 6: 0 4 8 12 16 19
        align_corners ceil 7 3: 0 3 6
        align_corners ceil 5 13: 0 1 1 1 2 2 2 3 3 3 4 4 4
        asymmetric simple 20 6: 0 4 7 10 14 17
        asymmetric simple 7 3: 0 3 5
        asymmetric simple 5 13: 0 0 0 1 1 1 2 2 3 3 3 4 4
";

    #[test]
    fn accepts_the_pixels_of_onnx_runtime() {
        for line in KNOWN.lines() {
            let (key, indices) = line.trim().split_once(": ").unwrap();
            let words: Vec<&str> = key.split(' ').collect();
            let (extent, size): (usize, usize) =
                (words[2].parse().unwrap(), words[3].parse().unwrap());
            let transform = Transform::of(words[0], 12).or(Transform::of(words[0], 19));
            let nearest = match words[1] {
                "simple" => Some(Nearest::Simple),
                name => Nearest::of(name),
            };
            let scale = size as f32 / extent as f32;
            let found = neighbours(extent, size, scale, transform.unwrap(), nearest.unwrap());
            let found: Vec<String> = found.iter().map(usize::to_string).collect();
            assert_eq!(found.join(" "), indices, "{key}");
        }
        assert_eq!(KNOWN.lines().count(), 75);
    }

    #[test]
    fn accepts_halves_and_their_neighbours() {
        for (nearest, at, pixel) in [
            (Nearest::PreferCeil, 0.5, 1.0),
            (Nearest::PreferCeil, 3.499_999_8, 4.0),
            (Nearest::PreferCeil, 0.499_998, 0.0),
            (Nearest::PreferFloor, 0.5, 0.0),
            (Nearest::PreferFloor, 3.500_000_2, 3.0),
            (Nearest::PreferFloor, 0.500_002, 1.0),
            (Nearest::PreferFloor, 2.5, 2.0),
            (Nearest::Simple, 1.5, 1.0),
        ] {
            assert_eq!(nearest.pixel(at, false), pixel, "{nearest:?} of {at}");
        }
        assert_eq!(Nearest::Simple.pixel(1.5, true), 2.0);
    }
}
