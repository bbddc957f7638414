//! Ways in which a model file is damaged, by accident or on purpose.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto,
};

/// Numbers at which arithmetic goes wrong.
const NUMBERS: [i64; 18] = [
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    256,
    -128,
    1 << 16,
    1 << 24,
    (1 << 24) + 1,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 40,
    1 << 62,
    i64::MAX,
    i64::MIN,
];

/// Floats at which arithmetic goes wrong.
const FLOATS: [f32; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-45,
    1e-38,
    3e38,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    0.5,
    1e10,
];

/// Names of operators that nodes are given instead of theirs.
const OPERATORS: [&str; 26] = [
    "",
    "Conv",
    "QLinearConv",
    "MatMul",
    "Gemm",
    "Reshape",
    "ConstantOfShape",
    "Range",
    "Expand",
    "Tile",
    "Pad",
    "Resize",
    "Slice",
    "Gather",
    "TopK",
    "Concat",
    "Split",
    "If",
    "Loop",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "Shape",
    "ConvTranspose",
    "Transpose",
    "NoSuchOperator",
];

/// What was done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Truncated,
    Bytes,
    Spliced,
    Dims,
    HugeShape,
    MissingInitializer,
    DoubledInitializer,
    Cycle,
    External,
    WrongType,
    Data,
    Nodes,
    Operator,
    Attribute,
    Wiring,
    Versions,
    Inputs,
    Outputs,
    Nested,
}

pub(crate) const KINDS: [Kind; 19] = [
    Kind::Truncated,
    Kind::Bytes,
    Kind::Spliced,
    Kind::Dims,
    Kind::HugeShape,
    Kind::MissingInitializer,
    Kind::DoubledInitializer,
    Kind::Cycle,
    Kind::External,
    Kind::WrongType,
    Kind::Data,
    Kind::Nodes,
    Kind::Operator,
    Kind::Attribute,
    Kind::Wiring,
    Kind::Versions,
    Kind::Inputs,
    Kind::Outputs,
    Kind::Nested,
];

/// Damages a file in one way.
pub(crate) fn mutate(bytes: &[u8], model: &ModelProto, kind: Kind, rng: &mut StdRng) -> Vec<u8> {
    use prost::Message;
    match kind {
        Kind::Truncated => return bytes[..rng.random_range(0..bytes.len())].to_vec(),
        Kind::Bytes => return some_bytes(bytes, rng),
        Kind::Spliced => return spliced(bytes, rng),
        _ => {}
    }
    let mut model = model.clone();
    if let Kind::Versions = kind {
        versions(&mut model, rng);
        return model.encode_to_vec();
    }
    let Some(graph) = model.graph.as_mut() else {
        return Vec::new();
    };
    match kind {
        Kind::Dims => dims(graph, rng),
        Kind::HugeShape => huge_shape(graph, rng),
        Kind::MissingInitializer => remove(&mut graph.initializer, rng),
        Kind::DoubledInitializer => double(&mut graph.initializer, rng),
        Kind::Cycle => cycle(graph, rng),
        Kind::External => external(graph, rng),
        Kind::WrongType => wrong_type(graph, rng),
        Kind::Data => data(graph, rng),
        Kind::Nodes => nodes(graph, rng),
        Kind::Operator => operator(graph, rng),
        Kind::Attribute => attribute(graph, rng),
        Kind::Wiring => wiring(graph, rng),
        Kind::Inputs => inputs(graph, rng),
        Kind::Outputs => outputs(graph, rng),
        Kind::Nested => nested(graph, rng),
        Kind::Truncated | Kind::Bytes | Kind::Spliced | Kind::Versions => {}
    }
    model.encode_to_vec()
}

fn one_of<'t, T>(items: &'t [T], rng: &mut StdRng) -> Option<&'t T> {
    items.choose(rng)
}

fn place<T>(items: &[T], rng: &mut StdRng) -> Option<usize> {
    (!items.is_empty()).then(|| rng.random_range(0..items.len()))
}

