//! Float rewriting before quantization: equal functions in the form that quantizes best.
//!
//! What depends on constants alone is computed; operators that are not proved are expressed by others (`decompose`);
//! BatchNormalization becomes part of the convolution or product before it; a matrix product and the addition of a
//! bias become one Gemm; the factors of a Gemm become part of its weights; a division of two activations becomes a
//! product with the reciprocal.

use crate::error::ImportError;
use crate::eval::factors;
use crate::graph::constant::Constant;
use crate::graph::{AttributeValue, Graph, Node, NodeView, STANDARD, ValueId};
use crate::passes::refresh;
use crate::quantize::decompose::decompose;
use crate::quantize::tabular::shorten;

/// Rewrites a folded graph.
pub(crate) fn rewrite(graph: &mut Graph) -> Result<(), ImportError> {
    refresh(graph, opset_of(graph))?;
    decompose(graph)?;
    divisions(graph);
    shorten(graph);
    biases(graph);
    let mut i = 0;
    while i < graph.nodes.len() {
        if graph.nodes[i].is("Gemm") {
            scale_gemm(graph, i);
        }
        if graph.nodes[i].is("BatchNormalization") && absorb(graph, i).is_some() {
            graph.nodes.remove(i);
        } else {
            i += 1;
        }
    }
    graph.verify("rewrite");
    Ok(())
}

/// The opset that the quantized model has: that of the latest node, and one in which scales may follow an axis.
fn opset_of(graph: &Graph) -> i64 {
    let nodes = graph.nodes.iter().filter(|node| node.domain == STANDARD);
    let latest = nodes.map(|node| node.opset).max().unwrap_or(0);
    let own = latest.max(graph.opset);
    // The one mode of Resize that opset 13 dropped.
    let dropped = |node: &Node| {
        let mode = NodeView::new(graph, node).text("coordinate_transformation_mode", "");
        node.is("Resize") && mode == Ok("tf_half_pixel_for_nn")
    };
    match graph.nodes.iter().any(dropped) {
        true => own,
        false => own.max(13),
    }
}

/// `a / b` of two activations as `a · (1 / b)`.
fn divisions(graph: &mut Graph) {
    let mut i = 0;
    while i < graph.nodes.len() {
        let node = &graph.nodes[i];
        if let (true, &[Some(a), Some(b)]) = (node.is("Div"), node.inputs.as_slice())
            && graph.is_float(a)
            && !graph.is_constant(a)
            && !graph.is_constant(b)
        {
            let name = format!("{}_reciprocal", graph.name(b));
            let reciprocal = graph.add(&name);
            if let Some(ty) = graph.ty(b).cloned() {
                graph.set_type(reciprocal, ty);
            }
            let opset = graph.opset;
            let node = &mut graph.nodes[i];
            node.op = "Mul".into();
            node.inputs[1] = Some(reciprocal);
            let node = Node {
                name,
                domain: STANDARD.into(),
                op: "Reciprocal".into(),
                opset,
                inputs: vec![Some(b)],
                outputs: vec![Some(reciprocal)],
                ..Node::default()
            };
            graph.nodes.insert(i, node);
            i += 1;
        }
        i += 1;
    }
}

/// A matrix product with constant weights and the addition of a vector as Gemm.
fn biases(graph: &mut Graph) {
    let mut i = 0;
    while i < graph.nodes.len() {
        let Some((product, bias)) = biased(graph, i) else {
            i += 1;
            continue;
        };
        let output = graph.nodes[i].outputs.clone();
        let node = &mut graph.nodes[product];
        node.op = "Gemm".into();
        node.inputs.push(Some(bias));
        node.outputs = output;
        graph.nodes.remove(i);
    }
}

/// For an addition: the product before it, and the bias, if both fit a Gemm.
fn biased(graph: &Graph, i: usize) -> Option<(usize, ValueId)> {
    let node = &graph.nodes[i];
    let (true, &[Some(a), Some(b)]) = (node.is("Add"), node.inputs.as_slice()) else {
        return None;
    };
    let (sum, bias) = match (graph.is_constant(a), graph.is_constant(b)) {
        (false, true) => (a, b),
        (true, false) => (b, a),
        _ => return None,
    };
    let product = graph.maker(sum)?;
    let before = &graph.nodes[product];
    let weights = graph.constant(before.input(1)?)?;
    let matrices = graph.shape(before.input(0)?)?.len() == 2 && weights.shape.len() == 2;
    let shape = &graph.constant(bias)?.shape;
    let vector = shape.len() == 1 && shape[0] == *weights.shape.last()?;
    (before.is("MatMul") && matrices && vector && graph.uses(sum) == 1).then_some((product, bias))
}

