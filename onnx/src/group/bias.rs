//! The bias of a linear operator: as the int32 that a kernel adds to its accumulators, or as the reals that are added to
//! their float sum.
//!
//! What ONNX Runtime does with it, as its optimized graphs show:
//!
//! - an int32 bias is added as it is. QLinearConv takes it if its scale is near the product of the scales of activation
//!   and weights, QGemm whatever its scale;
//! - a float bias of one axis is made int32 of that product, where the result is quantized at once;
//! - any other bias (of 8 bits, float before a function, under a beta or an alpha) keeps the group in float.

use std::sync::Arc;

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::group::importer::Importer;
use crate::group::params::{at, dequantize};
use crate::group::real::{Acc, Base, Real, Value};
use crate::group::routes::Origin;
use crate::group::rules::quantize;
use zkonnx_circuits::ops::{Offset, broadcast, broadcast_places};
use zkonnx_circuits::program::{DataType, Range, TensorId};

/// Largest relative distance between a bias scale and the product of the scales that is taken for rounding.
const BIAS_TOLERANCE: f32 = 1.0 / (1 << 20) as f32;
/// Largest distance, relative and absolute, at which ONNX Runtime's QLinearConv takes the integers of a bias.
const CONV_TOLERANCE: (f32, f32) = (1e-2, 1e-6);

/// What a linear operator adds to its sums.
pub(crate) struct Bias {
    /// The integers that a kernel adds, or those nearest to the reals.
    pub(crate) integers: Vec<i64>,
    /// The reals, where they are not as many units as the integers say.
    pub(crate) reals: Option<Vec<f32>>,
    /// Whether the kernel takes it.
    pub(crate) fuses: bool,
}

/// What decides how a bias is added.
pub(crate) struct BiasForm<'o> {
    /// Its place among the inputs.
    pub(crate) input: usize,
    /// Whether the kernel adds int32 of any scale.
    pub(crate) any_scale: bool,
    /// Whether floats are made int32.
    pub(crate) quantized: bool,
    /// The group.
    pub(crate) origin: &'o Origin,
}

impl<'o> BiasForm<'o> {
    pub(crate) fn new(
        cx: &Importer<'_>,
        (value, input): (Option<&Value>, usize),
        any_scale: bool,
        origin: &'o Origin,
    ) -> Self {
        let flat = value.and_then(shape_of).is_some_and(|s| s.len() <= 1);
        Self {
            input,
            any_scale,
            quantized: flat && cx.is_quantized_at_once(origin),
            origin,
        }
    }
}

impl Bias {
    fn none(n: usize) -> Self {
        Self {
            integers: vec![0; n],
            reals: None,
            fuses: true,
        }
    }

    /// The bias times `beta`, added to sums whose unit is another one. No kernel does that.
    pub(crate) fn scaled(self, beta: f32, units: &[f32], sums: &[f32]) -> Self {
        let count = self.integers.len();
        let unit = |of: &[f32], i: usize| of[i % count.max(1) % of.len()];
        let real = |(i, v): (usize, &i64)| *v as f32 * unit(units, i);
        let reals = self
            .reals
            .unwrap_or_else(|| self.integers.iter().enumerate().map(real).collect());
        let reals: Vec<f32> = reals.iter().map(|v| v * beta).collect();
        let integer =
            |(i, v): (usize, &f32)| quantize(*v, unit(sums, i), 0, Range::of(DataType::I32));
        Self {
            integers: reals.iter().enumerate().map(integer).collect(),
            reals: Some(reals),
            fuses: false,
        }
    }
}

/// The shape of a constant.
fn shape_of(value: &Value) -> Option<&[usize]> {
    match value {
        Value::Const(c) => Some(&c.shape),
        Value::Weights(w) => Some(&w.data.shape),
        _ => None,
    }
}

/// Whether a constant is one value, or a vector along the last axis of `n` channels.
fn is_vector(value: &Value, n: usize) -> bool {
    shape_of(value).is_none_or(|shape| {
        let len: usize = shape.iter().product();
        len == 1 || (len == n && shape.last() == Some(&n))
    })
}

/// A constant along one axis as a vector.
fn vector(value: Value) -> Value {
    match value {
        Value::Const(c) => {
            let mut c = (*c).clone();
            c.shape = vec![c.len()];
            Value::Const(Arc::new(c))
        }
        Value::Weights(w) => {
            let mut w = (*w).clone();
            w.data.shape = vec![w.data.len()];
            w.params.axis = w.params.axis.map(|_| 0);
            Value::Weights(Arc::new(w))
        }
        other => other,
    }
}

const fn bad(input: usize, reason: &'static str) -> NodeError {
    NodeError::Input {
        input,
        what: "the bias",
        reason,
    }
}

/// What a constant says of itself as a bias.
struct Addend {
    /// Its own integers, if a kernel adds them as they are.
    integers: Option<Vec<i64>>,
    /// Its reals, if the integers do not say all.
    reals: Option<Vec<f32>>,
    fuses: bool,
}

