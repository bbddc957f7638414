//! MatMul and Gemm, in QDQ and QOperator form: which operand is constant, and what that makes of them.

use std::sync::Arc;

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{D, F, U32, U64, WORDS};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::graph::constant::Constant;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::operands::Activation;
use crate::group::params::{Place, QuantizedConstant, real_constant, scalar};
use crate::group::real::{Acc, Base, Real, Value};
use crate::group::routes::{Origin, weighted};
use crate::operator::{ABSORBING, Facts, LINEAR, Operator, Parts, QUANTIZED};
use crate::ops::linear::{Matrices, WEIGHTED_KERNEL, finish, integer_bias};
use crate::rewrite::decompose;
use zkonnx_circuits::ops::{Move, Product, Reshape, Transpose};
use zkonnx_circuits::program::{DataType, TensorId};

/// A matrix product with a bias.
const GEMM: Facts = Facts::new(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    &[Relation::Kernel, Relation::Steps, Relation::Sum],
);

const PRODUCT_OF_MATRICES: Facts = Facts::new(
    "u8, i8",
    "constant weights, or two activations of one scale each; accumulators within int32",
    &[Relation::Kernel, Relation::Steps, Relation::Sum],
);

const PRODUCT_KERNEL: Facts = Facts::new(
    "u8, i8",
    "constant weights, or two activations of one scale each; accumulators within int32",
    &[Relation::Kernel],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Gemm")
        .whole(0..usize::MAX)
        .decomposed(Parts::One(decompose::computed_addend))
        .upgraded(7, |u| u.gemm())
        .value(F | D, TypeRule::Own(eval::types::gemm), eval::product::gemm)
        .closing(gemm, &GEMM)
        .is(ABSORBING | LINEAR),
    Operator::onnx("MatMul")
        .whole(0..usize::MAX)
        .value(
            F | D | WORDS | U32 | U64,
            TypeRule::Own(eval::types::matmul),
            eval::product::matmul,
        )
        .closing(matmul, &PRODUCT_OF_MATRICES)
        .is(ABSORBING | LINEAR),
    Operator::onnx("QLinearMatMul")
        .since(10)
        .typed(TypeRule::Own(eval::types::qlinear_matmul))
        .closing(qlinear_matmul, &PRODUCT_KERNEL)
        .is(QUANTIZED),
    Operator::microsoft("QGemm")
        .typed(TypeRule::Own(eval::types::qgemm))
        .closing(qgemm, &WEIGHTED_KERNEL)
        .is(QUANTIZED),
];

impl Importer<'_> {
    /// `x · w` with constant weights of any rank.
    pub(crate) fn times(
        &mut self,
        node: &NodeView<'_>,
        x: &Activation,
        weights: &QuantizedConstant,
        origin: Origin,
    ) -> Result<Real, NodeError> {
        match weights.data.shape.len() {
            2 => self.product(node, x, weights, (None, 0), Matrices::plain(origin)),
            _ => self.stacked(node, x, weights, false, origin),
        }
    }

    /// A vector as the matrix that `shaped` makes of its length; anything else as it is.
    fn matrix(
        &mut self,
        node: &NodeView<'_>,
        tensor: TensorId,
        shape: &[usize],
        shaped: impl Fn(usize) -> Vec<usize>,
    ) -> Result<TensorId, NodeError> {
        match shape {
            &[k] => self.push(node, Move(Reshape { shape: shaped(k) }), &[tensor]),
            _ => Ok(tensor),
        }
    }

    /// The matrix product of two activations.
    pub(crate) fn two_activations(
        &mut self,
        node: &NodeView<'_>,
        a: &Activation,
        b: &Activation,
        origin: Origin,
    ) -> Result<Real, NodeError> {
        let product = Product::new(a.zero, b.zero)?;
        // A vector is a row on the left and a column on the right, and its axis of one is dropped from the result.
        let (left, right) = (self.shape_of(a.tensor), self.shape_of(b.tensor));
        let row = self.matrix(node, a.tensor, &left, |k| vec![1, k])?;
        let column = self.matrix(node, b.tensor, &right, |k| vec![k, 1])?;
        let mut tensor = self.push(node, product, &[row, column])?;
        let mut shape = self.shape_of(tensor);
        if right.len() == 1 {
            shape.pop();
        }
        if left.len() == 1 {
            shape.remove(shape.len() - usize::from(right.len() > 1) - 1);
        }
        if shape != self.shape_of(tensor) {
            let reshape = Reshape {
                shape: shape.clone(),
            };
            tensor = self.push(node, Move(reshape), &[tensor])?;
        }
        let acc = Acc {
            tensor,
            x: a.tensor,
            x_scale: a.scale,
            w_scale: vec![b.scale],
            axis: shape.len().saturating_sub(1),
            rebias: None,
            float: None,
            rounded: false,
            terms: left.last().copied().unwrap_or(1),
            origin,
        };
        Ok(Real::new(Base::Acc(acc), shape))
    }
}

