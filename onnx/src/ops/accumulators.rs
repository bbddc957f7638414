//! `ConvInteger` and `MatMulInteger`: the accumulators themselves, of type int32.

use super::super::importer::{Done, Importer};
use super::super::kernel::Origin;
use super::super::real::{Base, Params, QuantizedConstant, Real, Value};
use super::linear::Activation;
use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::Constant;

/// `ConvInteger`: the accumulators themselves, of type int32.
pub(crate) fn conv_integer(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let (x, weights) = integer_operands(cx, node, |_| 0)?;
    let real = cx.convolution(node, &x, &weights, (None, 0), Origin::kernel())?;
    accumulators(&real)
}

/// `MatMulInteger`: the accumulators themselves, of type int32.
pub(crate) fn matmul_integer(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let is_constant = |cx: &Importer<'_>, input| {
        let value = cx.value(node, input)?;
        Ok::<_, NodeError>(matches!(value, Value::Const(_)))
    };
    let real = match (is_constant(cx, 0)?, is_constant(cx, 1)?) {
        (true, _) => {
            let weights = cx.integer_weights(node, 0, |_, dtype| {
                let zero = vec![one_zero(cx, node, 2)?];
                let (scale, axis) = (vec![1.0], None);
                Ok(Params {
                    scale,
                    zero,
                    axis,
                    dtype,
                })
            })?;
            let mut x = cx.integer_activation(node, 1, None)?;
            x.zero = one_zero(cx, node, 3)?;
            cx.stacked(node, &x, &weights, true, Origin::kernel())?
        }
        (false, true) => {
            let (x, weights) = integer_operands(cx, node, |data| data.shape.len().max(1) - 1)?;
            cx.times(node, &x, &weights, Origin::kernel())?
        }
        (false, false) => {
            let mut a = cx.integer_activation(node, 0, None)?;
            let mut b = cx.integer_activation(node, 1, None)?;
            (a.zero, b.zero) = (one_zero(cx, node, 2)?, one_zero(cx, node, 3)?);
            cx.two_activations(node, &a, &b, Origin::kernel())?
        }
    };
    accumulators(&real)
}

/// The only zero point of an operand.
fn one_zero(cx: &Importer<'_>, node: &NodeView<'_>, input: usize) -> Result<i64, NodeError> {
    let what = "the zero point";
    let reason = "only one zero point for all rows is supported";
    match cx.maybe_constant(node, input, what)? {
        None => Ok(0),
        Some(zero) => zero.as_int().ok_or(NodeError::Input {
            input,
            what,
            reason,
        }),
    }
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
    x.zero = one_zero(cx, node, 2)?;
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
