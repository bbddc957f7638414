//! `ConvInteger` and `MatMulInteger`: the accumulators themselves, of type int32.

use crate::error::NodeError;
use crate::eval;
use crate::eval::Binary;
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::graph::constant::Constant;
use crate::group::exactness::Relation;
use crate::group::expr::Operand;
use crate::group::importer::{Done, Importer};
use crate::group::operands::Activation;
use crate::group::params::{Params, Place, QuantizedConstant, scalar};
use crate::group::pointwise::with_operand;
use crate::group::real::{Base, Real, Value};
use crate::group::routes::Origin;
use crate::operator::{DYNAMIC, Facts, Operator, QUANTIZED};

const ACCUMULATED: Facts = Facts::new(
    "u8, i8 to i32",
    "one constant operand, of MatMulInteger at most; one zero point for the activation; accumulators within int32",
    &[Relation::Kernel],
);

/// The kernel's sums, times their scale.
const ACCUMULATED_FLOATS: Facts = Facts::new(
    "u8, i8",
    "constant weights, or two activations of one scale each; accumulators within int32",
    &[Relation::Steps],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("ConvInteger")
        .since(10)
        .typed(TypeRule::Own(eval::types::conv_integer))
        .restored(|r| r.conv())
        .closing(conv_integer, &ACCUMULATED)
        .is(QUANTIZED),
    Operator::onnx("MatMulInteger")
        .since(10)
        .typed(TypeRule::Own(eval::types::matmul_integer))
        .restored(|r| r.matmul())
        .closing(matmul_integer, &ACCUMULATED)
        .is(QUANTIZED),
    Operator::microsoft("DynamicQuantizeMatMul")
        .restored(|r| r.dynamic_matmul())
        .is(DYNAMIC | QUANTIZED),
    Operator::microsoft("MatMulIntegerToFloat")
        .restored(|r| r.matmul_to_float())
        .closing(matmul_integer_to_float, &ACCUMULATED_FLOATS)
        .is(QUANTIZED),
    Operator::microsoft("MatMulNBits").restored(|r| r.few_bits()),
];

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

/// `com.microsoft.MatMulIntegerToFloat`: the accumulators as floats, plus a bias.
pub(crate) fn matmul_integer_to_float(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let dtype = |cx: &Importer<'_>, input| match cx.value(node, input)? {
        Value::Int(tensor) => Ok(cx.builder.fact(tensor).dtype),
        Value::Const(c) => c.dtype().ok_or(NodeError::Unknown),
        _ => Err(NodeError::Unknown),
    };
    let a = cx.params(node, &scalar(2, 4, dtype(cx, 0)?))?;
    let x = cx.integer_activation(node, 0, Some(a))?;
    let real = match cx.value(node, 1)? {
        Value::Int(_) => {
            let b = cx.params(node, &scalar(3, 5, dtype(cx, 1)?))?;
            let b = cx.integer_activation(node, 1, Some(b))?;
            cx.two_activations(node, &x, &b, Origin::sums())?
        }
        _ => {
            let weights = cx.integer_weights(node, 1, |data, dtype| {
                let place = Place {
                    scale: 3,
                    zero: 5,
                    axis: data.shape.len().max(1) - 1,
                    shape: &data.shape,
                    dtype,
                };
                cx.params(node, &place)
            })?;
            cx.times(node, &x, &weights, Origin::sums())?
        }
    };
    let Some(bias) = cx.maybe_constant(node, 6, "the bias")? else {
        return Ok(Done::pending(real));
    };
    let (floats, columns) = (bias.as_floats(), real.shape.last().copied());
    let floats = floats.filter(|f| bias.shape.len() == 1 && Some(f.len()) == columns);
    let floats = floats.ok_or(NodeError::Input {
        input: 6,
        what: "the bias",
        reason: "it has not one float for each column",
    })?;
    let operand = Operand::Axis(real.shape.len() - 1, floats.to_vec());
    Ok(Done::pending(with_operand(
        &real,
        Binary::Add,
        operand,
        false,
    )?))
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
