//! Data movement: reshaping, permuting, cutting and joining tensors.
//!
//! Every movement operator says where each element of its output comes from; nothing is computed.
//!
//! # Circuit
//!
//! A movement is a permutation of references to cells and costs no rows: a copied reference *is* the same cell, so there
//! is nothing to prove. **Assumes** nothing. **Guarantees** that each output is the element that the operator's rule
//! names, or its constant. **Needs** the copies of whoever reads the output: they tie it to the cell.

mod concat;
mod dilate;
mod expand;
mod gather;
mod pad;
mod reshape;
mod slice;
mod transpose;

use std::fmt::Debug;
use std::sync::Arc;

pub use concat::Concat;
pub use dilate::Dilate;
pub use expand::Expand;
pub use gather::Gather;
pub use pad::Pad;
pub use reshape::Reshape;
pub use slice::Slice;
pub use transpose::Transpose;

use super::{accepted, check_size};
use crate::lower::{LowerError, Lowering, Wire, Wires};
use crate::program::{
    DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Registry, Tensor,
};

/// Where an element comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An element of an input, row-major.
    Element {
        /// The input.
        input: usize,
        /// The element.
        index: usize,
    },
    /// A constant.
    Constant(i64),
}

/// An operator that moves elements.
pub trait Movement: Clone + Debug + PartialEq + Send + Sync + Sized + 'static {
    /// Identity of the operator.
    const ID: OpId;

    /// Shape of the output.
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError>;

    /// Origin of each element of the output, row-major, for inputs that [`Movement::shape`] accepts. Sources that do
    /// not exist are a defect, and an error wherever the elements are moved.
    fn sources(&self, inputs: &[&[usize]]) -> Result<Vec<Source>, OpError>;

    /// The parameters in one line.
    fn describe(&self) -> String;

    /// Writes the parameters in canonical form.
    fn encode(&self, out: &mut Encoder);

    /// Reads the parameters.
    fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// The constants that [`Movement::sources`] may return.
    fn constants(&self) -> Option<Range> {
        None
    }
}

/// A movement as an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Move<M>(pub M);

impl<M: Movement> Move<M> {
    /// Reads the parameters of the movement.
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        Ok(Arc::new(Self(M::decode(reader)?)))
    }

    /// The elements of the output, from lists of those of the inputs.
    fn moved<T: Copy>(
        &self,
        shapes: &[&[usize]],
        lists: &[&[T]],
        constant: impl Fn(i64) -> T,
    ) -> Result<Vec<T>, OpError> {
        let missing = OpError::Parameter {
            op: M::ID.name,
            parameter: "the source of an element",
        };
        let element = |source| match source {
            Source::Element { input, index } => lists.get(input)?.get(index).copied(),
            Source::Constant(v) => Some(constant(v)),
        };
        let sources = self.0.sources(shapes)?.into_iter();
        sources.map(element).collect::<Option<_>>().ok_or(missing)
    }

    fn register(registry: &mut Registry) {
        registry.register(M::ID, Self::decode);
    }
}

impl<M: Movement> Operator for Move<M> {
    fn id(&self) -> OpId {
        M::ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let op = M::ID.name;
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| x.shape.as_slice()).collect();
        let shape = self.0.shape(&shapes)?;
        check_size(op, &shape)?;
        let Some(first) = inputs.first() else {
            return Err(OpError::Arity {
                op,
                expected: 1,
                got: 0,
            });
        };
        if let Some(other) = inputs.iter().find(|x| x.dtype != first.dtype) {
            return Err(OpError::Type {
                op,
                got: other.dtype,
            });
        }
        let ranges = inputs.iter().map(|x| x.range).chain(self.0.constants());
        let range = ranges.fold(first.range, |a, b| a.union(&b));
        if !Range::of(first.dtype).covers(&range) {
            return Err(OpError::Parameter {
                op,
                parameter: "the constant",
            });
        }
        Ok(vec![Fact {
            dtype: first.dtype,
            shape,
            range,
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| x.shape.as_slice()).collect();
        let shape = self.0.shape(&shapes)?;
        check_size(M::ID.name, &shape)?;
        let Some(first) = inputs.first() else {
            return Err(OpError::Arity {
                op: M::ID.name,
                expected: 1,
                got: 0,
            });
        };
        let lists: Vec<&[i64]> = inputs.iter().map(|x| x.data.as_slice()).collect();
        let data = self.moved(&shapes, &lists, |v| v)?;
        Ok(vec![Tensor::new(first.dtype, shape, data)])
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn encode(&self, out: &mut Encoder) {
        self.0.encode(out);
    }

    fn lower(
        &self,
        _: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let shapes: Vec<&[usize]> = facts.iter().map(|x| x.shape.as_slice()).collect();
        let lists: Vec<&[Wire]> = inputs.iter().map(Vec::as_slice).collect();
        let moved = self.moved(&shapes, &lists, Wire::Const);
        Ok(vec![accepted(M::ID.name, moved)?])
    }
}

pub(super) fn register(registry: &mut Registry) {
    Move::<Concat>::register(registry);
    Move::<Dilate>::register(registry);
    Move::<Expand>::register(registry);
    Move::<Gather>::register(registry);
    Move::<Pad>::register(registry);
    Move::<Reshape>::register(registry);
    Move::<Slice>::register(registry);
    Move::<Transpose>::register(registry);
}

/// Calls `f` with the index along each axis of every element of `shape`, row-major.
fn each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let mut index = vec![0; shape.len()];
    for _ in 0..crate::program::elements(shape) {
        f(&index);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
}

/// The distance between neighbours along each axis, row-major.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d];
    }
    strides
}

/// The only shape.
fn only<'a>(op: &'static str, inputs: &[&'a [usize]]) -> Result<&'a [usize], OpError> {
    match inputs {
        [x] => Ok(x),
        _ => Err(OpError::Arity {
            op,
            expected: 1,
            got: inputs.len(),
        }),
    }
}
