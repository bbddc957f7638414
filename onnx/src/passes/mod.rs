//! The passes between a file and what is made of it: an import, or a quantized model.

mod control;
mod fold;
mod narrow;
mod resolve;
mod restore;
mod trees;

use crate::error::ImportError;
use crate::graph::{Graph, OPSETS};
use crate::proto;
use crate::proto::Bindings;

/// Reads a model and carries out what both need.
pub(crate) fn prepare(bytes: &[u8], bindings: &Bindings) -> Result<Graph, ImportError> {
    let (mut graph, library) = proto::read(bytes, bindings)?;
    resolve::resolve(&mut graph, &library, OPSETS.0)?;
    graph.verify("resolve");
    Ok(graph)
}

/// The same for an import.
pub(crate) fn prepare_import(bytes: &[u8], bindings: &Bindings) -> Result<Graph, ImportError> {
    let mut graph = prepare(bytes, bindings)?;
    trees::rank(&mut graph)?;
    Ok(graph)
}

/// The same for a float model, whose floats are made float32. Answers the types that they had.
pub(crate) fn prepare_float(
    bytes: &[u8],
    bindings: &Bindings,
) -> Result<(Graph, Vec<String>), ImportError> {
    let mut graph = prepare(bytes, bindings)?;
    // What depends on constants alone has been computed in their own types.
    let had = narrow::narrow(&mut graph);
    if !had.is_empty() {
        refresh(&mut graph, 0)?;
        graph.verify("narrow");
    }
    Ok((graph, had))
}

pub(crate) use restore::restore;

/// Takes a graph to an opset, and learns types and constants again after a change.
pub(crate) fn refresh(graph: &mut Graph, opset: i64) -> Result<(), ImportError> {
    resolve::resolve(graph, &proto::Library::default(), opset)
}
