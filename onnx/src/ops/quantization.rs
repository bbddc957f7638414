//! QuantizeLinear, DequantizeLinear and the scales of every quantized operator.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{F, I8, I16, I32, SHORT, U8, U16};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data};
use crate::group::exactness::{Relation, Status};
use crate::group::expr::Expr;
use crate::group::importer::{Done, Importer};
use crate::group::kernel;
use crate::group::params::{Place, Quantized, QuantizedConstant};
use crate::group::real::{Base, Real, Value};
use crate::operator::{DYNAMIC, Facts, LAST, Operator, QUANTIZED};
use crate::proto::tensor::integer_type;
use std::sync::Arc;

use zkonnx_circuits::program::DataType;

const QUANTIZATION: Facts = Facts::new(
    "u8, i8, u16, i16; i32 for biases",
    "constant, positive, normal scales, per tensor or axis; constants of 4 bits too, and in blocks",
    &[Relation::Kernel, Relation::Steps],
);

const REFUSED: Facts = Facts::new(
    "none",
    "always refused: its scale depends on the data",
    &[Relation::AtImport],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("DequantizeLinear")
        .since(10)
        .restored(|r| r.dequantized())
        .attributes(&[
            ("axis", 13, LAST),
            ("block_size", 21, LAST),
            ("output_dtype", 23, LAST),
        ])
        .value(
            I8 | U8 | I16 | U16 | I32 | SHORT,
            TypeRule::Own(eval::types::dequantized),
            eval::quantization::dequantize_linear,
        )
        .closing(dequantize_linear, &QUANTIZATION)
        .is(QUANTIZED),
    Operator::onnx("DynamicQuantizeLinear")
        .since(11)
        .typed(TypeRule::Several(eval::types::dynamic))
        .restored(|r| r.quantization())
        .integers(dynamic, &REFUSED)
        .is(DYNAMIC | QUANTIZED),
    Operator::onnx("QuantizeLinear")
        .since(10)
        .attributes(&[
            ("axis", 13, LAST),
            ("block_size", 21, LAST),
            ("output_dtype", 21, LAST),
            ("precision", 23, LAST),
            ("saturate", 19, LAST),
        ])
        .value(
            F,
            TypeRule::Own(eval::types::quantized),
            eval::quantization::quantize_linear,
        )
        .closing(quantize_linear, &QUANTIZATION)
        .is(QUANTIZED),
    Operator::microsoft("DequantizeLinear")
        .restored(|r| r.dequantized())
        .value(
            I8 | U8 | I16 | U16 | I32 | SHORT,
            TypeRule::Own(eval::types::dequantized),
            eval::quantization::dequantize_linear,
        )
        .closing(dequantize_linear, &QUANTIZATION)
        .is(QUANTIZED),
    Operator::microsoft("QuantizeLinear")
        .value(
            F,
            TypeRule::Own(eval::types::quantized),
            eval::quantization::quantize_linear,
        )
        .closing(quantize_linear, &QUANTIZATION)
        .is(QUANTIZED),
];

/// `QuantizeLinear`: closes a pending real, or quantizes a constant.
pub(crate) fn quantize_linear(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    // The attribute concerns 8-bit floats only.
    node.int("saturate", 1)?;
    node.int("precision", 0)?;
    let dtype = match node.int("output_dtype", 0)? {
        0 => DataType::U8,
        code => i32::try_from(code)
            .ok()
            .and_then(integer_type)
            .ok_or(NodeError::Attribute {
                name: "output_dtype",
                reason: "only 8-bit and 16-bit integers are supported",
            })?,
    };
    let x = cx.value(node, 0)?;
    let shape = match &x {
        Value::Real(real) => real.shape.clone(),
        _ => {
            return Err(NodeError::Input {
                input: 0,
                what: "x",
                reason: "it is not float",
            });
        }
    };
    let axis = cx.axis_of(node, shape.len())?;
    let y = cx.output_params(
        node,
        &Place {
            scale: 1,
            zero: 2,
            axis,
            shape: &shape,
            dtype,
        },
    )?;
    match x {
        Value::Real(real) => {
            // A clamp that is dropped leaves the one before it next to this node.
            let mut expr = &real.expr;
            while let Expr::Unary(f, inner) = &**expr
                && let Some(limits) = f.limits()
                && kernel::drops(limits, &y)
            {
                if kernel::is_lost(limits, &y) {
                    return Err(NodeError::Island {
                        reason: "ONNX Runtime drops the Clip before it, as its scale is so small; leave the Clip out, or quantize with a larger scale",
                    });
                }
                expr = inner;
            }
            let (tensor, exactness) = cx.close(node, &real, &y)?;
            Ok(Done::closed(tensor, exactness))
        }
        _ => Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it is not float",
        }),
    }
}

/// `DequantizeLinear`: gives integers a real meaning.
pub(crate) fn dequantize_linear(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    if !matches!(node.int("output_dtype", 0)?, 0 | 1) {
        return Err(NodeError::Attribute {
            name: "output_dtype",
            reason: "only float32 is supported",
        });
    }
    if node.int("block_size", 0)? != 0 {
        return crate::ops::blocks::dequantize(cx, node);
    }
    let x = cx.value(node, 0)?;
    let bad = |reason| NodeError::Input {
        input: 0,
        what: "x",
        reason,
    };
    let (shape, dtype) = match &x {
        Value::Const(c) => match &c.data {
            Data::Int(dtype, _) | Data::Short(dtype, _) => (c.shape.clone(), *dtype),
            _ => return Err(bad("it is not an integer")),
        },
        Value::Int(tensor) => {
            let fact = cx.builder.fact(*tensor);
            (fact.shape.clone(), fact.dtype)
        }
        _ => return Err(bad("it is not an integer")),
    };
    let axis = cx.axis_of(node, shape.len())?;
    let params = cx.params(
        node,
        &Place {
            scale: 1,
            zero: 2,
            axis,
            shape: &shape,
            dtype,
        },
    )?;
    let short = |c: &Constant| matches!(c.data, Data::Short(..));
    let zero = cx.maybe_constant(node, 2, "the zero point")?;
    let differs = zero.is_some_and(|z| short(&z) != matches!(&x, Value::Const(c) if short(c)));
    if params.dtype != dtype || differs {
        return Err(NodeError::Input {
            input: 2,
            what: "the zero point",
            reason: "it has another type than x",
        });
    }
    match x {
        Value::Const(c) => {
            let weights = QuantizedConstant {
                data: (*c).clone(),
                params,
            };
            Ok(Done::new(Value::Weights(Arc::new(weights)), Status::Folded))
        }
        Value::Int(tensor) => Ok(Done::pending(Real::new(
            Base::Quantized(Quantized { tensor, params }),
            shape,
        ))),
        _ => Err(bad("it is not an integer")),
    }
}

/// `DynamicQuantizeLinear`: not supported, because its scale depends on the data.
pub(crate) fn dynamic(_: &mut Importer<'_>, _: &NodeView<'_>) -> Result<Done, NodeError> {
    Err(NodeError::Dynamic)
}
