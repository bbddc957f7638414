//! From protobuf to a graph, and back.
//!
//! Everything that a hostile file may hold is refused here or capped: sizes, names defined twice, tensors that nothing
//! makes, cycles, data in other files, functions that call themselves.

mod attribute;
mod bind;
mod classes;
mod functions;
mod opsets;
mod order;
mod reader;
pub(crate) mod tensor;
pub(crate) mod write;

use crate::error::ImportError;
use crate::graph::{Graph, LEARNING, MICROSOFT, OPSETS, STANDARD};
use crate::proto::opsets::Opsets;

use prost::Message;
use tract_onnx::pb::ModelProto;

pub(crate) use bind::open_inputs;
pub use bind::{Bindings, OpenInput};

pub(crate) use reader::{Body, Library};

/// First opset of the standard domain that is read; what is older than the first supported one is rewritten.
const FIRST_OPSET: i64 = 6;

/// Decodes a model.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto, ImportError> {
    if bytes.is_empty() {
        return Err(ImportError::Empty);
    }
    ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))
}

/// Reads a model: its graph, and what the inner graphs of that are read with.
pub(crate) fn read(bytes: &[u8], bindings: &Bindings) -> Result<(Graph, Library), ImportError> {
    let mut model = decode(bytes)?;
    let graph = model.graph.as_mut().ok_or(ImportError::NoGraph)?;
    let classes = classes::named(graph)?;
    if !(3..=13).contains(&model.ir_version) {
        return Err(ImportError::IrVersion(model.ir_version));
    }
    let opsets = opsets::opsets(&model.opset_import)?;
    check(&opsets)?;
    let functions = functions::list(bytes)?;
    let library = Library { functions, opsets };
    let graph = model.graph.as_ref().ok_or(ImportError::NoGraph)?;
    let mut graph = reader::read(graph, &library, bindings)?;
    graph.classes = classes;
    graph.verify("read");
    Ok((graph, library))
}

/// Refuses opsets that are not read.
fn check(opsets: &Opsets) -> Result<(), ImportError> {
    let refused = |domain: &str, version, supported| {
        Err(ImportError::Opset {
            domain: domain.to_owned(),
            version,
            supported,
        })
    };
    match opsets.get(STANDARD) {
        None if opsets.contains_key(LEARNING) => {}
        None => return Err(ImportError::NoOpset),
        Some(&v) if v < FIRST_OPSET || v > OPSETS.1 => return refused(STANDARD, v, "6 to 26"),
        Some(_) => {}
    }
    match opsets.get(MICROSOFT) {
        Some(&v) if v != 1 => refused(MICROSOFT, v, "version 1"),
        _ => Ok(()),
    }
}
