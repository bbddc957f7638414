//! Static quantization: a float model and samples become a QDQ model that this project proves without a float island.
//!
//! Every operator that the importer knows gets QuantizeLinear and DequantizeLinear around it, also those that other
//! tools leave in float. Weights are symmetric int8 by default, for the tensor or for each output channel; activations
//! are asymmetric uint8 with one scale; a bias is int32 with the product of both scales. Relu and Clip are absorbed by
//! the operator before them, functions of functions become one, movement and maxima keep the scale of their input.
//! Operators after the last one that is known stay float and outside the proof.
//!
//! Nothing here is trusted: the result is an ordinary ONNX file that the importer reads like any other, and the last
//! step here is to import it, so that a model is either provable or refused with the nodes that stand in the way.

mod affine;
mod decompose;
pub(crate) mod emit;
mod error;
mod front;
mod fuse;
mod integral;
mod layers;
mod level;
mod masks;
mod ranges;
mod report;
mod rewrite;
mod scores;
mod tabular;
#[cfg(test)]
mod tests;
mod weights;

use crate::quantize::layers::proved;
pub use error::QuantizeError;
use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use rayon::prelude::*;

use crate::error::NodeError;
pub use crate::graph::Classes;
use crate::graph::constant::Constant;
use crate::graph::{Graph, InputType, Node};
use crate::group::exactness::{Exactness, Status};
use crate::operator::{OF_SCORES, PRESENTING, SCORING};
use crate::passes::{prepare, prepare_float, refresh, restore};
use crate::proto::{Bindings, decode};
use crate::report::{Imported, TailNode};
use crate::run::{Values, computes, run};
use crate::vocabulary;
use layers::Layers;
pub use report::{LayerError, OutputError};
use zkonnx_circuits::program::{DataType, elements};

/// How ranges are found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Method {
    /// The smallest and the largest value.
    #[default]
    MinMax,
    /// The values that this percentage (between 50 and 100) of all lie below, and above.
    Percentile(f64),
}

/// An 8-bit type of quantized tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byte {
    /// 0 to 255.
    U8,
    /// −128 to 127.
    I8,
}

impl Byte {
    fn dtype(self) -> DataType {
        match self {
            Self::U8 => DataType::U8,
            Self::I8 => DataType::I8,
        }
    }
}

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// A scale for each output channel of weights instead of one.
    pub per_channel: bool,
    /// How the ranges of activations are found.
    pub method: Method,
    /// Type of activations, which are asymmetric.
    pub activations: Byte,
    /// Type of weights: symmetric as int8, asymmetric as uint8.
    pub weights: Byte,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            per_channel: false,
            method: Method::MinMax,
            activations: Byte::U8,
            weights: Byte::I8,
        }
    }
}

/// An input of a model, as samples have to give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInput {
    /// Name.
    pub name: String,
    /// Shape of one sample; an open batch is one.
    pub shape: Vec<usize>,
    /// The type of integers, or `None` for binary32.
    pub integers: Option<DataType>,
}

/// The elements of one input of one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// For a float input.
    Floats(Vec<f32>),
    /// For an integer input.
    Integers(Vec<i64>),
}

/// A quantized model and how far it is from the float one on the samples.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The ONNX file.
    pub model: Vec<u8>,
    /// The model as it is proved.
    pub imported: Imported,
    /// Error of each quantized tensor, in order of execution.
    pub layers: Vec<LayerError>,
    /// Error of each output of the model.
    pub outputs: Vec<OutputError>,
    /// Whether the outputs are compared with the float model as it is, or else, because that is not evaluated here, with
    /// the equal one that was quantized.
    pub against_original: bool,
    /// What the file had and what is gone: operators of dynamic quantization, whose scales depended on the data, and
    /// types of floats that are float32 now.
    pub restored: Vec<String>,
    /// What outputs say by integers or columns that had strings or maps: the names stand in the metadata of the file too.
    pub classes: Vec<Classes>,
    /// Whether the model is linear: its scores are accumulators of 16 bits.
    pub linear: bool,
}

impl Quantized {
    /// The nodes outside the proof that are more than the preparation of inputs and the usual end of a model: what is
    /// proved is less than the model.
    pub fn uncovered(&self) -> impl Iterator<Item = &TailNode> {
        let is = move |node: &TailNode, kind| {
            vocabulary::find(&node.domain, &node.op).is_some_and(|operator| operator.has(kind))
        };
        let presents = move |node: &&TailNode| is(node, PRESENTING);
        // What is made of the sums of trees is a node of the file in part only.
        let trees = self
            .imported
            .report
            .iter()
            .any(|report| matches!(report.status, Status::Closed(Exactness::Leaves { .. })));
        let linear = self.linear;
        let scores =
            move |node: &&TailNode| trees && is(node, SCORING) || linear && is(node, OF_SCORES);
        let tail = self.imported.tail.iter();
        tail.filter(move |node| !node.before && !presents(node) && !scores(node))
    }
}

