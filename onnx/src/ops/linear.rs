//! Convolutions and matrix products, in QDQ and QOperator form.
//!
//! All of them become an integer kernel with constant weights and a pending real `x_scale · w_scale · accumulator`,
//! which the QuantizeLinear (or the operator's own output scale) closes by the float32 scale rule.

use std::sync::Arc;

use super::super::importer::{Done, Importer, centered, real_constant};
use super::super::kernel::{Origin, weighted};
use super::super::real::{
    Acc, Base, Params, Quantized, QuantizedConstant, Real, Value, rebias_matmul,
};
use super::bias::BiasForm;
use super::pool::window;
use super::quantization::Place;
use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::Constant;
use zkonnx_circuits::ops::{Conv, MatMul, Move, Product, Reshape, Transpose};
use zkonnx_circuits::program::{DataType, TensorId};

/// The integers of a linear operator's activation.
pub(super) struct Activation {
    pub(super) tensor: TensorId,
    pub(super) scale: f32,
    pub(super) zero: i64,
}

/// What a matrix product does besides.
pub(super) struct Matrices {
    /// Whether the weights are `[N, K]`.
    transposed: bool,
    alpha: f32,
    beta: f32,
    /// Whether the product is subtracted.
    negative: bool,
    origin: Origin,
}

impl Matrices {
    /// A plain product.
    pub(super) fn plain(origin: Origin) -> Self {
        Self {
            transposed: false,
            alpha: 1.0,
            beta: 1.0,
            negative: false,
            origin,
        }
    }
}

