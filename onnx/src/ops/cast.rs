//! `Cast`: of integers to reals, by giving them the scale one, and to other integers.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::ALL;
use crate::eval::types::TypeRule;
use crate::graph::constant::Element;
use crate::graph::{Draft, NodeView, ValueId};
use crate::group::exactness::{Relation, Status};
use crate::group::importer::{Done, Importer};
use crate::group::params::{Params, Quantized};
use crate::group::real::{Base, Real, Value};
use crate::operator::{
    ANY, EXACT, Facts, LAST, OF_SCORES, Operator, PREPARING, PRESENTING, Parts, TRANSPARENT,
};
use crate::proto::tensor::{FLOAT, code, element_type, integer_type};
use std::sync::Arc;
use zkonnx_circuits::program::DataType;

const CONVERSION: Facts = Facts::new(
    ANY,
    "integers to float32, as scale one and zero point zero, and to integers, from 32 bits on where they fit; constants to any type",
    &[Relation::Kernel],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Cast")
        .decomposed(Parts::One(truth))
        .whole(0..1)
        .restored(|r| r.cast())
        .attributes(&[("round_mode", 24, LAST), ("saturate", 19, LAST)])
        .value(ALL, TypeRule::Zeros(1), eval::cast::cast)
        .integers(cast, &CONVERSION)
        .is(EXACT | PREPARING | PRESENTING | TRANSPARENT | OF_SCORES),
    Operator::onnx("CastLike")
        .since(15)
        .value(ALL, TypeRule::Zeros(1), eval::cast::cast_like),
];

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
                return crate::group::integer::cast(cx, node, tensor, dtype);
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

/// Of a float, whether it is not zero.
fn truth(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let x = node.input(0).filter(|x| p.graph().is_float(*x))?;
    if node.int("to", 0) != Ok(i64::from(code(DataType::Bool))) {
        return None;
    }
    let zero = p.scalar(0.0);
    let equal = p.op("Equal", &[x, zero]);
    Some(p.op("Not", &[equal]))
}
