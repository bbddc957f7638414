//! A plain binary32 evaluator: runs a float graph, or a quantized one, on samples.
//!
//! Elementwise operators and data movement go through the same rules that fold constants at import; what combines
//! several elements is in `kernels` and `reduction`.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::pb::NodeProto;

use super::super::constant::{Constant, Data};
use super::super::error::NodeError;
use super::super::expr::Binary;
use super::super::graph::{Graph, node_name};
use super::super::importer::evaluate;
use super::super::node::NodeView;
use super::super::ops::{fold, quantization::dequantize};
use super::super::real::Value;
use super::QuantizeError;
use super::kernels::{self, Pool};
use super::reduction;
use crate::ops::broadcast;
use crate::program::{DataType, elements};

/// Tensors by name.
pub(in crate::onnx) type Values = HashMap<String, Arc<Constant>>;

/// The inputs of a node.
pub(super) struct Inputs(Vec<Option<Arc<Constant>>>);

impl Inputs {
    pub(super) fn of(node: &NodeProto, find: impl Fn(&str) -> Option<Arc<Constant>>) -> Self {
        Self(node.input.iter().map(|name| find(name)).collect())
    }

    pub(super) fn maybe(&self, input: usize) -> Option<&Constant> {
        self.0.get(input).and_then(|c| c.as_deref())
    }

    pub(super) fn get(&self, input: usize) -> Result<&Constant, NodeError> {
        self.maybe(input).ok_or(NodeError::Arity {
            what: "inputs",
            expected: "more",
            got: self.0.len(),
        })
    }

    pub(super) fn floats(&self, input: usize) -> Result<&[f32], NodeError> {
        self.get(input)?.as_floats().ok_or(NodeError::Input {
            input,
            what: "the operand",
            reason: "it is not float",
        })
    }

    pub(super) fn maybe_floats(&self, input: usize) -> Result<Option<&[f32]>, NodeError> {
        match self.maybe(input) {
            None => Ok(None),
            Some(_) => self.floats(input).map(Some),
        }
    }
}

/// A graph that is ready to be run.
#[derive(Debug)]
pub(in crate::onnx) struct Evaluator<'a> {
    graph: &'a Graph,
    constants: Values,
    /// Nodes whose results depend on the input, in order.
    nodes: Vec<&'a NodeProto>,
}

impl<'a> Evaluator<'a> {
    /// Evaluates what depends on constants alone.
    pub(in crate::onnx) fn new(graph: &'a Graph) -> Self {
        let mut constants: Values = graph
            .constants
            .iter()
            .map(|(name, c)| (name.clone(), Arc::new(c.clone())))
            .collect();
        let mut nodes = Vec::new();
        for node in &graph.nodes {
            let known = node
                .input
                .iter()
                .all(|n| n.is_empty() || constants.contains_key(n));
            match known.then(|| evaluate_node(graph, node, |n| constants.get(n).cloned())) {
                Some(Ok(results)) => constants.extend(named(node, results)),
                _ => nodes.push(node),
            }
        }
        Self {
            graph,
            constants,
            nodes,
        }
    }

    /// What depends on constants alone, by name.
    pub(in crate::onnx) fn constants(&self) -> &Values {
        &self.constants
    }

    /// Whether every one of these tensors is computed, and not only what does not follow from unknown operators.
    pub(super) fn computes(&self, names: &[String], sample: &Values) -> bool {
        let values = self.run(sample.clone(), |_| false);
        values.is_ok_and(|values| {
            let mut names = names.iter();
            names.all(|name| values.contains_key(name) || self.constants.contains_key(name))
        })
    }

    /// The nodes that depend on the input.
    pub(super) fn nodes(&self) -> &[&'a NodeProto] {
        &self.nodes
    }

    /// All tensors that depend on the input. Nodes that `needed` refuses are left out, as is all that follows from
    /// them.
    pub(in crate::onnx) fn run(
        &self,
        inputs: Values,
        needed: impl Fn(&NodeProto) -> bool,
    ) -> Result<Values, QuantizeError> {
        let mut values = inputs;
        for node in &self.nodes {
            let find = |name: &str| {
                values
                    .get(name)
                    .or_else(|| self.constants.get(name))
                    .cloned()
            };
            let ready = node.input.iter().all(|n| n.is_empty() || find(n).is_some());
            if !ready {
                continue;
            }
            match evaluate_node(self.graph, node, find) {
                Ok(results) => values.extend(named(node, results)),
                Err(_) if !needed(node) => {}
                Err(source) => {
                    return Err(QuantizeError::Evaluate {
                        node: node_name(node),
                        op: node.op_type.clone(),
                        source: Box::new(source),
                    });
                }
            }
        }
        Ok(values)
    }
}

fn named(
    node: &NodeProto,
    results: Vec<Arc<Constant>>,
) -> impl Iterator<Item = (String, Arc<Constant>)> {
    node.output.iter().cloned().zip(results)
}

