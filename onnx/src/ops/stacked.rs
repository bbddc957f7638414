//! Matrix products with constants that are not one matrix on the right: stacks of matrices, vectors, left operands.
//!
//! All of them become products with one matrix each. A left operand `W · X` is `(Xᵀ · Wᵀ)ᵀ`, the same integers.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::group::importer::Importer;
use crate::group::operands::Activation;
use crate::group::params::{QuantizedConstant, centered};
use crate::group::real::{Acc, Base, Real};
use crate::group::routes::Origin;
use zkonnx_circuits::ops::{
    Concat, Expand, MatMul, Move, Reshape, Slice, Transpose, broadcast, broadcast_places,
};
use zkonnx_circuits::program::{TensorId, elements};

/// Most products with a matrix of their own.
const MAX_STACKS: usize = 1 << 12;
/// Most weights of all products.
const MAX_WEIGHTS: usize = 1 << 24;

const fn bad(input: usize, reason: &'static str) -> NodeError {
    NodeError::Input {
        input,
        what: "the weights",
        reason,
    }
}

/// Swaps the last two axes.
fn turned(rank: usize) -> Move<Transpose> {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 1, rank - 2);
    Move(Transpose { perm })
}

/// Matrices `[K, C]`, one after the other.
struct Stack {
    /// Leading axes.
    lead: Vec<usize>,
    rows: usize,
    columns: usize,
    weights: Vec<i64>,
}

impl Stack {
    /// The matrices that a product with `[…, R, K]` needs, each turned around if they stood on the left.
    fn new(weights: &QuantizedConstant, left: bool, input: usize) -> Result<Self, NodeError> {
        let values = centered(weights).ok_or(bad(input, "they are not integers"))?;
        let (lead, extents) = match weights.data.shape.as_slice() {
            &[k] if left => (&[][..], [1, k]),
            &[k] => (&[][..], [k, 1]),
            &[ref lead @ .., m, n] => (lead, [m, n]),
            [] => return Err(bad(input, "they are one number")),
        };
        let lead = lead.to_vec();
        if values.is_empty() {
            return Err(bad(input, "there are none"));
        }
        let [m, n] = extents;
        if !left {
            return Ok(Self {
                lead,
                rows: m,
                columns: n,
                weights: values,
            });
        }
        let of = |i: usize| (i / (m * n)) * m * n + (i % m) * n + i / m % n;
        let weights = (0..values.len()).map(|i| values[of(i)]).collect();
        Ok(Self {
            lead,
            rows: n,
            columns: m,
            weights,
        })
    }
}

impl Importer<'_> {
    /// `x · w`, or `w · x` if the weights stand on the left, for weights of any rank.
    pub(crate) fn stacked(
        &mut self,
        node: &NodeView<'_>,
        x: &Activation,
        weights: &QuantizedConstant,
        left: bool,
        origin: Origin,
    ) -> Result<Real, NodeError> {
        let input = usize::from(!left);
        let w_rank = weights.data.shape.len();
        let channel = if left { 2 } else { 1 };
        if let Some(axis) = weights.params.axis {
            if axis + channel != w_rank || w_rank < 2 {
                return Err(bad(input, "their scales do not follow the output channels"));
            }
            if origin.has_kernel() {
                return Err(bad(
                    input,
                    "they are no single matrix on the right and have scales for each channel, which ONNX Runtime's kernel does not run",
                ));
            }
        }
        let stack = Stack::new(weights, left, input)?;
        let shape = self.shape_of(x.tensor);
        let is_vector = shape.len() == 1;
        let tensor = match shape.as_slice() {
            [] => return Err(bad(1 - input, "the other operand is one number")),
            &[k] => {
                let shape = vec![1, k];
                self.push(node, Move(Reshape { shape }), &[x.tensor])?
            }
            _ if left => self.push(node, turned(shape.len()), &[x.tensor])?,
            _ => x.tensor,
        };
        let mut tensor = self.products(node, tensor, &stack, x.zero)?;
        let mut shape = self.shape_of(tensor);
        if left {
            tensor = self.push(node, turned(shape.len()), &[tensor])?;
            shape = self.shape_of(tensor);
        }
        // The axes of vectors are dropped: those of the activation, then those of the weights.
        let mut axis = shape.len() - channel;
        let rank = shape.len();
        if is_vector {
            let of_x = if left { rank - 1 } else { rank - 2 };
            shape.remove(of_x);
            axis -= usize::from(of_x < axis);
        }
        if w_rank == 1 {
            shape.remove(axis);
            axis = axis.min(shape.len().saturating_sub(1));
        }
        if shape != self.shape_of(tensor) {
            let shape = shape.clone();
            tensor = self.push(node, Move(Reshape { shape }), &[tensor])?;
        }
        let acc = Acc {
            tensor,
            x: x.tensor,
            x_scale: x.scale,
            w_scale: weights.params.scale.clone(),
            axis,
            rebias: None,
            float: None,
            rounded: false,
            terms: stack.rows,
            origin,
        };
        Ok(Real::new(Base::Acc(acc), shape))
    }

    /// The products of `[…, R, K]` with each matrix.
    fn products(
        &mut self,
        node: &NodeView<'_>,
        x: TensorId,
        stack: &Stack,
        zero: i64,
    ) -> Result<TensorId, NodeError> {
        let Stack {
            lead,
            rows,
            columns,
            weights,
        } = stack;
        let shape = self.shape_of(x);
        let (own, last) = shape.split_at(shape.len() - 2);
        let &[m, k] = last else {
            return Err(NodeError::Unknown);
        };
        let bad = |reason| bad(1, reason);
        if k != *rows {
            return Err(bad(
                "their rows are not as many as the columns of the activation",
            ));
        }
        let whole = broadcast(own, lead).ok_or(bad("their leading axes do not broadcast"))?;
        let size = rows * columns;
        let matmul =
            |of: usize| MatMul::new(weights[of..of + size].to_vec(), vec![0; *columns], zero);
        let result = [whole.as_slice(), &[m, *columns]].concat();
        if elements(lead) == 1 {
            let tensor = self.push(node, matmul(0)?, &[x])?;
            return self.reshaped(node, tensor, result);
        }
        let count = elements(&whole);
        if count > MAX_STACKS || count.saturating_mul(size) > MAX_WEIGHTS {
            return Err(bad("they are more than 4096 matrices, or 2^24 weights"));
        }
        let full = [whole.as_slice(), last].concat();
        let x = match full == shape {
            true => x,
            false => self.push(node, Move(Expand { shape: full }), &[x])?,
        };
        let x = self.reshaped(node, x, vec![count, m, k])?;
        let mut parts = Vec::with_capacity(count);
        for (i, place) in broadcast_places(&whole, lead).into_iter().enumerate() {
            let slice = Slice {
                starts: vec![i, 0, 0],
                steps: vec![1; 3],
                extents: vec![1, m, k],
            };
            let part = self.push(node, Move(slice), &[x])?;
            parts.push(self.push(node, matmul(place * size)?, &[part])?);
        }
        let tensor = match parts.as_slice() {
            &[only] => only,
            parts => self.push(node, Move(Concat { axis: 0 }), parts)?,
        };
        self.reshaped(node, tensor, result)
    }

    fn reshaped(
        &mut self,
        node: &NodeView<'_>,
        tensor: TensorId,
        shape: Vec<usize>,
    ) -> Result<TensorId, NodeError> {
        match shape == self.shape_of(tensor) {
            true => Ok(tensor),
            false => self.push(node, Move(Reshape { shape }), &[tensor]),
        }
    }
}
