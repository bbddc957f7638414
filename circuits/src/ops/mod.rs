//! The integer operators, one file each.
//!
//! An operator is its formula (`eval`), the bounds that follow from its own constants (`facts`), its canonical bytes
//! (`encode`) and its circuit (`lower`): linear forms, steps and maxima, nothing else. Floats do not occur here: a
//! float32 multiplier is a mantissa and an exponent, and its IEEE arithmetic is done on integers ([`ScaleRule`]).

mod arg_max;
mod constant;
mod conv;
mod cum_sum;
#[cfg(test)]
mod every;
mod lanes;
mod matmul;
mod max_pool;
mod maximum;
mod movement;
mod offset;
mod one_hot;
mod product;
mod requantize;
mod scale;
mod select;
mod softmax;
mod table;
#[cfg(test)]
pub(crate) mod testing;
mod top_k;
mod tree_ensemble;
mod weighted_sum;
mod wide;
mod window;
mod window_sum;

pub use arg_max::ArgMax;
pub use constant::Constant;
pub use conv::Conv;
pub use cum_sum::CumSum;
pub use lanes::Lanes;
pub use matmul::MatMul;
pub use max_pool::MaxPool;
pub use maximum::Maximum;
pub use movement::{
    Concat, Dilate, Expand, Gather, Move, Movement, Pad, Reshape, Slice, Source, Transpose,
};
pub use offset::Offset;
pub use one_hot::OneHot;
pub use product::Product;
pub use requantize::{Requantize, Rule, Steps};
pub use scale::ScaleRule;
pub use select::Select;
pub use softmax::{Logarithm, Piece, Softmax};
pub use table::Table;
pub use top_k::TopK;
pub use tree_ensemble::{MAX_TREE_DEPTH, MAX_TREE_NODES, TreeEnsemble, TreeNode};
pub use weighted_sum::{WeightedSum, broadcast, broadcast_places};
pub use window::Window;
pub use window_sum::WindowSum;

use crate::lower::{LowerError, Lowering, Wire};
use crate::program::{DataType, Fact, OpError, OpId, Range, Registry};

/// Domain of the operators of this crate.
pub const DOMAIN: &str = "zkonnx";

/// Version 1 of an operator of this crate.
pub(crate) const fn id(name: &'static str) -> OpId {
    OpId {
        domain: DOMAIN,
        name,
        version: 1,
    }
}

/// All operators of this crate.
pub fn registry() -> Registry {
    let mut registry = Registry::empty();
    registry.register(arg_max::ID, ArgMax::decode);
    registry.register(constant::ID, Constant::decode);
    registry.register(conv::ID, Conv::decode);
    registry.register(cum_sum::ID, CumSum::decode);
    registry.register(matmul::ID, MatMul::decode);
    registry.register(max_pool::ID, MaxPool::decode);
    registry.register(maximum::ID, Maximum::decode);
    registry.register(offset::ID, Offset::decode);
    registry.register(one_hot::ID, OneHot::decode);
    registry.register(product::ID, Product::decode);
    registry.register(requantize::ID, Requantize::decode);
    registry.register(select::ID, Select::decode);
    registry.register(softmax::ID, Softmax::decode);
    registry.register(table::ID, Table::decode);
    registry.register(top_k::ID, TopK::decode);
    registry.register(tree_ensemble::ID, TreeEnsemble::decode);
    registry.register(weighted_sum::ID, WeightedSum::decode);
    registry.register(window_sum::ID, WindowSum::decode);
    movement::register(&mut registry);
    registry
}