impl Addend {
    fn of(value: &Value, form: &BiasForm<'_>, units: &[f32]) -> Option<Self> {
        match value {
            Value::Const(c) => Some(match (c.as_ints(), c.as_floats()) {
                (Some(ints), _) => Self {
                    integers: Some(ints.to_vec()),
                    reals: None,
                    fuses: true,
                },
                (None, floats) => Self {
                    integers: None,
                    reals: Some(floats?.to_vec()),
                    fuses: form.quantized,
                },
            }),
            Value::Weights(w) => {
                let ints = w.data.as_ints()?.to_vec();
                let int32 =
                    w.params.dtype == DataType::I32 && w.params.zero.iter().all(|z| *z == 0);
                let near = |relative: f32, absolute: f32| {
                    let scale = &w.params.scale;
                    let along = scale.len() == 1
                        || w.params.axis == Some(w.data.shape.len().saturating_sub(1));
                    let equal = |(own, unit): (&f32, &f32)| {
                        (own - unit).abs() <= unit * relative + absolute
                    };
                    along && scale.len() == units.len() && scale.iter().zip(units).all(equal)
                };
                let same = int32 && near(BIAS_TOLERANCE, 0.0);
                let fuses = int32 && (form.any_scale || near(CONV_TOLERANCE.0, CONV_TOLERANCE.1));
                Some(Self {
                    integers: Some(ints).filter(|_| same || fuses),
                    reals: Some(dequantize(w)).filter(|_| !same),
                    fuses: same || fuses,
                })
            }
            _ => None,
        }
    }
}

