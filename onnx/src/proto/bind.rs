//! Types and shapes of graph inputs, with open dimensions bound.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{ModelProto, ValueInfoProto, type_proto};

use crate::error::{ImportError, InputProblem};
use crate::graph::InputType;
use crate::graph::constant::Element;
use crate::proto::tensor::{FLOAT, element_type};
use zkonnx_circuits::program::{MAX_ELEMENTS, MAX_RANK, elements};

/// What the open dimensions of a model's inputs are bound to. A proof is about fixed shapes.
///
/// A first axis that nothing binds is the batch and is bound to one: a proof is about one sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// Extents by the name that the model gives a dimension, or by `INPUT:AXIS` for one without a name.
    pub dims: BTreeMap<String, usize>,
    /// Shapes by the name of the input, for dimensions that `dims` does not bind: those of samples.
    pub shapes: BTreeMap<String, Vec<usize>>,
}

/// A graph input with dimensions that have no extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenInput {
    /// The input.
    pub input: String,
    /// Its extents; `None` for those that are open.
    pub shape: Vec<Option<usize>>,
}

/// Reads the inputs of a model.
pub(crate) struct Binder<'b> {
    bindings: &'b Bindings,
    used: BTreeSet<String>,
    /// Names of all open dimensions.
    open: BTreeSet<String>,
}

/// A dimension without an extent: its name, if it has one.
fn open_name(dim: Option<&dimension::Value>) -> Option<&str> {
    match dim {
        None | Some(dimension::Value::DimValue(-1)) => Some(""),
        Some(dimension::Value::DimParam(name)) => Some(name),
        Some(dimension::Value::DimValue(_)) => None,
    }
}

impl<'b> Binder<'b> {
    pub(crate) fn new(bindings: &'b Bindings) -> Self {
        Self {
            bindings,
            used: BTreeSet::new(),
            open: BTreeSet::new(),
        }
    }

    /// Type and shape of an input.
    pub(crate) fn input(
        &mut self,
        info: &ValueInfoProto,
    ) -> Result<(InputType, Vec<usize>), InputProblem> {
        let value = info.r#type.as_ref().and_then(|t| t.value.as_ref());
        let Some(type_proto::Value::TensorType(tensor)) = value else {
            return Err(InputProblem::NotTensor);
        };
        let dtype = match tensor.elem_type {
            FLOAT => InputType::Float,
            code => match element_type(code) {
                Some(Element::Int(dtype)) => InputType::Int(dtype),
                Some(element @ (Element::Double | Element::Half(_))) => InputType::Other(element),
                _ => return Err(InputProblem::Type(code)),
            },
        };
        let dims = &tensor.shape.as_ref().ok_or(InputProblem::NoShape)?.dim;
        if dims.len() > MAX_RANK {
            return Err(InputProblem::Extent(MAX_RANK));
        }
        let mut shape = Vec::with_capacity(dims.len());
        for (axis, dim) in dims.iter().enumerate() {
            let extent = match (open_name(dim.value.as_ref()), &dim.value) {
                (Some(name), _) => self.bound(&info.name, axis, name, dims.len())?,
                (None, Some(dimension::Value::DimValue(v))) => usize::try_from(*v).unwrap_or(0),
                (None, _) => 0,
            };
            if extent == 0 || extent > MAX_ELEMENTS {
                return Err(InputProblem::Extent(axis));
            }
            shape.push(extent);
            if elements(&shape) > MAX_ELEMENTS {
                return Err(InputProblem::Extent(axis));
            }
        }
        Ok((dtype, shape))
    }

    /// The extent of an open dimension.
    fn bound(
        &mut self,
        input: &str,
        axis: usize,
        name: &str,
        rank: usize,
    ) -> Result<usize, InputProblem> {
        let place = format!("{input}:{axis}");
        let own = if name.is_empty() { &place } else { name };
        self.open.insert(own.to_owned());
        for key in [own, &place] {
            if let Some(extent) = self.bindings.dims.get(key) {
                self.used.insert(key.to_owned());
                return Ok(*extent);
            }
        }
        let shape = self.bindings.shapes.get(input);
        match shape.filter(|shape| shape.len() == rank) {
            Some(shape) => Ok(shape[axis]),
            None if axis == 0 => Ok(1),
            None => Err(InputProblem::Open {
                axis,
                dim: own.to_owned(),
            }),
        }
    }

    /// Fails if there is a binding of a dimension that no input has.
    pub(crate) fn finish(self) -> Result<(), ImportError> {
        let mut names = self.bindings.dims.keys();
        match names.find(|name| !self.used.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(ImportError::UnknownDim {
                name: name.clone(),
                open: self.open.into_iter().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

/// The inputs of a model that have open dimensions, without a look at anything else.
pub(crate) fn open_inputs(model: &ModelProto) -> Vec<OpenInput> {
    let infos = model.graph.iter().flat_map(|graph| &graph.input);
    let open = |info: &ValueInfoProto| {
        let Some(type_proto::Value::TensorType(tensor)) = &info.r#type.as_ref()?.value else {
            return None;
        };
        let dims = tensor.shape.as_ref()?.dim.iter();
        let extent = |dim: Option<&dimension::Value>| match (open_name(dim), dim) {
            (None, Some(dimension::Value::DimValue(v))) => usize::try_from(*v).ok(),
            _ => None,
        };
        let shape: Vec<Option<usize>> = dims.map(|dim| extent(dim.value.as_ref())).collect();
        let input = info.name.clone();
        shape.contains(&None).then_some(OpenInput { input, shape })
    };
    infos.filter_map(open).collect()
}
