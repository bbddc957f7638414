//! Resize: of each axis, which elements an element of the result is made of, with which weights.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, attribute, bad, numbers, one};
use crate::eval::places::{each, strides};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data};
use zkonnx_circuits::program::MAX_ELEMENTS;

/// One axis of a Resize.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    /// Extent before and after.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) scale: f32,
    /// The part that is looked at, for `tf_crop_and_resize`.
    pub(crate) region: (f32, f32),
}

/// `Resize`.
pub(crate) fn resize(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let outside = node.float("extrapolation_value", 0.0)?;
    let nearest = node.text("mode", "nearest")? == "nearest";
    let lines = lines(node, inputs, x)?;
    blend(inputs, x, &lines, nearest, outside)
}

/// For each axis and each place of the result along it, the elements that it is made of; `None` outside of a region.
pub(crate) type Lines = Vec<Vec<Option<Taps>>>;

/// What the places of a result are made of, from the shape of `x` and the other inputs.
pub(crate) fn lines(
    node: &NodeView<'_>,
    inputs: &Inputs<'_>,
    x: &Constant,
) -> Result<Lines, NodeError> {
    let mode = node.text("mode", "nearest")?;
    // It says how sizes are meant, and nothing where there are none.
    node.text("keep_aspect_ratio_policy", "stretch")?;
    let a = node.float("cubic_coeff_a", -0.75)?;
    let exclude = node.flag("exclude_outside", false)?;
    if node.flag("antialias", false)? {
        return Err(attribute("antialias", "it is not supported"));
    }
    let (transform, nearest) = modes(node)?;
    let axes = axes(node, inputs, x)?;
    let lines = axes.iter().map(|axis| {
        let line = (0..axis.to).map(|i| {
            let at = coordinate(i, axis, transform)?;
            let crops = transform == "tf_crop_and_resize";
            if crops && !(0.0..=(axis.from as f32 - 1.0)).contains(&at) {
                return Ok(None);
            }
            Ok(Some(match mode {
                _ if axis.from == axis.to && axis.scale == 1.0 && !crops => vec![(i, 1.0)],
                "nearest" => vec![(neighbour(at, axis, nearest)?, 1.0)],
                "linear" => linear(at, axis.from),
                "cubic" => cubic(at, axis.from, a, exclude),
                _ => return Err(attribute("mode", "the value is not known")),
            }))
        });
        line.collect::<Result<Vec<Option<Taps>>, _>>()
    });
    lines.collect()
}

/// Elements and their weights.
pub(crate) type Taps = Vec<(usize, f32)>;

/// The coordinate transform and the rounding of a node, with the defaults of its opset.
pub(crate) fn modes<'n>(node: &NodeView<'n>) -> Result<(&'n str, &'n str), NodeError> {
    let old = node.opset == 10;
    let transform = if old { "asymmetric" } else { "half_pixel" };
    let transform = node.text("coordinate_transformation_mode", transform)?;
    let nearest = if old { "simple" } else { "round_prefer_floor" };
    Ok((transform, node.text("nearest_mode", nearest)?))
}

/// Extents and scales of all axes.
fn axes(node: &NodeView<'_>, inputs: &Inputs<'_>, x: &Constant) -> Result<Vec<Axis>, NodeError> {
    let rank = x.shape.len();
    let old = node.opset == 10;
    let scales = inputs
        .maybe_floats(if old { 1 } else { 2 })?
        .filter(|s| !s.is_empty());
    let sizes = if old { None } else { inputs.maybe_ints(3)? };
    let named: Vec<usize> = match numbers(node, "axes", inputs, usize::MAX)? {
        None => (0..rank).collect(),
        Some(axes) => axes
            .iter()
            .map(|&axis| node.axis("axes", axis, rank))
            .collect::<Result<_, _>>()?,
    };
    let regions = if old {
        None
    } else {
        inputs.maybe_floats(1)?.filter(|r| !r.is_empty())
    };
    if regions.is_some_and(|r| r.len() != 2 * named.len()) {
        return Err(bad(
            1,
            "the region",
            "there are not two values for each axis",
        ));
    }
    let extents: Vec<usize> = named.iter().map(|&d| x.shape[d]).collect();
    let wrong = bad(2, "the scales", "there is not one for each axis");
    let targets: Vec<(usize, f32)> = match (scales, sizes) {
        (Some(s), _) if s.len() == named.len() => {
            let target =
                |(&n, &scale): (&usize, &f32)| ((n as f32 * scale).floor() as usize, scale);
            extents.iter().zip(s).map(target).collect()
        }
        (None, Some(s)) if s.len() == named.len() => sized(node, &extents, s)?,
        _ => return Err(wrong),
    };
    let whole = |&n: &usize| Axis {
        from: n,
        to: n,
        scale: 1.0,
        region: (0.0, 1.0),
    };
    let mut axes: Vec<Axis> = x.shape.iter().map(whole).collect();
    for (i, (&d, (to, scale))) in named.iter().zip(targets).enumerate() {
        if to == 0 || to > MAX_ELEMENTS || !scale.is_normal() || scale < 0.0 {
            let reason = "a scale is not positive, or the result is empty or too large";
            return Err(bad(2, "the scales", reason));
        }
        let region = regions.map_or((0.0, 1.0), |r| (r[i], r[named.len() + i]));
        axes[d] = Axis {
            to,
            scale,
            region,
            ..axes[d]
        };
    }
    Ok(axes)
}

/// Size and scale of each axis where the sizes are given.
pub(crate) fn sized(
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
            return Err(attribute(
                "keep_aspect_ratio_policy",
                "the value is not known",
            ));
        }
    };
    let size = |&extent: &usize| ((common * extent as f32).round() as usize, common);
    Ok(extents.iter().map(size).collect())
}

