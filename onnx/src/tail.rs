//! The float tail: what a model computes after its last integer tensors.
//!
//! It is outside of every proof. It is evaluated all the same, from the integers that are proved and by the evaluator that
//! folds constants, so that `run` can show what the model answers: the same bits on every machine.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::NodeError;
use crate::graph::constant::{Constant, Data};
use crate::graph::{Graph, ValueId};
use crate::run::{RunError, Values, run, run_known};
use zkonnx_circuits::program::{DataType, Program, Quantization, Tensor};

/// The nodes of a float tail with their constants, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct FloatTail {
    graph: Arc<Graph>,
    /// The values that it starts from, and their places among the program's outputs.
    starts: Vec<(ValueId, usize)>,
    /// Values that are float inputs of the model as they are, and the names of these inputs.
    raw: Vec<(ValueId, String)>,
    /// Names of the outputs that it computes.
    outputs: Vec<String>,
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
    /// A part of a graph, what it starts from, and which of the values that it reads are float inputs of the model.
    pub(crate) fn new(
        part: Graph,
        starts: Vec<(ValueId, usize)>,
        raw: Vec<(ValueId, String)>,
    ) -> Self {
        let outputs = part.outputs.iter();
        Self {
            outputs: outputs.map(|value| part.name(*value).to_owned()).collect(),
            graph: Arc::new(part),
            starts,
            raw,
        }
    }

    /// The names of the outputs that it computes, in the model's order.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
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
        let start = self.starts.iter().filter_map(|(value, place)| {
            let (port, tensor) = (program.outputs().get(*place)?, outputs.get(*place)?);
            Some((*value, Arc::new(real(tensor, port.quantization.as_ref()))))
        });
        let start: Values = start.collect();
        let values = run_known(&self.graph, start.clone());
        let one = |(value, name): (&ValueId, &String)| match values
            .get(value)
            .or_else(|| self.graph.constant(*value))
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
            None => Err(self.reason(*value, &start)),
        };
        self.graph
            .outputs
            .iter()
            .zip(&self.outputs)
            .map(one)
            .collect()
    }

    /// Why something is missing: the first node that cannot be evaluated, or what it starts from.
    fn reason(&self, output: ValueId, start: &Values) -> TailError {
        if let Some((_, input)) = self.raw.iter().find(|(value, _)| *value == output) {
            let input = input.clone();
            return TailError::RawInput { input };
        }
        if let Err(RunError { node, op, source }) = run(&self.graph, start.clone(), |_| true) {
            let source = Box::new(source);
            return TailError::Node { node, op, source };
        }
        if let Some((_, input)) = self.raw.first() {
            let input = input.clone();
            return TailError::RawInput { input };
        }
        let graph = &self.graph;
        let made: HashSet<ValueId> = graph.nodes.iter().flat_map(|n| n.made()).collect();
        let missing = graph.reads().into_iter().find(|value| {
            !made.contains(value) && !start.contains_key(value) && !graph.is_constant(*value)
        });
        let name = missing.unwrap_or(output);
        let name = graph.name(name).to_owned();
        TailError::NotItsProgram { name }
    }
}

/// DequantizeLinear of an output, or the integers themselves.
pub(crate) fn real(tensor: &Tensor, quantization: Option<&Quantization>) -> Constant {
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
