//! Names of classes. No program holds strings: of a constant of strings its places are read, which may be picked and moved
//! up to an output of the model, and the names are kept for whoever reads that output.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto};

use crate::error::{ImportError, TensorProblem};
use crate::graph::{Classes, LEARNING, STANDARD};
use crate::proto::opsets::domain_name;
use crate::proto::order::{captures, node_name};

/// The names of a value's integers, or of its columns.
type Named = (Arc<Vec<String>>, bool);

/// Standard operators that move elements of their first input, and change none.
const MOVING: [&str; 7] = [
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Unsqueeze",
];

/// Makes places of the constants of strings, and answers what the outputs are called by.
pub(crate) fn named(graph: &mut GraphProto) -> Result<Vec<Classes>, ImportError> {
    let mut known: HashMap<String, Named> = HashMap::new();
    let mut strings: BTreeMap<String, String> = BTreeMap::new();
    for tensor in &mut graph.initializer {
        if tensor.data_type == tensor_proto::DataType::String as i32 {
            let names = Arc::new(texts(&tensor.string_data));
            *tensor = places(tensor, &names)?;
            strings.insert(tensor.name.clone(), tensor.name.clone());
            known.insert(tensor.name.clone(), (names, false));
        }
    }
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        // What an inner graph takes, it may compute with.
        let inner = captures(node).into_iter();
        for name in node.input.iter().map(String::as_str).chain(inner) {
            readers.entry(name).or_default().push(i);
        }
    }
    let mut waiting: Vec<String> = known.keys().cloned().collect();
    for node in &graph.node {
        let Some(own) = of_node(node) else { continue };
        if let Some(output) = node.output.first() {
            if !own.1 {
                strings.insert(output.clone(), node_name(node));
            }
            known.insert(output.clone(), own);
            waiting.push(output.clone());
        }
    }
    // Each value is named once, so this ends.
    while let Some(value) = waiting.pop() {
        let Some(own) = known.get(&value).cloned() else {
            continue;
        };
        for &reader in readers.get(value.as_str()).into_iter().flatten() {
            let node = &graph.node[reader];
            let moves = moves(node)
                && node.input.iter().position(|name| *name == value) == Some(0)
                && node.input.iter().filter(|name| **name == value).count() == 1
                && captures(node).is_empty();
            let source = strings.get(&value).cloned();
            if !moves {
                // The places of strings are none of their values: nothing may compute with them.
                match source {
                    Some(name) => {
                        let source = TensorProblem::Strings(node_name(node));
                        return Err(ImportError::Tensor { name, source });
                    }
                    None => continue,
                }
            }
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                if !known.contains_key(output) {
                    known.insert(output.clone(), own.clone());
                    waiting.push(output.clone());
                    if let Some(source) = &source {
                        strings.insert(output.clone(), source.clone());
                    }
                }
            }
        }
    }
    let outputs = graph.output.iter().filter_map(|output| {
        let (names, columns) = known.get(&output.name)?.clone();
        Some(Classes {
            output: output.name.clone(),
            names,
            columns,
        })
    });
    Ok(outputs.collect())
}

/// Whether a node is one of these operators, and no function of the model with the name of one.
fn moves(node: &NodeProto) -> bool {
    let op = node.op_type.as_str();
    match domain_name(&node.domain) {
        STANDARD => MOVING.contains(&op),
        LEARNING => op == "ArrayFeatureExtractor",
        _ => false,
    }
}

fn texts(names: &[Vec<u8>]) -> Vec<String> {
    let text = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
    names.iter().map(text).collect()
}

/// For each string the first place of the same one.
fn places(tensor: &TensorProto, names: &[String]) -> Result<TensorProto, ImportError> {
    let mut first: HashMap<&str, i64> = HashMap::new();
    let data = names
        .iter()
        .zip(0..)
        .map(|(name, place)| *first.entry(name).or_insert(place));
    let external = tensor_proto::DataLocation::External as i32;
    if tensor.data_location == Some(external) || !tensor.external_data.is_empty() {
        return Err(ImportError::Tensor {
            name: tensor.name.clone(),
            source: TensorProblem::External,
        });
    }
    Ok(TensorProto {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        data_type: tensor_proto::DataType::Int64 as i32,
        int64_data: data.collect(),
        ..Default::default()
    })
}

/// The names that a classifier gives its labels, or a ZipMap its columns.
fn of_node(node: &NodeProto) -> Option<Named> {
    let columns = node.op_type == "ZipMap";
    let of = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let given = |a: &&AttributeProto| !a.strings.is_empty();
    if node.domain != LEARNING {
        return None;
    }
    if let Some(names) = of("classlabels_strings").filter(given) {
        return Some((Arc::new(texts(&names.strings)), columns));
    }
    let integers = of("classlabels_int64s").filter(|_| columns)?;
    let names = integers.ints.iter().map(i64::to_string);
    Some((Arc::new(names.collect()), columns))
}
