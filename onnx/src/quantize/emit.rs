//! The quantized model: the nodes of the float one with QuantizeLinear and DequantizeLinear in between.

use std::collections::{BTreeMap, HashMap};

use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
};

use super::integral::is_whole;
use super::layers::{Layers, bias_of};
use super::ranges::Ranges;
use super::report::Pair;
use super::rewrite::flag;
use super::scores;
use super::{Byte, Options};
use crate::close::quantize;
use crate::graph::constant::Constant;
use crate::graph::{Attribute, Graph, Node, NodeView, STANDARD, ValueId};
use crate::proto::{Classes, write};
use crate::trees::is_forest;
use zkonnx_circuits::program::{DataType, Range};

/// Smallest scale: far above the smallest normal number, so that products of two scales are normal too.
const MIN_SCALE: f32 = 1e-15;
/// Largest integer of a bias; the accumulators that it is added to have room above it.
const MAX_BIAS: f32 = (1 << 30) as f32;
/// Integers that a bias should at least have where the weights of its channel are all zero.
const BIAS_STEPS: f32 = (1 << 16) as f32;

/// The model, and the tensors that can be compared with those of the float one.
pub(super) struct Emitted {
    pub(super) model: ModelProto,
    pub(super) tensors: Vec<Pair>,
}

/// Scale and zero point of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: f32,
    pub(super) zero: i64,
}

impl Affine {
    /// The scale that makes the most of the type for values between `lo ≤ 0` and `hi ≥ 0`.
    pub(super) fn of((lo, hi): (f32, f32), dtype: DataType) -> Self {
        let range = Range::of(dtype);
        let span = (f64::from(hi) - f64::from(lo)) / (range.hi - range.lo) as f64;
        let scale = if span > 0.0 {
            (span as f32).clamp(MIN_SCALE, 1e30)
        } else {
            1.0
        };
        let zero = range.lo as f64 - f64::from(lo) / f64::from(scale);
        Self {
            scale,
            zero: (zero.round_ties_even() as i64).clamp(range.lo, range.hi),
        }
    }

    /// The scale one, if whole numbers between `lo ≤ 0` and `hi ≥ 0` fit the type.
    pub(super) fn whole((lo, hi): (f32, f32), byte: Byte) -> Option<Self> {
        let range = Range::of(byte.dtype());
        let fits = f64::from(hi) - f64::from(lo) <= (range.hi - range.lo) as f64;
        // Zero stays the zero point where it can, so that truths are what they were.
        let zero = (range.lo - lo as i64).max(range.lo);
        let zero = if lo as i64 >= range.lo && hi as i64 <= range.hi {
            0
        } else {
            zero
        };
        fits.then_some(Self { scale: 1.0, zero })
    }
}

/// The type of a quantized tensor: 16 bits for the features of a linear model.
fn type_of(layers: &Layers, options: &Options, root: ValueId) -> DataType {
    match layers.scores.features.contains(&root) {
        true => DataType::U16,
        false => options.activations.dtype(),
    }
}

struct Writer<'a> {
    graph: &'a Graph,
    layers: &'a Layers,
    options: &'a Options,
    /// The graph that is written.
    out: Graph,
    /// Of each tensor that has a scale of its own.
    params: BTreeMap<ValueId, Affine>,
    /// Scale and zero point of each of these, as values of the graph that is written.
    scales: HashMap<ValueId, (ValueId, ValueId)>,
    /// What consumers read instead of a quantized tensor.
    reals: HashMap<ValueId, ValueId>,
}

/// Writes the model.
pub(super) fn emit(
    graph: &Graph,
    proto: &ModelProto,
    layers: &Layers,
    ranges: &Ranges,
    options: &Options,
) -> Emitted {
    let affine = |(root, range): (&ValueId, &(f32, f32))| {
        let whole = layers.integral.contains(root) && !layers.scores.features.contains(root);
        let whole = whole.then(|| Affine::whole(*range, options.activations));
        let affine = whole.flatten();
        let affine = affine.unwrap_or_else(|| Affine::of(*range, type_of(layers, options, *root)));
        (*root, affine)
    };
    let mut writer = Writer {
        graph,
        layers,
        options,
        out: graph.clone(),
        params: ranges.iter().map(affine).collect(),
        scales: HashMap::new(),
        reals: HashMap::new(),
    };
    writer.out.nodes.clear();
    writer.scales();
    for input in &graph.inputs {
        if layers.scale_of.contains_key(&input.value) {
            writer.quantized(input.value, input.value);
        }
    }
    for (i, node) in graph.nodes.iter().enumerate() {
        if layers.front[i] || is_forest(node) {
            writer.front(node);
        } else {
            writer.node(node, layers.tail[i]);
        }
    }
    let Writer { out, reals, .. } = writer;
    out.verify("emit");
    let tensors = layers.quantized.iter().map(|(value, op)| {
        let own = reals.get(value).unwrap_or(value);
        (*value, out.name(*own).to_owned(), op.clone())
    });
    let nodes = out.nodes.iter().map(|node| write::node(&out, node));
    let constants = out.reads().into_iter();
    Emitted {
        tensors: tensors.collect(),
        model: assemble(
            proto,
            &out,
            nodes.collect(),
            constants
                .filter_map(|value| write::constant(&out, value))
                .collect(),
        ),
    }
}

