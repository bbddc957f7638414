//! The graph, and its execution.

use std::sync::Arc;

use zkonnx_verifier::interface::{Interface, Quantization};

use super::{
    Encoder, ExecuteError, Fact, OpError, Operator, ProgramError, Range, Tensor, TensorId,
};

/// Largest number of nodes of a program.
pub const MAX_NODES: usize = 1 << 16;
/// Largest number of inputs, and of outputs, of a program.
pub const MAX_PORTS: usize = 1 << 10;
/// Largest number of elements of a tensor.
pub const MAX_ELEMENTS: usize = 1 << 24;
/// Largest number of axes of a tensor.
pub const MAX_RANK: usize = 8;

/// An input or output of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name in the model, or of the tensor that stands here for it.
    pub name: String,
    /// The tensor.
    pub tensor: TensorId,
    /// What real numbers the integers stand for, if any.
    pub quantization: Option<Quantization>,
}

/// An operator applied to tensors.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name in the model; not part of the identity.
    pub name: String,
    /// The operator.
    pub op: Arc<dyn Operator>,
    /// Its inputs.
    pub inputs: Vec<TensorId>,
    /// Its outputs.
    pub outputs: Vec<TensorId>,
}

/// An integer program: what is executed, compiled, proved and hashed.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) interface: Interface,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    pub(super) nodes: Vec<Node>,
    pub(super) facts: Vec<Fact>,
}

/// Every tensor of one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    tensors: Vec<Tensor>,
    outputs: Vec<TensorId>,
}

impl Trace {
    /// The value of a tensor. Ids of the program that was executed are always in range.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0 as usize]
    }

    /// All tensors, by [`TensorId`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The outputs of the program, in order.
    pub fn outputs(&self) -> Vec<&Tensor> {
        self.outputs.iter().map(|&id| self.tensor(id)).collect()
    }
}

impl Program {
    /// The inputs, in the model's order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs, in the model's order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// What the integers mean: names, types and scales of inputs and outputs, and what is computed around them.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The nodes, in order of execution.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What is known of every tensor, by [`TensorId`].
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// What is known of a tensor of this program.
    pub fn fact(&self, id: TensorId) -> &Fact {
        &self.facts[id.0 as usize]
    }

    /// Computes every tensor. Inputs are checked for type, shape and range; each operator is held to its facts.
    pub fn execute(&self, inputs: &[Tensor]) -> Result<Trace, ExecuteError> {
        self.check_inputs(inputs)?;
        let mut tensors: Vec<Tensor> = Vec::with_capacity(self.facts.len());
        tensors.extend_from_slice(inputs);
        for (index, node) in self.nodes.iter().enumerate() {
            let op = node.op.id().name;
            let args: Vec<&Tensor> = node
                .inputs
                .iter()
                .map(|id| &tensors[id.0 as usize])
                .collect();
            let outputs = node.op.eval(&args).map_err(|source| ExecuteError::Op {
                node: index,
                op,
                source,
            })?;
            let promised = node.outputs.iter().map(|id| self.fact(*id));
            if outputs.len() != node.outputs.len()
                || !promised.zip(&outputs).all(|(fact, t)| keeps(t, fact))
            {
                return Err(ExecuteError::Promise { node: index, op });
            }
            tensors.extend(outputs);
        }
        Ok(Trace {
            tensors,
            outputs: self.outputs.iter().map(|port| port.tensor).collect(),
        })
    }

    fn check_inputs(&self, inputs: &[Tensor]) -> Result<(), ExecuteError> {
        if inputs.len() != self.inputs.len() {
            return Err(ExecuteError::InputCount {
                expected: self.inputs.len(),
                got: inputs.len(),
            });
        }
        for (port, tensor) in self.inputs.iter().zip(inputs) {
            let fact = self.fact(port.tensor);
            let name = || port.name.clone();
            if tensor.dtype != fact.dtype
                || tensor.shape != fact.shape
                || tensor.data.len() != fact.len()
            {
                return Err(ExecuteError::InputShape {
                    name: name(),
                    expected: fact.dtype,
                    expected_shape: fact.shape.clone(),
                    got: tensor.dtype,
                    got_shape: tensor.shape.clone(),
                });
            }
            if let Some((index, &value)) = tensor
                .data
                .iter()
                .enumerate()
                .find(|(_, v)| !fact.range.contains(**v))
            {
                return Err(ExecuteError::InputValue {
                    name: name(),
                    index,
                    value,
                    range: fact.range,
                });
            }
        }
        Ok(())
    }
}

fn keeps(tensor: &Tensor, fact: &Fact) -> bool {
    tensor.dtype == fact.dtype
        && tensor.shape == fact.shape
        && tensor.data.len() == fact.len()
        && tensor.data.iter().all(|v| fact.range.contains(*v))
}

pub(super) fn encode_operator(op: &dyn Operator, out: &mut Encoder) {
    let id = op.id();
    out.text(id.domain);
    out.text(id.name);
    out.u32(id.version);
    let mut parameters = Encoder::new();
    op.encode(&mut parameters);
    let parameters = parameters.into_bytes();
    out.count(parameters.len());
    out.raw(&parameters);
}

