//! The passes between a file and what is made of it: an import, or a quantized model.

mod control;
mod fold;
mod picked;
mod resolve;
mod restore;
mod upgrade;

use crate::error::ImportError;
use crate::graph::{Graph, OPSETS};
use crate::proto::{self, Bindings};

/// Reads a model and carries out what both need.
pub(crate) fn prepare(bytes: &[u8], bindings: &Bindings) -> Result<Graph, ImportError> {
    let (mut graph, library) = proto::read(bytes, bindings)?;
    resolve::resolve(&mut graph, &library, OPSETS.0)?;
    graph.verify("resolve");
    Ok(graph)
}

pub(crate) use restore::restore;

/// Takes a graph to an opset, and learns types and constants again after a change.
pub(crate) fn refresh(graph: &mut Graph, opset: i64) -> Result<(), ImportError> {
    resolve::resolve(graph, &proto::Library::default(), opset)
}
