//! Closing a group: what QuantizeLinear makes of a pending real.
//!
//! Each base has the float32 formula of the corresponding integer kernel of ONNX Runtime. It is evaluated here, once,
//! and becomes a rule over integers: a multiplier, explicit thresholds or a table.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::Constant;
use crate::group::exactness::Exactness;
use crate::group::expr::{Expr, Spread, join};
use crate::group::importer::Importer;
use crate::group::params::{Params, Quantized, at, port_quantization};
use crate::group::real::{Base, Deferred, Real};
use crate::group::rules::{
    SEVERAL_AXES, beside_thresholds, each_lane, exactness_of, lanes, spread_of, steps,
};
use crate::group::{doubt, movement, pair, softmax};
use zkonnx_circuits::ops::{Lanes, MaxPool, Maximum, Requantize, Select, Table};
use zkonnx_circuits::program::{Fact, Range, TensorId};

pub(crate) use crate::eval::quantize;

impl Importer<'_> {
    /// The integers that a pending real becomes under a quantization.
    pub(crate) fn close(
        &mut self,
        node: &NodeView<'_>,
        real: &Real,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        if y.axis.is_some() && !real.after.is_empty() {
            return Err(NodeError::Island {
                reason: "its scales follow an axis through data movement",
            });
        }
        let (mut tensor, exactness) = self.close_base(node, real, y)?;
        for deferred in &real.after {
            tensor = match deferred {
                Deferred::Move(op) => self.builder.push1(&node.name(), op.clone(), &[tensor])?,
                Deferred::MaxPool(window) => {
                    self.push(node, MaxPool::new(window.clone())?, &[tensor])?
                }
            };
        }
        Ok((tensor, exactness))
    }

    fn close_base(
        &mut self,
        node: &NodeView<'_>,
        real: &Real,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        let expr = &real.expr;
        if expr.depends_on_chosen_zero() {
            return Err(NodeError::Island {
                reason: "it divides by what Min or Max may choose from zeros of two signs; give these a limit that is not zero",
            });
        }
        match &real.base {
            Base::Input(index) => Ok((self.close_input(*index, real, y)?, Exactness::Steps)),
            Base::Quantized(x) => self.close_quantized(node, x, expr, y),
            Base::Acc(acc) => self.close_acc(node, acc, expr, y),
            Base::Mean(mean) => self.close_mean(node, mean, expr, y),
            Base::Pair(pair) => pair::close(self, node, pair, expr, y),
            Base::Total(terms) => self.close_total(node, (terms, &real.base_shape), expr, y),
            Base::Extreme(parts, largest) => self.close_extreme(node, parts, *largest, expr, y),
            Base::Softmax(pending) => softmax::close(self, node, pending, expr, y),
            Base::Constant(c) => self.close_constant(node, c, expr, y),
            Base::Select(condition, values) => {
                if **expr != Expr::X || y.axis.is_some() {
                    return Err(NodeError::Island {
                        reason: "a function follows Where",
                    });
                }
                let (a, of_a) = self.close(node, &values.0, y)?;
                let (b, of_b) = self.close(node, &values.1, y)?;
                Ok((
                    self.push(node, Select, &[*condition, a, b])?,
                    of_a.and(of_b),
                ))
            }
            Base::Concat(..) if **expr != Expr::X => Err(NodeError::Island {
                reason: "a function follows Concat",
            }),
            Base::Concat(parts, axis) => self.close_concat(node, parts, *axis, y),
        }
    }

    /// A float input of the graph: its quantization happens outside the proof.
    fn close_input(
        &mut self,
        index: usize,
        real: &Real,
        y: &Params,
    ) -> Result<TensorId, NodeError> {
        if *real.expr != Expr::X {
            return Err(NodeError::Island {
                reason: "the float input is computed with before it is quantized; do that outside the model",
            });
        }
        if let Some((params, tensor)) = self.quantized_inputs.get(&index) {
            return if params == y {
                Ok(*tensor)
            } else {
                Err(NodeError::Island {
                    reason: "the float input is quantized in two different ways",
                })
            };
        }
        let fact = Fact::any(y.dtype, real.base_shape.clone());
        let name = self.input_name(index);
        let tensor = self.builder.input(name, fact, Some(port_quantization(y)));
        self.quantized_inputs.insert(index, (y.clone(), tensor));
        Ok(tensor)
    }

    /// An elementwise function of a quantized tensor: nothing, a table, or steps for wide types.
    fn close_quantized(
        &mut self,
        node: &NodeView<'_>,
        x: &Quantized,
        expr: &Expr,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        if *expr == Expr::X && x.params == *y {
            return Ok((x.tensor, Exactness::Kernel));
        }
        let x_spread = spread_of(x.params.axis, x.params.scale.len());
        let spread = self.spread(x_spread, expr, y)?;
        let real =
            |lane: usize, v: i64| (v - at(&x.params.zero, lane)) as f32 * at(&x.params.scale, lane);
        let close = |lane: usize, value: f32| {
            quantize(value, at(&y.scale, lane), at(&y.zero, lane), y.range())
        };
        let f = |lane: usize, v: i64| close(lane, expr.eval(real(lane, v), lane));
        let doubtful = |lane: usize, v: i64| {
            let (lo, hi) = doubt::bounds(expr, real(lane, v), lane);
            close(lane, lo).abs_diff(close(lane, hi))
        };
        if x.params.dtype.width() <= 16 {
            let domain = x.params.range();
            let tables = each_lane(spread, |lane| {
                Ok((domain.lo..=domain.hi).map(|v| f(lane, v)).collect())
            })?;
            let identity = |t: &Vec<i64>| t.iter().copied().eq(domain.lo..=domain.hi);
            if x.params.dtype == y.dtype && tables.iter().all(identity) {
                return Ok((x.tensor, Exactness::Kernel));
            }
            let exactness = exactness_of(expr, spread, |lane| {
                (domain.lo..=domain.hi).map(|v| doubtful(lane, v)).collect()
            })?;
            let (tables, lanes) = lanes(spread, &tables);
            let table = Table::new(x.params.dtype, y.dtype, tables, lanes)?;
            return Ok((self.push(node, table, &[x.tensor])?, exactness));
        }
        let range = self.builder.fact(x.tensor).range;
        let rules = each_lane(spread, |lane| {
            steps(range, expr.is_monotone(), |v| f(lane, v))
        })?;
        let exactness = exactness_of(expr, spread, |lane| {
            beside_thresholds(&rules[lane], range)
                .map(|v| doubtful(lane, v))
                .collect()
        })?;
        let (rules, lanes) = lanes(spread, &rules);
        let op = Requantize::new(y.dtype, rules, lanes)?;
        Ok((self.push(node, op, &[x.tensor])?, exactness))
    }

    /// Parts of a concatenation are closed one by one and joined as integers.
    fn close_concat(
        &mut self,
        node: &NodeView<'_>,
        parts: &[Real],
        axis: usize,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        if y.axis.is_some() {
            return Err(SEVERAL_AXES);
        }
        let mut tensors = Vec::with_capacity(parts.len());
        let mut exactness = Exactness::Kernel;
        for part in parts {
            let (tensor, of_part) = self.close(node, part, y)?;
            tensors.push(tensor);
            exactness = exactness.and(of_part);
        }
        Ok((movement::concat(self, node, &tensors, axis)?, exactness))
    }

    /// A constant under a quantization is integers.
    fn close_constant(
        &mut self,
        node: &NodeView<'_>,
        constant: &Constant,
        expr: &Expr,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        let (Some((scale, zero)), Some(Spread::Tensor)) = (y.uniform(), expr.spread()) else {
            return Err(SEVERAL_AXES);
        };
        let value = |v: &f32| quantize(expr.eval(*v, 0), scale, zero, y.range());
        let floats = constant.as_floats().ok_or(NodeError::Unknown)?;
        let data = floats.iter().map(value).collect();
        let exactness = exactness_of(expr, Spread::Tensor, |_| {
            let bounds = floats.iter().map(|v| doubt::bounds(expr, *v, 0));
            let close = |v| quantize(v, scale, zero, y.range());
            let distances = bounds.map(|(lo, hi): (f32, f32)| close(lo).abs_diff(close(hi)));
            distances.collect()
        })?;
        let op = zkonnx_circuits::ops::Constant::new(y.dtype, constant.shape.clone(), data)?;
        Ok((self.push(node, op, &[])?, exactness))
    }

    /// Quantization never decreases, so the extreme may be taken of the integers.
    fn close_extreme(
        &mut self,
        node: &NodeView<'_>,
        parts: &[Real],
        largest: bool,
        expr: &Expr,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        if y.axis.is_some() {
            return Err(SEVERAL_AXES);
        }
        if *expr != Expr::X {
            return Err(NodeError::Island {
                reason: "a function follows Min or Max",
            });
        }
        let mut tensors = Vec::with_capacity(parts.len());
        let mut exactness = Exactness::Steps;
        for part in parts {
            let (tensor, of_part) = self.close(node, part, y)?;
            exactness = exactness.and(of_part);
            tensors.push(if largest {
                tensor
            } else {
                self.mirror(node, tensor)?
            });
        }
        let mut tensor = self.push(node, Maximum, &tensors)?;
        if !largest {
            tensor = self.mirror(node, tensor)?;
        }
        Ok((tensor, exactness))
    }

    /// `lowest + highest − x`: turns the order around, so that a minimum is a maximum.
    pub(crate) fn mirror(
        &mut self,
        node: &NodeView<'_>,
        tensor: TensorId,
    ) -> Result<TensorId, NodeError> {
        let dtype = self.builder.fact(tensor).dtype;
        let range = Range::of(dtype);
        if dtype.width() > 16 {
            let reason = "only 8-bit and 16-bit integers are supported";
            return Err(NodeError::Input {
                input: 0,
                what: "x",
                reason,
            });
        }
        let table = (range.lo..=range.hi).rev().collect();
        self.push(
            node,
            Table::new(dtype, dtype, vec![table], Lanes::Tensor)?,
            &[tensor],
        )
    }

    pub(crate) fn spread(&self, x: Spread, expr: &Expr, y: &Params) -> Result<Spread, NodeError> {
        let y = spread_of(y.axis, y.scale.len());
        expr.spread()
            .and_then(|e| join(e, x))
            .and_then(|s| join(s, y))
            .ok_or(SEVERAL_AXES)
    }
}
