//! Construction of a program in canonical order, and of its interface.

use std::collections::HashMap;
use std::sync::Arc;

use zkonnx_verifier::PortSpec;
use zkonnx_verifier::interface::{
    FloatConstant, FloatNode, Head, InputIntegers, Interface, InterfaceError, InterfaceInput,
    InterfaceOutput, InterfaceParts, ModelOutput, Quantization, Rounding, Source,
};

use super::graph::{encode_operator, facts_of, narrow};
use super::{Encoder, Fact, Node, OpError, Operator, Port, Program, ProgramError, TensorId};

/// What of a model is outside of its program; it is part of the interface only.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// Inputs of the model that are none of the program, by their place among all inputs, growing.
    pub inputs: Vec<(usize, InterfaceInput)>,
    /// What the last inputs of the program are computed from: those that are none of the model.
    pub derived: Vec<Source>,
    /// The outputs of the model; `None` if they are those of the program.
    pub outputs: Option<Vec<ModelOutput>>,
    /// Constants that float nodes read.
    pub constants: Vec<FloatConstant>,
    /// Float nodes, in order.
    pub nodes: Vec<FloatNode>,
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

    /// The program with these outputs, and where the tensors went. All of the model is proved.
    pub fn finish(self, outputs: Vec<Port>) -> Result<(Program, Renumbering), ProgramError> {
        self.finish_with(outputs, Outside::default())
    }

    /// As [`Builder::finish`], for a model of which a part is not proved.
    pub fn finish_with(
        self,
        outputs: Vec<Port>,
        outside: Outside,
    ) -> Result<(Program, Renumbering), ProgramError> {
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
                let inputs = inputs.iter().map(|id| moved(*id)).collect();
                (name.clone(), op.clone(), inputs)
            })
            .collect();
        let interface = self.interface(&outputs, outside)?;
        let outputs = outputs
            .into_iter()
            .map(|port| (port.name, moved(port.tensor)))
            .collect();
        let program = Program::new(interface, nodes, outputs)?;
        Ok((program, renumbering))
    }

    /// What is stated of the program and of what surrounds it.
    fn interface(&self, outputs: &[Port], outside: Outside) -> Result<Interface, ProgramError> {
        let own = self.inputs.len().saturating_sub(outside.derived.len());
        let input = |(place, port): (usize, &Port)| {
            let fact = self.fact(port.tensor);
            let derived = place.checked_sub(own);
            let head = port.quantization.clone().map(|quantization| Head {
                quantization,
                rounding: Rounding::HalfToEven,
            });
            InterfaceInput {
                name: port.name.clone(),
                shape: narrow(&fact.shape),
                integers: Some(InputIntegers {
                    dtype: fact.dtype,
                    range: (fact.range.lo, fact.range.hi),
                    head,
                    source: derived.and_then(|i| outside.derived.get(i)).copied(),
                }),
            }
        };
        let mut inputs: Vec<InterfaceInput> = self.inputs.iter().enumerate().map(input).collect();
        for (at, input) in outside.inputs {
            inputs.insert(at.min(inputs.len()), input);
        }
        let output = |(index, port): (usize, &Port)| {
            let fact = self.facts.get(port.tensor.0 as usize);
            let fact = fact.ok_or(ProgramError::UndefinedOutput {
                output: index,
                tensor: port.tensor,
            })?;
            let spec = PortSpec::new(fact.dtype, narrow(&fact.shape));
            Ok::<_, ProgramError>(InterfaceOutput {
                spec: spec.map_err(|source| InterfaceError::Shape {
                    what: "output",
                    index,
                    source,
                })?,
                quantization: port.quantization.clone(),
            })
        };
        let named = || {
            let all = outputs.iter().enumerate();
            all.map(|(place, port)| ModelOutput {
                name: port.name.clone(),
                source: Source::Output(place as u32),
            })
            .collect()
        };
        Ok(Interface::new(InterfaceParts {
            inputs,
            outputs: outputs
                .iter()
                .enumerate()
                .map(output)
                .collect::<Result<_, _>>()?,
            model_outputs: outside.outputs.unwrap_or_else(named),
            constants: outside.constants,
            nodes: outside.nodes,
        })?)
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
