//! The quantized model: the nodes of the float one with QuantizeLinear and DequantizeLinear in between.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, tensor_proto};

use super::super::close::quantize;
use super::super::constant::{Constant, Data, Half};
use super::super::graph::Graph;
use super::super::run::Values;
use super::integral::is_whole;
use super::layers::{Layers, bias_of};
use super::ranges::Ranges;
use super::report::Pair;
use super::rewrite::{flag, fresh, int_attribute};
use super::{Byte, Options, QuantizeError};
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
    pub(super) fn of((lo, hi): (f32, f32), byte: Byte) -> Self {
        let range = Range::of(byte.dtype());
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

struct Writer<'a> {
    graph: &'a Graph,
    values: &'a Values,
    layers: &'a Layers,
    options: &'a Options,
    /// Of each tensor that has a scale of its own.
    params: HashMap<String, Affine>,
    /// What consumers read instead of a quantized tensor.
    names: HashMap<String, String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    /// Constants that are read as they are.
    plain: BTreeSet<String>,
}

/// Writes the model.
pub(super) fn emit(
    graph: &Graph,
    proto: &ModelProto,
    values: &Values,
    layers: &Layers,
    ranges: &Ranges,
    options: &Options,
) -> Result<Emitted, QuantizeError> {
    let affine = |(root, range): (&String, &(f32, f32))| {
        let whole = layers.integral.contains(root);
        let whole = whole.then(|| Affine::whole(*range, options.activations));
        let affine = whole.flatten();
        let affine = affine.unwrap_or_else(|| Affine::of(*range, options.activations));
        (root.clone(), affine)
    };
    let params = ranges.iter().map(affine).collect();
    let mut writer = Writer {
        graph,
        values,
        layers,
        options,
        params,
        names: HashMap::new(),
        nodes: Vec::new(),
        initializers: Vec::new(),
        plain: BTreeSet::new(),
    };
    writer.scales();
    for input in &graph.inputs {
        if layers.scale_of.contains_key(&input.name) {
            writer.quantized(&input.name, &input.name);
        }
    }
    for (node, &tail) in graph.nodes.iter().zip(&layers.tail) {
        writer.node(node, tail);
    }
    for name in std::mem::take(&mut writer.plain) {
        let constant = &graph.constants[&name];
        writer.initializers.push(tensor(&name, constant));
    }
    let tensors = layers.quantized.iter().map(|(name, op)| {
        let own = writer.names.get(name).unwrap_or(name);
        (name.clone(), own.clone(), op.clone())
    });
    let tensors = tensors.collect();
    Ok(Emitted {
        model: assemble(proto, writer.nodes, writer.initializers),
        tensors,
    })
}

/// The model around the new nodes; inputs, outputs, opsets and descriptions stay.
fn assemble(
    proto: &ModelProto,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
) -> ModelProto {
    let old = proto.graph.clone().unwrap_or_default();
    let constant = |name: &str| old.initializer.iter().any(|t| t.name == name);
    let input = old
        .input
        .iter()
        .filter(|i| !constant(&i.name))
        .cloned()
        .collect();
    let graph = GraphProto {
        name: old.name.clone(),
        doc_string: old.doc_string.clone(),
        input,
        output: old.output.clone(),
        node: nodes,
        initializer: initializers,
        ..Default::default()
    };
    ModelProto {
        // Before version 4 every initializer had to be an input too.
        ir_version: proto.ir_version.max(4),
        producer_name: "zkonnx".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: proto.opset_import.clone(),
        graph: Some(graph),
        ..Default::default()
    }
}

