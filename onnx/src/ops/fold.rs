//! What is known at import of tensors that are not: shapes, and casts of integers to reals.

use std::sync::Arc;

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::Element;
use crate::group::importer::{Done, Importer};
use crate::group::params::{Params, Quantized};
use crate::group::real::{Base, Real, Value};
use crate::proto::tensor::{FLOAT, element_type, integer_type};
use crate::{Status, eval};

/// `Shape` and `Size`: known at import.
pub(crate) fn shape(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let shape = cx.any_shape(&cx.value(node, 0)?)?;
    let known = eval::of_shape(node, &shape)?.into_iter();
    let values = known.map(|c| Value::Const(Arc::new(c))).collect();
    let status = Status::Folded;
    Ok(Done { values, status })
}

/// An operator whose inputs have to be constants; with such it never comes here.
pub(crate) fn constants_only(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let variable =
        (0..node.inputs()).find(|&i| !matches!(cx.maybe(node, i), Some(Value::Const(_))));
    let (input, what) = (variable.unwrap_or(0), "a constant");
    Err(NodeError::NotConstant { input, what })
}

/// `Cast`: of integers to float by giving them the scale one, and to other integers.
pub(crate) fn cast(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    node.int("saturate", 1)?;
    node.text("round_mode", "up")?;
    let to = i32::try_from(node.int("to", 0)?).unwrap_or(0);
    let bad = |reason| Err(NodeError::Attribute { name: "to", reason });
    match cx.value(node, 0)? {
        Value::Int(tensor) => {
            let fact = cx.builder.fact(tensor).clone();
            if integer_type(to) == Some(fact.dtype) {
                return Ok(Done::int(tensor));
            }
            if let Some(dtype) = integer_type(to) {
                return crate::ops::integer::cast(cx, node, tensor, dtype);
            }
            // Floats of other sizes are no part of a quantized model; what they say stays outside.
            if let Some(Element::Double | Element::Half(_)) = element_type(to) {
                let (values, status) = (vec![Value::Outside], Status::Outside);
                return Ok(Done { values, status });
            }
            if to != FLOAT {
                return bad("integers are cast to float32 and to integers of up to 64 bits only");
            }
            let params = Params {
                scale: vec![1.0],
                zero: vec![0],
                axis: None,
                dtype: fact.dtype,
            };
            let real = Real::new(Base::Quantized(Quantized { tensor, params }), fact.shape);
            Ok(Done::pending(real))
        }
        Value::Real(real) if to == FLOAT => {
            Ok(Done::new(Value::Real(Arc::clone(&real)), Status::Group))
        }
        _ => bad("a cast of reals to integers is not supported; use QuantizeLinear"),
    }
}
