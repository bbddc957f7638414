//! A graph as nodes and tensors of a file.

use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{NodeProto, TensorProto, TensorShapeProto, ValueInfoProto, type_proto};

use crate::graph::constant::Element;
use crate::graph::{Graph, Node, STANDARD, Type, ValueId};
use crate::proto::tensor::{FLOAT, element_type};
use crate::proto::{attribute, tensor};

/// A node as a file stores it.
pub(crate) fn node(graph: &Graph, node: &Node) -> NodeProto {
    let name = |value: &Option<ValueId>| value.map_or("", |value| graph.name(value)).to_owned();
    NodeProto {
        name: node.name.clone(),
        domain: match node.domain.as_str() {
            STANDARD => String::new(),
            domain => domain.to_owned(),
        },
        op_type: node.op.clone(),
        input: node.inputs.iter().map(name).collect(),
        output: node.outputs.iter().map(name).collect(),
        attribute: node.attributes.iter().map(attribute::write).collect(),
        ..Default::default()
    }
}

/// A constant as a file stores it.
pub(crate) fn constant(graph: &Graph, value: ValueId) -> Option<TensorProto> {
    let constant = graph.constant(value)?;
    Some(tensor::write(graph.name(value), constant))
}

/// A graph input whose open dimensions have been bound. A batch of one stays open.
pub(crate) fn fixed(info: &ValueInfoProto, shape: &[usize]) -> ValueInfoProto {
    let mut info = narrow(info);
    let value = info.r#type.as_mut().and_then(|t| t.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = value
        && let Some(dims) = tensor.shape.as_mut()
    {
        for (axis, (dim, &extent)) in dims.dim.iter_mut().zip(shape).enumerate() {
            let fixed = matches!(dim.value, Some(dimension::Value::DimValue(v)) if v > 0);
            if !fixed && (axis, extent) != (0, 1) {
                dim.value = Some(dimension::Value::DimValue(extent as i64));
            }
        }
    }
    info
}

/// An output whose type, if it is known, is that of the model that is written: maps and strings are no more.
pub(crate) fn result(info: &ValueInfoProto, ty: Option<&Type>) -> ValueInfoProto {
    let mut info = narrow(info);
    let (Some(ty), Some(own)) = (ty, info.r#type.as_mut()) else {
        return info;
    };
    let code = match ty.element {
        Element::Float => FLOAT,
        Element::Int(dtype) => tensor::code(dtype),
        _ => return info,
    };
    match own.value.as_mut() {
        Some(type_proto::Value::TensorType(tensor)) => tensor.elem_type = code,
        _ => {
            // A batch of one stays open.
            let dims = ty
                .shape
                .iter()
                .enumerate()
                .map(|(axis, &extent)| Dimension {
                    value: ((axis, extent) != (0, 1))
                        .then_some(dimension::Value::DimValue(extent as i64)),
                    ..Default::default()
                });
            own.value = Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: code,
                shape: Some(TensorShapeProto {
                    dim: dims.collect(),
                }),
            }));
        }
    }
    info
}

/// An input or output whose floats have become float32.
pub(crate) fn narrow(info: &ValueInfoProto) -> ValueInfoProto {
    let mut info = info.clone();
    let value = info.r#type.as_mut().and_then(|t| t.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = value
        && let Some(Element::Double | Element::Half(_)) = element_type(tensor.elem_type)
    {
        tensor.elem_type = FLOAT;
    }
    info
}