impl Importer<'_> {
    /// The bias for `n` channels whose accumulators have these units.
    pub(crate) fn linear_bias(
        &self,
        value: Option<Value>,
        form: &BiasForm<'_>,
        units: &[f32],
        n: usize,
    ) -> Result<Bias, NodeError> {
        match value {
            None => Ok(Bias::none(n)),
            Some(value) if is_vector(&value, n) => self.addend(&value, form, units, &[n], n),
            Some(_) => Err(bad(
                form.input,
                "it has neither one value nor one for each channel",
            )),
        }
    }

    /// A constant that is broadcast to `shape`, whose last axis has `n` channels or one.
    fn addend(
        &self,
        value: &Value,
        form: &BiasForm<'_>,
        units: &[f32],
        shape: &[usize],
        n: usize,
    ) -> Result<Bias, NodeError> {
        let input = form.input;
        // Several equal units are one.
        let units = match units {
            [first, rest @ ..] if rest.iter().all(|u| u == first) => &units[..1],
            units => units,
        };
        let addend = Addend::of(value, form, units).ok_or(NodeError::NotConstant {
            input,
            what: "the bias",
        })?;
        if addend.reals.iter().flatten().any(|v| !v.is_finite()) {
            return Err(bad(input, "it is not finite"));
        }
        let own = shape_of(value).ok_or(NodeError::Unknown)?;
        // A vector of one value may have more axes than what it is added to.
        let own = match own.iter().product::<usize>() {
            1 => &[],
            _ => own,
        };
        let leading = own.len().saturating_sub(shape.len());
        let own = match own[..leading].iter().all(|d| *d == 1) {
            true => &own[leading..],
            false => own,
        };
        if broadcast(own, shape).as_deref() != Some(shape) {
            let reason = "its shape does not broadcast to that of the result";
            return Err(bad(input, reason));
        }
        let range = Range::of(DataType::I32);
        let places = broadcast_places(shape, own);
        let unit = |i: usize| at(units, (i % n.max(1)).min(units.len() - 1));
        let spread = |of: &Vec<f32>| places.iter().map(|&p| of[p]).collect::<Vec<f32>>();
        let reals = addend.reals.as_ref().map(spread);
        let integers: Vec<i64> = match (&addend.integers, &reals) {
            (Some(ints), _) => places.iter().map(|&p| ints[p]).collect(),
            (None, Some(reals)) => {
                // What is made of a float beyond int32 is the machine's.
                let leaves = |(i, v): (usize, &f32)| (v / unit(i)).abs() >= 2_147_483_648.0;
                if form.quantized && reals.iter().enumerate().any(leaves) {
                    let reason = "divided by the scales of activations and weights it leaves int32, which ONNX Runtime makes it; use a smaller bias or larger scales";
                    return Err(bad(input, reason));
                }
                let integer = |(i, v): (usize, &f32)| quantize(*v, unit(i), 0, range);
                reals.iter().enumerate().map(integer).collect()
            }
            (None, None) => return Err(NodeError::Unknown),
        };
        if !integers.iter().all(|v| range.contains(*v)) {
            return Err(bad(input, "it lies outside int32"));
        }
        // A float bias that is made int32 is those integers from then on; one that is a whole number of units is, too.
        let whole = |reals: &Vec<f32>| {
            let of = integers.iter().enumerate();
            of.map(|(i, v)| *v as f32 * unit(i))
                .eq(reals.iter().copied())
        };
        let made = addend.integers.is_none() && addend.fuses;
        let reals = reals.filter(|reals| !made && !whole(reals));
        Ok(Bias {
            integers,
            reals,
            fuses: addend.fuses,
        })
    }

    /// Splits off a constant that is no bias because it differs along other axes than the channels.
    pub(crate) fn matrix_bias(value: Option<Value>, n: usize) -> (Option<Value>, Option<Value>) {
        match value {
            Some(value) if !is_vector(&value, n) => (None, Some(value)),
            bias => (bias, None),
        }
    }

    /// Adds a constant that differs along several axes to accumulators `[…, n]`. Where no kernel adds it, it is rounded
    /// to their units.
    pub(crate) fn add_matrix(
        &mut self,
        node: &NodeView<'_>,
        acc: Acc,
        value: &Value,
        form: &BiasForm<'_>,
    ) -> Result<Acc, NodeError> {
        let shape = self.shape_of(acc.tensor);
        let n = shape.last().copied().unwrap_or(1);
        let units: Vec<f32> = acc.w_scale.iter().map(|w| acc.x_scale * w).collect();
        let bias = self.addend(value, form, &units, &shape, n)?;
        let offset = |cx: &mut Self, integers: Vec<i64>| {
            cx.push(node, Offset::new(shape.clone(), integers)?, &[acc.tensor])
        };
        let tensor: TensorId = offset(self, bias.integers.clone())?;
        let rounded = bias.reals.is_some();
        let float = match bias.reals {
            Some(reals) => {
                let unit = |i: usize| at(&units, (i % n.max(1)).min(units.len() - 1));
                let range = Range::of(DataType::I32);
                let near = |(i, v): (usize, &f32)| quantize(*v, unit(i), 0, range);
                let nearest = reals.iter().enumerate().map(near).collect();
                Some((offset(self, nearest)?, Vec::new()))
            }
            None => None,
        };
        let origin = form.origin.clone();
        Ok(Acc {
            tensor,
            rebias: None,
            float,
            rounded,
            origin: if bias.fuses {
                origin
            } else {
                origin.in_float()
            },
            ..acc
        })
    }

    /// Adds a constant to pending accumulators by giving their operator another bias; `None` if that is not possible.
    pub(crate) fn add_bias(
        &mut self,
        node: &NodeView<'_>,
        acc: &Acc,
        value: Value,
        input: usize,
    ) -> Result<Option<Real>, NodeError> {
        let (Some(rebias), Some(of)) = (&acc.rebias, shape_of(&value)) else {
            return Ok(None);
        };
        let shape = self.shape_of(acc.tensor);
        let n = shape[acc.axis];
        let fused = self.becomes_gemm(acc, of, n);
        let moved = acc.origin.moved_to(node);
        let origin = if fused {
            moved
        } else {
            acc.origin.clone().in_float()
        };
        let form = BiasForm::new(self, (Some(&value), input), fused, &origin);
        // Only a vector along the channels (or one value) is a bias.
        let len: usize = of.iter().product();
        let along = of.len() <= shape.len()
            && (len == 1
                || (len == n
                    && of.len() + acc.axis >= shape.len()
                    && of[of.len() + acc.axis - shape.len()] == n));
        if !along {
            // A matrix that differs along the channels and other axes; what is one value for all channels is a function
            // of the accumulators.
            let fits = acc.axis + 1 == shape.len()
                && of.last() == Some(&n)
                && of.len() <= shape.len()
                && broadcast(of, &shape).as_deref() == Some(shape.as_slice());
            if !fits {
                return Ok(None);
            }
            let acc = self.add_matrix(node, acc.clone(), &value, &form)?;
            return Ok(Some(Real::new(Base::Acc(acc), shape)));
        }
        let units: Vec<f32> = acc.w_scale.iter().map(|w| acc.x_scale * w).collect();
        let bias = self.linear_bias(Some(vector(value)), &form, &units, n)?;
        if !fused && bias.reals.is_some() {
            return Ok(None);
        }
        let tensor = self
            .builder
            .push1(&node.name(), rebias(&bias.integers)?, &[acc.x])?;
        let acc = Acc {
            tensor,
            rebias: None,
            float: bias.reals.map(|reals| (acc.tensor, reals)),
            origin: if bias.fuses {
                origin
            } else {
                origin.in_float()
            },
            ..acc.clone()
        };
        Ok(Some(Real::new(Base::Acc(acc), shape)))
    }

    /// Whether ONNX Runtime makes one Gemm of a matrix product with `n` columns and the addition of a constant of this
    /// shape. One value is a bias if there is one column.
    fn becomes_gemm(&self, acc: &Acc, of: &[usize], n: usize) -> bool {
        if !self.is_matmul(&acc.origin) {
            return false;
        }
        match self.shape_of(acc.x).len() {
            2 => of.len() <= 2 && (of.is_empty() || n == 1 || of.iter().any(|d| *d > 1)),
            _ => of == [n],
        }
    }
}
