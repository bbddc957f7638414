//! The passes between a file and what is made of it: an import, or a quantized model.

mod fold;

use crate::error::ImportError;
use crate::graph::Graph;
use crate::proto;

/// Reads a model and carries out what both need.
pub(crate) fn prepare(bytes: &[u8]) -> Result<Graph, ImportError> {
    let mut graph = proto::read(bytes)?;
    fold::fold(&mut graph);
    graph.verify("fold");
    Ok(graph)
}

pub(crate) use fold::fold;
