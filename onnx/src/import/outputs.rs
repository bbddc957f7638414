//! The outputs of a model: which are proved, where they stand in a claim, and what is computed outside.
//!
//! Every output of the graph that is an integer tensor, or integers with a scale, has a place of its own in the claim, in
//! the model's order: also one that is a constant, an input, or another output again. The others are computed outside
//! from tensors that have places.

use crate::error::{NodeError, NodeProblem};
use crate::graph::constant::Constant;
use crate::graph::{Graph, Node, ValueId};
use crate::group::expr::Expr;
use crate::group::params::{Params, Quantized, port_quantization, real_constant};
use crate::group::real::{Acc, Base, Real, Value};
use crate::import::state::Walk;
use crate::report::TailNode;
use crate::tail::FloatTail;
use std::collections::HashSet;
use std::sync::Arc;

use zkonnx_circuits::ops;
use zkonnx_circuits::program::{DataType, Port, Quantization, TensorId};

/// A tensor of the claim: integers, and the reals that they stand for.
type Proved = (TensorId, Option<Quantization>);

/// The outputs of the program, and what of the model follows them.
pub(crate) struct Outputs {
    /// The tensors of the claim, in order.
    pub(crate) ports: Vec<Port>,
    /// For each output of the graph, its place among the ports; `None` if it is computed outside.
    pub(crate) places: Vec<Option<usize>>,
    /// Values that the outside starts from, and their places among the ports.
    pub(crate) starts: Vec<(ValueId, usize)>,
}

impl Walk<'_> {
    /// Gives every output of the graph its place.
    pub(crate) fn outputs(&mut self) -> Outputs {
        let graph = self.cx.graph;
        let proved: Vec<Option<Proved>> = graph
            .outputs
            .iter()
            .map(|value| self.proved_output(*value))
            .collect();
        let mut found = Outputs {
            ports: Vec::new(),
            places: Vec::new(),
            starts: Vec::new(),
        };
        let mut before: Vec<(ValueId, Proved)> = Vec::new();
        let mut seen: HashSet<ValueId> = HashSet::new();
        for (&value, place) in graph.outputs.iter().zip(&proved) {
            if let Some((tensor, quantization)) = place {
                found.places.push(Some(found.ports.len()));
                let name = graph.name(value);
                found.ports.push(port(name, *tensor, quantization.clone()));
                continue;
            }
            found.places.push(None);
            for (value, start) in self.starts_of(value, &mut seen) {
                // An output that says the same serves as well, wherever it stands.
                let said = proved.iter().flatten().any(|other| *other == start)
                    || before.iter().any(|(_, other)| *other == start);
                if !said {
                    let (tensor, quantization) = start.clone();
                    let name = graph.name(value);
                    found.ports.push(port(name, tensor, quantization));
                }
                before.push((value, start));
            }
        }
        for (value, (tensor, quantization)) in before {
            let same = |p: &Port| p.tensor == tensor && p.quantization == quantization;
            let place = found.ports.iter().position(same);
            found.starts.extend(place.map(|place| (value, place)));
        }
        found
    }

    /// The integers that an output of the graph stands for, if it is not computed outside.
    fn proved_output(&mut self, value: ValueId) -> Option<Proved> {
        let name = self.cx.graph.name(value);
        match self.cx.values.get(&value).cloned()? {
            Value::Int(tensor) => Some((tensor, None)),
            Value::Const(constant) => Some((self.constant_output(name, &constant)?, None)),
            Value::Weights(weights) => Some((
                self.constant_output(name, &weights.data)?,
                Some(port_quantization(&weights.params)),
            )),
            Value::Real(real) if matches!(real.base, Base::Input(_)) => None,
            Value::Real(real) => self.boundary_or_blame(value, &real),
            Value::Head | Value::Outside | Value::Broken => None,
        }
    }

    /// An integer constant as a tensor of the program; `None` if it is float, or no claim can hold it.
    fn constant_output(&mut self, name: &str, constant: &Constant) -> Option<TensorId> {
        let shape = constant.shape.iter().map(|&d| u32::try_from(d).ok());
        let shape = shape.collect::<Option<Vec<u32>>>()?;
        zkonnx_verifier::PortSpec::new(constant.dtype()?, shape).ok()?;
        let data = constant.as_ints()?.to_vec();
        let op = ops::Constant::new(constant.dtype()?, constant.shape.clone(), data).ok()?;
        self.cx.builder.push1(name, Arc::new(op), &[]).ok()
    }

    /// The tensors of the claim that a result outside starts from, and the values that they are.
    fn starts_of(
        &mut self,
        output: ValueId,
        seen: &mut HashSet<ValueId>,
    ) -> Vec<(ValueId, Proved)> {
        let mut starts = Vec::new();
        let mut stack = vec![output];
        while let Some(value) = stack.pop() {
            if !seen.insert(value) {
                continue;
            }
            match self.cx.values.get(&value).cloned() {
                Some(Value::Outside) => {
                    let reads = self.cx.routes.maker(value).map(|node| node.reads());
                    let reads: Vec<ValueId> = reads.into_iter().flatten().collect();
                    stack.extend(reads.into_iter().rev());
                }
                Some(Value::Int(tensor)) => starts.push((value, (tensor, None))),
                Some(Value::Real(real)) if !matches!(real.base, Base::Input(_)) => {
                    let start = self.boundary_or_blame(value, &real);
                    starts.extend(start.map(|start| (value, start)));
                }
                // Float inputs and constants need no place, and what is broken has been reported.
                _ => {}
            }
        }
        starts
    }

    /// The nodes outside the proof, with the tensors and constants that they read; `None` if everything is proved.
    pub(crate) fn float_tail(&self, found: &Outputs) -> Option<FloatTail> {
        let graph = self.cx.graph;
        let outputs = graph.outputs.iter().zip(&found.places);
        let outputs: Vec<ValueId> = outputs
            .filter(|(_, place)| place.is_none())
            .map(|(value, _)| *value)
            .collect();
        if self.tail.is_empty() && outputs.is_empty() {
            return None;
        }
        let nodes = self.tail.iter().map(|&i| graph.nodes[i].clone()).collect();
        let mut part = graph.part(nodes, outputs);
        let mut raw = Vec::new();
        for value in part.reads() {
            match self.cx.values.get(&value) {
                Some(Value::Const(constant)) => part.set_constant(value, constant.clone()),
                Some(Value::Weights(weights)) => {
                    part.set_constant(value, Arc::new(real_constant(weights)));
                }
                Some(Value::Real(real)) => {
                    if let Base::Input(index) = real.base {
                        raw.push((value, self.cx.input_name(index).to_owned()));
                    }
                }
                Some(Value::Head) => raw.push((value, graph.name(value).to_owned())),
                _ => {}
            }
        }
        Some(FloatTail::new(part, found.starts.clone(), raw))
    }

    /// Reports the maker of a float result that is no integer tensor.
    fn blame(&mut self, node: Option<&Node>) {
        let Some(node) = node else { return };
        let reason = NodeError::Island {
            reason: "its result leaves the quantized part as a float",
        };
        self.problems.push(NodeProblem {
            node: self.cx.graph.node_name(node),
            op: node.op.clone(),
            domain: node.domain.clone(),
            opset: node.opset,
            reason,
        });
    }

    fn boundary_or_blame(&mut self, value: ValueId, real: &Real) -> Option<Proved> {
        match boundary(real) {
            Some((tensor, quantization)) => Some((tensor, Some(quantization))),
            None => {
                self.blame(self.cx.routes.maker(value));
                None
            }
        }
    }
}

