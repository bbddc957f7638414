//! Calibration: the range of each quantized tensor over the samples.

use crate::graph::{Graph, ValueId};
use crate::quantize::error::QuantizeError;
use crate::quantize::layers::{Layers, proved};
use crate::quantize::masks::Ranges;
use crate::quantize::{Method, masks};
use crate::run::{Values, run};
use std::collections::HashMap;

use rayon::prelude::*;

/// The range of a Softmax, whatever the samples: steps of 1/256, since the integer rule counts whole levels of one.
const SOFTMAX: (f32, f32) = (0.0, 255.0 / 256.0);

/// How far the range of a feature of 16 bits goes beyond that of the samples, as a share of it.
const MARGIN: f32 = 0.125;

/// Bins of a distribution.
const BINS: usize = 4096;

/// Finds the ranges. Values that are not finite do not count.
pub(crate) fn find(
    graph: &Graph,
    layers: &Layers,
    samples: &[Values],
    method: Method,
) -> Result<Ranges, QuantizeError> {
    let extremes = samples
        .par_iter()
        .map(|sample| {
            let values = run(graph, sample.clone(), proved)?;
            let mut ranges = Ranges::new();
            visit(layers, &values, |root, values| {
                let range = ranges.entry(root).or_insert((0.0, 0.0));
                for v in values.iter().filter(|v| v.is_finite()) {
                    *range = (range.0.min(*v), range.1.max(*v));
                }
            });
            Ok::<_, QuantizeError>(ranges)
        })
        .try_reduce(Ranges::new, |mut a, b| {
            for (root, (lo, hi)) in b {
                let range = a.entry(root).or_insert((0.0, 0.0));
                *range = (range.0.min(lo), range.1.max(hi));
            }
            Ok(a)
        })?;
    let mut ranges = match method {
        Method::MinMax => extremes,
        Method::Percentile(p) => percentiles(graph, layers, samples, &extremes, p)?,
    };
    for (name, _) in layers.quantized.iter().filter(|(_, op)| op == "Softmax") {
        if let Some(range) = ranges.get_mut(name) {
            *range = SOFTMAX;
        }
    }
    // Features of 16 bits have room for some that no sample reached.
    for value in &layers.scores.features {
        if let Some(range) = ranges.get_mut(value) {
            let more = (range.1 - range.0) * MARGIN;
            *range = (range.0 - more, range.1 + more);
        }
    }
    masks::narrow(graph, layers, samples, &mut ranges)?;
    Ok(ranges)
}

fn visit(layers: &Layers, values: &Values, mut f: impl FnMut(ValueId, &[f32])) {
    for (name, _) in &layers.quantized {
        let data = values.get(name).and_then(|v| v.as_floats());
        if let (Some(root), Some(data)) = (layers.scale_of.get(name), data) {
            f(*root, data);
        }
    }
}

type Histograms = HashMap<ValueId, Vec<u64>>;

fn percentiles(
    graph: &Graph,
    layers: &Layers,
    samples: &[Values],
    extremes: &Ranges,
    percentile: f64,
) -> Result<Ranges, QuantizeError> {
    let width = |(lo, hi): (f32, f32)| (f64::from(hi) - f64::from(lo)) / BINS as f64;
    let histograms = samples
        .par_iter()
        .map(|sample| {
            let values = run(graph, sample.clone(), proved)?;
            let mut histograms = Histograms::new();
            visit(layers, &values, |root, values| {
                let range = extremes.get(&root).copied().unwrap_or_default();
                let bins = histograms.entry(root).or_insert_with(|| vec![0; BINS]);
                let width = width(range);
                for v in values.iter().filter(|v| v.is_finite() && width > 0.0) {
                    let bin = (f64::from(*v) - f64::from(range.0)) / width;
                    bins[(bin as usize).min(BINS - 1)] += 1;
                }
            });
            Ok::<_, QuantizeError>(histograms)
        })
        .try_reduce(Histograms::new, |mut a, b| {
            for (root, bins) in b {
                let sums = a.entry(root).or_insert_with(|| vec![0; BINS]);
                sums.iter_mut().zip(bins).for_each(|(sum, n)| *sum += n);
            }
            Ok(a)
        })?;
    let cut = |(&root, &(lo, hi)): (&ValueId, &(f32, f32))| {
        let Some(bins) = histograms.get(&root) else {
            return (root, (lo, hi));
        };
        let total: u64 = bins.iter().sum();
        let spare = (total as f64 * (1.0 - percentile / 100.0)) as u64;
        let skip = |bins: &mut dyn Iterator<Item = &u64>| {
            let mut seen = 0;
            bins.take_while(|n| {
                seen += **n;
                seen <= spare
            })
            .count()
        };
        let (below, above) = (skip(&mut bins.iter()), skip(&mut bins.iter().rev()));
        let width = width((lo, hi));
        let cut_lo = (f64::from(lo) + below as f64 * width).min(0.0) as f32;
        let cut_hi = (f64::from(hi) - above as f64 * width).max(0.0) as f32;
        // A tensor that is almost always zero keeps its range.
        match cut_lo < cut_hi {
            true => (root, (cut_lo, cut_hi)),
            false => (root, (lo, hi)),
        }
    };
    Ok(extremes.iter().map(cut).collect())
}
