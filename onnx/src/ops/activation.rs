//! Activation functions: names, attributes and defaults of ONNX.

use crate::error::NodeError;
use crate::eval::function;
use crate::graph::NodeView;
use crate::group::importer::{Done, Importer};
use crate::group::operands::quantized;
use crate::group::params::scalar;
use crate::group::real::{Base, Real};
use crate::ops::elementwise::unary;
use std::sync::Arc;

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