fn port(name: &str, tensor: TensorId, quantization: Option<Quantization>) -> Port {
    Port {
        name: name.to_owned(),
        tensor,
        quantization,
    }
}

pub(crate) fn tail_node(graph: &Graph, node: &Node, before: bool) -> TailNode {
    let names = |values: &[Option<ValueId>]| {
        let name = |value: &Option<ValueId>| value.map_or("", |v| graph.name(v)).to_owned();
        values.iter().map(name).collect()
    };
    TailNode {
        before,
        node: graph.node_name(node),
        op: node.op.clone(),
        domain: node.domain.clone(),
        inputs: names(&node.inputs),
        outputs: names(&node.outputs),
    }
}

/// The integers that a float result stands for, and their scale.
pub(crate) fn boundary(real: &Real) -> Option<(TensorId, Quantization)> {
    if let Some(Quantized { tensor, params }) = real.as_quantized() {
        return Some((*tensor, port_quantization(params)));
    }
    let plain = *real.expr == Expr::X && real.after.is_empty();
    match &real.base {
        Base::Acc(Acc {
            tensor,
            x_scale,
            w_scale,
            axis,
            // What is added in float is no part of the integers.
            float: None,
            ..
        }) if plain => {
            let scale: Vec<f32> = w_scale.iter().map(|w| x_scale * w).collect();
            let axis = (scale.len() > 1).then_some(*axis);
            let zero = vec![0; scale.len()];
            Some((
                *tensor,
                port_quantization(&Params {
                    scale,
                    zero,
                    axis,
                    dtype: DataType::I32,
                }),
            ))
        }
        _ => None,
    }
}