/// Where index `i` of the result lies among the elements, in binary32.
pub(crate) fn coordinate(i: usize, axis: &Axis, transform: &str) -> Result<f32, NodeError> {
    let (x, scale) = (i as f32, axis.scale);
    let (from, to) = (axis.from as f32, axis.to as f32);
    Ok(match transform {
        "half_pixel" => (x + 0.5) / scale - 0.5,
        "pytorch_half_pixel" if axis.to > 1 => (x + 0.5) / scale - 0.5,
        "pytorch_half_pixel" => 0.0,
        "half_pixel_symmetric" => {
            let adjustment = to / (scale * from);
            let offset = from / 2.0 * (1.0 - adjustment);
            let place = (f64::from(x) + 0.5) / f64::from(scale) - 0.5;
            (f64::from(offset) + place) as f32
        }
        "tf_half_pixel_for_nn" => (x + 0.5) / scale,
        "asymmetric" => x / scale,
        "align_corners" if axis.to > 1 => x * (from - 1.0) / (to - 1.0),
        "align_corners" => 0.0,
        "tf_crop_and_resize" => {
            let (start, end) = axis.region;
            match axis.to > 1 {
                true => start * (from - 1.0) + x * (end - start) * (from - 1.0) / (to - 1.0),
                false => 0.5 * (start + end) * (from - 1.0),
            }
        }
        _ => {
            return Err(attribute(
                "coordinate_transformation_mode",
                "the value is not known",
            ));
        }
    })
}

/// The index nearest to a coordinate.
pub(crate) fn neighbour(at: f32, axis: &Axis, nearest: &str) -> Result<usize, NodeError> {
    // ONNX Runtime takes for a half what lies this near one.
    const HALF: f32 = 1e-6;
    let half = (at - (at.floor() + 0.5)).abs() < HALF;
    let index = match nearest {
        "round_prefer_floor" if half => at.floor(),
        "round_prefer_ceil" if half => at.floor() + 1.0,
        "round_prefer_floor" | "round_prefer_ceil" => at.round(),
        "floor" => at.floor(),
        "ceil" => at.ceil(),
        // Until opset 10.
        "simple" if axis.scale < 1.0 => at.ceil(),
        "simple" => at.trunc(),
        _ => return Err(attribute("nearest_mode", "the value is not known")),
    };
    Ok(index.clamp(0.0, (axis.from - 1) as f32) as usize)
}

/// Two neighbours, by their distances.
fn linear(at: f32, extent: usize) -> Taps {
    let at = at.clamp(0.0, (extent - 1) as f32);
    let first = at as usize;
    let second = (first + 1).min(extent - 1);
    if first == second {
        return vec![(first, 1.0)];
    }
    vec![
        (first, (at - second as f32).abs()),
        (second, (at - first as f32).abs()),
    ]
}

/// Four neighbours, by a cubic of their distances; those outside are the border, or left out.
fn cubic(at: f32, extent: usize, a: f32, exclude: bool) -> Taps {
    let base = at.floor();
    let s = at - base;
    let mut weights = [
        ((a * (s + 1.0) - 5.0 * a) * (s + 1.0) + 8.0 * a) * (s + 1.0) - 4.0 * a,
        ((a + 2.0) * s - (a + 3.0)) * s * s + 1.0,
        ((a + 2.0) * (1.0 - s) - (a + 3.0)) * (1.0 - s) * (1.0 - s) + 1.0,
        ((a * (2.0 - s) - 5.0 * a) * (2.0 - s) + 8.0 * a) * (2.0 - s) - 4.0 * a,
    ];
    let place = |k: usize| base as i64 - 1 + k as i64;
    let last = extent as i64 - 1;
    if exclude {
        for (k, weight) in weights.iter_mut().enumerate() {
            if !(0..=last).contains(&place(k)) {
                *weight = 0.0;
            }
        }
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
    }
    let tap = |(k, w): (usize, &f32)| (place(k).clamp(0, last) as usize, *w);
    weights.iter().enumerate().map(tap).collect()
}

/// Blends the elements of each place; `None` is outside.
fn blend(
    inputs: &Inputs<'_>,
    x: &Constant,
    lines: &[Vec<Option<Taps>>],
    nearest: bool,
    outside: f32,
) -> Results {
    let shape: Vec<usize> = lines.iter().map(Vec::len).collect();
    let len = inputs.count(&shape)?;
    let from = strides(&x.shape);
    let mut places: Vec<Vec<(usize, f64)>> = Vec::with_capacity(len);
    each(&shape, |index| {
        let mut all = vec![(0usize, 1.0f64)];
        for (d, &i) in index.iter().enumerate() {
            let Some(taps) = &lines[d][i] else {
                all.clear();
                break;
            };
            let step = from[d];
            let next = |(place, weight): (usize, f64)| {
                taps.iter()
                    .map(move |&(i, w)| (place + i * step, weight * f64::from(w)))
            };
            all = all.into_iter().flat_map(next).collect();
        }
        places.push(all);
    });
    if nearest && places.iter().all(|taps| taps.len() == 1) {
        let places: Vec<usize> = places.iter().flatten().map(|&(place, _)| place).collect();
        return one(shape, x.data.pick(&places));
    }
    let data = inputs.floats(0)?;
    let value = |taps: &Vec<(usize, f64)>| match taps.is_empty() {
        true => outside,
        false => taps
            .iter()
            .map(|&(i, w)| w * f64::from(data[i]))
            .sum::<f64>() as f32,
    };
    let y = places.iter().map(value).collect();
    one(shape, Data::Float(y))
}