fn number(rng: &mut StdRng) -> i64 {
    one_of(&NUMBERS, rng).copied().unwrap_or(0)
}

fn float(rng: &mut StdRng) -> f32 {
    one_of(&FLOATS, rng).copied().unwrap_or(0.0)
}

fn remove<T>(items: &mut Vec<T>, rng: &mut StdRng) {
    if let Some(i) = place(items, rng) {
        items.remove(i);
    }
}

fn double<T: Clone>(items: &mut Vec<T>, rng: &mut StdRng) {
    if let Some(i) = place(items, rng) {
        items.push(items[i].clone());
    }
}

fn some_bytes(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..rng.random_range(1..9) {
        let i = rng.random_range(0..out.len());
        out[i] = match rng.random_range(0..3) {
            0 => out[i] ^ (1 << rng.random_range(0..8)),
            1 => 0xff,
            _ => rng.random(),
        };
    }
    out
}

/// Removes, repeats or inserts a piece, so that lengths no longer fit.
fn spliced(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let from = rng.random_range(0..bytes.len());
    let to = rng.random_range(from..bytes.len().min(from + 64)) + 1;
    let at = rng.random_range(0..bytes.len());
    let mut out = bytes.to_vec();
    match rng.random_range(0..3) {
        0 => drop(out.drain(from..to)),
        1 => drop(out.splice(at..at, bytes[from..to].iter().copied())),
        _ => {
            let mut noise = vec![0; to - from];
            rng.fill_bytes(&mut noise);
            out.splice(at..at, noise);
        }
    }
    out
}

fn dims(graph: &mut GraphProto, rng: &mut StdRng) {
    let shaped: Vec<&mut TensorProto> = graph
        .initializer
        .iter_mut()
        .filter(|t| t.dims.len() > 1)
        .collect();
    match shaped.into_iter().max_by_key(|t| t.dims.len()) {
        Some(tensor) if rng.random() => {
            let i = rng.random_range(0..tensor.dims.len());
            tensor.dims.swap(i, 0);
            tensor.dims.reverse();
        }
        _ => {
            if let Some(i) = place(&graph.initializer, rng) {
                graph.initializer[i].dims.push(rng.random_range(1..4));
            }
        }
    }
}

fn huge_shape(graph: &mut GraphProto, rng: &mut StdRng) {
    if rng.random() {
        if let Some(i) = place(&graph.initializer, rng) {
            let tensor = &mut graph.initializer[i];
            tensor.dims = (0..rng.random_range(1..10)).map(|_| number(rng)).collect();
        }
    } else if let Some(i) = place(&graph.input, rng)
        && let Some(dims) = input_dims(&mut graph.input[i])
    {
        for dim in dims.iter_mut().skip(1) {
            if rng.random() {
                dim.value = Some(dimension::Value::DimValue(number(rng)));
            }
        }
    }
}

pub(crate) fn input_dims(info: &mut ValueInfoProto) -> Option<&mut Vec<Dimension>> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_mut()?.value.as_mut()?;
    Some(&mut tensor.shape.as_mut()?.dim)
}

/// An input of a node becomes an output of it, or of a later one.
fn cycle(graph: &mut GraphProto, rng: &mut StdRng) {
    let Some(first) = place(&graph.node, rng) else {
        return;
    };
    let last = rng.random_range(first..graph.node.len());
    let output = graph.node[last].output.first().cloned().unwrap_or_default();
    let node = &mut graph.node[first];
    if let Some(i) = place(&node.input, rng) {
        node.input[i] = output;
    }
}

fn external(graph: &mut GraphProto, rng: &mut StdRng) {
    if let Some(i) = place(&graph.initializer, rng) {
        let tensor = &mut graph.initializer[i];
        tensor.data_location = Some(1);
        let entry = |key: &str, value: &str| tract_onnx::pb::StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        };
        let location = one_of(&["weights.bin", "/etc/passwd", "../../secret", ""], rng);
        tensor.external_data = vec![
            entry("location", location.copied().unwrap_or_default()),
            entry("length", &number(rng).to_string()),
        ];
        if rng.random() {
            tensor.raw_data.clear();
        }
    }
}

