//! The float tail: what a model computes after its last integer tensors.
//!
//! It is outside of every proof. It is evaluated all the same, from the integers that are proved and by the evaluator that
//! folds constants, so that `run` can show what the model answers: the same bits on every machine.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::pb::NodeProto;

use super::constant::{Constant, Data};
use super::error::NodeError;
use super::graph::Graph;
use super::real::{Real, Value};
use super::run::{RunError, Runner, Values};
use zkonnx_circuits::program::{DataType, Program, Quantization, Tensor};

/// The nodes of a float tail with their constants, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct FloatTail {
    graph: Arc<Graph>,
    /// The tensors that it starts from, and their places among the program's outputs.
    starts: Vec<(String, usize)>,
    /// Tensors that are float inputs of the model as they are, and the names of these inputs.
    raw: Vec<(String, String)>,
}

/// An output of a float tail.
#[derive(Clone, Debug, PartialEq)]
pub struct TailTensor {
    /// Name of the graph's output.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub data: TailData,
}

/// Elements of an output of a float tail.
#[derive(Clone, Debug, PartialEq)]
pub enum TailData {
    /// Binary32.
    Floats(Vec<f32>),
    /// Integers or booleans, of ArgMax and comparisons for instance.
    Integers(DataType, Vec<i64>),
}

/// Why an output of a float tail is not computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TailError {
    /// A node that has no float evaluation here.
    #[error("node `{node}` ({op}) of the float tail is not computed: {source}")]
    Node {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// Why.
        source: Box<NodeError>,
    },
    /// The tail reads a float that is not part of the program.
    #[error(
        "the float tail reads input `{input}` as it is, which is not among the proved integers"
    )]
    RawInput {
        /// The graph's input.
        input: String,
    },
    /// An output of a type that is not shown.
    #[error("output `{name}` is of an element type that is not shown; cast it to float or int64")]
    ElementType {
        /// The output.
        name: String,
    },
    /// The tensors are not the outputs of the program that the tail belongs to.
    #[error("the float tail starts from `{name}`, which is not an output of the program")]
    NotItsProgram {
        /// The missing tensor.
        name: String,
    },
}

impl FloatTail {
    /// The tail of a graph: its nodes in order, the outputs that it computes, what it starts from, and the values of all
    /// other tensors that it reads. `input` is the name of the float input that a real is.
    pub(super) fn new<'a>(
        nodes: Vec<NodeProto>,
        graph: &Graph,
        outputs: Vec<String>,
        starts: Vec<(String, usize)>,
        value: impl Fn(&str) -> Option<&'a Value>,
        input: impl Fn(&Real) -> Option<String>,
    ) -> Self {
        let read: BTreeSet<&str> = nodes
            .iter()
            .flat_map(|n| &n.input)
            .chain(&outputs)
            .map(String::as_str)
            .collect();
        let mut constants = HashMap::new();
        let mut raw = Vec::new();
        for name in read {
            let constant = match value(name) {
                Some(Value::Const(c)) => (**c).clone(),
                Some(Value::Weights(w)) => Constant::floats(
                    w.data.shape.clone(),
                    super::ops::quantization::dequantize(w),
                ),
                Some(Value::Real(real)) => {
                    raw.extend(input(real).map(|input| (name.to_owned(), input)));
                    continue;
                }
                _ => continue,
            };
            constants.insert(name.to_owned(), constant);
        }
        let graph = Arc::new(graph.part(nodes, outputs, constants));
        Self { graph, starts, raw }
    }

    /// The names of the outputs that it computes, in the model's order.
    pub fn outputs(&self) -> &[String] {
        &self.graph.outputs
    }

    /// The outputs of the graph that the tail computes, from the integer outputs of the program that it follows.
    ///
    /// `outputs` are those of an execution of `program`, in its order. What can be computed is; each other output has
    /// the reason why not.
    pub fn evaluate(
        &self,
        program: &Program,
        outputs: &[&Tensor],
    ) -> Vec<Result<TailTensor, TailError>> {
        let start = self.starts.iter().filter_map(|(name, place)| {
            let (port, tensor) = (program.outputs().get(*place)?, outputs.get(*place)?);
            let constant = real(tensor, port.quantization.as_ref());
            Some((name.clone(), Arc::new(constant)))
        });
        let start: Values = start.collect();
        let evaluator = Runner::new(&self.graph);
        let values = evaluator.run_known(start.clone());
        let one = |name: &String| match values.get(name).or_else(|| evaluator.constants().get(name))
        {
            Some(constant) => Ok(TailTensor {
                name: name.clone(),
                shape: constant.shape.clone(),
                data: match &constant.data {
                    Data::Float(data) => TailData::Floats(data.clone()),
                    Data::Int(dtype, data) => TailData::Integers(*dtype, data.clone()),
                    _ => return Err(TailError::ElementType { name: name.clone() }),
                },
            }),
            None => Err(self.reason(name, &evaluator, &start)),
        };
        self.graph.outputs.iter().map(one).collect()
    }

    /// Why something is missing: the first node that cannot be evaluated, or what it starts from.
    fn reason(&self, output: &str, evaluator: &Runner<'_>, start: &Values) -> TailError {
        if let Some((_, input)) = self.raw.iter().find(|(name, _)| name == output) {
            let input = input.clone();
            return TailError::RawInput { input };
        }
        if let Err(RunError { node, op, source }) = evaluator.run(start.clone(), |_| true) {
            let source = Box::new(source);
            return TailError::Node { node, op, source };
        }
        if let Some((_, input)) = self.raw.first() {
            let input = input.clone();
            return TailError::RawInput { input };
        }
        let made: HashSet<&str> = self
            .graph
            .nodes
            .iter()
            .flat_map(|n| n.output.iter().map(String::as_str))
            .collect();
        let mut read = self.graph.nodes.iter().flat_map(|n| &n.input);
        let missing = read.find(|name| {
            !name.is_empty()
                && !made.contains(name.as_str())
                && !start.contains_key(*name)
                && !self.graph.constants.contains_key(*name)
        });
        let name = missing.cloned().unwrap_or_default();
        TailError::NotItsProgram { name }
    }
}

/// DequantizeLinear of an output, or the integers themselves.
pub(super) fn real(tensor: &Tensor, quantization: Option<&Quantization>) -> Constant {
    let Some(quantization) = quantization else {
        return Constant::ints(tensor.dtype, tensor.shape.clone(), tensor.data.clone());
    };
    let inner: usize = match quantization.axis {
        Some(axis) => tensor.shape.iter().skip(axis + 1).product(),
        None => 1,
    };
    let (scales, zeros) = (&quantization.scale_bits, &quantization.zero_point);
    let value = |(i, v): (usize, &i64)| {
        let lane = i / inner.max(1) % scales.len().max(1);
        let scale = scales.get(lane).copied().unwrap_or(1f32.to_bits());
        let zero = zeros.get(lane).copied().unwrap_or(0);
        (v - zero) as f32 * f32::from_bits(scale)
    };
    let data = tensor.data.iter().enumerate().map(value).collect();
    Constant::floats(tensor.shape.clone(), data)
}
