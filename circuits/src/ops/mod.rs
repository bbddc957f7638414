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
pub use weighted_sum::WeightedSum;
pub(crate) use weighted_sum::{broadcast, broadcast_places};
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
    let (lo, hi) = match wire {
        Wire::Const(v) => (i128::from(v), i128::from(v)),
        Wire::Cell(v) => {
            let range = cx.vars[v.0 as usize].range;
            (i128::from(range.lo), i128::from(range.hi))
        }
        Wire::Sum { map, index } => cx.form_range(map, index),
    };
    let max = 1i128 << 62;
    if lo < -max || hi > max {
        return Err(LowerError::TooWide {
            op,
            reach: hi.max(-lo),
        });
    }
    Ok(Range::new(lo as i64, hi as i64))
}

/// The smallest interval that holds the bounds which the circuit enforces on all of these elements: the domain of a
/// step function that is applied to them. `op` is named in the error.
pub fn reach(cx: &Lowering, op: &'static str, wires: &[Wire]) -> Result<Range, LowerError> {
    let mut all: Option<Range> = None;
    for wire in wires {
        let of = wire_range(cx, op, *wire)?;
        all = Some(all.map_or(of, |r| r.union(&of)));
    }
    Ok(all.unwrap_or(Range::new(0, 0)))
}