/// `alpha` and `beta` of a Gemm become part of its weights and its bias.
fn scale_gemm(graph: &mut Graph, i: usize) {
    let node = &graph.nodes[i];
    let value = |name: &str| {
        let attribute = node.attributes.iter().find(|a| a.name == name);
        match attribute.map(|a| &a.value) {
            Some(AttributeValue::Float(v)) => *v,
            _ => 1.0,
        }
    };
    let factors = [(1, value("alpha")), (2, value("beta"))];
    for (input, factor) in factors {
        let Some(operand) = graph.nodes[i].input(input) else {
            continue;
        };
        let Some(constant) = graph.constant(operand).cloned() else {
            // A product of two activations keeps its factors.
            return;
        };
        let Some(data) = constant.as_floats().filter(|_| factor != 1.0) else {
            continue;
        };
        let data = data.iter().map(|v| v * factor).collect();
        let scaled = Constant::floats(constant.shape.clone(), data);
        let name = format!("{}_scaled", graph.name(operand));
        graph.nodes[i].inputs[input] = Some(graph.add_constant(&name, scaled));
    }
    let factors = ["alpha", "beta"];
    let attributes = &mut graph.nodes[i].attributes;
    attributes.retain(|a| !factors.contains(&a.name.as_str()));
}

/// Moves a BatchNormalization into the Conv or Gemm before it.
fn absorb(graph: &mut Graph, i: usize) -> Option<()> {
    let node = &graph.nodes[i];
    let x = node.input(0)?;
    let before = graph.maker(x)?;
    if graph.uses(x) != 1 || graph.nodes[before].output(0) != Some(x) {
        return None;
    }
    let read = |input: usize| graph.constant(node.input(input)?)?.as_floats();
    let constants = [read(1)?, read(2)?, read(3)?, read(4)?];
    let (factors, shifts) = factors(&NodeView::new(graph, node), constants).ok()?;
    let linear = &graph.nodes[before];
    let operand = linear.input(1)?;
    let weights = graph.constant(operand)?;
    let n = factors.len();
    let columns = match linear.op.as_str() {
        "Conv" => false,
        "Gemm" => !flag(graph, linear, "transB"),
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
    let scaled = Constant::floats(weights.shape.clone(), scaled);
    let bias = match linear.input(2) {
        None => vec![0.0; n],
        Some(bias) => {
            let bias = graph.constant(bias)?.as_floats()?;
            match bias.len() {
                1 => vec![bias[0]; n],
                len if len == n => bias.to_vec(),
                _ => return None,
            }
        }
    };
    let bias: Vec<f32> = (0..n).map(|c| bias[c] * factors[c] + shifts[c]).collect();
    let (first, outputs) = (linear.input(0), node.outputs.clone());
    let name = format!("{}_normalized", graph.name(operand));
    let weights = graph.add_constant(&name, scaled);
    let bias = graph.add_constant(&format!("{name}_bias"), Constant::floats(vec![n], bias));
    let merged = &mut graph.nodes[before];
    merged.inputs = vec![first, Some(weights), Some(bias)];
    merged.outputs = outputs;
    Some(())
}

/// Whether an attribute is set.
pub(crate) fn flag(graph: &Graph, node: &Node, name: &'static str) -> bool {
    NodeView::new(graph, node)
        .flag(name, false)
        .unwrap_or(false)
}

/// The constant that `next` adds to the result of a matrix product, one value for each column.
pub(crate) fn bias_of(graph: &Graph, product: &Node, next: &Node) -> Option<ValueId> {
    let output = product.output(0)?;
    if !product.is("MatMul") || !next.is("Add") {
        return None;
    }
    let columns = graph.constant(product.input(1)?)?.shape.last()?;
    let bias = next.reads().find(|value| *value != output)?;
    let shape = &graph.constant(bias)?.shape;
    (shape.as_slice() == [*columns]).then_some(bias)
}
