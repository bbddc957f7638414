//! Constants with a scale for each block along an axis, and products with those of 4 bits.
//!
//! A constant is dequantized as it stands. ONNX Runtime has no kernel of weights of 4 bits in such blocks and multiplies
//! floats, so a product is the exact sum of the products with each block, which have scales of their own.

use crate::error::NodeError;
use crate::graph::constant::{Constant, Data};
use crate::graph::{NodeView, ValueId};
use crate::group::exactness::Status;
use crate::group::importer::{Done, Importer};
use crate::group::operands::Activation;
use crate::group::params::Blocked;
use crate::group::real::{Acc, Base, Real, Value};
use crate::group::{expr, totals};
use std::sync::Arc;
use zkonnx_circuits::ops::{MatMul, Move, Slice};

const fn bad(input: usize, what: &'static str, reason: &'static str) -> NodeError {
    NodeError::Input {
        input,
        what,
        reason,
    }
}

impl Blocked {
    fn new(cx: &Importer<'_>, node: &NodeView<'_>, x: &Constant) -> Result<Self, NodeError> {
        let wrong = |reason| NodeError::Attribute {
            name: "block_size",
            reason,
        };
        let size = usize::try_from(node.int("block_size", 0)?).unwrap_or(0);
        let axis = node.axis("axis", node.int("axis", 1)?, x.shape.len())?;
        let scale = cx.constant(node, 1, "the scale")?;
        let values = scale.as_floats();
        let values = values.ok_or(bad(1, "the scale", "it is not float32"))?;
        if let Some(&wrong) = values.iter().find(|s| !s.is_normal() || **s <= 0.0) {
            return Err(NodeError::Scale(wrong));
        }
        let mut blocks = x.shape.clone();
        if size == 0 || blocks[axis] == 0 {
            return Err(wrong("it is no positive number"));
        }
        blocks[axis] = blocks[axis].div_ceil(size);
        if scale.shape != blocks {
            return Err(bad(1, "the scale", "it has not one value for each block"));
        }
        let zero = cx.maybe_constant(node, 2, "the zero point")?;
        if let Some(zero) = &zero
            && (zero.shape != blocks || zero.element() != x.element())
        {
            let reason = "it has not one value for each block, of the type of x";
            return Err(bad(2, "the zero point", reason));
        }
        let ints = x.as_ints().ok_or(bad(0, "x", "it is not an integer"))?;
        let mut blocked = Self {
            shape: x.shape.clone(),
            centered: Vec::new(),
            scale_shape: blocks,
            scale: values.to_vec(),
            axis,
            size,
            short: matches!(x.data, Data::Short(..)),
        };
        let zeros = zero.as_ref().and_then(|zero| zero.as_ints());
        let centered = |(i, v): (usize, &i64)| v - zeros.map_or(0, |z| z[blocked.block(i)]);
        blocked.centered = ints.iter().enumerate().map(centered).collect();
        Ok(blocked)
    }

    /// The block of an element.
    fn block(&self, i: usize) -> usize {
        let inner: usize = self.shape[self.axis + 1..].iter().product();
        let extent = self.shape[self.axis];
        let (outer, along, rest) = (i / inner / extent, i / inner % extent, i % inner);
        (outer * self.scale_shape[self.axis] + along / self.size) * inner + rest
    }

    fn floats(&self) -> Constant {
        let each = self.centered.iter().enumerate();
        let values = each.map(|(i, v)| *v as f32 * self.scale[self.block(i)]);
        Constant::floats(self.shape.clone(), values.collect())
    }
}

/// `DequantizeLinear` of a constant in blocks.
pub(crate) fn dequantize(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let Value::Const(x) = cx.value(node, 0)? else {
        return Err(NodeError::Attribute {
            name: "block_size",
            reason: "blocks of an activation are not supported",
        });
    };
    let blocked = Blocked::new(cx, node, &x)?;
    let floats = blocked.floats();
    if let Some(output) = node.node().output(0) {
        cx.blocked.insert(output, Arc::new(blocked));
    }
    Ok(Done::new(Value::Const(Arc::new(floats)), Status::Folded))
}

impl Importer<'_> {
    /// Weights of 4 bits in blocks along their rows, if an input of a matrix product is that.
    pub(crate) fn blocked_weights(
        &self,
        value: Option<ValueId>,
        transposed: bool,
    ) -> Option<Arc<Blocked>> {
        let blocked = self.blocked.get(&value?)?;
        let along = blocked.axis == usize::from(transposed);
        (blocked.short && blocked.shape.len() == 2 && along).then(|| blocked.clone())
    }

    /// `x · w + bias` with weights in blocks.
    pub(crate) fn block_product(
        &mut self,
        node: &NodeView<'_>,
        x: &Activation,
        (weights, transposed): (&Blocked, bool),
        bias: Option<&Constant>,
    ) -> Result<Real, NodeError> {
        let (rows, columns) = match (weights.shape.as_slice(), transposed) {
            (&[k, n], false) | (&[n, k], true) => (k, n),
            _ => return Err(NodeError::Unknown),
        };
        let place = |k: usize, n: usize| match transposed {
            false => k * columns + n,
            true => n * rows + k,
        };
        let shape = self.shape_of(x.tensor);
        let last = shape.len().saturating_sub(1);
        if shape.len() < 2 || shape[last] != rows || rows == 0 || columns == 0 {
            let reason = "their rows are not as many as the columns of the activation";
            return Err(bad(1, "the weights", reason));
        }
        let mut parts = Vec::new();
        for first in (0..rows).step_by(weights.size) {
            let len = weights.size.min(rows - first);
            let mut starts = vec![0; shape.len()];
            let mut extents = shape.clone();
            (starts[last], extents[last]) = (first, len);
            let steps = vec![1; shape.len()];
            let slice = Move(Slice {
                starts,
                steps,
                extents,
            });
            let part = match len == rows {
                true => x.tensor,
                false => self.push(node, slice, &[x.tensor])?,
            };
            let each = (first..first + len).flat_map(|k| (0..columns).map(move |n| (k, n)));
            let values = each.map(|(k, n)| weights.centered[place(k, n)]).collect();
            let matmul = MatMul::new(values, vec![0; columns], x.zero)?;
            let tensor = self.push(node, matmul, &[part])?;
            let scale = |n: usize| weights.scale[weights.block(place(first, n))];
            let of = self.shape_of(tensor);
            let acc = Acc {
                tensor,
                x: part,
                x_scale: x.scale,
                w_scale: (0..columns).map(scale).collect(),
                axis: of.len() - 1,
                rebias: None,
                float: None,
                rounded: false,
                terms: len,
                origin: self.origin(node, &[0], None),
            };
            parts.push(Real::new(Base::Acc(acc), of));
        }
        let mut real = totals::of(parts)?;
        if let Some(bias) = bias {
            let reals = bias.as_floats().unwrap_or_default();
            let operand = match reals {
                &[only] => expr::Operand::Scalar(only),
                reals if reals.len() == columns && bias.shape.last() == Some(&columns) => {
                    expr::Operand::Axis(real.shape.len() - 1, reals.to_vec())
                }
                _ => {
                    return Err(bad(
                        2,
                        "the bias",
                        "it has neither one value nor one for each channel",
                    ));
                }
            };
            let operand = Arc::new(expr::Expr::Const(operand));
            let sum = expr::Expr::Binary(expr::Binary::Add, real.expr.clone(), operand);
            real.expr = Arc::new(sum);
        }
        Ok(real)
    }
}