impl Importer<'_> {
    /// The origin of a linear node of a QDQ group.
    fn linear_origin(
        &self,
        node: &NodeView<'_>,
        x: &Activation,
        weights: &QuantizedConstant,
    ) -> Origin {
        let x = self.builder.fact(x.tensor).dtype;
        let kernel = weighted(x, weights.params.dtype);
        self.origin(node, &[0], kernel.filter(|_| weights.is_for_kernels()))
    }

    pub(super) fn shape_of(&self, tensor: TensorId) -> Vec<usize> {
        self.builder.fact(tensor).shape.clone()
    }

    /// The activation of a float operator: a quantized tensor with one scale.
    pub(super) fn activation(
        &mut self,
        node: &NodeView<'_>,
        input: usize,
    ) -> Result<Activation, NodeError> {
        self.activation_of(&self.value(node, input)?, input)
    }

    /// The same of a value that stands for an input.
    pub(super) fn activation_of(
        &self,
        value: &Value,
        input: usize,
    ) -> Result<Activation, NodeError> {
        let what = "the activation";
        match value {
            Value::Real(real) => match real.as_quantized() {
                Some(Quantized { tensor, params }) => match params.uniform() {
                    Some((scale, zero)) => Ok(Activation {
                        tensor: *tensor,
                        scale,
                        zero,
                    }),
                    None => Err(NodeError::Input {
                        input,
                        what,
                        reason: "its scales follow an axis",
                    }),
                },
                None => Err(NodeError::Float { input, what }),
            },
            _ => Err(NodeError::Input {
                input,
                what,
                reason: "it is not a quantized activation",
            }),
        }
    }

    /// The activation of an integer operator: a tensor with scale and zero point among the inputs.
    pub(super) fn integer_activation(
        &mut self,
        node: &NodeView<'_>,
        input: usize,
        params: Option<Params>,
    ) -> Result<Activation, NodeError> {
        let what = "the activation";
        let Value::Int(tensor) = self.value(node, input)? else {
            return Err(NodeError::Input {
                input,
                what,
                reason: "it is not an integer activation",
            });
        };
        let Some(params) = params else {
            return Ok(Activation {
                tensor,
                scale: 1.0,
                zero: 0,
            });
        };
        if params.dtype != self.builder.fact(tensor).dtype {
            return Err(NodeError::Input {
                input,
                what,
                reason: "its type is not that of its zero point",
            });
        }
        match params.uniform() {
            Some((scale, zero)) => Ok(Activation {
                tensor,
                scale,
                zero,
            }),
            None => Err(NodeError::Input {
                input,
                what,
                reason: "its scales follow an axis",
            }),
        }
    }

    /// Weights of a float operator: a dequantized constant.
    pub(super) fn weights(
        &self,
        node: &NodeView<'_>,
        input: usize,
    ) -> Result<Arc<QuantizedConstant>, NodeError> {
        let what = "the weights";
        match self.value(node, input)? {
            Value::Weights(weights) => Ok(weights),
            Value::Const(_) => Err(NodeError::Float { input, what }),
            _ => Err(NodeError::NotConstant { input, what }),
        }
    }

    /// Weights of an integer operator: an integer constant with scale and zero point among the inputs.
    pub(super) fn integer_weights(
        &self,
        node: &NodeView<'_>,
        input: usize,
        params: impl FnOnce(&Constant, DataType) -> Result<Params, NodeError>,
    ) -> Result<QuantizedConstant, NodeError> {
        let what = "the weights";
        let data = self.constant(node, input, what)?;
        let dtype = data.dtype().ok_or(NodeError::Float { input, what })?;
        let params = params(&data, dtype)?;
        if params.dtype != dtype {
            return Err(NodeError::Input {
                input,
                what,
                reason: "their type is not that of their zero point",
            });
        }
        Ok(QuantizedConstant {
            data: (*data).clone(),
            params,
        })
    }

    pub(super) fn convolution(
        &mut self,
        node: &NodeView<'_>,
        x: &Activation,
        weights: &QuantizedConstant,
        bias: (Option<Value>, usize),
        origin: Origin,
    ) -> Result<Real, NodeError> {
        let shape = self.shape_of(x.tensor);
        let w_shape = weights.data.shape.clone();
        let bad = |reason| NodeError::Input {
            input: 1,
            what: "the weights",
            reason,
        };
        if w_shape.len() < 3 || w_shape.len() != shape.len() {
            return Err(bad("their rank is not that of the activation"));
        }
        if weights.params.axis.is_some_and(|axis| axis != 0) {
            return Err(bad("their scales do not follow the output channels"));
        }
        let kernel = w_shape[2..].to_vec();
        if let Some(given) = node.maybe_ints("kernel_shape")?
            && !given
                .iter()
                .map(|&k| usize::try_from(k).ok())
                .eq(kernel.iter().map(|&k| Some(k)))
        {
            return Err(NodeError::Attribute {
                name: "kernel_shape",
                reason: "it is not that of the weights",
            });
        }
        let window = window(node, &shape[2..], &kernel, false)?;
        let groups = usize::try_from(node.int("group", 1)?)
            .ok()
            .filter(|&g| {
                g > 0 && w_shape[0].is_multiple_of(g) && w_shape[1].checked_mul(g) == Some(shape[1])
            })
            .ok_or(NodeError::Attribute {
                name: "group",
                reason: "it does not fit the channels",
            })?;
        let scales: Vec<f32> = weights.params.scale.iter().map(|w| x.scale * w).collect();
        let form = BiasForm::new(self, (bias.0.as_ref(), bias.1), false, &origin);
        let bias = self.linear_bias(bias.0, &form, &scales, w_shape[0])?;
        let values = centered(weights).ok_or_else(|| bad("they are not integers"))?;
        let (zero, copy) = (x.zero, (values.clone(), window.clone()));
        let conv = |bias| Conv::new(values.clone(), bias, groups, zero, window.clone());
        let tensor = self.push(node, conv(bias.integers)?, &[x.tensor])?;
        let float = match bias.reals {
            Some(reals) => {
                let bare = self.push(node, conv(vec![0; w_shape[0]])?, &[x.tensor])?;
                Some((bare, reals))
            }
            None => None,
        };
        let acc = Acc {
            tensor,
            x: x.tensor,
            x_scale: x.scale,
            w_scale: weights.params.scale.clone(),
            axis: 1,
            rebias: Some(Arc::new(move |bias| {
                Ok(Arc::new(Conv::new(
                    copy.0.clone(),
                    bias.to_vec(),
                    groups,
                    zero,
                    copy.1.clone(),
                )?))
            })),
            float,
            rounded: false,
            terms: w_shape[1..].iter().product(),
            origin: if bias.fuses {
                origin
            } else {
                origin.in_float()
            },
        };
        Ok(Real::new(Base::Acc(acc), self.shape_of(tensor)))
    }

    /// `x · w + bias` with `w` of shape `[K, N]`, or `[N, K]` if `transposed`.
    pub(super) fn product(
        &mut self,
        node: &NodeView<'_>,
        x: &Activation,
        weights: &QuantizedConstant,
        bias: (Option<Value>, usize),
        form: Matrices,
    ) -> Result<Real, NodeError> {
        let Matrices {
            transposed,
            alpha,
            beta,
            negative,
            origin,
        } = form;
        let bad = |reason| NodeError::Input {
            input: 1,
            what: "the weights",
            reason,
        };
        let &[rows, columns] = weights.data.shape.as_slice() else {
            return Err(bad("they are not a matrix"));
        };
        let channel_axis = usize::from(!transposed);
        if weights.params.axis.is_some_and(|axis| axis != channel_axis) {
            return Err(bad("their scales do not follow the output channels"));
        }
        let mut values = centered(weights).ok_or_else(|| bad("they are not integers"))?;
        if negative {
            values.iter_mut().for_each(|v| *v = -*v);
        }
        let n = if transposed { rows } else { columns };
        if transposed {
            values = (0..rows * columns)
                .map(|i| values[(i % rows) * columns + i / rows])
                .collect();
        }
        let product = |x: f32| -> Vec<f32> { weights.params.scale.iter().map(|w| x * w).collect() };
        let x_scale = alpha.abs() * x.scale;
        let (units, sums) = (product(x.scale), product(x_scale));
        let any_scale = beta == 1.0 && alpha == 1.0;
        let form = BiasForm::new(self, (bias.0.as_ref(), bias.1), any_scale, &origin);
        let some = bias.0.is_some();
        let (vector, matrix) = Self::matrix_bias(bias.0, n);
        if matrix.is_some() && !any_scale {
            return Err(NodeError::Input {
                input: bias.1,
                what: "the bias",
                reason: "it is a matrix beside an alpha or a beta other than one",
            });
        }
        let mut addend = self.linear_bias(vector, &form, &units, n)?;
        if some && !any_scale {
            addend = addend.scaled(beta, &units, &sums);
        }
        let matmul = |bias| MatMul::new(values.clone(), bias, x.zero);
        let tensor = self.push(node, matmul(addend.integers)?, &[x.tensor])?;
        let float = match addend.reals {
            Some(reals) => Some((self.push(node, matmul(vec![0; n])?, &[x.tensor])?, reals)),
            None => None,
        };
        let shape = self.shape_of(tensor);
        let acc = Acc {
            tensor,
            x: x.tensor,
            x_scale,
            w_scale: weights.params.scale.clone(),
            axis: shape.len() - 1,
            terms: values.len() / n.max(1),
            rebias: Some(rebias_matmul(values, x.zero)),
            float,
            rounded: false,
            origin: match addend.fuses {
                true => origin.clone(),
                false => origin.clone().in_float(),
            },
        };
        let acc = match matrix {
            Some(matrix) => self.add_matrix(node, acc, &matrix, &form)?,
            None => acc,
        };
        Ok(Real::new(Base::Acc(acc), shape))
    }

    /// `x · w` with constant weights of any rank.
    pub(super) fn times(
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
    pub(super) fn two_activations(
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

/// `Conv` between DequantizeLinear and QuantizeLinear.
pub(crate) fn conv(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let x = cx.activation(node, 0)?;
    let weights = cx.weights(node, 1)?;
    let bias = cx.maybe(node, 2);
    let origin = cx.linear_origin(node, &x, &weights);
    let real = cx.convolution(node, &x, &weights, (bias, 2), origin)?;
    Ok(Done::pending(real))
}

/// `QLinearConv`.
pub(crate) fn qlinear_conv(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let x = cx.params(node, &scalar(1, 2, DataType::U8))?;
    let x = cx.integer_activation(node, 0, Some(x))?;
    let weights = cx.integer_weights(node, 3, |data, dtype| {
        cx.params(
            node,
            &Place {
                scale: 4,
                zero: 5,
                axis: 0,
                shape: &data.shape,
                dtype,
            },
        )
    })?;
    let y = cx.output_params(node, &scalar(6, 7, DataType::U8))?;
    let bias = integer_bias(cx, node, 8)?;
    let real = cx.convolution(node, &x, &weights, (bias, 8), Origin::kernel())?;
    finish(cx, node, &real, &y)
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

/// The place of a scale and a zero point that are single values.
pub(crate) const fn scalar(scale: usize, zero: usize, dtype: DataType) -> Place<'static> {
    Place {
        scale,
        zero,
        axis: 0,
        shape: &[],
        dtype,
    }
}

/// Closes the group with the operator's own output scale.
fn finish(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    real: &Real,
    y: &Params,
) -> Result<Done, NodeError> {
    let (tensor, exactness) = cx.close(node, real, y)?;
    Ok(Done::closed(tensor, exactness))
}

/// The int32 bias of a quantized operator.
fn integer_bias(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
    input: usize,
) -> Result<Option<Value>, NodeError> {
    match cx.maybe_constant(node, input, "the bias")? {
        Some(c) if c.dtype() != Some(DataType::I32) => Err(NodeError::Input {
            input,
            what: "the bias",
            reason: "it is not int32",
        }),
        bias => Ok(bias.map(Value::Const)),
    }
}
