//! Float rewriting before quantization: equal functions in the form that quantizes best.
//!
//! What depends on constants alone is computed; operators that are not proved are expressed by others (`decompose`);
//! BatchNormalization becomes part of the convolution or product before it; a matrix product and the addition of a
//! bias become one Gemm; the factors of a Gemm become part of its weights; a division of two activations becomes a
//! product with the reciprocal.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};

use super::super::constant::Constant;
use super::super::eval::factors;
use super::super::graph::Graph;
use super::super::node::NodeView;
use super::super::run::{Runner, Values};
use super::QuantizeError;
use super::decompose::decompose;

/// Rewrites a graph; `sample` gives its inputs, to learn the shapes of tensors.
pub(super) fn rewrite(graph: &mut Graph, sample: &Values) -> Result<(), QuantizeError> {
    fold(graph);
    let mut shapes = shapes(graph, sample)?;
    // What follows a node that is taken apart is known only in the next round.
    while decompose(graph, &shapes) {
        shapes = self::shapes(graph, sample)?;
    }
    divisions(graph, &shapes);
    biases(graph, &shapes);
    let mut i = 0;
    while i < graph.nodes.len() {
        if graph.nodes[i].op_type == "Gemm" {
            scale_gemm(graph, i);
        }
        if graph.nodes[i].op_type == "BatchNormalization" && absorb(graph, i).is_some() {
            graph.nodes.remove(i);
        } else {
            i += 1;
        }
    }
    Ok(())
}

/// Shapes of all tensors that depend on the input, as far as operators are known.
fn shapes(graph: &Graph, sample: &Values) -> Result<HashMap<String, Vec<usize>>, QuantizeError> {
    let values = Runner::new(graph).run(sample.clone(), super::proved)?;
    let shape = |(name, value): (String, Arc<Constant>)| (name, value.shape.clone());
    Ok(values.into_iter().map(shape).collect())
}

/// Replaces nodes that depend on constants alone by their results.
fn fold(graph: &mut Graph) {
    let evaluator = Runner::new(graph);
    let nodes: Vec<NodeProto> = evaluator.nodes().iter().map(|&n| n.clone()).collect();
    let constants: HashMap<String, Constant> = evaluator
        .constants()
        .iter()
        .map(|(name, c)| (name.clone(), (**c).clone()))
        .collect();
    graph.nodes = nodes;
    graph.constants = constants;
}

/// How often a tensor is used, graph outputs included.
pub(super) fn uses(graph: &Graph, name: &str) -> usize {
    let inputs = graph.nodes.iter().flat_map(|n| &n.input);
    inputs
        .chain(&graph.outputs)
        .filter(|n| n.as_str() == name)
        .count()
}

/// A name that nothing has.
pub(super) fn fresh(graph: &Graph, base: &str) -> String {
    let taken = |name: &str| {
        graph.constants.contains_key(name)
            || graph.inputs.iter().any(|i| i.name == name)
            || graph
                .nodes
                .iter()
                .any(|n| n.output.iter().any(|o| o == name))
    };
    let mut name = base.to_owned();
    while taken(&name) {
        name.push('_');
    }
    name
}

/// `a / b` of two activations as `a · (1 / b)`.
fn divisions(graph: &mut Graph, shapes: &HashMap<String, Vec<usize>>) {
    let mut i = 0;
    while i < graph.nodes.len() {
        let node = &graph.nodes[i];
        let both = |n: &&String| shapes.contains_key(n.as_str()) && !n.is_empty();
        if node.op_type == "Div" && node.input.iter().filter(both).count() == 2 {
            let reciprocal = fresh(graph, &format!("{}_reciprocal", graph.nodes[i].input[1]));
            let divisor = std::mem::replace(&mut graph.nodes[i].input[1], reciprocal.clone());
            graph.nodes[i].op_type = "Mul".into();
            let node = NodeProto {
                name: reciprocal.clone(),
                op_type: "Reciprocal".into(),
                input: vec![divisor],
                output: vec![reciprocal],
                ..Default::default()
            };
            graph.nodes.insert(i, node);
            i += 1;
        }
        i += 1;
    }
}

/// A matrix product with constant weights and the addition of a vector as Gemm.
fn biases(graph: &mut Graph, shapes: &HashMap<String, Vec<usize>>) {
    let mut i = 0;
    while i < graph.nodes.len() {
        let Some((product, bias)) = biased(graph, i, shapes) else {
            i += 1;
            continue;
        };
        let output = graph.nodes[i].output.clone();
        let node = &mut graph.nodes[product];
        node.op_type = "Gemm".into();
        node.input.push(bias);
        node.output = output;
        graph.nodes.remove(i);
    }
}