fn wrong_type(graph: &mut GraphProto, rng: &mut StdRng) {
    let code = rng.random_range(-1..26);
    if rng.random() {
        if let Some(i) = place(&graph.initializer, rng) {
            graph.initializer[i].data_type = code;
        }
    } else if let Some(i) = place(&graph.input, rng)
        && let Some(kind) = graph.input[i].r#type.as_mut()
    {
        match kind.value.as_mut() {
            Some(type_proto::Value::TensorType(tensor)) if rng.random() => tensor.elem_type = code,
            _ => kind.value = None,
        }
    }
}

/// Other contents of a constant: scales, zero points, shapes and indices among them.
fn data(graph: &mut GraphProto, rng: &mut StdRng) {
    let Some(i) = place(&graph.initializer, rng) else {
        return;
    };
    let tensor = &mut graph.initializer[i];
    if rng.random_range(0..4) == 0 {
        let len = tensor.raw_data.len();
        tensor
            .raw_data
            .resize(rng.random_range(0..2 * len + 2), 0x7f);
        return;
    }
    let width = match tensor.data_type {
        1 | 6 | 12 => 4,
        7 | 11 | 13 => 8,
        4 | 5 | 10 => 2,
        _ => 1,
    };
    let element: Vec<u8> = match tensor.data_type {
        1 => float(rng).to_le_bytes().into(),
        11 => f64::from(float(rng)).to_le_bytes().into(),
        _ => number(rng).to_le_bytes()[..width].into(),
    };
    let everywhere = rng.random::<bool>();
    let mut elements: Vec<&mut [u8]> = tensor.raw_data.chunks_exact_mut(width).collect();
    let only = place(&elements, rng);
    for (i, place) in elements.iter_mut().enumerate() {
        if everywhere || Some(i) == only {
            place.copy_from_slice(&element);
        }
    }
}

fn nodes(graph: &mut GraphProto, rng: &mut StdRng) {
    match rng.random_range(0..4) {
        0 => remove(&mut graph.node, rng),
        1 => double(&mut graph.node, rng),
        2 => graph.node.reverse(),
        _ => graph.node.clear(),
    }
}

fn operator(graph: &mut GraphProto, rng: &mut StdRng) {
    let other = graph.node.choose(rng).map(|n| n.op_type.clone());
    let Some(i) = place(&graph.node, rng) else {
        return;
    };
    let node = &mut graph.node[i];
    match rng.random_range(0..3) {
        0 => node.op_type = other.unwrap_or_default(),
        1 => node.op_type = (*one_of(&OPERATORS, rng).unwrap_or(&"")).to_owned(),
        _ => {
            let domains = ["", "com.microsoft", "ai.onnx.ml", "org.example"];
            node.domain = (*one_of(&domains, rng).unwrap_or(&"")).to_owned();
        }
    }
}

fn attribute(graph: &mut GraphProto, rng: &mut StdRng) {
    let with: Vec<&mut NodeProto> = graph
        .node
        .iter_mut()
        .filter(|n| !n.attribute.is_empty() || n.op_type.len() % 3 == 0)
        .collect();
    let count = with.len();
    let Some(node) = with.into_iter().nth(rng.random_range(0..count.max(1))) else {
        return;
    };
    let Some(i) = place(&node.attribute, rng) else {
        let names = [
            "axis", "axes", "pads", "perm", "alpha", "keepdims", "to", "nonsense",
        ];
        node.attribute.push(AttributeProto {
            name: (*one_of(&names, rng).unwrap_or(&"")).to_owned(),
            r#type: 2,
            i: number(rng),
            ..Default::default()
        });
        return;
    };
    let attribute = &mut node.attribute[i];
    match rng.random_range(0..6) {
        0 => attribute.r#type = rng.random_range(-1..15),
        1 => attribute.name = "nonsense".into(),
        2 => {
            let copy = attribute.clone();
            node.attribute.push(copy);
        }
        3 => drop(node.attribute.remove(i)),
        4 => {
            attribute.ints.push(number(rng));
            attribute.s = vec![0xff, 0xfe];
        }
        _ => {
            attribute.i = number(rng);
            attribute.f = float(rng);
            if let Some(j) = place(&attribute.ints, rng) {
                attribute.ints[j] = number(rng);
            }
        }
    }
}

