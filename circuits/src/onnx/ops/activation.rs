//! Activation functions: names, attributes and defaults of ONNX.

use super::super::error::NodeError;
use super::super::expr::Unary;
use super::super::importer::{Done, Importer};
use super::super::node::NodeView;
use super::super::real::{Base, Real};
use super::elementwise::unary;
use super::linear::scalar;
use super::pool::quantized;
use std::sync::Arc;

/// The function that a node applies.
pub(crate) fn function(node: &NodeView<'_>) -> Result<Unary, NodeError> {
    let name = node.op().strip_prefix("QLinear").unwrap_or(node.op());
    Ok(match name {
        "Abs" => Unary::Abs,
        "Acos" => Unary::Acos,
        "Acosh" => Unary::Acosh,
        "Asin" => Unary::Asin,
        "Asinh" => Unary::Asinh,
        "Atan" => Unary::Atan,
        "Atanh" => Unary::Atanh,
        "Ceil" => Unary::Ceil,
        "Celu" => Unary::Celu(node.float("alpha", 1.0)?),
        "Cos" => Unary::Cos,
        "Cosh" => Unary::Cosh,
        "Elu" => Unary::Elu(node.float("alpha", 1.0)?),
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "Gelu" => match node.text("approximate", "none")? {
            "none" => Unary::Gelu,
            "tanh" => Unary::GeluTanh,
            _ => {
                let reason = "the value is not known";
                return Err(NodeError::Attribute {
                    name: "approximate",
                    reason,
                });
            }
        },
        "HardSigmoid" => Unary::HardSigmoid(node.float("alpha", 0.2)?, node.float("beta", 0.5)?),
        "HardSwish" => Unary::HardSwish,
        "LeakyRelu" => Unary::LeakyRelu(node.float("alpha", 0.01)?),
        "Log" => Unary::Log,
        "Mish" => Unary::Mish,
        "Neg" => Unary::Neg,
        "QuickGelu" => Unary::Swish(node.float("alpha", 1.702)?),
        "Reciprocal" => Unary::Reciprocal,
        "Relu" => Unary::Relu,
        "Round" => Unary::Round,
        "Selu" => Unary::Selu(
            node.float("alpha", 1.673_263_2)?,
            node.float("gamma", 1.050_701)?,
        ),
        "Shrink" => Unary::Shrink(node.float("bias", 0.0)?, node.float("lambd", 0.5)?),
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Sinh" => Unary::Sinh,
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "Sqrt" => Unary::Sqrt,
        "Swish" => Unary::Swish(node.float("alpha", 1.0)?),
        "Tan" => Unary::Tan,
        "Tanh" => Unary::Tanh,
        "ThresholdedRelu" => Unary::ThresholdedRelu(node.float("alpha", 1.0)?),
        _ => return Err(NodeError::Unknown),
    })
}

/// An elementwise function between DequantizeLinear and QuantizeLinear.
pub(crate) fn activation(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    unary(cx, node, function(node)?)
}

/// `com.microsoft.QLinearSigmoid`, `com.microsoft.QLinearLeakyRelu`: a table.
pub(crate) fn qlinear(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let f = function(node)?;
    let x = quantized(cx, node, 0)?;
    let y = cx.output_params(node, &scalar(3, 4, x.params.dtype))?;
    let shape = cx.builder.fact(x.tensor).shape.clone();
    let mut real = Real::new(Base::Quantized(x), shape);
    real.expr = Arc::clone(&real.expr).unary(f);
    let (tensor, exactness) = cx.close(node, &real, &y)?;
    Ok(Done::closed(tensor, exactness))
}
