//! The quantized model: the nodes of the float one with QuantizeLinear and DequantizeLinear in between.

use crate::graph::constant::Constant;
use crate::graph::{Attribute, Classes, Graph, Node, STANDARD, ValueId};
use crate::operator::LINEAR;
use crate::proto::write;
use crate::quantize::affine::Affine;
use crate::quantize::layers::Layers;
use crate::quantize::masks::Ranges;
use crate::quantize::report::Pair;
use crate::quantize::{Options, scores};
use crate::trees::is_forest;
use crate::vocabulary;
use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
};

use zkonnx_circuits::program::DataType;

/// The model, and the tensors that can be compared with those of the float one.
pub(crate) struct Emitted {
    pub(crate) model: ModelProto,
    pub(crate) tensors: Vec<Pair>,
}

/// The type of a quantized tensor: 16 bits for the features of a linear model.
fn type_of(layers: &Layers, options: &Options, root: ValueId) -> DataType {
    match layers.scores.features.contains(&root) {
        true => DataType::U16,
        false => options.activations.dtype(),
    }
}

pub(crate) struct Writer<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) layers: &'a Layers,
    pub(crate) options: &'a Options,
    /// The graph that is written.
    pub(crate) out: Graph,
    /// Of each tensor that has a scale of its own.
    pub(crate) params: BTreeMap<ValueId, Affine>,
    /// Scale and zero point of each of these, as values of the graph that is written.
    pub(crate) scales: HashMap<ValueId, (ValueId, ValueId)>,
    /// What consumers read instead of a quantized tensor.
    pub(crate) reals: HashMap<ValueId, ValueId>,
}

/// Writes the model.
pub(crate) fn emit(
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
        node: named_apart(nodes),
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

/// Nodes with names of their own: parts of one node, and bodies that ran several times, have the same.
fn named_apart(mut nodes: Vec<NodeProto>) -> Vec<NodeProto> {
    let mut taken: HashSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for node in nodes.iter_mut().filter(|node| !node.name.is_empty()) {
        let count = seen.entry(node.name.clone()).or_default();
        *count += 1;
        if *count == 1 {
            continue;
        }
        let mut name = format!("{}_{count}", node.name);
        while !taken.insert(name.clone()) {
            *count += 1;
            name = format!("{}_{count}", node.name);
        }
        node.name = name;
    }
    nodes
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
    pub(crate) fn scales(&mut self) {
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

    pub(crate) fn push(
        &mut self,
        op: &str,
        inputs: &[ValueId],
        output: ValueId,
        axis: Option<usize>,
    ) {
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
    pub(crate) fn quantized(&mut self, value: ValueId, from: ValueId) {
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
    pub(crate) fn front(&mut self, node: &Node) {
        self.out.nodes.push(node.clone());
        for output in node.made() {
            self.quantized(output, output);
        }
    }

    pub(crate) fn node(&mut self, node: &Node, tail: bool) {
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
    pub(crate) fn operand(&mut self, node: &Node, input: usize, tail: bool) -> Option<ValueId> {
        let value = node.input(input)?;
        let linear = vocabulary::has(node, LINEAR);
        match (linear, input) {
            _ if tail || !self.graph.is_float(value) => None,
            (true, 1) => self.weights(node),
            (true, 2) => self.bias(node, value, node),
            (true, _) => None,
            _ => self.addend(node, value),
        }
    }

    pub(crate) fn activation(&self, value: ValueId) -> Option<Affine> {
        self.params.get(self.layers.scale_of.get(&value)?).copied()
    }

    /// The name of what is made of a constant operand for one node.
    pub(crate) fn own_name(&self, node: &Node, operand: ValueId) -> Option<String> {
        let output = self.graph.name(node.output(0)?);
        Some(format!("{output}_{}", self.graph.name(operand)))
    }

    /// Adds integers with scales and their DequantizeLinear; answers the reals.
    pub(crate) fn dequantized(
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