/// The only element of a slice of inputs.
pub(crate) fn only<'a, T: ?Sized>(op: &'static str, inputs: &[&'a T]) -> Result<&'a T, OpError> {
    match inputs {
        [x] => Ok(x),
        _ => Err(OpError::Arity {
            op,
            expected: 1,
            got: inputs.len(),
        }),
    }
}

/// The range `lo..=hi` as a fact of type `dtype`, or why it does not fit.
pub(crate) fn bounded(
    op: &'static str,
    dtype: DataType,
    shape: Vec<usize>,
    lo: i128,
    hi: i128,
) -> Result<Fact, OpError> {
    let of = Range::of(dtype);
    if lo < i128::from(of.lo) || hi > i128::from(of.hi) {
        return Err(OpError::Overflow { op, lo, hi, dtype });
    }
    Ok(Fact {
        dtype,
        shape,
        range: Range::new(lo as i64, hi as i64),
    })
}

/// What `facts` has accepted once, the circuit of `op` cannot be refused: if it is, the operator is at fault.
pub(crate) fn accepted<T>(op: &'static str, of: Result<T, OpError>) -> Result<T, LowerError> {
    of.map_err(|source| LowerError::Inconsistent { op, source })
}

/// The smallest interval that holds all values; of none, that of zero, since there is no element that leaves it.
pub(crate) fn hull(mut values: impl Iterator<Item = i64>) -> Range {
    let first = values.next().unwrap_or(0);
    values.fold(Range::new(first, first), |r, v| r.union(&Range::new(v, v)))
}

/// Bounds of a sum of products by interval arithmetic, and the magnitude that its parts may reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SumBounds {
    lo: i128,
    hi: i128,
    reach: i128,
}

impl SumBounds {
    /// A constant.
    pub(crate) fn of(constant: i64) -> Self {
        let c = i128::from(constant);
        Self {
            lo: c,
            hi: c,
            reach: c.abs(),
        }
    }

    /// Adds `factor · (x − zero)`; or, if `optional`, that or nothing.
    pub(crate) fn add(&mut self, factor: i64, x: Range, zero: i64, optional: bool) {
        let [factor, lo, hi, zero] = [factor, x.lo, x.hi, zero].map(i128::from);
        let (a, b) = (factor * (lo - zero), factor * (hi - zero));
        let (least, most) = match optional {
            true => (a.min(b).min(0), a.max(b).max(0)),
            false => (a.min(b), a.max(b)),
        };
        let widest = lo.abs().max(hi.abs()) + zero.abs();
        self.lo = self.lo.saturating_add(least);
        self.hi = self.hi.saturating_add(most);
        self.reach = self.reach.saturating_add(factor.abs() * widest);
    }

    /// The smallest bounds that hold both.
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
            reach: self.reach.max(other.reach),
        }
    }

    /// The sums as a fact of type `dtype`, if they fit it, and their parts 62 bits.
    pub(crate) fn fact(
        self,
        op: &'static str,
        dtype: DataType,
        shape: Vec<usize>,
    ) -> Result<Fact, OpError> {
        let fact = bounded(op, dtype, shape, self.lo, self.hi)?;
        match self.reach > 1 << 62 {
            true => Err(OpError::Overflow {
                op,
                lo: -self.reach,
                hi: self.reach,
                dtype: DataType::I64,
            }),
            false => Ok(fact),
        }
    }
}

/// Fails if a shape holds more elements than a tensor may.
pub(crate) fn check_size(op: &'static str, shape: &[usize]) -> Result<(), OpError> {
    match crate::program::elements(shape) {
        n if n > crate::program::MAX_ELEMENTS => Err(OpError::TooLarge {
            op,
            max: crate::program::MAX_ELEMENTS,
        }),
        _ => Ok(()),
    }
}

/// Bounds that the circuit enforces on an element.
pub(crate) fn wire_range(cx: &Lowering, op: &'static str, wire: Wire) -> Result<Range, LowerError> {
    cx.range_of(op, wire)
}

/// The smallest interval that holds the bounds which the circuit enforces on all of these elements: the domain of a
/// step function that is applied to them. `op` is named in the error.
pub fn reach(cx: &Lowering, op: &'static str, wires: &[Wire]) -> Result<Range, LowerError> {
    let ranges = wires.iter().map(|&wire| wire_range(cx, op, wire));
    let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
    Ok(hull(ranges.into_iter().flat_map(|r| [r.lo, r.hi])))
}
