//! The interface of a program: everything that gives its integers a meaning.
//!
//! A program id opens in two parts, the interface and the body (the integer graph). Whoever holds the id, the body's hash
//! and the interface can name the inputs and outputs of a claim, and show its integers as real numbers, without the model.
//! What the model computes in float, before and after the integers, is written here as well, so that two models that
//! differ in it have different ids; it is not proved, and nothing here computes it.

mod display;
mod encoding;
mod error;
mod open;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

pub use encoding::{BODY_PERSONAL, INTERFACE_MAGIC, INTERFACE_VERSION, body_hash, program_id};
pub use error::{InterfaceError, OpenError};
pub use open::{Opened, Shown, dequantize_binary32};

use crate::error::TensorError;
use crate::tensor::{DataType, MAX_RANK, PortSpec};

/// Largest number of inputs, of outputs of the program and of outputs of the model.
pub const MAX_INTERFACE_PORTS: usize = 1 << 10;
/// Largest number of float constants, and of float nodes.
pub const MAX_FLOAT_PARTS: usize = 1 << 16;
/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 1 << 12;
/// Largest number of elements of a float constant.
const MAX_CONSTANT_ELEMENTS: usize = 1 << 24;

/// How integers stand for reals: `real = scale · (integer − zero point)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quantization {
    /// IEEE 754 binary32 bit patterns of the scales: one, or one for each index of `axis`.
    pub scale_bits: Vec<u32>,
    /// Zero points, as many as scales.
    pub zero_point: Vec<i64>,
    /// The axis that scales and zero points follow, if there are several.
    pub axis: Option<usize>,
}

/// How the reals of an input become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rounding {
    /// `sat(rint(f32(x / scale)) + zero point)`: true division in binary32, half to even, saturation; no NaN.
    HalfToEven,
}

/// What of the model stands before an input of the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// Scales and zero points.
    pub quantization: Quantization,
    /// The rule.
    pub rounding: Rounding,
}

/// The integers of an input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InputIntegers {
    /// Their type.
    pub dtype: DataType,
    /// Smallest and largest value.
    pub range: (i64, i64),
    /// How they are made from reals; `None` if they are integers before.
    pub head: Option<Head>,
    /// What they are made from; `None` for the input of the model itself. Else the model computes it from its inputs,
    /// outside of the proof, and the integers are an input of the program alone.
    pub source: Option<Source>,
}

/// An input of the model, or of the program alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceInput {
    /// Its name. An input of the program alone has one that no input of the model has.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u32>,
    /// Its integers in the claim; `None` if only what is outside of the proof reads it, as floats.
    pub integers: Option<InputIntegers>,
}

/// An output of the program: a tensor of the claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceOutput {
    /// Type and shape.
    pub spec: PortSpec,
    /// The reals that the integers stand for, if any.
    pub quantization: Option<Quantization>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// An output of the program, by number; as reals, if it is quantized.
    Output(u32),
    /// A float input of the model as it is, by number.
    Input(u32),
    /// A float constant, by number.
    Constant(u32),
    /// An output of a float node, both by number.
    Node(u32, u32),
}

/// An output of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelOutput {
    /// Its name.
    pub name: String,
    /// Where it comes from. Only [`Source::Output`] is proved.
    pub source: Source,
}

/// Type of the elements of a constant outside of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// Integers or booleans.
    Integer(DataType),
    /// IEEE 754 binary32.
    Binary32,
    /// IEEE 754 binary64.
    Binary64,
    /// IEEE 754 binary16.
    Binary16,
    /// The upper half of a binary32.
    BFloat16,
    /// Unsigned integers of 64 bits, which no program has.
    U64,
}

impl ElementType {
    /// Width in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Integer(dtype) => dtype.bytes(),
            Self::Binary16 | Self::BFloat16 => 2,
            Self::Binary32 => 4,
            Self::Binary64 | Self::U64 => 8,
        }
    }
}