/// The results of one node.
fn evaluate_node(
    graph: &Graph,
    node: &NodeProto,
    find: impl Fn(&str) -> Option<Arc<Constant>>,
) -> Result<Vec<Arc<Constant>>, NodeError> {
    let view = NodeView::new(node, graph.opset(&node.domain).unwrap_or(0));
    let inputs = Inputs::of(node, &find);
    let one = |c: Constant| Ok(vec![Arc::new(c)]);
    match node.op_type.as_str() {
        "Conv" => one(kernels::conv(&view, &inputs)?),
        "ConvTranspose" => one(kernels::conv_transpose(&view, &inputs)?),
        "Gemm" => one(kernels::gemm(&view, &inputs)?),
        "MatMul" => one(kernels::matmul(&inputs)?),
        "MaxPool" => one(kernels::pool(&view, &inputs, Pool::Max, false)?),
        "GlobalMaxPool" => one(kernels::pool(&view, &inputs, Pool::Max, true)?),
        "AveragePool" => one(kernels::pool(&view, &inputs, Pool::Average, false)?),
        "GlobalAveragePool" => one(kernels::pool(&view, &inputs, Pool::Average, true)?),
        "BatchNormalization" => one(kernels::batch_normalization(&view, &inputs)?),
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" => {
            one(reduction::reduce(&view, &inputs)?)
        }
        "CumSum" => one(reduction::cum_sum(&view, &inputs)?),
        "Hardmax" => one(reduction::hardmax(&view, &inputs)?),
        "OneHot" => one(reduction::one_hot(&view, &inputs)?),
        "Softmax" | "LogSoftmax" => one(reduction::softmax(&view, &inputs)?),
        "ArgMax" | "ArgMin" => one(reduction::arg_extreme(&view, &inputs)?),
        "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "Equal" => {
            one(compare(&view, &inputs)?)
        }
        "And" | "Or" | "Not" | "Xor" => one(boolean(&view, &inputs)?),
        "Where" => one(choose(&inputs)?),
        "Min" | "Max" => one(extreme(&view, &inputs)?),
        "Pad" => one(pad(graph, node, &view, &inputs)?),
        _ => folded(graph, node, find),
    }
}

/// The importer's own folding.
fn folded(
    graph: &Graph,
    node: &NodeProto,
    find: impl Fn(&str) -> Option<Arc<Constant>>,
) -> Result<Vec<Arc<Constant>>, NodeError> {
    let inputs = node
        .input
        .iter()
        .filter_map(|name| Some((name.as_str(), find(name)?)));
    let result = |value| match value {
        Value::Const(c) => Ok(c),
        Value::Weights(w) => Ok(Arc::new(Constant::floats(
            w.data.shape.clone(),
            dequantize(&w),
        ))),
        _ => Err(NodeError::Unknown),
    };
    evaluate(graph, node, inputs)?
        .into_iter()
        .map(result)
        .collect()
}

/// Places of the elements of several tensors that are broadcast against each other.
fn together(inputs: &Inputs, which: &[usize]) -> Result<(Vec<usize>, Vec<Vec<usize>>), NodeError> {
    let mismatch = NodeError::Input {
        input: 1,
        what: "b",
        reason: "its shape does not broadcast to that of a",
    };
    let mut shape = Vec::new();
    for &input in which {
        shape = broadcast(&shape, &inputs.get(input)?.shape).ok_or_else(|| mismatch.clone())?;
    }
    kernels::count(&shape)?;
    let places = which
        .iter()
        .map(|&input| fold::places(&inputs.get(input)?.shape, &shape))
        .collect::<Result<_, _>>()?;
    Ok((shape, places))
}

fn compare(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let (shape, places) = together(inputs, &[0, 1])?;
    let order = |i: usize| match (&inputs.get(0)?.data, &inputs.get(1)?.data) {
        (Data::Float(a), Data::Float(b)) => Ok(a[places[0][i]].partial_cmp(&b[places[1][i]])),
        (Data::Int(_, a), Data::Int(_, b)) => Ok(Some(a[places[0][i]].cmp(&b[places[1][i]]))),
        _ => Err(NodeError::Unknown),
    };
    let value = |i: usize| {
        let order = order(i)?;
        Ok(i64::from(order.is_some_and(|o| match node.op() {
            "Less" => o.is_lt(),
            "LessOrEqual" => o.is_le(),
            "Greater" => o.is_gt(),
            "GreaterOrEqual" => o.is_ge(),
            _ => o.is_eq(),
        })))
    };
    let data = (0..elements(&shape))
        .map(value)
        .collect::<Result<_, NodeError>>()?;
    Ok(Constant::ints(DataType::Bool, shape, data))
}

fn ints(inputs: &Inputs, input: usize) -> Result<&[i64], NodeError> {
    inputs.get(input)?.as_ints().ok_or(NodeError::Input {
        input,
        what: "the operand",
        reason: "it is not an integer",
    })
}