fn structure(bytes: &[u8], bindings: &Bindings) -> Result<(), QuantizeError> {
    let (mut graph, _) = float_graph(bytes, bindings)?;
    rewrite::rewrite(&mut graph).map_err(QuantizeError::Model)?;
    whole(&graph)?;
    Layers::new(&graph)?;
    Ok(())
}

/// The float model that a file holds or stands for, and the operators of dynamic quantization that are gone from it.
fn float_graph(bytes: &[u8], bindings: &Bindings) -> Result<(Graph, Vec<String>), QuantizeError> {
    let (mut graph, mut restored) = prepare_float(bytes, bindings).map_err(QuantizeError::Model)?;
    let gone = restore(&mut graph)?;
    if !gone.is_empty() {
        refresh(&mut graph, 0).map_err(QuantizeError::Model)?;
    }
    restored.extend(gone);
    whole(&graph)?;
    // Only what is left: weights that were stored as integers are floats by now.
    match graph
        .nodes
        .iter()
        .find(|node| vocabulary::is_quantized(node))
    {
        Some(node) => Err(QuantizeError::AlreadyQuantized(graph.node_name(node))),
        None => Ok((graph, restored)),
    }
}

/// Fails if a pass could not make of a node what it should be, or left it an inner graph: that has the names and the opset
/// of the file, which are others in the file that is written.
fn whole(graph: &Graph) -> Result<(), QuantizeError> {
    let inner = |node: &Node| {
        let inner = node.is_any(&["If", "Loop", "Scan"]) || !node.captures.is_empty();
        inner.then_some(NodeError::DataDependent)
    };
    let mut nodes = graph.nodes.iter();
    let fault = nodes.find_map(|node| Some((node, node.fault.clone().or(inner(node))?)));
    match fault {
        None => Ok(()),
        Some((node, source)) => Err(QuantizeError::Evaluate {
            node: graph.node_name(node),
            op: node.op.clone(),
            source: Box::new(source),
        }),
    }
}

/// The inputs of a float model.
pub fn model_inputs(bytes: &[u8], bindings: &Bindings) -> Result<Vec<ModelInput>, QuantizeError> {
    let (graph, _) = prepare_float(bytes, bindings).map_err(QuantizeError::Model)?;
    Ok(inputs_of(&graph))
}

fn inputs_of(graph: &Graph) -> Vec<ModelInput> {
    let input = |i: &crate::graph::Input| ModelInput {
        name: graph.name(i.value).to_owned(),
        shape: i.shape.clone(),
        integers: match i.dtype {
            InputType::Int(dtype) => Some(dtype),
            InputType::Float | InputType::Other(_) => None,
        },
    };
    graph.inputs.iter().map(input).collect()
}

/// Quantizes a float model, and measures the result on the samples that it is calibrated with.
///
/// As [`quantize_and_measure`], which is to be preferred where there are samples for both.
pub fn quantize(
    bytes: &[u8],
    samples: &[Vec<Feed>],
    options: &Options,
) -> Result<Quantized, QuantizeError> {
    quantize_and_measure(bytes, &Bindings::default(), samples, samples, options)
}

