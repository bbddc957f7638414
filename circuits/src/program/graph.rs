//! The graph: construction in canonical order, execution, identity.

use std::collections::HashMap;
use std::sync::Arc;

use zkonnx_verifier::DataType;

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

/// How the integers of a port stand for reals: `real = scale · (integer − zero point)`.
///
/// It is part of the program's identity, because two models with different real meaning must not share one, but no
/// computation here uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantization {
    /// IEEE 754 binary32 bit patterns of the scales: one, or one for each index of `axis`.
    pub scale_bits: Vec<u32>,
    /// Zero points, as many as scales.
    pub zero_point: Vec<i64>,
    /// The axis that scales and zero points follow, if there are several.
    pub axis: Option<usize>,
}

/// An input or output of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name in the model; not part of the identity.
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

/// Collects nodes and gives them their canonical order.
///
/// Equal operators on equal inputs are one node, nodes that no output needs are dropped, and the order is that of a
/// depth-first walk from the outputs: so two files that mean the same integer program give the same bytes, whatever
/// order, names and detours they chose.
#[derive(Debug, Default)]
pub struct Builder {
    inputs: Vec<Port>,
    nodes: Vec<Node>,
    facts: Vec<Fact>,
    /// The node that makes each tensor; `None` for an input.
    makers: Vec<Option<usize>>,
    known: HashMap<Vec<u8>, usize>,
}

/// Where the tensors of a [`Builder`] are found in the finished program.
#[derive(Clone, Debug, Default)]
pub struct Renumbering {
    places: Vec<Option<TensorId>>,
}

impl Renumbering {
    /// The tensor's number in the program, or `None` if no output needs it.
    pub fn place(&self, id: TensorId) -> Option<TensorId> {
        self.places.get(id.0 as usize).copied().flatten()
    }
}

impl Builder {
    /// A builder without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input of the program. Inputs have to precede all nodes only in the finished program, not here.
    pub fn input(
        &mut self,
        name: &str,
        fact: Fact,
        quantization: Option<Quantization>,
    ) -> TensorId {
        let tensor = TensorId(self.facts.len() as u32);
        self.facts.push(fact);
        self.makers.push(None);
        self.inputs.push(Port {
            name: name.to_owned(),
            tensor,
            quantization,
        });
        tensor
    }

    /// What is known of a tensor that this builder made.
    pub fn fact(&self, id: TensorId) -> &Fact {
        &self.facts[id.0 as usize]
    }

    /// Puts the inputs in another order: that of the keys.
    pub fn sort_inputs(&mut self, key: impl Fn(&Port) -> usize) {
        self.inputs.sort_by_key(key);
    }

    /// The inputs so far, in the order in which they were added.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The node that makes a tensor, unless it is an input.
    pub fn maker(&self, id: TensorId) -> Option<&Node> {
        self.makers[id.0 as usize].map(|node| &self.nodes[node])
    }

