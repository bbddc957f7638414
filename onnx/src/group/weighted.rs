//! Sums of tensors, each by a coefficient or a table of its own.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::group::importer::Importer;
use zkonnx_circuits::ops::{Concat, Lanes, Move, Slice, Table, WeightedSum};
use zkonnx_circuits::program::{DataType, TensorId};

/// What a term is multiplied by, in some unit.
#[derive(Clone, PartialEq)]
pub(crate) enum Weight {
    /// A coefficient of the integer less this zero point.
    Factor(i64, i64),
    /// An integer for each of the tensor's.
    Table(Vec<i64>),
}

impl Importer<'_> {
    /// The sum of the terms, each by its weight.
    pub(crate) fn weighted(
        &mut self,
        node: &NodeView<'_>,
        tensors: &[TensorId],
        weights: &[Weight],
    ) -> Result<TensorId, NodeError> {
        let (mut inputs, mut factors, mut constant) = (Vec::new(), Vec::new(), 0i64);
        for (&tensor, weight) in tensors.iter().zip(weights) {
            match weight {
                Weight::Factor(factor, zero) => {
                    factors.push(*factor);
                    constant = constant.saturating_sub(factor.saturating_mul(*zero));
                    inputs.push(tensor);
                }
                Weight::Table(entries) => {
                    let dtype = self.builder.fact(tensor).dtype;
                    let entries = vec![entries.clone()];
                    let table = Table::new(dtype, DataType::I64, entries, Lanes::Tensor)?;
                    factors.push(1);
                    inputs.push(self.push(node, table, &[tensor])?);
                }
            }
        }
        self.push(node, WeightedSum::new(factors, constant)?, &inputs)
    }

    /// The same with weights of its own for each index of an axis.
    pub(crate) fn by_channel(
        &mut self,
        node: &NodeView<'_>,
        (tensors, shape): (&[TensorId], &[usize]),
        weights: &[Vec<Weight>],
        axis: usize,
    ) -> Result<TensorId, NodeError> {
        let mut channels = Vec::with_capacity(weights.len());
        for (lane, weights) in weights.iter().enumerate() {
            let mut parts = Vec::with_capacity(tensors.len());
            for &tensor in tensors {
                let own = self.builder.fact(tensor).shape.clone();
                let place = (axis + own.len()).checked_sub(shape.len());
                parts.push(match place.and_then(|d| Some((d, *own.get(d)?))) {
                    Some((axis, extent)) if extent > 1 => {
                        let mut starts = vec![0; own.len()];
                        let mut extents = own.clone();
                        (starts[axis], extents[axis]) = (lane, 1);
                        let steps = vec![1; own.len()];
                        let slice = Slice {
                            starts,
                            steps,
                            extents,
                        };
                        self.push(node, Move(slice), &[tensor])?
                    }
                    _ => tensor,
                });
            }
            channels.push(self.weighted(node, &parts, weights)?);
        }
        self.push(node, Move(Concat { axis }), &channels)
    }
}