/// `MatMul` between DequantizeLinear and QuantizeLinear.
pub(crate) fn matmul(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    if matches!(cx.value(node, 0)?, Value::Weights(_)) {
        let (weights, x) = (cx.weights(node, 0)?, cx.activation(node, 1)?);
        let x_type = cx.builder.fact(x.tensor).dtype;
        let kernel = weighted(weights.params.dtype, x_type);
        let origin = cx.origin(node, &[1], kernel.filter(|_| weights.is_for_kernels()));
        return Ok(Done::pending(cx.stacked(node, &x, &weights, true, origin)?));
    }
    let x = cx.activation(node, 0)?;
    if matches!(cx.value(node, 1)?, Value::Real(_)) {
        let b = cx.activation(node, 1)?;
        let types = [&x, &b].map(|a| cx.builder.fact(a.tensor).dtype);
        let origin = cx.origin(node, &[0, 1], weighted(types[0], types[1]));
        return Ok(Done::pending(cx.two_activations(node, &x, &b, origin)?));
    }
    if let Some(weights) = cx.blocked_weights(node.input(1), false) {
        let real = cx.block_product(node, &x, (&weights, false), None)?;
        return Ok(Done::pending(real));
    }
    let weights = cx.weights(node, 1)?;
    let origin = cx.linear_origin(node, &x, &weights);
    Ok(Done::pending(cx.times(node, &x, &weights, origin)?))
}

/// `QLinearMatMul` of activations, or of an activation and a constant.
pub(crate) fn qlinear_matmul(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    if matches!(cx.value(node, 0)?, Value::Const(_)) {
        let single = |data: &Constant, dtype| {
            let _ = data;
            cx.params(node, &scalar(1, 2, dtype))
        };
        let weights = cx.integer_weights(node, 0, single)?;
        let b = cx.params(node, &scalar(4, 5, DataType::U8))?;
        let x = cx.integer_activation(node, 3, Some(b))?;
        let y = cx.output_params(node, &scalar(6, 7, DataType::U8))?;
        let real = cx.stacked(node, &x, &weights, true, Origin::kernel())?;
        return finish(cx, node, &real, &y);
    }
    let a = cx.params(node, &scalar(1, 2, DataType::U8))?;
    let x = cx.integer_activation(node, 0, Some(a))?;
    if matches!(cx.value(node, 3)?, Value::Int(_)) {
        let b = cx.params(node, &scalar(4, 5, DataType::U8))?;
        let b = cx.integer_activation(node, 3, Some(b))?;
        let y = cx.output_params(node, &scalar(6, 7, DataType::U8))?;
        let real = cx.two_activations(node, &x, &b, Origin::kernel())?;
        return finish(cx, node, &real, &y);
    }
    let weights = cx.integer_weights(node, 3, |data, dtype| {
        cx.params(
            node,
            &Place {
                scale: 4,
                zero: 5,
                axis: 1,
                shape: &data.shape,
                dtype,
            },
        )
    })?;
    let y = cx.output_params(node, &scalar(6, 7, DataType::U8))?;
    let real = cx.times(node, &x, &weights, Origin::kernel())?;
    finish(cx, node, &real, &y)
}