impl Writer<'_> {
    /// Scales and zero points, one pair for all tensors that share it.
    fn scales(&mut self) {
        let mut roots: Vec<(String, Affine)> = self
            .params
            .iter()
            .map(|(name, affine)| (name.clone(), *affine))
            .collect();
        roots.sort_by(|a, b| a.0.cmp(&b.0));
        let dtype = self.options.activations.dtype();
        for (root, affine) in roots {
            let (scale, zero) = self.scale_names(&root);
            self.constant(&scale, &Constant::floats(vec![], vec![affine.scale]));
            self.constant(&zero, &Constant::ints(dtype, vec![], vec![affine.zero]));
        }
    }

    fn scale_names(&self, root: &str) -> (String, String) {
        let own = |suffix| fresh(self.graph, &format!("{root}_{suffix}"));
        (own("scale"), own("zero_point"))
    }

    fn constant(&mut self, name: &str, constant: &Constant) {
        self.initializers.push(tensor(name, constant));
    }

    fn push(&mut self, op: &str, inputs: &[&str], output: &str, axis: Option<usize>) {
        let attribute = axis.map(|axis| int_attribute("axis", axis as i64));
        self.nodes.push(NodeProto {
            name: format!("{output}_{op}"),
            op_type: op.into(),
            input: inputs.iter().map(|&s| s.to_owned()).collect(),
            output: vec![output.into()],
            attribute: attribute.into_iter().collect(),
            ..Default::default()
        });
    }

    /// Quantizes `from`, the tensor that stands for `name`, and dequantizes it for those who read it.
    fn quantized(&mut self, name: &str, from: &str) {
        let Some(root) = self.layers.scale_of.get(name) else {
            return;
        };
        let (scale, zero) = self.scale_names(root);
        let integers = fresh(self.graph, &format!("{name}_quantized"));
        let reals = if from == name {
            fresh(self.graph, &format!("{name}_dequantized"))
        } else {
            name.to_owned()
        };
        self.push("QuantizeLinear", &[from, &scale, &zero], &integers, None);
        self.push(
            "DequantizeLinear",
            &[&integers, &scale, &zero],
            &reals,
            None,
        );
        self.names.insert(name.to_owned(), reals);
    }

    fn node(&mut self, node: &NodeProto, tail: bool) {
        let mut next = node.clone();
        for input in 0..node.input.len() {
            let name = &node.input[input];
            next.input[input] = match self.graph.constants.contains_key(name) {
                true => self.operand(node, input, tail),
                false => self.names.get(name).unwrap_or(name).clone(),
            };
        }
        let mut made = Vec::new();
        for output in &mut next.output {
            if tail || !self.layers.scale_of.contains_key(output.as_str()) {
                continue;
            }
            let name = output.clone();
            // The model's output keeps its name, so its float form gets another.
            if self.graph.outputs.contains(&name) {
                *output = fresh(self.graph, &format!("{name}_float"));
            }
            made.push((name, output.clone()));
        }
        self.nodes.push(next);
        for (name, from) in made {
            self.quantized(&name, &from);
        }
    }

    /// A constant operand: weights and biases become integers, as do constants that no table holds.
    fn operand(&mut self, node: &NodeProto, input: usize, tail: bool) -> String {
        let name = node.input[input].clone();
        let constant = &self.graph.constants[&name];
        let floats = constant.as_floats().is_some();
        let linear = ["Conv", "ConvTranspose", "Gemm", "MatMul"].contains(&node.op_type.as_str());
        let made = match (linear, input) {
            _ if tail || !floats => None,
            (true, 1) => self.weights(node),
            (true, 2) => self.bias(node, &name, node),
            (true, _) => None,
            _ => self.addend(node, &name),
        };
        made.unwrap_or_else(|| {
            self.plain.insert(name.clone());
            name
        })
    }

    fn activation(&self, name: &str) -> Option<Affine> {
        self.params.get(self.layers.scale_of.get(name)?).copied()
    }

    /// The axis of output channels of a linear operator's weights.
    fn channel_axis(node: &NodeProto, weights: &Constant) -> Option<usize> {
        match node.op_type.as_str() {
            "Conv" => Some(0),
            "ConvTranspose" => Some(1),
            "Gemm" => Some(usize::from(!flag(node, "transB"))),
            _ => weights.shape.len().checked_sub(1),
        }
    }

    /// For each lane of a linear operator's weights, scale and zero point, and the axis of the lanes.
    ///
    /// A scale is never so small that the bias would leave int32.
    fn weight_params(&self, node: &NodeProto) -> Option<(Vec<Affine>, Option<usize>)> {
        let weights = self.graph.constants.get(node.input.get(1)?)?;
        let data = weights.as_floats()?;
        let axis = Self::channel_axis(node, weights)?;
        let n = *weights.shape.get(axis)?;
        let grouped = node.op_type == "ConvTranspose"
            && node.attribute.iter().any(|a| a.name == "group" && a.i > 1);
        let each = self.options.per_channel && !grouped && n > 0;
        let inner: usize = weights.shape[axis + 1..].iter().product();
        let x = self.activation(node.input.first()?)?;
        let bias = self.bias_constant(node);
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
            Byte::U8 => Affine::of((lo, hi), Byte::U8),
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
    fn bias_constant(&self, node: &NodeProto) -> Option<&[f32]> {
        let name = match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(name) => name.as_str(),
            None => {
                let output = node.output.first()?;
                let next = self.graph.nodes.iter().find(|n| n.input.contains(output))?;
                bias_of(self.graph, node, next)?
            }
        };
        self.graph.constants.get(name)?.as_floats()
    }

    fn weights(&mut self, node: &NodeProto) -> Option<String> {
        let (params, axis) = self.weight_params(node)?;
        let name = node.input.get(1)?;
        let weights = self.graph.constants.get(name)?.clone();
        let inner: usize = match axis {
            Some(axis) => weights.shape[axis + 1..].iter().product(),
            None => 1,
        };
        let dtype = self.options.weights.dtype();
        let range = match self.options.weights {
            Byte::U8 => Range::of(dtype),
            Byte::I8 => Range { lo: -127, hi: 127 },
        };
        let value = |(i, v): (usize, &f32)| {
            let p = params[i / inner.max(1) % params.len()];
            quantize(*v, p.scale, p.zero, range)
        };
        let data = weights.as_floats()?.iter().enumerate().map(value).collect();
        let integers = Constant::ints(dtype, weights.shape.clone(), data);
        let own = format!("{}_{name}", node.output.first()?);
        Some(self.dequantized(&own, &integers, &params, axis))
    }

    /// The bias of a linear operator as int32, with the product of both scales.
    fn bias(&mut self, node: &NodeProto, name: &str, linear: &NodeProto) -> Option<String> {
        let bias = self.graph.constants.get(name)?.clone();
        let x = self.activation(linear.input.first()?)?;
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
        let own = format!("{}_{name}", node.output.first()?);
        Some(self.dequantized(&own, &integers, &scales, axis.map(|_| 0)))
    }

    /// A constant operand of an elementwise operator. One value, or one for each index of an axis, is part of a table
    /// and stays float; others are integers like the activation beside them.
    fn addend(&mut self, node: &NodeProto, name: &str) -> Option<String> {
        let x = node.input.iter().find(|n| n.as_str() != name)?;
        let maker = self.graph.nodes.iter().find(|n| n.output.contains(x));
        if let Some(product) = maker
            && bias_of(self.graph, product, node) == Some(name)
            && !self.layers.scale_of.contains_key(x)
        {
            return self.bias(node, name, &product.clone());
        }
        let pair = ["Add", "Sub", "Mul"].contains(&node.op_type.as_str());
        let constant = self.graph.constants.get(name)?.clone();
        if !pair
            || constant.shape.iter().filter(|d| **d > 1).count() <= 1
            || !self.values.contains_key(x)
        {
            return None;
        }
        let data = constant.as_floats()?;
        let finite = data.iter().filter(|v| v.is_finite());
        let range = finite.fold((0f32, 0f32), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
        let byte = self.options.activations;
        let affine = Affine::of(range, byte);
        let limits = Range::of(byte.dtype());
        let value = |v: &f32| quantize(*v, affine.scale, affine.zero, limits);
        let integers = data.iter().map(value).collect();
        let integers = Constant::ints(byte.dtype(), constant.shape.clone(), integers);
        let own = format!("{}_{name}", node.output.first()?);
        Some(self.dequantized(&own, &integers, &[affine], None))
    }

    /// Adds integers with scales and their DequantizeLinear; answers the name of the reals.
    fn dequantized(
        &mut self,
        base: &str,
        integers: &Constant,
        params: &[Affine],
        axis: Option<usize>,
    ) -> String {
        let own = |suffix| fresh(self.graph, &format!("{base}_{suffix}"));
        let names = [
            own("quantized"),
            own("scale"),
            own("zero_point"),
            own("dequantized"),
        ];
        let shape = if axis.is_some() {
            vec![params.len()]
        } else {
            vec![]
        };
        let dtype = integers.dtype().unwrap_or(DataType::I8);
        self.constant(&names[0], integers);
        let scales = params.iter().map(|p| p.scale).collect();
        self.constant(&names[1], &Constant::floats(shape.clone(), scales));
        let mut inputs = vec![names[0].as_str(), names[1].as_str()];
        // The zero point of int32 is zero and is left out.
        if dtype != DataType::I32 {
            let zeros = params.iter().map(|p| p.zero).collect();
            self.constant(&names[2], &Constant::ints(dtype, shape, zeros));
            inputs.push(&names[2]);
        }
        self.push("DequantizeLinear", &inputs, &names[3], axis);
        names[3].clone()
    }
}