/// A constant outside of the proof.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FloatConstant {
    /// Type of the elements.
    pub element: ElementType,
    /// Its shape; here a dimension may be zero.
    pub shape: Vec<u32>,
    /// The elements in row-major order, little-endian each.
    pub data: Vec<u8>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeValue {
    /// A binary32 bit pattern.
    Float(u32),
    /// An integer.
    Int(i64),
    /// A string.
    Bytes(Vec<u8>),
    /// A tensor.
    Tensor(FloatConstant),
    /// Binary32 bit patterns.
    Floats(Vec<u32>),
    /// Integers.
    Ints(Vec<i64>),
    /// Strings.
    Strings(Vec<Vec<u8>>),
    /// Anything else (a graph, a type): the protobuf bytes of the attribute.
    Encoded(Vec<u8>),
}

/// An attribute of a float node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: AttributeValue,
}

/// A node of the model outside of the proof.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FloatNode {
    /// The operator's domain; `ai.onnx` for the standard operators.
    pub domain: String,
    /// The operator.
    pub op: String,
    /// Version of the domain.
    pub opset: u32,
    /// Its attributes, as the model gives them, by growing name.
    pub attributes: Vec<Attribute>,
    /// Its inputs; `None` for one that is left out.
    pub inputs: Vec<Option<Source>>,
    /// What its inner graphs read of the outer one, by name.
    pub captures: Vec<(String, Source)>,
    /// Number of its outputs.
    pub outputs: u32,
}

/// The parts of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceParts {
    /// The inputs of the model, in its order, then those of the program alone.
    pub inputs: Vec<InterfaceInput>,
    /// The outputs of the program, in the order of a claim.
    pub outputs: Vec<InterfaceOutput>,
    /// The outputs of the model, in its order.
    pub model_outputs: Vec<ModelOutput>,
    /// Constants outside of the proof.
    pub constants: Vec<FloatConstant>,
    /// Nodes outside of the proof; each reads only what stands before it.
    pub nodes: Vec<FloatNode>,
}

/// The interface of a program, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    parts: InterfaceParts,
}

impl Interface {
    /// Checks the parts: names, shapes, ranges, scales, and that everything comes from something before it.
    pub fn new(parts: InterfaceParts) -> Result<Self, InterfaceError> {
        check(&parts)?;
        Ok(Self { parts })
    }

    /// The parts.
    pub fn parts(&self) -> &InterfaceParts {
        &self.parts
    }

    /// The inputs of the program, in the order of a claim: their names, shapes and integers.
    pub fn proved_inputs(&self) -> impl Iterator<Item = (&str, &[u32], &InputIntegers)> {
        self.parts.inputs.iter().filter_map(|input| {
            let integers = input.integers.as_ref()?;
            Some((input.name.as_str(), input.shape.as_slice(), integers))
        })
    }

    /// The outputs of the program, in the order of a claim.
    pub fn outputs(&self) -> &[InterfaceOutput] {
        &self.parts.outputs
    }

    /// The name of an output of the program: the first output of the model that it is.
    pub fn output_name(&self, place: usize) -> Option<&str> {
        let is = |output: &&ModelOutput| match output.source {
            Source::Output(index) => usize::try_from(index) == Ok(place),
            _ => false,
        };
        let output = self.parts.model_outputs.iter().find(is)?;
        Some(&output.name)
    }

    /// The outputs of the model, in its order.
    pub fn model_outputs(&self) -> &[ModelOutput] {
        &self.parts.model_outputs
    }
}

fn cap(what: &'static str, got: usize, max: usize) -> Result<(), InterfaceError> {
    if got > max {
        return Err(InterfaceError::TooMany { what, got, max });
    }
    Ok(())
}

