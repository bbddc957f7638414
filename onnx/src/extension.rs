//! Operators of other crates: how an ONNX node of theirs becomes integer operators of theirs.
//!
//! A researcher's operator needs two entries: the integer operator in a [`zkonnx_circuits::program::Registry`], so that stored
//! programs can be read, and the ONNX operator in a [`Registry`] here, so that models can be imported with
//! [`crate::import_with`]. Neither touches this crate, and neither can replace an operator of it.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::group::exactness::{Exactness, Status};
use crate::group::importer::{Done, Importer};
use crate::group::params::{Params, Quantized};
use crate::group::real::{Base, Real, Value};
use crate::vocabulary;
use std::sync::Arc;

use zkonnx_circuits::program::{DataType, Fact, Operator, Range, TensorId};

/// From a node to its results.
pub type ImportNode = fn(&mut Context<'_, '_>, &NodeView<'_>) -> Result<Vec<Output>, NodeError>;

/// An ONNX operator of another crate.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Its domain, as the model's `opset_import` has it.
    pub domain: &'static str,
    /// Its name.
    pub name: &'static str,
    /// First supported version of the domain.
    pub min_opset: i64,
    /// Last supported version of the domain.
    pub max_opset: i64,
    /// The section of the documentation that states its integer rule; it stands in the report of each import.
    pub rule: &'static str,
    /// What makes integers of a node.
    pub import: ImportNode,
}

/// The operators of other crates that an import knows.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    extensions: Vec<Extension>,
}

impl Registry {
    /// A registry without further operators.
    pub const fn new() -> Self {
        Self {
            extensions: Vec::new(),
        }
    }

    /// Adds an operator. Returns whether its domain and name were free; if not, the earlier entry stays.
    pub fn register(&mut self, extension: Extension) -> bool {
        let free = vocabulary::find(extension.domain, extension.name)
            .is_none_or(|o| o.integers.is_none())
            && self.find(extension.domain, extension.name).is_none();
        if free {
            self.extensions.push(extension);
        }
        free
    }

    pub(crate) fn find(&self, domain: &str, name: &str) -> Option<Extension> {
        let mut all = self.extensions.iter();
        all.find(|e| e.domain == domain && e.name == name).copied()
    }
}

/// Integers that stand for reals, `scale · (integer − zero point)`, with one scale for the whole tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// The integers.
    pub tensor: TensorId,
    /// The scale: positive and normal.
    pub scale: f32,
    /// The zero point, a value of the tensor's type.
    pub zero: i64,
}

/// A result of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// Integers, or booleans.
    Int(TensorId),
    /// Integers that stand for reals, as if a DequantizeLinear had followed.
    Quantized(Activation),
}

/// What an operator sees of the import: the values of its inputs, and where its integer operators go.
pub struct Context<'i, 'a> {
    importer: &'i mut Importer<'a>,
}

impl std::fmt::Debug for Context<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context<'_, '_> {
    /// A quantized input: a real that comes from a DequantizeLinear with one scale.
    pub fn activation(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<Activation, NodeError> {
        let float = NodeError::Float { input, what };
        let Value::Real(real) = self.importer.value(node, input)? else {
            return Err(float);
        };
        let q = real.as_quantized().ok_or(float)?;
        let (scale, zero) = q.params.uniform().ok_or(NodeError::Input {
            input,
            what,
            reason: "its scales follow an axis",
        })?;
        Ok(Activation {
            tensor: q.tensor,
            scale,
            zero,
        })
    }

    /// An integer input that is computed, not constant.
    pub fn int(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<TensorId, NodeError> {
        match self.importer.value(node, input)? {
            Value::Int(tensor) => Ok(tensor),
            _ => Err(NodeError::Input {
                input,
                what,
                reason: "it is not a computed integer tensor",
            }),
        }
    }

    /// Shape and elements of a constant integer input.
    pub fn constant_ints(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<(Vec<usize>, Vec<i64>), NodeError> {
        let constant = self.importer.constant(node, input, what)?;
        let data = constant.as_ints().ok_or(NodeError::Input {
            input,
            what,
            reason: "it is not an integer tensor",
        })?;
        Ok((constant.shape.clone(), data.to_vec()))
    }

    /// Shape and elements of a constant float input.
    pub fn constant_floats(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<(Vec<usize>, Vec<f32>), NodeError> {
        let constant = self.importer.constant(node, input, what)?;
        let data = constant.as_floats().ok_or(NodeError::Input {
            input,
            what,
            reason: "it is not a float tensor",
        })?;
        Ok((constant.shape.clone(), data.to_vec()))
    }

    /// Type, shape and range of an integer tensor.
    pub fn fact(&self, tensor: TensorId) -> &Fact {
        self.importer.builder.fact(tensor)
    }

    /// Adds an integer operator, of this crate or of any other, and gives its outputs.
    pub fn push(
        &mut self,
        node: &NodeView<'_>,
        op: impl Operator,
        inputs: &[TensorId],
    ) -> Result<Vec<TensorId>, NodeError> {
        let builder = &mut self.importer.builder;
        Ok(builder.push(&node.name(), Arc::new(op), inputs)?)
    }

    /// As [`Context::push`], for an operator with one output.
    pub fn push1(
        &mut self,
        node: &NodeView<'_>,
        op: impl Operator,
        inputs: &[TensorId],
    ) -> Result<TensorId, NodeError> {
        self.importer.push(node, op, inputs)
    }
}

impl Extension {
    /// Imports a node, and checks what it promises of its results.
    pub(crate) fn run(
        &self,
        importer: &mut Importer<'_>,
        node: &NodeView<'_>,
    ) -> Result<Done, NodeError> {
        let outputs = (self.import)(&mut Context { importer }, node)?;
        let value = |output: &Output| {
            Ok(match *output {
                Output::Int(tensor) => Value::Int(tensor),
                Output::Quantized(Activation {
                    tensor,
                    scale,
                    zero,
                }) => {
                    let fact = importer.builder.fact(tensor);
                    let (dtype, shape) = (fact.dtype, fact.shape.clone());
                    check_params(dtype, scale, zero)?;
                    let params = Params {
                        scale: vec![scale],
                        zero: vec![zero],
                        axis: None,
                        dtype,
                    };
                    let base = Base::Quantized(Quantized { tensor, params });
                    Value::Real(Arc::new(Real::new(base, shape)))
                }
            })
        };
        let values = outputs
            .iter()
            .map(value)
            .collect::<Result<_, NodeError>>()?;
        let status = Status::Closed(Exactness::Foreign { rule: self.rule });
        Ok(Done { values, status })
    }
}

fn check_params(dtype: DataType, scale: f32, zero: i64) -> Result<(), NodeError> {
    if !(scale.is_normal() && scale > 0.0) {
        return Err(NodeError::Scale(scale));
    }
    match Range::of(dtype).contains(zero) {
        true => Ok(()),
        false => Err(NodeError::Input {
            input: 0,
            what: "the zero point of the result",
            reason: "it is no value of the type",
        }),
    }
}
