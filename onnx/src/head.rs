//! The float head: what a model computes from its inputs before the first integers.
//!
//! It is outside of every proof. The interface of a program states it, so it is evaluated from there, whether the program
//! comes from a model or from a folder of keys: by the evaluator that folds constants, the same bits on every machine.

use std::collections::HashMap;
use std::sync::Arc;

use zkonnx_verifier::interface::{
    AttributeValue, ElementType, FloatConstant, FloatNode, InterfaceParts, Source,
};

use crate::error::NodeError;
use crate::graph::constant::{Constant, Data, Half};
use crate::graph::{Attribute, AttributeValue as Kind, Graph, Node, ValueId};
use crate::input::{InputError, quantize_input};
use crate::run::{RunError, Values, run};
use zkonnx_circuits::program::{Program, Tensor, elements};

/// What a program's own inputs are computed from, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct FloatHead {
    graph: Arc<Graph>,
    /// The inputs of the model that it reads.
    inputs: Vec<HeadInput>,
    /// The inputs of the program that it gives, by place, and the values that they are.
    derived: Vec<(usize, ValueId)>,
}

/// An input of the model that a float head reads, as floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadInput {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// An input of a program that a float head gives.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadTensor {
    /// Its place among the inputs of the program.
    pub place: usize,
    /// The integers.
    pub tensor: Tensor,
    /// The floats that were quantized; empty if they were integers before.
    pub floats: Vec<f32>,
}

/// Why a float head gives no integers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// A node that has no value.
    #[error("the float head of the model ({op}) is not computed: {source}")]
    Node {
        /// Its operator.
        op: String,
        /// Why.
        source: Box<NodeError>,
    },
    /// A value that does not fit the input.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The interface states no value, or one of another type or shape, for an input of the program.
    #[error("the float head of the model does not give the input `{name}`")]
    Missing {
        /// The input.
        name: String,
    },
}

impl FloatHead {
    /// The float head of a program; `None` if it has none.
    pub fn of(program: &Program) -> Option<Self> {
        let parts = program.interface().parts();
        let proved = parts
            .inputs
            .iter()
            .filter_map(|input| input.integers.as_ref());
        let sources: Vec<(usize, Source)> = proved
            .enumerate()
            .filter_map(|(place, integers)| Some((place, integers.source?)))
            .collect();
        if sources.is_empty() {
            return None;
        }
        let mut reader = Reader::new(parts);
        let needed = reader.needed(sources.iter().map(|(_, source)| *source));
        for (number, node) in parts.nodes.iter().enumerate() {
            if needed[number] {
                reader.node(number, node);
            }
        }
        let derived = sources.into_iter();
        let derived = derived.filter_map(|(place, source)| Some((place, reader.value(source)?)));
        let derived = derived.collect();
        let Reader {
            graph, read, parts, ..
        } = reader;
        let inputs = read.iter().filter_map(|&index| {
            let input = parts.inputs.get(index)?;
            Some(HeadInput {
                name: input.name.clone(),
                shape: input.shape.iter().map(|&extent| extent as usize).collect(),
            })
        });
        Some(Self {
            inputs: inputs.collect(),
            graph: Arc::new(graph),
            derived,
        })
    }

    /// The inputs of the model that it reads, in the model's order.
    pub fn inputs(&self) -> &[HeadInput] {
        &self.inputs
    }

    /// Whether an input of the program, by place, is one that it gives.
    pub fn gives(&self, place: usize) -> bool {
        self.derived.iter().any(|(own, _)| *own == place)
    }