/// The model around the new nodes; inputs, outputs, opsets and descriptions stay.
fn assemble(
    proto: &ModelProto,
    graph: &Graph,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
) -> ModelProto {
    let old = proto.graph.clone().unwrap_or_default();
    let constant = |name: &str| old.initializer.iter().any(|t| t.name == name);
    let inputs = old.input.iter().filter(|i| !constant(&i.name));
    let input = inputs
        .zip(&graph.inputs)
        .map(|(info, input)| write::fixed(info, &input.shape));
    let input = input.collect();
    let written = GraphProto {
        name: old.name.clone(),
        doc_string: old.doc_string.clone(),
        input,
        output: old
            .output
            .iter()
            .zip(&graph.outputs)
            .map(|(info, value)| write::result(info, graph.ty(*value)))
            .collect(),
        node: nodes,
        initializer: initializers,
        ..Default::default()
    };
    let standard = |import: &OperatorSetIdProto| ["", STANDARD].contains(&import.domain.as_str());
    let others = proto.opset_import.iter().filter(|import| !standard(import));
    let own = OperatorSetIdProto {
        version: graph.opset,
        ..Default::default()
    };
    let opset_import = std::iter::once(own).chain(others.cloned()).collect();
    ModelProto {
        // Before version 4 every initializer had to be an input too.
        ir_version: proto
            .ir_version
            .max(if graph.opset < scores::OPSET { 4 } else { 10 }),
        producer_name: "zkonnx".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import,
        graph: Some(written),
        metadata_props: graph.classes.iter().flat_map(named).collect(),
        ..Default::default()
    }
}

/// The names that an output stands for, each under a key of its own.
fn named(classes: &Classes) -> impl Iterator<Item = StringStringEntryProto> + '_ {
    let what = if classes.columns { "column" } else { "label" };
    let names = classes.names.iter().enumerate();
    names.map(move |(place, name)| StringStringEntryProto {
        key: format!("zkonnx.{what}.{}.{place}", classes.output),
        value: name.clone(),
    })
}

