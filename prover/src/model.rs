//! A model as the command line takes it: an ONNX file, or a program that was imported before.

use std::path::Path;
use std::sync::Arc;

use zkonnx_circuits::program::{Program, TensorId};
use zkonnx_onnx::quantize::obstacle;
use zkonnx_onnx::{Bindings, FloatTail, ImportError, NodeReport, TailNode, import_bound};

use crate::artifact::{Kind, MAX_MODEL_BYTES};
use crate::error::Error;
use crate::files;
use crate::operators::operators;

/// A program with what is known of the model that it came from.
#[derive(Clone, Debug)]
pub struct Model {
    /// The integer program.
    pub program: Arc<Program>,
    /// What the import said, if the file was an ONNX model.
    pub import: Option<Import>,
    /// The nodes that are not proved, as keys on disk name them; the import of an ONNX model knows better.
    pub stored_tail: Vec<TailNode>,
}

/// What the import of an ONNX model says beside the program.
#[derive(Clone, Debug)]
pub struct Import {
    /// What became of each node.
    pub report: Vec<NodeReport>,
    /// The nodes that are not proved.
    pub tail: Vec<TailNode>,
    /// The same nodes, ready to be evaluated; `None` if there are none.
    pub float_tail: Option<FloatTail>,
    /// The integer tensors of the model, by ONNX name.
    pub tensors: Vec<(String, TensorId)>,
}

impl Model {
    /// Reads an ONNX model or a program.
    pub fn load(path: &Path, bindings: &Bindings) -> Result<Self, Error> {
        let bytes = files::read(path, MAX_MODEL_BYTES, "a model")?;
        match Kind::of(&bytes) {
            Kind::Program => Ok(Self {
                program: Arc::new(program(path, &bytes)?),
                import: None,
                stored_tail: Vec::new(),
            }),
            Kind::Model => Self::import(path, &bytes, bindings),
            got => Err(Error::Kind {
                path: path.into(),
                expected: Kind::Program,
                got,
            }),
        }
    }

    /// Imports the bytes of an ONNX model; `path` is for errors.
    pub fn import(path: &Path, bytes: &[u8], bindings: &Bindings) -> Result<Self, Error> {
        let imported = import_bound(bytes, &(operators().models)(), bindings);
        let imported = imported.map_err(|source| refusal(path, bytes, bindings, source))?;
        let zkonnx_onnx::Imported {
            program,
            report,
            tail,
            float_tail,
            tensors,
        } = imported;
        Ok(Self {
            program: Arc::new(program),
            import: Some(Import {
                report,
                tail,
                float_tail,
                tensors,
            }),
            stored_tail: Vec::new(),
        })
    }

    /// The nodes that are not proved.
    pub fn tail(&self) -> &[TailNode] {
        self.import
            .as_ref()
            .map_or(&self.stored_tail, |import| &import.tail)
    }

    /// The nodes that are not proved, ready to be evaluated.
    pub fn float_tail(&self) -> Option<&FloatTail> {
        self.import.as_ref()?.float_tail.as_ref()
    }

    /// The tensors to show, by name: those of the ONNX model, or else inputs, first outputs of nodes, and outputs.
    pub fn tensors(&self) -> Vec<(String, TensorId)> {
        if let Some(import) = &self.import {
            return import.tensors.clone();
        }
        let ports = |ports: &[zkonnx_circuits::program::Port]| {
            ports
                .iter()
                .map(|port| (port.name.clone(), port.tensor))
                .collect::<Vec<_>>()
        };
        let nodes = self.program.nodes().iter();
        let nodes =
            nodes.filter_map(|node| node.outputs.first().map(|id| (node.name.clone(), *id)));
        let mut tensors = ports(self.program.inputs());
        tensors.extend(nodes);
        tensors.extend(ports(self.program.outputs()));
        tensors
    }
}

/// Why a model is refused. What is said of a float model is to quantize it, which is tried before it is said.
fn refusal(path: &Path, bytes: &[u8], bindings: &Bindings, source: ImportError) -> Error {
    let path = path.into();
    let obstacle = match source {
        ImportError::FloatModel => obstacle(bytes, bindings),
        _ => None,
    };
    match obstacle {
        Some(source) => Error::FloatModel {
            path,
            source: Box::new(source),
        },
        None => Error::Import {
            path,
            source: Box::new(source),
        },
    }
}

/// The program of a file's bytes; `path` is for errors.
pub(crate) fn program(path: &Path, bytes: &[u8]) -> Result<Program, Error> {
    Program::from_file(bytes, &(operators().programs)()).map_err(|source| Error::Program {
        path: path.into(),
        source,
    })
}