/// Quantizes a float model with some samples, and measures the error on others. Each sample gives every input, in the
/// order of [`model_inputs`].
///
/// The outputs that are measured are those that a proof states, with the float nodes after it; they are compared with
/// the float model as it is in the file. Samples are run in parallel, for ranges, for the distribution if percentiles
/// are asked for, and twice for the report. The result has been imported, so it can be proved.
pub fn quantize_and_measure(
    bytes: &[u8],
    bindings: &Bindings,
    samples: &[Vec<Feed>],
    measured: &[Vec<Feed>],
    options: &Options,
) -> Result<Quantized, QuantizeError> {
    if let Method::Percentile(p) = options.method
        && !(p > 50.0 && p <= 100.0)
    {
        return Err(QuantizeError::Percentile(p));
    }
    let proto = decode(bytes).map_err(QuantizeError::Model)?;
    let (mut graph, restored) = float_graph(bytes, bindings)?;
    let samples = feed(&graph, samples)?;
    let measured = feed(&graph, measured)?;
    let first = samples.first().ok_or(QuantizeError::NoSample)?;
    let original = graph.clone();
    rewrite::rewrite(&mut graph).map_err(QuantizeError::Model)?;
    whole(&graph)?;
    level::level(&mut graph, &samples);
    refresh(&mut graph, 0).map_err(QuantizeError::Model)?;

    let mut layers = Layers::new(&graph)?;
    if !layers.scores.is_empty() && graph.opset < scores::OPSET {
        refresh(&mut graph, scores::OPSET).map_err(QuantizeError::Model)?;
        layers = Layers::new(&graph)?;
    }
    missing(&graph, &layers, &samples)?;
    missing(&graph, &layers, &measured)?;
    let ranges = ranges::find(&graph, &layers, &samples, options.method)?;
    let emitted = emit::emit(&graph, &proto, &layers, &ranges, options);
    let model = emitted.model.encode_to_vec();
    let imported = crate::import(&model).map_err(QuantizeError::NotProvable)?;

    let linear = !layers.scores.is_empty();
    let quantized = prepare(&model, &Bindings::default()).map_err(QuantizeError::Model)?;
    let layers = report::layers(&graph, &quantized, &emitted.tensors, &measured)?;
    let against_original = computes(&original, &original.outputs, first);
    let reference = if against_original { &original } else { &graph };
    let outputs = report::outputs(reference, &imported, &measured)?;
    Ok(Quantized {
        model,
        imported,
        layers,
        outputs,
        against_original,
        restored,
        classes: original.classes,
        linear,
    })
}

/// Fails if a sample misses a value that nothing replaces before it is quantized.
fn missing(graph: &Graph, layers: &Layers, samples: &[Values]) -> Result<(), QuantizeError> {
    let one = |(sample, inputs): (usize, &Values)| {
        let first = graph.inputs.iter().find_map(|input| {
            let data = inputs.get(&input.value)?.as_floats()?;
            Some((input.value, data.iter().position(|v| v.is_nan())?))
        });
        let Some((input, index)) = first else {
            return Ok(());
        };
        let values = run(graph, inputs.clone(), proved)?;
        let is_missing = |value| {
            let data = values.get(value).and_then(|data| data.as_floats());
            data.is_some_and(|data| data.iter().any(|v| v.is_nan()))
        };
        match layers.quantized.iter().any(|(value, _)| is_missing(value)) {
            false => Ok(()),
            true => Err(QuantizeError::NotFinite {
                sample,
                input: graph.name(input).to_owned(),
                index,
                value: f32::NAN,
            }),
        }
    };
    samples.par_iter().enumerate().try_for_each(one)
}

/// Samples as values of the graph's inputs.
fn feed(graph: &Graph, samples: &[Vec<Feed>]) -> Result<Vec<Values>, QuantizeError> {
    let inputs = inputs_of(graph);
    let one = |(number, sample): (usize, &Vec<Feed>)| {
        let mut values: Values = HashMap::new();
        for (i, input) in inputs.iter().enumerate() {
            let expected = elements(&input.shape);
            let wrong = |kind, got| QuantizeError::Sample {
                sample: number,
                input: input.name.clone(),
                shape: input.shape.clone(),
                expected,
                kind,
                got,
            };
            let shape = input.shape.clone();
            let value = match (sample.get(i), input.integers) {
                (Some(Feed::Floats(v)), None) if v.len() == expected => {
                    // Missing values may be meant (`missing`).
                    if let Some(index) = v.iter().position(|v| v.is_infinite()) {
                        return Err(QuantizeError::NotFinite {
                            sample: number,
                            input: input.name.clone(),
                            index,
                            value: v[index],
                        });
                    }
                    Constant::floats(shape, v.clone())
                }
                (Some(Feed::Integers(v)), Some(dtype)) if v.len() == expected => {
                    Constant::ints(dtype, shape, v.clone())
                }
                (Some(Feed::Floats(v)), None) => return Err(wrong("floats", v.len())),
                (Some(Feed::Integers(v)), Some(_)) => return Err(wrong("integers", v.len())),
                (_, None) => return Err(wrong("floats", 0)),
                (_, Some(_)) => return Err(wrong("integers", 0)),
            };
            values.insert(graph.inputs[i].value, Arc::new(value));
        }
        Ok(values)
    };
    samples.par_iter().enumerate().map(one).collect()
}

/// Why a float model would not be quantized, whatever the samples: so that the advice to quantize it is given only where
/// it can be followed.
pub fn obstacle(bytes: &[u8], bindings: &Bindings) -> Option<QuantizeError> {
    structure(bytes, bindings).err()
}
