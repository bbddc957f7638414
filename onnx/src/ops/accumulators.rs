//! `ConvInteger` and `MatMulInteger`: the accumulators themselves, of type int32.

use super::super::importer::{Done, Importer};
use super::super::kernel::Origin;
use super::super::real::{Base, Params, QuantizedConstant, Real};
use super::linear::{Activation, Matrices};
use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::Constant;

/// `ConvInteger`: the accumulators themselves, of type int32.
pub(crate) fn conv_integer(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let (x, weights) = integer_operands(cx, node, |_| 0)?;
    let real = cx.convolution(node, &x, &weights, (None, 0), Origin::kernel())?;
    accumulators(&real)
}

/// `MatMulInteger` with a constant right operand: the accumulators themselves, of type int32.
pub(crate) fn matmul_integer(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let (x, weights) = integer_operands(cx, node, |_| 1)?;
    let form = Matrices::plain(Origin::kernel());
    let real = cx.product(node, &x, &weights, (None, 0), form)?;
    accumulators(&real)
}

fn accumulators(real: &Real) -> Result<Done, NodeError> {
    match &real.base {
        Base::Acc(acc) => Ok(Done::int(acc.tensor)),
        _ => Err(NodeError::Unknown),
    }
}

/// Activation and weights of ConvInteger and MatMulInteger, whose zero points may be left out.
fn integer_operands(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    axis: impl Fn(&Constant) -> usize,
) -> Result<(Activation, QuantizedConstant), NodeError> {
    let mut x = cx.integer_activation(node, 0, None)?;
    if let Some(zero) = cx.maybe_constant(node, 2, "the zero point")? {
        let reason = "only one zero point for all rows is supported";
        x.zero = zero.as_int().ok_or(NodeError::Input {
            input: 2,
            what: "the zero point",
            reason,
        })?;
    }
    let zero = cx.maybe_constant(node, 3, "the zero point")?;
    let weights = cx.integer_weights(node, 1, |data, dtype| {
        let zero = zero
            .as_ref()
            .and_then(|z| z.as_ints())
            .map_or(vec![0], <[i64]>::to_vec);
        let axis = (zero.len() > 1).then(|| axis(data));
        if axis.is_some_and(|axis| data.shape.get(axis) != Some(&zero.len())) {
            let reason = "it has neither one value nor one for each channel";
            return Err(NodeError::Input {
                input: 3,
                what: "the zero point",
                reason,
            });
        }
        Ok(Params {
            scale: vec![1.0; zero.len()],
            zero,
            axis,
            dtype,
        })
    })?;
    Ok((x, weights))
}
