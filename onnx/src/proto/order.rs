//! An order of nodes in which inputs precede their use, and what inner graphs take from outer ones.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

use crate::error::ImportError;

/// Name of a node, or that of its first output.
pub(crate) fn node_name(node: &NodeProto) -> String {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output.clone(),
        (name, _) => name.to_owned(),
    }
}

/// Names that the inner graphs of a node take from the outer one, each once, by growing name.
pub(crate) fn captures(node: &NodeProto) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for attribute in &node.attribute {
        let graphs = attribute.g.iter().chain(&attribute.graphs);
        graphs.for_each(|graph| captured(graph, &mut found));
    }
    found
}

/// The depth of inner graphs is bounded by that of the protobuf.
fn captured<'n>(graph: &'n GraphProto, found: &mut BTreeSet<&'n str>) {
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    let constants = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    let made = graph.node.iter().flat_map(|node| &node.output);
    let own: HashSet<&str> = inputs
        .chain(constants)
        .chain(made.map(String::as_str))
        .collect();
    let mut read: BTreeSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    for node in &graph.node {
        let inputs = node.input.iter().map(String::as_str);
        read.extend(inputs.filter(|name| !name.is_empty()));
        read.extend(captures(node));
    }
    found.extend(read.into_iter().filter(|name| !own.contains(name)));
}

/// An order of the nodes in which inputs precede their use (Kahn's algorithm, smallest index first by construction).
pub(crate) fn sort(
    nodes: &[NodeProto],
    is_known: impl Fn(&str) -> bool,
) -> Result<Vec<usize>, ImportError> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if is_known(output) || makers.insert(output, i).is_some() {
                return Err(ImportError::Duplicate(output.clone()));
            }
        }
    }
    let mut waiting = vec![0usize; nodes.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        let inputs = node.input.iter().map(String::as_str);
        let reads = inputs.chain(captures(node));
        for input in reads.filter(|name| !name.is_empty() && !is_known(name)) {
            let maker = *makers.get(input).ok_or_else(|| ImportError::Missing {
                node: node_name(node),
                tensor: input.to_owned(),
            })?;
            users[maker].push(i);
            waiting[i] += 1;
        }
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|&i| waiting[i] == 0).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for &user in &users[i] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.insert(user);
            }
        }
    }
    match (0..nodes.len()).find(|&i| waiting[i] > 0) {
        Some(i) => Err(ImportError::Cycle(node_name(&nodes[i]))),
        None => Ok(order),
    }
}