    /// The inputs of `program` that it gives, from the elements of each of its own inputs.
    ///
    /// # Errors
    ///
    /// Another number of elements than an input has; elements that have no value, such as those that become NaN before
    /// they are quantized.
    pub fn evaluate(
        &self,
        program: &Program,
        inputs: &[&[f32]],
    ) -> Result<Vec<HeadTensor>, HeadError> {
        for (place, input) in self.inputs.iter().enumerate() {
            let (expected, got) = (
                elements(&input.shape),
                inputs.get(place).map_or(0, |x| x.len()),
            );
            if got != expected {
                return Err(HeadError::Input(InputError::Length {
                    name: input.name.clone(),
                    expected,
                    shape: input.shape.clone(),
                    got,
                }));
            }
        }
        let given = self.graph.inputs.iter().zip(inputs);
        let given: Values = given
            .map(|(input, data)| {
                let constant = Constant::floats(input.shape.clone(), data.to_vec());
                (input.value, Arc::new(constant))
            })
            .collect();
        let values = run(&self.graph, given.clone(), |_| true);
        let values = values.map_err(|RunError { op, source, .. }| HeadError::Node {
            op,
            source: Box::new(source),
        })?;
        let one = |&(place, value): &(usize, ValueId)| {
            let port = &program.inputs()[place];
            let fact = program.fact(port.tensor);
            let missing = || HeadError::Missing {
                name: port.name.clone(),
            };
            let known = values.get(&value).or_else(|| self.graph.constant(value));
            let constant = known.filter(|constant| constant.shape == fact.shape);
            let (tensor, floats) = match &constant.ok_or_else(missing)?.data {
                Data::Float(data) if port.quantization.is_some() => {
                    (quantize_input(port, fact, data)?, data.clone())
                }
                Data::Int(dtype, data) if *dtype == fact.dtype && port.quantization.is_none() => {
                    if !data.iter().all(|v| fact.range.contains(*v)) {
                        return Err(missing());
                    }
                    let tensor = Tensor::new(*dtype, fact.shape.clone(), data.clone());
                    (tensor, Vec::new())
                }
                _ => return Err(missing()),
            };
            Ok(HeadTensor {
                place,
                tensor,
                floats,
            })
        };
        self.derived.iter().map(one).collect()
    }
}

/// Makes a graph of the float nodes of an interface.
struct Reader<'p> {
    parts: &'p InterfaceParts,
    graph: Graph,
    values: HashMap<Source, ValueId>,
    /// The inputs of the model that are read, in its order.
    read: Vec<usize>,
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

impl<'p> Reader<'p> {
    fn new(parts: &'p InterfaceParts) -> Self {
        Self {
            parts,
            graph: Graph::new(0),
            values: HashMap::new(),
            read: Vec::new(),
        }
    }

    /// Which nodes some values depend on; enters the inputs and constants that these read.
    fn needed(&mut self, sources: impl Iterator<Item = Source>) -> Vec<bool> {
        let mut needed = vec![false; self.parts.nodes.len()];
        let mut leaves = Vec::new();
        let mut enter = |needed: &mut Vec<bool>, source: Source| match source {
            Source::Node(node, _) => {
                if let Some(needed) = needed.get_mut(place(node)) {
                    *needed = true;
                }
            }
            leaf => leaves.push(leaf),
        };
        sources.for_each(|source| enter(&mut needed, source));
        // A node reads only what stands before it.
        for (number, node) in self.parts.nodes.iter().enumerate().rev() {
            if needed[number] {
                let captures = node.captures.iter().map(|(_, source)| *source);
                let reads = node.inputs.iter().copied().flatten().chain(captures);
                reads.for_each(|source| enter(&mut needed, source));
            }
        }
        let mut inputs = Vec::new();
        for leaf in leaves {
            match leaf {
                Source::Input(index) => inputs.push(place(index)),
                Source::Constant(index) => self.constant(leaf, place(index)),
                Source::Output(_) | Source::Node(..) => {}
            }
        }
        inputs.sort_unstable();
        inputs.dedup();
        for index in inputs {
            self.input(index);
        }
        needed
    }

    fn input(&mut self, index: usize) {
        let Some(input) = self.parts.inputs.get(index) else {
            return;
        };
        let value = self.graph.add(&input.name);
        self.graph.inputs.push(crate::graph::Input {
            value,
            dtype: crate::graph::InputType::Float,
            shape: input.shape.iter().map(|&extent| place(extent)).collect(),
        });
        let source = Source::Input(u32::try_from(index).unwrap_or(u32::MAX));
        self.values.insert(source, value);
        self.read.push(index);
    }

