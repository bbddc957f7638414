//! The outputs of a model: which are proved, where they stand in a claim, and what is computed outside.
//!
//! Every output of the graph that is an integer tensor, or integers with a scale, has a place of its own in the claim, in
//! the model's order: also one that is a constant, an input, or another output again. The others are computed outside
//! from tensors that have places.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::pb::NodeProto;

use super::TailNode;
use super::constant::Constant;
use super::error::{NodeError, NodeProblem};
use super::expr::Expr;
use super::graph::{domain_name, node_name};
use super::importer::{Importer, port_quantization};
use super::outside::reads;
use super::real::{Acc, Base, Params, Quantized, Real, Value};
use super::tail::FloatTail;
use zkonnx_circuits::ops;
use zkonnx_circuits::program::{DataType, Port, Quantization, TensorId};

/// A tensor of the claim: integers, and the reals that they stand for.
type Proved = (TensorId, Option<Quantization>);

/// The outputs of the program, and what of the model follows them.
pub(super) struct Outputs {
    /// The tensors of the claim, in order.
    pub(super) ports: Vec<Port>,
    /// For each output of the graph, its place among the ports; `None` if it is computed outside.
    pub(super) places: Vec<Option<usize>>,
    /// Tensors that the outside starts from, by name, and their places among the ports.
    pub(super) starts: Vec<(String, usize)>,
}

impl<'a> Importer<'a> {
    /// Gives every output of the graph its place.
    pub(super) fn outputs(&mut self) -> Outputs {
        let graph = self.graph;
        let proved: Vec<Option<Proved>> = graph
            .outputs
            .iter()
            .map(|name| self.proved_output(name))
            .collect();
        let mut found = Outputs {
            ports: Vec::new(),
            places: Vec::new(),
            starts: Vec::new(),
        };
        let mut before: Vec<(String, Proved)> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        for (name, place) in graph.outputs.iter().zip(&proved) {
            if let Some((tensor, quantization)) = place {
                found.places.push(Some(found.ports.len()));
                found.ports.push(port(name, *tensor, quantization.clone()));
                continue;
            }
            found.places.push(None);
            for (name, start) in self.starts_of(name, &mut seen) {
                // An output that says the same serves as well, wherever it stands.
                let said = proved.iter().flatten().any(|other| *other == start)
                    || before.iter().any(|(_, other)| *other == start);
                if !said {
                    let (tensor, quantization) = start.clone();
                    found.ports.push(port(name, tensor, quantization));
                }
                before.push((name.to_owned(), start));
            }
        }
        for (name, (tensor, quantization)) in before {
            let same = |p: &Port| p.tensor == tensor && p.quantization == quantization;
            let place = found.ports.iter().position(same);
            found.starts.extend(place.map(|place| (name, place)));
        }
        found
    }

    /// The integers that an output of the graph stands for, if it is not computed outside.
    fn proved_output(&mut self, name: &str) -> Option<Proved> {
        match self.values.get(name).cloned()? {
            Value::Int(tensor) => Some((tensor, None)),
            Value::Const(constant) => Some((self.constant_output(name, &constant)?, None)),
            Value::Weights(weights) => Some((
                self.constant_output(name, &weights.data)?,
                Some(port_quantization(&weights.params)),
            )),
            Value::Real(real) if matches!(real.base, Base::Input(_)) => None,
            Value::Real(real) => self.boundary_or_blame(name, &real),
            Value::Outside | Value::Broken => None,
        }
    }

    /// An integer constant as a tensor of the program; `None` if it is float, or no claim can hold it.
    fn constant_output(&mut self, name: &str, constant: &Constant) -> Option<TensorId> {
        let shape = constant.shape.iter().map(|&d| u32::try_from(d).ok());
        let shape = shape.collect::<Option<Vec<u32>>>()?;
        zkonnx_verifier::PortSpec::new(constant.dtype()?, shape).ok()?;
        let data = constant.as_ints()?.to_vec();
        let op = ops::Constant::new(constant.dtype()?, constant.shape.clone(), data).ok()?;
        self.builder.push1(name, Arc::new(op), &[]).ok()
    }

    /// The tensors of the claim that a result outside starts from, and their names.
    fn starts_of(
        &mut self,
        output: &'a str,
        seen: &mut HashSet<&'a str>,
    ) -> Vec<(&'a str, Proved)> {
        let makers = self.makers();
        let mut starts = Vec::new();
        let mut stack = vec![output];
        while let Some(name) = stack.pop() {
            if name.is_empty() || !seen.insert(name) {
                continue;
            }
            match self.values.get(name).cloned() {
                Some(Value::Outside) => {
                    let node = makers.get(name).copied();
                    stack.extend(node.map(reads).into_iter().flatten().rev());
                }
                Some(Value::Int(tensor)) => starts.push((name, (tensor, None))),
                Some(Value::Real(real)) if !matches!(real.base, Base::Input(_)) => {
                    starts.extend(
                        self.boundary_or_blame(name, &real)
                            .map(|start| (name, start)),
                    );
                }
                // Float inputs and constants need no place, and what is broken has been reported.
                _ => {}
            }
        }
        starts
    }

    fn makers(&self) -> HashMap<&'a str, &'a NodeProto> {
        let nodes = self.graph.nodes.iter();
        nodes
            .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
            .collect()
    }

    /// The nodes outside the proof, with the tensors and constants that they read; `None` if everything is proved.
    pub(super) fn float_tail(&self, found: &Outputs) -> Option<FloatTail> {
        let graph = self.graph;
        let outputs = graph.outputs.iter().zip(&found.places);
        let outputs: Vec<String> = outputs
            .filter(|(_, place)| place.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        if self.tail.is_empty() && outputs.is_empty() {
            return None;
        }
        let nodes = self.tail.iter().map(|&i| graph.nodes[i].clone()).collect();
        let input = |real: &Real| match real.base {
            Base::Input(index) => Some(graph.inputs[index].name.clone()),
            _ => None,
        };
        Some(FloatTail::new(
            nodes,
            graph,
            outputs,
            found.starts.clone(),
            |name| self.values.get(name),
            input,
        ))
    }

    /// Reports the maker of a float result that is no integer tensor.
    fn blame(&mut self, node: Option<&NodeProto>) {
        let Some(node) = node else { return };
        let reason = NodeError::Island {
            reason: "its result leaves the quantized part as a float",
        };
        let opset = self.graph.opset(&node.domain).unwrap_or(0);
        let (op, domain) = (node.op_type.clone(), domain_name(&node.domain).to_owned());
        self.problems.push(NodeProblem {
            node: node_name(node),
            op,
            domain,
            opset,
            reason,
        });
    }

    fn boundary_or_blame(&mut self, name: &str, real: &Real) -> Option<Proved> {
        match boundary(real) {
            Some((tensor, quantization)) => Some((tensor, Some(quantization))),
            None => {
                self.blame(self.makers().get(name).copied());
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

pub(super) fn tail_node(node: &NodeProto) -> TailNode {
    TailNode {
        node: node_name(node),
        op: node.op_type.clone(),
        domain: domain_name(&node.domain).to_owned(),
        inputs: node.input.clone(),
        outputs: node.output.clone(),
    }
}

/// The integers that a float result stands for, and their scale.
pub(super) fn boundary(real: &Real) -> Option<(TensorId, Quantization)> {
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
