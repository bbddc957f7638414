//! Convolutions and matrix products, in QDQ and QOperator form.
//!
//! All of them become an integer kernel with constant weights and a pending real `x_scale · w_scale · accumulator`,
//! which the QuantizeLinear (or the operator's own output scale) closes by the float32 scale rule.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::F;
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::graph::constant::Constant;
use crate::group::bias::BiasForm;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::operands::Activation;
use crate::group::params::{Params, Place, Quantized, QuantizedConstant, centered, scalar};
use crate::group::real::{Acc, Base, Real, Value, rebias_matmul};
use crate::group::routes::{Origin, weighted};
use crate::operator::{ABSORBING, Facts, LINEAR, Operator, QUANTIZED};
use crate::ops::pool::window;

use std::sync::Arc;

use zkonnx_circuits::ops::{Conv, MatMul};
use zkonnx_circuits::program::{DataType, TensorId};

const WEIGHTED: Facts = Facts::new(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    &[Relation::Kernel, Relation::Sum],
);

/// A kernel as it stands.
pub(crate) const WEIGHTED_KERNEL: Facts = Facts::new(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    &[Relation::Kernel],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Conv")
        .whole(0..usize::MAX)
        .value(F, TypeRule::Own(eval::types::conv), eval::conv::conv)
        .closing(conv, &WEIGHTED)
        .is(ABSORBING | LINEAR),
    Operator::onnx("QLinearConv")
        .since(10)
        .typed(TypeRule::Own(eval::types::qlinear_conv))
        .closing(qlinear_conv, &WEIGHTED_KERNEL)
        .is(QUANTIZED),
];

/// What a matrix product does besides.
pub(crate) struct Matrices {
    /// Whether the weights are `[N, K]`.
    pub(crate) transposed: bool,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    /// Whether the product is subtracted.
    pub(crate) negative: bool,
    pub(crate) origin: Origin,
}

impl Matrices {
    /// A plain product.
    pub(crate) fn plain(origin: Origin) -> Self {
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
    pub(crate) fn linear_origin(
        &self,
        node: &NodeView<'_>,
        x: &Activation,
        weights: &QuantizedConstant,
    ) -> Origin {
        let x = self.builder.fact(x.tensor).dtype;
        let kernel = weighted(x, weights.params.dtype);
        self.origin(node, &[0], kernel.filter(|_| weights.is_for_kernels()))
    }

    pub(crate) fn shape_of(&self, tensor: TensorId) -> Vec<usize> {
        self.builder.fact(tensor).shape.clone()
    }

    /// The activation of a float operator: a quantized tensor with one scale.
    pub(crate) fn activation(
        &mut self,
        node: &NodeView<'_>,
        input: usize,
    ) -> Result<Activation, NodeError> {
        self.activation_of(&self.value(node, input)?, input)
    }

    /// The same of a value that stands for an input.
    pub(crate) fn activation_of(
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
    pub(crate) fn integer_activation(
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
    pub(crate) fn weights(
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
    pub(crate) fn integer_weights(
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

    pub(crate) fn convolution(
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
    pub(crate) fn product(
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

/// Closes the group with the operator's own output scale.
pub(crate) fn finish(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    real: &Real,
    y: &Params,
) -> Result<Done, NodeError> {
    let (tensor, exactness) = cx.close(node, real, y)?;
    Ok(Done::closed(tensor, exactness))
}

/// The int32 bias of a quantized operator.
pub(crate) fn integer_bias(
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