/// For an addition: the product before it, and the bias, if both fit a Gemm.
fn biased(
    graph: &Graph,
    i: usize,
    shapes: &HashMap<String, Vec<usize>>,
) -> Option<(usize, String)> {
    let node = &graph.nodes[i];
    let [a, b] = node.input.as_slice() else {
        return None;
    };
    if node.op_type != "Add" {
        return None;
    }
    let (sum, bias) = match (graph.constants.get(a), graph.constants.get(b)) {
        (None, Some(_)) => (a, b),
        (Some(_), None) => (b, a),
        _ => return None,
    };
    let product = graph.nodes.iter().position(|n| n.output.contains(sum))?;
    let before = &graph.nodes[product];
    let weights = graph.constants.get(before.input.get(1)?)?;
    let matrices = shapes.get(&before.input[0])?.len() == 2 && weights.shape.len() == 2;
    let shape = &graph.constants[bias].shape;
    let vector = shape.len() == 1 && shape[0] == *weights.shape.last()?;
    (before.op_type == "MatMul" && matrices && vector && uses(graph, sum) == 1)
        .then(|| (product, bias.clone()))
}

fn set_constant(graph: &mut Graph, base: &str, shape: Vec<usize>, data: Vec<f32>) -> String {
    let name = fresh(graph, base);
    graph
        .constants
        .insert(name.clone(), Constant::floats(shape, data));
    name
}

/// `alpha` and `beta` of a Gemm become part of its weights and its bias.
fn scale_gemm(graph: &mut Graph, i: usize) {
    let node = &graph.nodes[i];
    let value = |name: &str| {
        let attribute = node.attribute.iter().find(|a| a.name == name);
        attribute.map_or(1.0, |a| a.f)
    };
    let factors = [(1, value("alpha")), (2, value("beta"))];
    for (input, factor) in factors {
        let Some(name) = graph.nodes[i].input.get(input).cloned() else {
            continue;
        };
        let Some(constant) = graph.constants.get(&name) else {
            // A product of two activations keeps its factors.
            return;
        };
        if factor == 1.0 {
            continue;
        }
        let shape = constant.shape.clone();
        let data = constant.as_floats().unwrap_or_default();
        let data = data.iter().map(|v| v * factor).collect();
        let scaled = set_constant(graph, &format!("{name}_scaled"), shape, data);
        graph.nodes[i].input[input] = scaled;
    }
    graph.nodes[i]
        .attribute
        .retain(|a| a.name != "alpha" && a.name != "beta");
}

/// Moves a BatchNormalization into the Conv or Gemm before it.
fn absorb(graph: &mut Graph, i: usize) -> Option<()> {
    let node = graph.nodes[i].clone();
    let x = node.input.first()?;
    let before = graph
        .nodes
        .iter()
        .position(|n| n.output.first() == Some(x))?;
    if uses(graph, x) != 1 {
        return None;
    }
    let view = NodeView::new(&node, graph.opset("").unwrap_or(0));
    let read = |input: usize| graph.constants.get(node.input.get(input)?)?.as_floats();
    let (factors, shifts) = factors(&view, [read(1)?, read(2)?, read(3)?, read(4)?]).ok()?;
    let linear = graph.nodes[before].clone();
    let weights = graph.constants.get(linear.input.get(1)?)?;
    let n = factors.len();
    let columns = match linear.op_type.as_str() {
        "Conv" => false,
        "Gemm" => !flag(&linear, "transB"),
        _ => return None,
    };
    let axis = usize::from(columns);
    if weights.shape.get(axis) != Some(&n) {
        return None;
    }
    let inner: usize = weights.shape[axis + 1..].iter().product();
    let scaled: Vec<f32> = weights
        .as_floats()?
        .iter()
        .enumerate()
        .map(|(i, w)| w * factors[i / inner.max(1) % n])
        .collect();
    let shape = weights.shape.clone();
    let bias = match linear.input.get(2).filter(|name| !name.is_empty()) {
        None => vec![0.0; n],
        Some(name) => {
            let bias = graph.constants.get(name)?.as_floats()?;
            match bias.len() {
                1 => vec![bias[0]; n],
                len if len == n => bias.to_vec(),
                _ => return None,
            }
        }
    };
    let bias: Vec<f32> = (0..n).map(|c| bias[c] * factors[c] + shifts[c]).collect();
    let weights = set_constant(
        graph,
        &format!("{}_normalized", linear.input[1]),
        shape,
        scaled,
    );
    let bias = set_constant(graph, &format!("{weights}_bias"), vec![n], bias);
    let merged = &mut graph.nodes[before];
    merged.input = vec![linear.input[0].clone(), weights, bias];
    merged.output = vec![node.output.first()?.clone()];
    Some(())
}

/// Whether an attribute is set.
pub(super) fn flag(node: &NodeProto, name: &str) -> bool {
    let set = |a: &AttributeProto| a.name == name && a.i != 0;
    node.attribute.iter().any(set)
}

/// An integer attribute.
pub(super) fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..Default::default()
    }
}