fn check(parts: &InterfaceParts) -> Result<(), InterfaceError> {
    cap("inputs", parts.inputs.len(), MAX_INTERFACE_PORTS)?;
    cap("outputs", parts.outputs.len(), MAX_INTERFACE_PORTS)?;
    let named = parts.model_outputs.len();
    cap("named outputs", named, MAX_INTERFACE_PORTS)?;
    cap("constants", parts.constants.len(), MAX_FLOAT_PARTS)?;
    cap("nodes", parts.nodes.len(), MAX_FLOAT_PARTS)?;
    if parts.outputs.is_empty() {
        return Err(InterfaceError::None { what: "output" });
    }
    if parts.model_outputs.is_empty() {
        let what = "named output";
        return Err(InterfaceError::None { what });
    }
    let mut names = BTreeSet::new();
    for (index, input) in parts.inputs.iter().enumerate() {
        check_input(index, input)?;
        if !names.insert(input.name.as_str()) {
            let name = input.name.clone();
            return Err(InterfaceError::SameName { name });
        }
    }
    for (index, output) in parts.outputs.iter().enumerate() {
        if let Some(quantization) = &output.quantization {
            if !fits(quantization, output.spec.dtype(), output.spec.shape()) {
                let what = "output";
                return Err(InterfaceError::Quantization { what, index });
            }
        }
    }
    for (index, constant) in parts.constants.iter().enumerate() {
        check_constant(index, constant)?;
    }
    for (index, node) in parts.nodes.iter().enumerate() {
        check_node(parts, index, node)?;
    }
    check_sources(parts)?;
    for (index, output) in parts.model_outputs.iter().enumerate() {
        let what = "named output";
        check_name(what, index, &output.name)?;
        if !exists(parts, &output.source, parts.nodes.len()) {
            return Err(InterfaceError::Source { what, index });
        }
    }
    Ok(())
}

fn check_name(what: &'static str, index: usize, name: &str) -> Result<(), InterfaceError> {
    if name.len() > MAX_NAME_BYTES {
        let max = MAX_NAME_BYTES;
        return Err(InterfaceError::LongName { what, index, max });
    }
    Ok(())
}

fn check_input(index: usize, input: &InterfaceInput) -> Result<(), InterfaceError> {
    let what = "input";
    check_name(what, index, &input.name)?;
    let dtype = input.integers.as_ref().map_or(DataType::U8, |i| i.dtype);
    PortSpec::new(dtype, input.shape.clone()).map_err(|source| InterfaceError::Shape {
        what,
        index,
        source,
    })?;
    let Some(integers) = &input.integers else {
        return Ok(());
    };
    let (lo, hi) = integers.range;
    if lo > hi || !dtype.contains(lo) || !dtype.contains(hi) {
        return Err(InterfaceError::Range { index, lo, hi });
    }
    match &integers.head {
        Some(head) if !fits(&head.quantization, dtype, &input.shape) => {
            Err(InterfaceError::Quantization { what, index })
        }
        _ => Ok(()),
    }
}

/// Whether scales and zero points are those of integers of this type and shape.
fn fits(quantization: &Quantization, dtype: DataType, shape: &[u32]) -> bool {
    let Quantization {
        scale_bits,
        zero_point,
        axis,
    } = quantization;
    let extent = match axis {
        None => Some(1),
        Some(axis) => shape.get(*axis).and_then(|&dim| usize::try_from(dim).ok()),
    };
    // Positive, normal and finite: the sign is clear and the exponent is neither all zeros nor all ones.
    let normal = |bits: &u32| (1..0xff).contains(&(bits >> 23));
    extent == Some(scale_bits.len())
        && zero_point.len() == scale_bits.len()
        && scale_bits.iter().all(normal)
        && zero_point.iter().all(|&zero| dtype.contains(zero))
}

/// Whether an input is one of the program alone.
fn is_derived(input: &InterfaceInput) -> bool {
    let integers = input.integers.as_ref();
    integers.is_some_and(|integers| integers.source.is_some())
}