/// A constant as ONNX stores it.
fn tensor(name: &str, constant: &Constant) -> TensorProto {
    use tensor_proto::DataType as Onnx;
    let (data_type, raw): (Onnx, Vec<u8>) = match &constant.data {
        Data::Float(values) => (
            Onnx::Float,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Data::Int(dtype, values) => {
            let onnx = match dtype {
                DataType::U8 => Onnx::Uint8,
                DataType::I8 => Onnx::Int8,
                DataType::U16 => Onnx::Uint16,
                DataType::I16 => Onnx::Int16,
                DataType::U32 => Onnx::Uint32,
                DataType::I32 => Onnx::Int32,
                DataType::Bool => Onnx::Bool,
                _ => Onnx::Int64,
            };
            let bytes = dtype.bytes();
            let raw = values
                .iter()
                .flat_map(|v| v.to_le_bytes().into_iter().take(bytes))
                .collect();
            (onnx, raw)
        }
        Data::Double(values) => (
            Onnx::Double,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Data::Half(kind, values) => (
            match kind {
                Half::F16 => Onnx::Float16,
                Half::BFloat16 => Onnx::Bfloat16,
            },
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Data::Long(values) => (
            Onnx::Uint64,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
    };
    TensorProto {
        name: name.into(),
        dims: constant.shape.iter().map(|&d| d as i64).collect(),
        data_type: data_type as i32,
        raw_data: raw,
        ..Default::default()
    }
}