    fn constant(&mut self, source: Source, index: usize) {
        let known = self.values.contains_key(&source);
        let constant = self.parts.constants.get(index).filter(|_| !known);
        if let Some(constant) = constant {
            let value = self.graph.add_constant("constant", read_constant(constant));
            self.values.insert(source, value);
        }
    }

    fn value(&self, source: Source) -> Option<ValueId> {
        self.values.get(&source).copied()
    }

    fn node(&mut self, number: usize, node: &FloatNode) {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let inputs = node.inputs.iter();
        let inputs = inputs.map(|source| self.value((*source)?)).collect();
        let captures = node.captures.iter();
        let captures = captures
            .filter_map(|(name, source)| Some((name.clone(), self.value(*source)?)))
            .collect();
        let mut outputs = Vec::new();
        for output in 0..node.outputs {
            let value = self.graph.add(&node.op);
            self.values.insert(Source::Node(number, output), value);
            outputs.push(Some(value));
        }
        let attributes = node.attributes.iter().map(|attribute| Attribute {
            name: attribute.name.clone(),
            value: read_attribute(&attribute.value),
        });
        self.graph.nodes.push(Node {
            domain: node.domain.clone(),
            op: node.op.clone(),
            opset: i64::from(node.opset),
            inputs,
            outputs,
            attributes: attributes.collect(),
            captures,
            ..Node::default()
        });
    }
}

fn read_attribute(value: &AttributeValue) -> Kind {
    let floats = |bits: &[u32]| bits.iter().map(|v| f32::from_bits(*v)).collect();
    match value {
        AttributeValue::Float(bits) => Kind::Float(f32::from_bits(*bits)),
        AttributeValue::Int(v) => Kind::Int(*v),
        AttributeValue::Bytes(v) => Kind::Text(v.clone()),
        AttributeValue::Tensor(constant) => Kind::Tensor(Arc::new(read_constant(constant))),
        AttributeValue::Floats(bits) => Kind::Floats(floats(bits)),
        AttributeValue::Ints(v) => Kind::Ints(v.clone()),
        AttributeValue::Strings(v) => Kind::Texts(v.clone()),
        AttributeValue::Encoded(v) => Kind::Other(v.clone()),
    }
}

fn read_constant(constant: &FloatConstant) -> Constant {
    let bytes = &constant.data;
    let words = || {
        bytes
            .chunks_exact(8)
            .map(|b| b.try_into().unwrap_or_default())
    };
    let halves = || {
        let halves = bytes.chunks_exact(2);
        halves.map(|b| u16::from_le_bytes(b.try_into().unwrap_or_default()))
    };
    let data = match constant.element {
        ElementType::Binary32 => {
            let floats = bytes.chunks_exact(4);
            let float = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap_or_default());
            Data::Float(floats.map(float).collect())
        }
        ElementType::Binary64 => Data::Double(words().map(f64::from_le_bytes).collect()),
        ElementType::U64 => Data::Long(words().map(u64::from_le_bytes).collect()),
        ElementType::Binary16 => Data::Half(Half::F16, halves().collect()),
        ElementType::BFloat16 => Data::Half(Half::BFloat16, halves().collect()),
        ElementType::Integer(dtype) => {
            let integer = |b: &[u8]| {
                let mut word = [0; 8];
                word[..b.len()].copy_from_slice(b);
                let spare = 64 - 8 * b.len() as u32;
                let signed = dtype.offset() != 0;
                match signed {
                    true => (i64::from_le_bytes(word) << spare) >> spare,
                    false => i64::from_le_bytes(word),
                }
            };
            Data::Int(
                dtype,
                bytes.chunks_exact(dtype.bytes()).map(integer).collect(),
            )
        }
        // No interface that this version reads has another.
        _ => Data::Float(Vec::new()),
    };
    Constant {
        shape: constant.shape.iter().map(|&extent| place(extent)).collect(),
        data,
    }
}