fn boolean(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    if node.op() == "Not" {
        let data = ints(inputs, 0)?.iter().map(|v| 1 - v).collect();
        let shape = inputs.get(0)?.shape.clone();
        return Ok(Constant::ints(DataType::Bool, shape, data));
    }
    let (shape, places) = together(inputs, &[0, 1])?;
    let (a, b) = (ints(inputs, 0)?, ints(inputs, 1)?);
    let value = |(i, j): (&usize, &usize)| match node.op() {
        "And" => a[*i] & b[*j],
        "Or" => a[*i] | b[*j],
        _ => a[*i] ^ b[*j],
    };
    let data = places[0].iter().zip(&places[1]).map(value).collect();
    Ok(Constant::ints(DataType::Bool, shape, data))
}

fn choose(inputs: &Inputs) -> Result<Constant, NodeError> {
    let (shape, places) = together(inputs, &[0, 1, 2])?;
    let condition = ints(inputs, 0)?;
    let pick = |i: usize| {
        let first = condition[places[0][i]] != 0;
        (
            if first { 1 } else { 2 },
            places[if first { 1 } else { 2 }][i],
        )
    };
    let count = elements(&shape);
    match (&inputs.get(1)?.data, &inputs.get(2)?.data) {
        (Data::Float(a), Data::Float(b)) => {
            let value = |i| match pick(i) {
                (1, place) => a[place],
                (_, place) => b[place],
            };
            Ok(Constant::floats(shape, (0..count).map(value).collect()))
        }
        (Data::Int(dtype, a), Data::Int(_, b)) => {
            let value = |i| match pick(i) {
                (1, place) => a[place],
                (_, place) => b[place],
            };
            Ok(Constant::ints(
                *dtype,
                shape,
                (0..count).map(value).collect(),
            ))
        }
        _ => Err(NodeError::Unknown),
    }
}

fn extreme(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let f = if node.op() == "Max" {
        Binary::Max
    } else {
        Binary::Min
    };
    let which: Vec<usize> = (0..node.inputs()).collect();
    let (shape, places) = together(inputs, &which)?;
    let mut data = vec![
        if f == Binary::Max {
            f32::NEG_INFINITY
        } else {
            f32::INFINITY
        };
        elements(&shape)
    ];
    for (input, places) in places.iter().enumerate() {
        let values = inputs.floats(input)?;
        data.iter_mut()
            .zip(places)
            .for_each(|(v, place)| *v = f.eval(*v, values[*place]));
    }
    Ok(Constant::floats(shape, data))
}

/// `Pad`: the places are found by the importer's rule where it fills from the tensor; a constant is filled in here.
fn pad(
    graph: &Graph,
    node: &NodeProto,
    view: &NodeView<'_>,
    inputs: &Inputs,
) -> Result<Constant, NodeError> {
    if view.text("mode", "constant")? != "constant" {
        let find = |name: &str| {
            let input = node.input.iter().position(|n| n == name)?;
            inputs.0[input].clone()
        };
        let mut results = folded(graph, node, find)?;
        let result = results.pop().ok_or(NodeError::Unknown)?;
        return Ok((*result).clone());
    }
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let given = match view.maybe_ints("pads")? {
        Some(pads) => pads.to_vec(),
        None => ints(inputs, 1)?.to_vec(),
    };
    let mut pads = vec![0i64; 2 * rank];
    match inputs.maybe(3).and_then(|c| c.as_ints()) {
        Some(axes) if given.len() == 2 * axes.len() => {
            for (i, &axis) in axes.iter().enumerate() {
                let axis = view.axis("axes", axis, rank)?;
                pads[axis] = given[i];
                pads[rank + axis] = given[axes.len() + i];
            }
        }
        None if given.len() == 2 * rank => pads = given,
        _ => return Err(NodeError::Unknown),
    }
    let value = match inputs.maybe_floats(2)? {
        Some(&[v]) => v,
        _ => view.float("value", 0.0)?,
    };
    let extent = |d: usize| usize::try_from(x.shape[d] as i64 + pads[d] + pads[rank + d]).ok();
    let shape: Option<Vec<usize>> = (0..rank).map(extent).collect();
    let shape = shape.ok_or(NodeError::Unknown)?;
    let count = kernels::count(&shape)?;
    let data = inputs.floats(0)?;
    let at = |i: usize| {
        let (mut rest, mut place, mut step) = (i, 0, 1);
        for d in (0..rank).rev() {
            let own = (rest % shape[d]) as i64 - pads[d];
            rest /= shape[d];
            let own = usize::try_from(own).ok().filter(|o| *o < x.shape[d]);
            match own {
                Some(own) => place += own * step,
                None => return value,
            }
            step *= x.shape[d];
        }
        data[place]
    };
    let padded = (0..count).map(at).collect();
    Ok(Constant::floats(shape, padded))
}
