//! Attributes as a file has them.

use std::sync::Arc;

use prost::Message;
use tract_onnx::pb::AttributeProto;
use tract_onnx::pb::attribute_proto::AttributeType;

use crate::graph::{Attribute, AttributeValue, Untyped};
use crate::proto::tensor;

/// Reads an attribute. What cannot be read is an error of whoever asks for it.
pub(crate) fn read(proto: &AttributeProto) -> Attribute {
    let tensor = || proto.t.as_ref().map(|t| tensor::read(t).map(Arc::new));
    let value = match AttributeType::try_from(proto.r#type) {
        Ok(AttributeType::Float) => AttributeValue::Float(proto.f),
        Ok(AttributeType::Int) => AttributeValue::Int(proto.i),
        Ok(AttributeType::String) => AttributeValue::Text(proto.s.clone()),
        Ok(AttributeType::Floats) => AttributeValue::Floats(proto.floats.clone()),
        Ok(AttributeType::Ints) => AttributeValue::Ints(proto.ints.clone()),
        Ok(AttributeType::Strings) => AttributeValue::Texts(proto.strings.clone()),
        Ok(AttributeType::Tensor) => match tensor() {
            Some(Ok(tensor)) => AttributeValue::Tensor(tensor),
            Some(Err(problem)) => AttributeValue::BadTensor(problem, encoded(proto)),
            None => AttributeValue::Other(encoded(proto)),
        },
        _ if proto.r#type == 0 => AttributeValue::Untyped(Box::new(Untyped {
            int: proto.i,
            float: proto.f,
            text: proto.s.clone(),
            tensor: tensor(),
            ints: proto.ints.clone(),
            floats: proto.floats.clone(),
            encoded: encoded(proto),
        })),
        _ => AttributeValue::Other(encoded(proto)),
    };
    Attribute {
        name: proto.name.clone(),
        value,
    }
}

/// The attribute without what says nothing.
fn encoded(proto: &AttributeProto) -> Vec<u8> {
    let bare = AttributeProto {
        doc_string: String::new(),
        ..proto.clone()
    };
    bare.encode_to_vec()
}

/// An attribute as a file stores it.
pub(crate) fn write(attribute: &Attribute) -> AttributeProto {
    let of = |kind: AttributeType, rest: AttributeProto| AttributeProto {
        name: attribute.name.clone(),
        r#type: kind as i32,
        ..rest
    };
    let empty = AttributeProto::default();
    let decoded = |bytes: &[u8]| AttributeProto::decode(bytes).unwrap_or_default();
    match &attribute.value {
        AttributeValue::Int(i) => of(AttributeType::Int, AttributeProto { i: *i, ..empty }),
        AttributeValue::Float(f) => of(AttributeType::Float, AttributeProto { f: *f, ..empty }),
        AttributeValue::Text(s) => {
            let s = s.clone();
            of(AttributeType::String, AttributeProto { s, ..empty })
        }
        AttributeValue::Ints(ints) => {
            let ints = ints.clone();
            of(AttributeType::Ints, AttributeProto { ints, ..empty })
        }
        AttributeValue::Floats(floats) => {
            let floats = floats.clone();
            of(AttributeType::Floats, AttributeProto { floats, ..empty })
        }
        AttributeValue::Texts(strings) => {
            let strings = strings.clone();
            of(AttributeType::Strings, AttributeProto { strings, ..empty })
        }
        AttributeValue::Tensor(tensor) => {
            let t = Some(tensor::write("", tensor));
            of(AttributeType::Tensor, AttributeProto { t, ..empty })
        }
        AttributeValue::Untyped(untyped) => decoded(&untyped.encoded),
        AttributeValue::BadTensor(_, encoded) | AttributeValue::Other(encoded) => decoded(encoded),
    }
}
