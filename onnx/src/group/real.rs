//! Real numbers during import: integers with the scales that give them meaning, and what is pending until the next
//! QuantizeLinear.

use crate::error::NodeError;
use crate::graph::constant::Constant;
use crate::group::expr::Expr;
use crate::group::params::{Quantized, QuantizedConstant};
use crate::group::routes::Origin;
use std::sync::Arc;

use zkonnx_circuits::ops::{MatMul, Window};
use zkonnx_circuits::program::{OpError, Operator, TensorId};

/// Gives an operator another bias.
pub(crate) type WithBias = Arc<dyn Fn(&[i64]) -> Result<Arc<dyn Operator>, OpError> + Send + Sync>;

/// Accumulators of a linear operator that no QuantizeLinear has closed yet: `x_scale · w_scale[channel] · integer`.
#[derive(Clone)]
pub(crate) struct Acc {
    pub(crate) tensor: TensorId,
    pub(crate) x: TensorId,
    pub(crate) x_scale: f32,
    /// One, or one for each index of `axis`.
    pub(crate) w_scale: Vec<f32>,
    /// The axis of output channels.
    pub(crate) axis: usize,
    /// The operator again, with another bias; `None` once the sum is not that of a single operator.
    pub(crate) rebias: Option<WithBias>,
    /// The accumulators without bias, and what is added to their reals where no kernel adds integers: one value, or one
    /// for each channel. `None` if the bias is a whole number of units.
    pub(crate) float: Option<(TensorId, Vec<f32>)>,
    /// Whether a constant in `tensor` was rounded to whole units.
    pub(crate) rounded: bool,
    /// How many products one sum adds up.
    pub(crate) terms: usize,
    pub(crate) origin: Origin,
}

/// Sums of windows that wait to be divided.
#[derive(Clone, Debug)]
pub(crate) struct Mean {
    pub(crate) tensor: TensorId,
    pub(crate) scale: f32,
    /// The most elements that one sum adds up.
    pub(crate) terms: usize,
    /// The divisor: one, or one for each element.
    pub(crate) counts: Vec<u32>,
    /// The divisors of the float operator, where they are others than those of the kernel.
    pub(crate) float_counts: Option<Vec<u32>>,
    /// The order of steps of the kernel, if one runs.
    pub(crate) kind: MeanKind,
    pub(crate) origin: Origin,
}

/// The order of float32 steps of a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeanKind {
    /// Sum, divide, divide by the scale, add the zero point, round: the AveragePool kernel.
    Windows,
    /// One factor, round, add the zero point: the GlobalAveragePool kernel.
    Global,
    /// Sum, divide, divide by the scale, round, add the zero point: ONNX's text, for reductions.
    Text,
}

/// Two quantized tensors combined element by element.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) op: PairOp,
    pub(crate) a: Quantized,
    pub(crate) b: Quantized,
    pub(crate) origin: Origin,
}

/// How two quantized tensors are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairOp {
    Add,
    Sub,
    Mul,
}

/// Where a pending real comes from.
#[derive(Clone)]
pub(crate) enum Base {
    /// A float input of the graph, by number.
    Input(usize),
    Quantized(Quantized),
    Acc(Acc),
    Mean(Mean),
    Pair(Pair),
    /// Several reals added up.
    Total(Vec<Term>),
    /// Reals joined along an axis.
    Concat(Vec<Real>, usize),
    /// Float constants.
    Constant(Arc<Constant>),
    /// One of two reals, as a boolean tensor says.
    Select(TensorId, Box<(Real, Real)>),
    /// Exponentials along an axis, divided by their sum.
    Softmax(Pending),
    /// The largest (or smallest) of several reals, element by element.
    Extreme(Vec<Real>, bool),
}

/// Data movement that is carried out once the elements are integers again.
#[derive(Clone)]
pub(crate) enum Deferred {
    Move(Arc<dyn Operator>),
    MaxPool(Window),
}

/// A tensor of reals: the base, then an expression of each element, then movement.
#[derive(Clone)]
pub(crate) struct Real {
    pub(crate) base: Base,
    /// Shape of the base.
    pub(crate) base_shape: Vec<usize>,
    pub(crate) expr: Arc<Expr>,
    pub(crate) after: Vec<Deferred>,
    /// Shape after all movement.
    pub(crate) shape: Vec<usize>,
    /// Number of pending operations, shared parts counted each time they are used.
    pub(crate) size: usize,
}

/// Largest number of pending operations: bounds the work of closing a group, and the depth of expressions.
const MAX_PENDING: usize = 256;

impl Real {
    /// Counts `more` pending operations, or says that there are too many.
    pub(crate) fn grown(mut self, more: usize) -> Result<Self, NodeError> {
        self.size = self.size.saturating_add(more);
        if self.size > MAX_PENDING {
            let reason = "more than 256 operations stand before its QuantizeLinear";
            return Err(NodeError::Island { reason });
        }
        Ok(self)
    }

    pub(crate) fn new(base: Base, shape: Vec<usize>) -> Self {
        Self {
            base,
            base_shape: shape.clone(),
            expr: Arc::new(Expr::X),
            after: Vec::new(),
            shape,
            size: 0,
        }
    }

    /// The quantized tensor itself, if nothing is pending.
    pub(crate) fn as_quantized(&self) -> Option<&Quantized> {
        match &self.base {
            Base::Quantized(q) if *self.expr == Expr::X && self.after.is_empty() => Some(q),
            _ => None,
        }
    }
}

/// What a tensor of the graph is during import.
#[derive(Clone)]
pub(crate) enum Value {
    /// Known at import.
    Const(Arc<Constant>),
    /// Integers known at import that stand for reals.
    Weights(Arc<QuantizedConstant>),
    /// Integers.
    Int(TensorId),
    /// Reals.
    Real(Arc<Real>),
    /// Computed outside the proof, from the model's inputs alone: integers may be made of it.
    Head,
    /// Computed outside the proof.
    Outside,
    /// The result of a node that has been reported.
    Broken,
}

/// A [`MatMul`] that can be built again with another bias.
pub(crate) fn rebias_matmul(weights: Vec<i64>, zero: i64) -> WithBias {
    Arc::new(move |bias| Ok(Arc::new(MatMul::new(weights.clone(), bias.to_vec(), zero)?)))
}

/// One of several reals that are added.
#[derive(Clone)]
pub(crate) enum Addend {
    Acc(Acc, Affine),
    /// A function of a quantized tensor.
    Table(Quantized, Arc<Expr>),
}

/// An addend, and whether it is subtracted.
#[derive(Clone)]
pub(crate) struct Term {
    pub(crate) addend: Addend,
    pub(crate) negative: bool,
}

/// The accumulators' reals times these, plus those: one value, or one for each channel.
#[derive(Clone)]
pub(crate) struct Affine {
    pub(crate) times: Vec<f64>,
    pub(crate) plus: Vec<f64>,
    /// What the absolute values of all that was added amount to.
    pub(crate) reach: f64,
    /// How many operations that is.
    pub(crate) steps: usize,
}

/// A softmax that waits for its quantization.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) tensor: TensorId,
    pub(crate) scale: f32,
    pub(crate) axis: usize,
    /// The logarithm of it is meant.
    pub(crate) log: bool,
    pub(crate) origin: Origin,
}
