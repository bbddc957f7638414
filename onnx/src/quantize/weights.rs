//! Constant operands as integers: weights, biases and what is added.

use crate::graph::constant::Constant;
use crate::graph::{Node, NodeView, ValueId};
use crate::group::rules::quantize;
use crate::quantize::affine::{Affine, MIN_SCALE};
use crate::quantize::emit::Writer;
use crate::quantize::integral::is_whole;
use crate::quantize::rewrite::{bias_of, flag};
use crate::quantize::{Byte, scores};
use zkonnx_circuits::program::DataType;
use zkonnx_circuits::program::Range;

impl Writer<'_> {
    /// The axis of output channels of a linear operator's weights.
    pub(crate) fn channel_axis(&self, node: &Node, weights: &Constant) -> Option<usize> {
        match node.op.as_str() {
            "Conv" => Some(0),
            "ConvTranspose" => Some(1),
            "Gemm" => Some(usize::from(!flag(self.graph, node, "transB"))),
            _ => weights.shape.len().checked_sub(1),
        }
    }

    /// For each lane of a linear operator's weights, scale and zero point, and the axis of the lanes.
    ///
    /// A scale is never so small that the bias would leave int32.
    pub(crate) fn weight_params(&self, node: &Node) -> Option<(Vec<Affine>, Option<usize>)> {
        let weights = self.graph.constant(node.input(1)?)?;
        let data = weights.as_floats()?;
        let axis = self.channel_axis(node, weights)?;
        let n = *weights.shape.get(axis)?;
        let group = NodeView::new(self.graph, node).int("group", 1);
        let grouped = node.is("ConvTranspose") && group.is_ok_and(|group| group > 1);
        let each = self.options.per_channel && !grouped && n > 0;
        let inner: usize = weights.shape[axis + 1..].iter().product();
        let x = self.activation(node.input(0)?)?;
        let bias = self.bias_constant(node);
        if node.made().any(|y| self.layers.scores.sums.contains(&y)) {
            return Some(self.score_params(node, weights, x, bias));
        }
        let lanes = if each { n } else { 1 };
        // Whole weights are exact with a scale of one.
        let whole = is_whole(weights) && data.iter().any(|v| *v != 0.0);
        let mut params = Vec::with_capacity(lanes);
        for lane in 0..lanes {
            let values = data
                .iter()
                .enumerate()
                .filter(|(i, v)| (!each || i / inner.max(1) % n == lane) && v.is_finite());
            let (lo, hi) = values.fold((0f32, 0f32), |(lo, hi), (_, v)| (lo.min(*v), hi.max(*v)));
            let largest = bias.map_or(0.0, |b| match (each, b.len()) {
                (true, len) if len == n => b[lane].abs(),
                _ => b.iter().fold(0.0, |m, v| v.abs().max(m)),
            });
            params.push(self.weight_scale((lo, hi), largest / x.scale, whole));
        }
        Some((params, each.then_some(axis)))
    }

    /// The scales of the 16-bit weights of scores: one where these are compared, or one for each of them.
    pub(crate) fn score_params(
        &self,
        node: &Node,
        weights: &Constant,
        x: Affine,
        bias: Option<&[f32]>,
    ) -> (Vec<Affine>, Option<usize>) {
        let columns = weights.shape.last().copied().unwrap_or(1);
        let range = Range::of(DataType::U16);
        let reach = (x.zero - range.lo).max(range.hi - x.zero);
        let of = |columns: std::ops::Range<usize>| {
            let bias = |column: usize| bias.map_or(0.0, |b| b[column % b.len().max(1)]);
            let scale = scores::weight_scale(weights, columns, bias, (x.scale, reach));
            let scale = scale.max(MIN_SCALE);
            Affine { scale, zero: 0 }
        };
        let sums = &self.layers.scores.compared;
        let next = |y: ValueId| {
            self.graph
                .nodes
                .iter()
                .filter(move |n| n.reads().any(|v| v == y))
        };
        let compared = node.made().any(|y| {
            sums.contains(&y) || next(y).any(|next| next.made().any(|sum| sums.contains(&sum)))
        });
        match compared || !self.options.per_channel || columns == 1 {
            true => (vec![of(0..columns)], None),
            false => ((0..columns).map(|i| of(i..i + 1)).collect(), Some(1)),
        }
    }

    /// Scale and zero point of weights in a range, which may be `whole` numbers, with a bias of so many input scales.
    pub(crate) fn weight_scale(&self, (lo, hi): (f32, f32), bias: f32, whole: bool) -> Affine {
        let zeros = lo == 0.0 && hi == 0.0;
        let limits = Range::of(self.options.weights.dtype());
        if whole && bias <= MAX_BIAS && lo as i64 >= limits.lo.max(-127) && hi as i64 <= limits.hi {
            return Affine {
                scale: 1.0,
                zero: 0,
            };
        }
        let least = if zeros {
            bias / BIAS_STEPS
        } else {
            bias / MAX_BIAS
        };
        let affine = match self.options.weights {
            Byte::U8 => Affine::of((lo, hi), DataType::U8),
            Byte::I8 => Affine {
                scale: (hi.max(-lo) / 127.0).max(MIN_SCALE),
                zero: 0,
            },
        };
        let scale = match (zeros, least > 0.0) {
            (true, false) => 1.0,
            (true, true) => least.max(MIN_SCALE),
            (false, _) => affine.scale.max(least),
        };
        Affine { scale, ..affine }
    }

    /// The bias that belongs to a linear operator, its own or the one that is added after it.
    pub(crate) fn bias_constant(&self, node: &Node) -> Option<&[f32]> {
        let value = match node.input(2) {
            Some(value) => value,
            None => {
                let output = node.output(0)?;
                let reads = |n: &&Node| n.reads().any(|value| value == output);
                let next = self.graph.nodes.iter().find(reads)?;
                bias_of(self.graph, node, next)?
            }
        };
        self.graph.constant(value)?.as_floats()
    }

    pub(crate) fn weights(&mut self, node: &Node) -> Option<ValueId> {
        let (params, axis) = self.weight_params(node)?;
        let operand = node.input(1)?;
        let weights = self.graph.constant(operand)?.clone();
        let inner: usize = match axis {
            Some(axis) => weights.shape[axis + 1..].iter().product(),
            None => 1,
        };
        let (dtype, range) = match self.options.weights {
            _ if node.made().any(|y| self.layers.scores.sums.contains(&y)) => {
                (DataType::I16, Range::of(DataType::I16))
            }
            Byte::U8 => (DataType::U8, Range::of(DataType::U8)),
            Byte::I8 => (DataType::I8, Range { lo: -127, hi: 127 }),
        };
        let value = |(i, v): (usize, &f32)| {
            let p = params[i / inner.max(1) % params.len()];
            quantize(*v, p.scale, p.zero, range)
        };
        let data = weights.as_floats()?.iter().enumerate().map(value).collect();
        let integers = Constant::ints(dtype, weights.shape.clone(), data);
        let own = self.own_name(node, operand)?;
        Some(self.dequantized(&own, integers, &params, axis))
    }

    /// The bias of a linear operator as int32, with the product of both scales.
    pub(crate) fn bias(&mut self, node: &Node, operand: ValueId, linear: &Node) -> Option<ValueId> {
        let bias = self.graph.constant(operand)?.clone();
        let x = self.activation(linear.input(0)?)?;
        let (weights, axis) = self.weight_params(linear)?;
        let data = bias.as_floats()?;
        let lanes = if axis.is_some() { weights.len() } else { 1 };
        if lanes > 1 && data.len() != lanes {
            return None;
        }
        let scales: Vec<Affine> = weights
            .iter()
            .map(|w| Affine {
                scale: x.scale * w.scale,
                zero: 0,
            })
            .collect();
        let range = Range::of(DataType::I32);
        let value = |(i, v): (usize, &f32)| quantize(*v, scales[i % lanes].scale, 0, range);
        let integers = data.iter().enumerate().map(value).collect();
        let integers = Constant::ints(DataType::I32, vec![data.len()], integers);
        let own = self.own_name(node, operand)?;
        Some(self.dequantized(&own, integers, &scales, axis.map(|_| 0)))
    }

    /// A constant operand of an elementwise operator. One value, or one for each index of an axis, is part of a table
    /// and stays float; others are integers like the activation beside them.
    pub(crate) fn addend(&mut self, node: &Node, operand: ValueId) -> Option<ValueId> {
        let graph = self.graph;
        let x = node.reads().find(|value| *value != operand)?;
        if let Some(product) = graph.maker(x).map(|i| &graph.nodes[i])
            && bias_of(graph, product, node) == Some(operand)
            && !self.layers.scale_of.contains_key(&x)
        {
            return self.bias(node, operand, product);
        }
        let pair = node.is_any(&["Add", "Sub", "Mul"]);
        let constant = graph.constant(operand)?.clone();
        if !pair || constant.shape.iter().filter(|d| **d > 1).count() <= 1 || graph.is_constant(x) {
            return None;
        }
        let data = self.within(node, x, constant.as_floats()?);
        let finite = data.iter().filter(|v| v.is_finite());
        let range = finite.fold((0f32, 0f32), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
        let byte = self.options.activations;
        let affine = Affine::of(range, byte.dtype());
        let limits = Range::of(byte.dtype());
        let value = |v: &f32| quantize(*v, affine.scale, affine.zero, limits);
        let integers = data.iter().map(value).collect();
        let integers = Constant::ints(byte.dtype(), constant.shape.clone(), integers);
        let own = self.own_name(node, operand)?;
        Some(self.dequantized(&own, integers, &[affine], None))
    }

    /// What is added, without what is beyond it: whatever leaves the range of the sum on its own says no more than the
    /// ends of the range do.
    pub(crate) fn within(&self, node: &Node, x: ValueId, data: &[f32]) -> Vec<f32> {
        let ends = |affine: Affine| {
            let range = Range::of(self.options.activations.dtype());
            [range.lo, range.hi].map(|v| (v - affine.zero) as f32 * affine.scale)
        };
        let sum = node.output(0).and_then(|y| self.activation(y));
        let (Some([lo, hi]), Some([least, most])) = (sum.map(ends), self.activation(x).map(ends))
        else {
            return data.to_vec();
        };
        match node.is("Add") {
            true => data
                .iter()
                .map(|v| v.max(lo - most).min(hi - least))
                .collect(),
            false => data.to_vec(),
        }
    }
}

/// Largest integer of a bias; the accumulators that it is added to have room above it.
const MAX_BIAS: f32 = (1 << 30) as f32;

/// Integers that a bias should at least have where the weights of its channel are all zero.
const BIAS_STEPS: f32 = (1 << 16) as f32;