/// Name, operator and inputs of a node that has no number yet.
pub(super) type NewNode = (String, Arc<dyn Operator>, Vec<TensorId>);

impl Program {
    /// A program from its interface, nodes in topological order, and outputs: their names where the interface has none,
    /// and their tensors. Tensors are numbered in this order: inputs first, then the outputs of each node. Every caller,
    /// decoding included, comes through here.
    pub(super) fn new(
        interface: Interface,
        nodes: Vec<NewNode>,
        outputs: Vec<(String, TensorId)>,
    ) -> Result<Self, ProgramError> {
        let cap = |what, max, len: usize| {
            if len > max {
                Err(ProgramError::TooMany { what, max })
            } else {
                Ok(())
            }
        };
        cap("nodes", MAX_NODES, nodes.len())?;
        let mut facts: Vec<Fact> = Vec::new();
        let mut inputs = Vec::new();
        for (i, (name, shape, integers)) in interface.proved_inputs().enumerate() {
            let range = Range::new(integers.range.0, integers.range.1);
            // A circuit enforces it, and operators rely on it.
            if !Range::of(integers.dtype).covers(&range) {
                return Err(ProgramError::InputRange { input: i });
            }
            facts.push(Fact {
                dtype: integers.dtype,
                shape: wide(shape),
                range,
            });
            inputs.push(Port {
                name: name.to_owned(),
                tensor: TensorId(i as u32),
                quantization: integers.head.as_ref().map(|h| h.quantization.clone()),
            });
        }
        let mut made = Vec::with_capacity(nodes.len());
        for (index, (name, op, inputs)) in nodes.into_iter().enumerate() {
            if let Some(&tensor) = inputs.iter().find(|id| id.0 as usize >= facts.len()) {
                return Err(ProgramError::Undefined {
                    node: index,
                    tensor,
                });
            }
            let op_name = op.id().name;
            let args: Vec<&Fact> = inputs.iter().map(|id| &facts[id.0 as usize]).collect();
            let new = facts_of(op.as_ref(), &args).map_err(|source| ProgramError::Op {
                node: index,
                op: op_name,
                source,
            })?;
            for fact in &new {
                cap("elements", MAX_ELEMENTS, elements(&fact.shape))?;
                cap("axes", MAX_RANK, fact.shape.len())?;
            }
            let outputs = (0..new.len())
                .map(|i| TensorId((facts.len() + i) as u32))
                .collect();
            facts.extend(new);
            made.push(Node {
                name,
                op,
                inputs,
                outputs,
            });
        }
        let outputs = ports(&interface, &facts, outputs)?;
        Ok(Self {
            interface,
            inputs,
            outputs,
            nodes: made,
            facts,
        })
    }
}

/// The outputs, if their tensors are those that the interface states.
fn ports(
    interface: &Interface,
    facts: &[Fact],
    outputs: Vec<(String, TensorId)>,
) -> Result<Vec<Port>, ProgramError> {
    if outputs.len() != interface.outputs().len() {
        return Err(ProgramError::OutputCount {
            stated: interface.outputs().len(),
            got: outputs.len(),
        });
    }
    let stated = interface.outputs().iter().zip(outputs).enumerate();
    stated
        .map(|(output, (stated, (name, tensor)))| {
            let fact = facts
                .get(tensor.0 as usize)
                .ok_or(ProgramError::UndefinedOutput { output, tensor })?;
            let spec = &stated.spec;
            if (spec.dtype(), spec.shape()) != (fact.dtype, narrow(&fact.shape).as_slice()) {
                return Err(ProgramError::OutputType { output });
            }
            let name = interface.output_name(output).map_or(name, str::to_owned);
            Ok(Port {
                name,
                tensor,
                quantization: stated.quantization.clone(),
            })
        })
        .collect()
}

/// A shape as formats have it. Extents are capped far below 2^32.
pub(super) fn narrow(shape: &[usize]) -> Vec<u32> {
    let extent = |&extent: &usize| u32::try_from(extent).unwrap_or(u32::MAX);
    shape.iter().map(extent).collect()
}

fn wide(shape: &[u32]) -> Vec<usize> {
    shape.iter().map(|&extent| extent as usize).collect()
}

/// The operator's facts, if no output is empty: what follows may divide by extents.
pub(super) fn facts_of(op: &dyn Operator, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
    let facts = op.facts(inputs)?;
    match facts.iter().find(|fact| fact.is_empty()) {
        None => Ok(facts),
        Some(empty) => Err(OpError::Shape {
            op: op.id().name,
            expected: "no output is empty",
            got: empty.shape.clone(),
        }),
    }
}

/// Number of elements of a shape, saturating.
pub fn elements(shape: &[usize]) -> usize {
    shape.iter().fold(1usize, |acc, &d| acc.saturating_mul(d))
}
