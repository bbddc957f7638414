//! Models of float64, float16 and bfloat16 as models of float32.
//!
//! Scales are found for what is left; nothing of the other types is proved, so this is for float models alone.

use std::sync::Arc;

use crate::graph::constant::{Constant, Data, Element, Half};
use crate::graph::{AttributeValue, Graph, InputType, Node};
use crate::proto::tensor::{FLOAT, element_type};

/// Gives all floats of a graph 32 bits. Answers the other types that it had.
pub(crate) fn narrow(graph: &mut Graph) -> Vec<String> {
    let mut found: Vec<&'static str> = Vec::new();
    let mut note = |element: Element| {
        let name = match element {
            Element::Double => "float64",
            Element::Half(Half::F16) => "float16",
            Element::Half(Half::BFloat16) => "bfloat16",
            _ => return,
        };
        if !found.contains(&name) {
            found.push(name);
        }
    };
    for input in &mut graph.inputs {
        if let InputType::Other(element) = input.dtype {
            note(element);
            input.dtype = InputType::Float;
        }
    }
    // Doubles that were folded away are not part of the model.
    let constants: Vec<_> = graph
        .reads()
        .into_iter()
        .filter_map(|value| Some((value, narrowed(graph.constant(value)?)?)))
        .collect();
    for (value, constant) in constants {
        if let Some(old) = graph.constant(value) {
            note(old.element());
        }
        graph.set_constant(value, Arc::new(constant));
    }
    for node in &mut graph.nodes {
        attributes(node, &mut note);
    }
    found.into_iter().map(str::to_owned).collect()
}

/// Attributes that hold a float of another type, or name one.
fn attributes(node: &mut Node, note: &mut impl FnMut(Element)) {
    let casts = node.is("Cast");
    for attribute in &mut node.attributes {
        match &mut attribute.value {
            AttributeValue::Tensor(tensor) => {
                if let Some(narrowed) = narrowed(tensor) {
                    note(tensor.element());
                    *tensor = Arc::new(narrowed);
                }
            }
            AttributeValue::Int(to) if casts && attribute.name == "to" => {
                let element = i32::try_from(*to).ok().and_then(element_type);
                if let Some(element @ (Element::Double | Element::Half(_))) = element {
                    note(element);
                    *to = i64::from(FLOAT);
                }
            }
            _ => {}
        }
    }
}

/// A constant of another float type as float32.
fn narrowed(constant: &Constant) -> Option<Constant> {
    let data = match &constant.data {
        Data::Double(data) => data.iter().map(|v| *v as f32).collect(),
        Data::Half(Half::F16, data) => {
            let wide = |bits: &u16| half::f16::from_bits(*bits).to_f32();
            data.iter().map(wide).collect()
        }
        Data::Half(Half::BFloat16, data) => {
            let wide = |bits: &u16| f32::from_bits(u32::from(*bits) << 16);
            data.iter().map(wide).collect()
        }
        _ => return None,
    };
    Some(Constant::floats(constant.shape.clone(), data))
}