    /// Number of nodes so far.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node yet.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Names of the operators of the nodes from `start` on.
    pub fn names_from(&self, start: usize) -> Vec<&'static str> {
        self.nodes
            .iter()
            .skip(start)
            .map(|node| node.op.id().name)
            .collect()
    }

    /// Adds a node, or finds the equal one that exists.
    pub fn push(
        &mut self,
        name: &str,
        op: Arc<dyn Operator>,
        inputs: &[TensorId],
    ) -> Result<Vec<TensorId>, OpError> {
        let mut key = Encoder::new();
        encode_operator(op.as_ref(), &mut key);
        for id in inputs {
            key.u32(id.0);
        }
        let key = key.into_bytes();
        if let Some(&node) = self.known.get(&key) {
            return Ok(self.nodes[node].outputs.clone());
        }
        let facts = facts_of(
            op.as_ref(),
            &inputs.iter().map(|id| self.fact(*id)).collect::<Vec<_>>(),
        )?;
        let outputs: Vec<TensorId> = (0..facts.len())
            .map(|i| TensorId((self.facts.len() + i) as u32))
            .collect();
        self.makers
            .extend(facts.iter().map(|_| Some(self.nodes.len())));
        self.facts.extend(facts);
        self.known.insert(key, self.nodes.len());
        self.nodes.push(Node {
            name: name.to_owned(),
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
        });
        Ok(outputs)
    }

    /// As [`Builder::push`] for an operator with one output.
    pub fn push1(
        &mut self,
        name: &str,
        op: Arc<dyn Operator>,
        inputs: &[TensorId],
    ) -> Result<TensorId, OpError> {
        let op_name = op.id().name;
        let outputs = self.push(name, op, inputs)?;
        match outputs.as_slice() {
            [only] => Ok(*only),
            _ => Err(OpError::Parameter {
                op: op_name,
                parameter: "the number of outputs",
            }),
        }
    }

    /// The program with these outputs, and where the tensors went.
    pub fn finish(self, outputs: Vec<Port>) -> Result<(Program, Renumbering), ProgramError> {
        let order = self.order(&outputs);
        let mut places = vec![None; self.facts.len()];
        let mut next = 0;
        let mut place = |id: TensorId| {
            places[id.0 as usize] = Some(TensorId(next));
            next += 1;
        };
        self.inputs.iter().for_each(|port| place(port.tensor));
        for &node in &order {
            self.nodes[node].outputs.iter().for_each(|id| place(*id));
        }
        let renumbering = Renumbering { places };
        let moved = |id: TensorId| renumbering.place(id).unwrap_or(TensorId(u32::MAX));
        let nodes = order
            .iter()
            .map(|&node| {
                let Node {
                    name, op, inputs, ..
                } = &self.nodes[node];
                (
                    name.clone(),
                    op.clone(),
                    inputs.iter().map(|id| moved(*id)).collect(),
                )
            })
            .collect();
        let port = |port: &Port| Port {
            tensor: moved(port.tensor),
            ..port.clone()
        };
        let inputs = self
            .inputs
            .iter()
            .map(|p| (p.clone(), self.fact(p.tensor).clone()))
            .collect();
        let program = Program::new(inputs, nodes, outputs.iter().map(port).collect())?;
        Ok((program, renumbering))
    }

    /// Nodes in the order of a depth-first walk from the outputs; iterative, since graphs may be deep.
    fn order(&self, outputs: &[Port]) -> Vec<usize> {
        let mut order = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        for port in outputs {
            let maker = self.makers.get(port.tensor.0 as usize).copied().flatten();
            let mut stack: Vec<(usize, usize)> = maker.into_iter().map(|node| (node, 0)).collect();
            while let Some((node, next)) = stack.pop() {
                if next == 0 && std::mem::replace(&mut seen[node], true) {
                    continue;
                }
                let Some(input) = self.nodes[node].inputs.get(next) else {
                    order.push(node);
                    continue;
                };
                stack.push((node, next + 1));
                if let Some(maker) = self.makers[input.0 as usize].filter(|&maker| !seen[maker]) {
                    stack.push((maker, 0));
                }
            }
        }
        order
    }
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
    /// A program from inputs with their facts, nodes in topological order, and outputs. Tensors are numbered in this
    /// order: inputs first, then the outputs of each node. Every caller, decoding included, comes through here.
    pub(super) fn new(
        inputs: Vec<(Port, Fact)>,
        nodes: Vec<NewNode>,
        outputs: Vec<Port>,
    ) -> Result<Self, ProgramError> {
        let cap = |what, max, len: usize| {
            if len > max {
                Err(ProgramError::TooMany { what, max })
            } else {
                Ok(())
            }
        };
        cap("nodes", MAX_NODES, nodes.len())?;
        cap("inputs", MAX_PORTS, inputs.len())?;
        cap("outputs", MAX_PORTS, outputs.len())?;
        if outputs.is_empty() {
            return Err(ProgramError::NoOutput);
        }
        let mut facts: Vec<Fact> = Vec::new();
        let mut ports = Vec::new();
        for (i, (port, fact)) in inputs.into_iter().enumerate() {
            check_quantization(i, port.quantization.as_ref(), &fact)?;
            if fact.is_empty() {
                return Err(ProgramError::EmptyInput { input: i });
            }
            cap("elements", MAX_ELEMENTS, elements(&fact.shape))?;
            cap("axes", MAX_RANK, fact.shape.len())?;
            ports.push(Port {
                tensor: TensorId(i as u32),
                ..port
            });
            facts.push(fact);
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
        for (i, port) in outputs.iter().enumerate() {
            let fact = facts
                .get(port.tensor.0 as usize)
                .ok_or(ProgramError::UndefinedOutput {
                    output: i,
                    tensor: port.tensor,
                })?;
            check_quantization(ports.len() + i, port.quantization.as_ref(), fact)?;
        }
        Ok(Self {
            inputs: ports,
            outputs,
            nodes: made,
            facts,
        })
    }
}

/// The operator's facts, if no output is empty: what follows may divide by extents.
fn facts_of(op: &dyn Operator, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
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
pub(crate) fn elements(shape: &[usize]) -> usize {
    shape.iter().fold(1usize, |acc, &d| acc.saturating_mul(d))
}

fn check_quantization(
    port: usize,
    quantization: Option<&Quantization>,
    fact: &Fact,
) -> Result<(), ProgramError> {
    let Some(q) = quantization else { return Ok(()) };
    let extent = match q.axis {
        None => Some(1),
        Some(axis) => fact.shape.get(axis).copied(),
    };
    // Positive, normal and finite: the sign is clear and the exponent is neither all zeros nor all ones.
    let scale = |bits: &u32| (1..0xff).contains(&(bits >> 23));
    let zero = |z: &i64| Range::of(fact.dtype).contains(*z) || fact.dtype == DataType::I64;
    let fits = extent == Some(q.scale_bits.len())
        && q.zero_point.len() == q.scale_bits.len()
        && q.scale_bits.iter().all(scale)
        && q.zero_point.iter().all(zero);
    if fits {
        Ok(())
    } else {
        Err(ProgramError::Quantization { port })
    }
}