/// Inputs of the program alone stand behind those of the model, and are computed without any output of the program.
fn check_sources(parts: &InterfaceParts) -> Result<(), InterfaceError> {
    let what = "input";
    let of_model = parts.inputs.iter().take_while(|input| !is_derived(input));
    let mut others = parts.inputs.iter().enumerate().skip(of_model.count());
    if let Some((index, _)) = others.clone().find(|(_, input)| !is_derived(input)) {
        return Err(InterfaceError::Source { what, index });
    }
    // For each node, whether it depends on an output of the program.
    let mut after: Vec<bool> = Vec::with_capacity(parts.nodes.len());
    let is_after = |after: &[bool], source: &Source| match *source {
        Source::Output(_) => true,
        Source::Node(node, _) => {
            let node = usize::try_from(node).ok();
            node.and_then(|node| after.get(node))
                .copied()
                .unwrap_or(true)
        }
        Source::Input(_) | Source::Constant(_) => false,
    };
    for node in &parts.nodes {
        let captures = node.captures.iter().map(|(_, source)| source);
        let mut sources = node.inputs.iter().flatten().chain(captures);
        let depends = sources.any(|source| is_after(&after, source));
        after.push(depends);
    }
    let wrong = others.find(|(_, input)| {
        let source = input.integers.as_ref().and_then(|i| i.source.as_ref());
        source.is_some_and(|source| {
            !exists(parts, source, parts.nodes.len()) || is_after(&after, source)
        })
    });
    match wrong {
        Some((index, _)) => Err(InterfaceError::Source { what, index }),
        None => Ok(()),
    }
}

fn check_constant(index: usize, constant: &FloatConstant) -> Result<(), InterfaceError> {
    let shape = |source| InterfaceError::Shape {
        what: "constant",
        index,
        source,
    };
    let rank = constant.shape.len();
    if rank > MAX_RANK {
        return Err(shape(TensorError::RankTooLarge { rank }));
    }
    let len = constant.shape.iter().try_fold(1usize, |len, &dim| {
        let len = len.checked_mul(usize::try_from(dim).ok()?)?;
        Some(len).filter(|&len| len <= MAX_CONSTANT_ELEMENTS)
    });
    let len = len.ok_or_else(|| shape(TensorError::TooManyElements))?;
    if constant.data.len() != len.saturating_mul(constant.element.bytes()) {
        let got = constant.data.len();
        return Err(InterfaceError::Constant { index, got });
    }
    Ok(())
}

fn check_node(
    parts: &InterfaceParts,
    index: usize,
    node: &FloatNode,
) -> Result<(), InterfaceError> {
    let what = "node";
    check_name(what, index, &node.domain)?;
    check_name(what, index, &node.op)?;
    cap("attributes", node.attributes.len(), MAX_INTERFACE_PORTS)?;
    cap("inputs", node.inputs.len(), MAX_FLOAT_PARTS)?;
    cap("inputs", node.captures.len(), MAX_FLOAT_PARTS)?;
    let outputs = usize::try_from(node.outputs).unwrap_or(usize::MAX);
    cap("outputs", outputs, MAX_INTERFACE_PORTS)?;
    let pairs = node.attributes.iter().zip(node.attributes.iter().skip(1));
    for attribute in &node.attributes {
        check_name("attribute", index, &attribute.name)?;
        if let AttributeValue::Tensor(constant) = &attribute.value {
            check_constant(index, constant)?;
        }
    }
    if pairs.into_iter().any(|(a, b)| a.name >= b.name) {
        return Err(InterfaceError::AttributeOrder { node: index });
    }
    for (name, _) in &node.captures {
        check_name("capture", index, name)?;
    }
    let captures = node.captures.iter().map(|(_, source)| source);
    let mut sources = node.inputs.iter().flatten().chain(captures);
    if sources.all(|source| exists(parts, source, index)) {
        Ok(())
    } else {
        Err(InterfaceError::Source { what, index })
    }
}

/// Whether a source exists, among the nodes before `node`.
fn exists(parts: &InterfaceParts, source: &Source, node: usize) -> bool {
    let at = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
    match *source {
        Source::Output(i) => at(i) < parts.outputs.len(),
        Source::Constant(i) => at(i) < parts.constants.len(),
        Source::Input(i) => parts.inputs.get(at(i)).is_some_and(|input| {
            let integers = input.integers.as_ref();
            integers.is_none_or(|integers| integers.head.is_some() && integers.source.is_none())
        }),
        Source::Node(i, output) => {
            at(i) < node
                && parts
                    .nodes
                    .get(at(i))
                    .is_some_and(|node| output < node.outputs)
        }
    }
}