fn wiring(graph: &mut GraphProto, rng: &mut StdRng) {
    let names: Vec<String> = graph
        .node
        .iter()
        .flat_map(|n| n.output.iter().chain(&n.input))
        .cloned()
        .collect();
    let other = names.choose(rng).cloned().unwrap_or_default();
    let Some(i) = place(&graph.node, rng) else {
        return;
    };
    let node = &mut graph.node[i];
    match rng.random_range(0..6) {
        0 => remove(&mut node.input, rng),
        1 => node.input.push(other),
        2 => node.input.reverse(),
        3 => node.output.push(other),
        4 => remove(&mut node.output, rng),
        _ => {
            if let Some(j) = place(&node.input, rng) {
                node.input[j] = if rng.random() { other } else { String::new() };
            }
        }
    }
}

fn versions(model: &mut ModelProto, rng: &mut StdRng) {
    match rng.random_range(0..5) {
        0 => model.ir_version = number(rng),
        1 => remove(&mut model.opset_import, rng),
        2 => double(&mut model.opset_import, rng),
        3 => model.graph = None,
        _ => {
            if let Some(i) = place(&model.opset_import, rng) {
                model.opset_import[i].version = if rng.random() {
                    number(rng)
                } else {
                    rng.random_range(1..30)
                };
            }
        }
    }
}

fn inputs(graph: &mut GraphProto, rng: &mut StdRng) {
    match rng.random_range(0..5) {
        0 => remove(&mut graph.input, rng),
        1 => double(&mut graph.input, rng),
        2 => {
            if let Some(i) = place(&graph.input, rng) {
                graph.input[i].name.clear();
            }
        }
        3 => {
            if let Some(i) = place(&graph.input, rng) {
                graph.input[i].r#type = None;
            }
        }
        _ => {
            if let Some(i) = place(&graph.input, rng)
                && let Some(dims) = input_dims(&mut graph.input[i])
                && let Some(j) = place(dims, rng)
            {
                dims[j].value = Some(dimension::Value::DimParam("n".into()));
            }
        }
    }
}

fn outputs(graph: &mut GraphProto, rng: &mut StdRng) {
    match rng.random_range(0..4) {
        0 => graph.output.clear(),
        1 => double(&mut graph.output, rng),
        2 => {
            if let Some(i) = place(&graph.output, rng) {
                graph.output[i].name = "nowhere".into();
            }
        }
        _ => {
            // A constant or an input as output.
            let name = graph.initializer.choose(rng).map(|t| t.name.clone());
            if let Some(i) = place(&graph.output, rng) {
                graph.output[i].name = name.unwrap_or_default();
            }
        }
    }
}

/// Graphs inside graphs, some deeper than a decoder should follow.
fn nested(graph: &mut GraphProto, rng: &mut StdRng) {
    let mut inner = GraphProto::default();
    for _ in 0..*one_of(&[1, 5, 20, 60], rng).unwrap_or(&1) {
        let attribute = AttributeProto {
            name: "then_branch".into(),
            r#type: 5,
            g: Some(inner),
            ..Default::default()
        };
        inner = GraphProto {
            node: vec![NodeProto {
                op_type: "If".into(),
                output: vec!["inner".into()],
                attribute: vec![attribute],
                ..Default::default()
            }],
            ..Default::default()
        };
    }
    let at = place(&graph.node, rng).unwrap_or(0);
    graph.node.splice(at..at, inner.node);
}
