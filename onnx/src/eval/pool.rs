//! Pooling.

use crate::error::NodeError;
use crate::eval::cast::number;
use crate::eval::conv::{Geometry, Window, image, list};
use crate::eval::inputs::{Inputs, Results, attribute, bad, one, undefined};
use crate::eval::reduce::sum;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data};
use zkonnx_circuits::program::{DataType, elements};

/// The windows of pooling.
pub(crate) fn pool_geometry(node: &NodeView<'_>, spatial: &[usize]) -> Result<Geometry, NodeError> {
    if node.maybe_ints("kernel_shape")?.is_none() {
        return Err(attribute("kernel_shape", "it is missing"));
    }
    let kernel = list(node, "kernel_shape", spatial.len(), 1)?;
    Geometry::new(node, spatial, kernel, true)
}

/// `MaxPool`, `AveragePool` and their global forms.
pub(crate) fn pool(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let (batch, channels, spatial) = image(&x.shape)?;
    let geometry = if node.op().starts_with("Global") {
        let out = vec![1; spatial.len()];
        let all = (0..elements(spatial)).map(|i| (i, i)).collect();
        return pooled(
            node,
            inputs,
            x,
            vec![Window {
                taps: all,
                padded: 0,
            }],
            [&[batch, channels], out.as_slice()].concat(),
        );
    } else {
        pool_geometry(node, spatial)?
    };
    let shape = [&[batch, channels], geometry.out.as_slice()].concat();
    inputs.count(&shape)?;
    pooled(node, inputs, x, geometry.windows(spatial), shape)
}

fn pooled(
    node: &NodeView<'_>,
    inputs: &Inputs<'_>,
    x: &Constant,
    windows: Vec<Window>,
    shape: Vec<usize>,
) -> Results {
    if windows.iter().any(|w| w.taps.is_empty()) {
        return Err(undefined("a window lies in the padding"));
    }
    if node.op().ends_with("AveragePool") {
        let whole = node.op() == "AveragePool" && node.flag("count_include_pad", false)?;
        let size = elements(&x.shape[2..]).max(1);
        let average = |plane: &[f32], window: &Window| {
            let values = window.taps.iter().map(|&(_, e)| f64::from(plane[e]));
            let count = if whole {
                window.padded
            } else {
                window.taps.len()
            };
            sum(values) as f32 / count as f32
        };
        let planes = inputs.floats(0)?.chunks(size);
        let y = planes.flat_map(|plane| windows.iter().map(move |w| average(plane, w)));
        return one(shape, Data::Float(y.collect()));
    }
    largest(node, x, &windows, shape)
}

/// The places of the largest elements, the first of equal ones: where a window holds a value that is not a number, what
/// is the largest depends on the processor.
fn largest(node: &NodeView<'_>, x: &Constant, windows: &[Window], shape: Vec<usize>) -> Results {
    let size = elements(&x.shape[2..]).max(1);
    let beyond = |i: usize, j: usize| {
        let order = match &x.data {
            Data::Float(v) => v[i].partial_cmp(&v[j]),
            Data::Double(v) => v[i].partial_cmp(&v[j]),
            data => number(data, i).zip(number(data, j)).map(|(a, b)| a.cmp(&b)),
        };
        order
            .ok_or(undefined("it orders a value that is not a number"))
            .map(|o| o.is_gt())
    };
    let mut places = Vec::with_capacity(elements(&shape));
    for plane in 0..x.len() / size {
        for window in windows {
            let mut best = None;
            for i in window.taps.iter().map(|&(_, e)| plane * size + e) {
                let further = match best {
                    None => beyond(i, i).map(|_| true)?,
                    Some(best) => beyond(i, best)?,
                };
                best = if further { Some(i) } else { best };
            }
            places.push(best.ok_or(NodeError::Unknown)?);
        }
    }
    let values = x.pick(shape.clone(), &places);
    if node.outputs() < 2 {
        node.int("storage_order", 0)?;
        return Ok(vec![values]);
    }
    if node.int("storage_order", 0)? != 0 {
        return Err(bad(
            0,
            "x",
            "places in column-major order are not supported",
        ));
    }
    let places = places.into_iter().map(|i| i as i64).collect();
    Ok(vec![values, Constant::ints(DataType::I64, shape, places)])
}