impl Writer<'_> {
    /// Scales and zero points, one pair for all tensors that share it.
    fn scales(&mut self) {
        for (root, affine) in &self.params {
            let dtype = type_of(self.layers, self.options, *root);
            let name = self.graph.name(*root);
            let scale = Constant::floats(vec![], vec![affine.scale]);
            let scale = self.out.add_constant(&format!("{name}_scale"), scale);
            let zero = Constant::ints(dtype, vec![], vec![affine.zero]);
            let zero = self.out.add_constant(&format!("{name}_zero_point"), zero);
            self.scales.insert(*root, (scale, zero));
        }
    }

    fn push(&mut self, op: &str, inputs: &[ValueId], output: ValueId, axis: Option<usize>) {
        let axis = axis.map(|axis| Attribute::int("axis", axis as i64));
        self.out.nodes.push(Node {
            name: format!("{}_{op}", self.out.name(output)),
            domain: STANDARD.into(),
            op: op.into(),
            opset: self.graph.opset,
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(output)],
            attributes: axis.into_iter().collect(),
            ..Node::default()
        });
    }

    /// Quantizes `from`, which stands for a value, and dequantizes it for those who read it.
    fn quantized(&mut self, value: ValueId, from: ValueId) {
        let root = self.layers.scale_of.get(&value);
        let Some(&(scale, zero)) = root.and_then(|root| self.scales.get(root)) else {
            return;
        };
        let name = self.graph.name(value);
        let integers = self.out.add(&format!("{name}_quantized"));
        let reals = match from == value {
            true => self.out.add(&format!("{name}_dequantized")),
            false => value,
        };
        self.push("QuantizeLinear", &[from, scale, zero], integers, None);
        self.push("DequantizeLinear", &[integers, scale, zero], reals, None);
        self.reals.insert(value, reals);
    }

    /// A node that stays float before the integers, and the quantization of what they are made of.
    fn front(&mut self, node: &Node) {
        self.out.nodes.push(node.clone());
        for output in node.made() {
            self.quantized(output, output);
        }
    }

    fn node(&mut self, node: &Node, tail: bool) {
        let mut next = node.clone();
        for input in 0..node.inputs.len() {
            let Some(value) = node.input(input) else {
                continue;
            };
            next.inputs[input] = Some(match self.graph.is_constant(value) {
                true => self.operand(node, input, tail).unwrap_or(value),
                false => *self.reals.get(&value).unwrap_or(&value),
            });
        }
        for (_, value) in &mut next.captures {
            *value = *self.reals.get(value).unwrap_or(value);
        }
        let mut made = Vec::new();
        for output in next.outputs.iter_mut().flatten() {
            if tail || !self.layers.scale_of.contains_key(output) {
                continue;
            }
            let value = *output;
            // The model's output keeps its name, so its float form gets another.
            if self.graph.outputs.contains(&value) {
                let name = format!("{}_float", self.graph.name(value));
                *output = self.out.add(&name);
            }
            made.push((value, *output));
        }
        self.out.nodes.push(next);
        for (value, from) in made {
            self.quantized(value, from);
        }
    }

    /// A constant operand: weights and biases become integers, as do constants that no table holds.
    fn operand(&mut self, node: &Node, input: usize, tail: bool) -> Option<ValueId> {
        let value = node.input(input)?;
        let linear = node.is_any(&["Conv", "ConvTranspose", "Gemm", "MatMul"]);
        match (linear, input) {
            _ if tail || !self.graph.is_float(value) => None,
            (true, 1) => self.weights(node),
            (true, 2) => self.bias(node, value, node),
            (true, _) => None,
            _ => self.addend(node, value),
        }
    }

    fn activation(&self, value: ValueId) -> Option<Affine> {
        self.params.get(self.layers.scale_of.get(&value)?).copied()
    }

    /// The axis of output channels of a linear operator's weights.
    fn channel_axis(&self, node: &Node, weights: &Constant) -> Option<usize> {
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
    fn weight_params(&self, node: &Node) -> Option<(Vec<Affine>, Option<usize>)> {
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
    fn score_params(
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
    fn weight_scale(&self, (lo, hi): (f32, f32), bias: f32, whole: bool) -> Affine {
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
    fn bias_constant(&self, node: &Node) -> Option<&[f32]> {
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

    /// The name of what is made of a constant operand for one node.
    fn own_name(&self, node: &Node, operand: ValueId) -> Option<String> {
        let output = self.graph.name(node.output(0)?);
        Some(format!("{output}_{}", self.graph.name(operand)))
    }

    fn weights(&mut self, node: &Node) -> Option<ValueId> {
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
    fn bias(&mut self, node: &Node, operand: ValueId, linear: &Node) -> Option<ValueId> {
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
    fn addend(&mut self, node: &Node, operand: ValueId) -> Option<ValueId> {
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
    fn within(&self, node: &Node, x: ValueId, data: &[f32]) -> Vec<f32> {
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

    /// Adds integers with scales and their DequantizeLinear; answers the reals.
    fn dequantized(
        &mut self,
        base: &str,
        integers: Constant,
        params: &[Affine],
        axis: Option<usize>,
    ) -> ValueId {
        let shape = if axis.is_some() {
            vec![params.len()]
        } else {
            vec![]
        };
        let dtype = integers.dtype().unwrap_or(DataType::I8);
        let scales = params.iter().map(|p| p.scale).collect();
        let scales = Constant::floats(shape.clone(), scales);
        let out = &mut self.out;
        let mut inputs = vec![
            out.add_constant(&format!("{base}_quantized"), integers),
            out.add_constant(&format!("{base}_scale"), scales),
        ];
        // The zero point of int32 is zero and is left out.
        if dtype != DataType::I32 {
            let zeros = params.iter().map(|p| p.zero).collect();
            let zeros = Constant::ints(dtype, shape, zeros);
            inputs.push(out.add_constant(&format!("{base}_zero_point"), zeros));
        }
        let reals = out.add(&format!("{base}_dequantized"));
        self.push("DequantizeLinear", &inputs, reals, axis);
        reals
    }
}