/// `Gemm` between DequantizeLinear and QuantizeLinear; the right operand is constant.
pub(crate) fn gemm(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let x = cx.activation(node, 0)?;
    let bias = cx.maybe(node, 2);
    let beta = node.float("beta", 1.0)?;
    let (x, alpha, transposed) = gemm_operands(cx, node, x)?;
    if let Some(weights) = cx.blocked_weights(node.input(1), transposed)
        && (alpha, beta) == (1.0, 1.0)
    {
        let bias = match bias {
            Some(Value::Weights(w)) => Some(Arc::new(real_constant(&w))),
            _ => cx.maybe_constant(node, 2, "the bias")?,
        };
        let weights = (&*weights, transposed);
        let real = cx.block_product(node, &x, weights, bias.as_deref())?;
        return Ok(Done::pending(real));
    }
    if let (Value::Real(_), None, 1.0) = (cx.value(node, 1)?, &bias, alpha) {
        let mut b = cx.activation(node, 1)?;
        if transposed {
            let turned = Move(Transpose { perm: vec![1, 0] });
            b.tensor = cx.push(node, turned, &[b.tensor])?;
        }
        let types = [&x, &b].map(|a| cx.builder.fact(a.tensor).dtype);
        let origin = cx.origin(node, &[0, 1], weighted(types[0], types[1]));
        return Ok(Done::pending(cx.two_activations(node, &x, &b, origin)?));
    }
    let weights = cx.weights(node, 1)?;
    let form = Matrices {
        transposed,
        alpha,
        beta,
        negative: alpha < 0.0,
        origin: cx.linear_origin(node, &x, &weights),
    };
    let real = cx.product(node, &x, &weights, (bias, 2), form)?;
    Ok(Done::pending(real))
}

/// `com.microsoft.QGemm` with a constant right operand.
pub(crate) fn qgemm(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let a = cx.params(node, &scalar(1, 2, DataType::U8))?;
    let x = cx.integer_activation(node, 0, Some(a))?;
    let (mut x, alpha, transposed) = gemm_operands(cx, node, x)?;
    // The kernel scales the activation.
    x.scale *= alpha.abs();
    let negative = alpha < 0.0;
    let axis = usize::from(!transposed);
    let weights = cx.integer_weights(node, 3, |data, dtype| {
        cx.params(
            node,
            &Place {
                scale: 4,
                zero: 5,
                axis,
                shape: &data.shape,
                dtype,
            },
        )
    })?;
    let mut bias = integer_bias(cx, node, 6)?;
    if let (true, Some(Value::Const(c))) = (negative, &bias) {
        let data = c.as_ints().unwrap_or_default().iter().map(|v| -v).collect();
        let negated = Constant::ints(DataType::I32, c.shape.clone(), data);
        bias = Some(Value::Const(Arc::new(negated)));
    }
    if node.input(7).is_none() {
        return Err(NodeError::Arity {
            what: "inputs",
            expected: "an output scale",
            got: node.inputs(),
        });
    }
    let y = cx.output_params(node, &scalar(7, 8, DataType::U8))?;
    let form = Matrices {
        transposed,
        negative,
        ..Matrices::plain(Origin::kernel())
    };
    let real = cx.product(node, &x, &weights, (bias, 6), form)?;
    finish(cx, node, &real, &y)
}

/// Applies `transA`, and reads `alpha` and `transB`.
fn gemm_operands(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    mut x: Activation,
) -> Result<(Activation, f32, bool), NodeError> {
    let alpha = node.float("alpha", 1.0)?;
    if !alpha.is_normal() {
        return Err(NodeError::Attribute {
            name: "alpha",
            reason: "it is zero, or no normal number",
        });
    }
    if node.flag("transA", false)? {
        x.tensor = cx.push(node, Move(Transpose { perm: vec![1, 0] }), &[x.tensor])?;
    }
    Ok((x, alpha, node.flag("transB", false)?))
}
