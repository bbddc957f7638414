//! Softmax that waits for its quantization, and the tables that it becomes.
//!
//! The tables of the integer operator are evaluated here, once. `UNIT_BITS` decides how exact they are: the logarithm
//! of the sum is off by about half a unit, that is by 2^-22, and a result of 256 levels is then rounded the wrong way
//! where it lies within 256 · 2^-22 of a tie.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::group::exactness::Exactness;
use crate::group::expr::Expr;
use crate::group::importer::Importer;
use crate::group::kernel::Arithmetic;
use crate::group::params::{Params, Quantized};
use crate::group::real::{Base, Pending, Real};
use crate::group::rules::quantize;
use crate::math;
use zkonnx_circuits::ops::{Logarithm, Move, Piece, Reshape, Softmax, Steps};
use zkonnx_circuits::program::{Range, TensorId, elements};

/// A unit of the logarithm is at most two to the power of minus this.
const UNIT_BITS: i32 = 21;

/// The exponential of zero: the smallest power of two by which the slopes have no more digits than needed.
const ONE: i64 = 1 << (UNIT_BITS + 1);

/// An octave of sums has two to the power of this pieces.
const PIECE_BITS: u32 = 6;

/// Bits of the digits that the circuit multiplies.
const DIGIT_BITS: usize = 7;

/// Largest scale of the input: from 16 on, whatever is not the largest is nothing, as masks in the scores make it. Beyond
/// this limit logarithms have more than the 40 bits of the operator.
const MAX_SCALE: f32 = (1 << 16) as f32;

/// Smallest scale of the input: below it all results are next to equal, and the tables would be long.
const MIN_SCALE: f32 = 1.0 / (1 << UNIT_BITS) as f32;

/// Largest number of elements along the axis.
const MAX_EXTENT: usize = 4096;

const fn bad(what: &'static str, reason: &'static str) -> NodeError {
    NodeError::Input {
        input: 0,
        what,
        reason,
    }
}

/// The axis of the softmax after its input has been flattened, if an old opset asks for that.
pub(crate) fn lines(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    x: &Quantized,
    opset: i64,
) -> Result<(TensorId, usize), NodeError> {
    let shape = cx.builder.fact(x.tensor).shape.clone();
    let default = if opset < 13 { 1 } else { -1 };
    let axis = node.axis("axis", node.int("axis", default)?, shape.len())?;
    let extent = match opset {
        ..13 => elements(&shape[axis..]),
        _ => shape[axis],
    };
    if extent > MAX_EXTENT {
        return Err(bad("x", "more than 4096 elements share a sum"));
    }
    if extent == 0 {
        return Err(bad("x", "it is empty"));
    }
    if cx.builder.fact(x.tensor).dtype.width() != 8 {
        return Err(bad("x", "only 8-bit integers are supported"));
    }
    match x.params.uniform() {
        Some((scale, _)) if (MIN_SCALE..=MAX_SCALE).contains(&scale) => {}
        _ => return Err(bad("the scale of x", "it lies outside 2^-21 to 2^16")),
    }
    if opset >= 13 || axis + 1 == shape.len() {
        return Ok((x.tensor, axis));
    }
    let flat = vec![elements(&shape[..axis]), extent];
    let tensor = cx.push(node, Move(Reshape { shape: flat }), &[x.tensor])?;
    Ok((tensor, 1))
}

/// The Softmax, in float, of the lines of a matrix of integers under a scale; of which one integer is zero does not matter.
pub(crate) fn of_scores(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
    tensor: TensorId,
    scale: f32,
) -> Result<Real, NodeError> {
    let fact = cx.builder.fact(tensor);
    let shape = fact.shape.clone();
    if fact.dtype.width() != 8 {
        return Err(bad("x", "only 8-bit integers are supported"));
    }
    if shape.last().is_none_or(|extent| *extent > MAX_EXTENT) {
        return Err(bad("x", "more than 4096 elements share a sum"));
    }
    if !(MIN_SCALE..=MAX_SCALE).contains(&scale) {
        return Err(bad("the scale of x", "it lies outside 2^-21 to 2^16"));
    }
    let pending = Pending {
        tensor,
        scale,
        axis: shape.len() - 1,
        log: false,
        origin: cx.origin(node, &[0], None),
    };
    Ok(Real::new(Base::Softmax(pending), shape))
}

/// The integers that a softmax becomes under a quantization.
pub(crate) fn close(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    pending: &Pending,
    expr: &Expr,
    y: &Params,
) -> Result<(TensorId, Exactness), NodeError> {
    let arithmetic = cx.arithmetic(&pending.origin, expr, y);
    // A kernel needs a clamp that changes nothing.
    if *expr != Expr::X && arithmetic != Arithmetic::Integer {
        return Err(NodeError::Island {
            reason: "a function follows Softmax; quantize its result first",
        });
    }
    let Some((y_scale, zero)) = y.uniform() else {
        return Err(NodeError::Island {
            reason: "the scales of the result of Softmax follow an axis",
        });
    };
    if y.dtype.width() != 8 {
        return Err(bad("the result", "only 8-bit integers are supported"));
    }
    let extent = cx.builder.fact(pending.tensor).shape[pending.axis];
    let tables = Tables::new(pending.scale, extent);
    let out = tables.results(extent, |log| match arithmetic {
        // ONNX's text: the real, then QuantizeLinear.
        _ if pending.log => quantize(log as f32, y_scale, zero, y.range()),
        Arithmetic::Float | Arithmetic::IntegerSums => {
            quantize(math::exp(log) as f32, y_scale, zero, y.range())
        }
        // The kernel of ONNX Runtime: a whole number of levels.
        Arithmetic::Integer => {
            let levels = f64::from((1.0 / y_scale).floor());
            let value = (levels * math::exp(log)).round_ties_even().min(1e9);
            (value as i64 + zero).clamp(y.range().lo, y.range().hi)
        }
    });
    let op = Softmax::new(
        pending.axis,
        y.dtype,
        tables.exps,
        tables.factor,
        tables.log,
        out,
    )?;
    Ok((cx.push(node, op, &[pending.tensor])?, Exactness::Softmax))
}

/// The tables of a scale and a number of elements.
struct Tables {
    exps: Vec<i64>,
    factor: i64,
    /// What one in a logarithm stands for.
    unit: f64,
    log: Logarithm,
}

impl Tables {
    fn new(scale: f32, extent: usize) -> Self {
        let scale = f64::from(scale);
        let mut factor = 1;
        while scale / factor as f64 > math::pow(2.0, f64::from(-UNIT_BITS)) {
            factor *= 2;
        }
        let unit = scale / factor as f64;
        let one = ONE as f64;
        let exp = |d: i32| (one * math::exp(-scale * f64::from(d))).round_ties_even() as i64;
        let mut starts = Vec::new();
        let mut start = ONE;
        while start <= ONE * extent as i64 {
            starts.push(start);
            start += start >> PIECE_BITS;
        }
        // A slope is rounded to whole numbers: the error at the end of the longest piece is then a quarter of a unit.
        let longest = start >> PIECE_BITS;
        let mut shift = 1;
        while 1 << (DIGIT_BITS * shift) < 2 * longest {
            shift += 1;
        }
        let steep = (1i64 << (DIGIT_BITS * shift)) as f64;
        let piece = |&start: &i64| Piece {
            start,
            log: (math::ln(start as f64 / one) / unit).round_ties_even() as i64,
            slope: (steep / unit / start as f64).round_ties_even() as i64,
        };
        // A tangent is left at the end of the longest piece, relative to its start.
        let end = (math::pow(2.0, -f64::from(PIECE_BITS)) / unit) as i64 + 2;
        let bend = |p: i64| {
            let straight = p as f64;
            let curve = math::ln(1.0 + (straight + 0.5) * unit) / unit;
            (straight - curve).round_ties_even() as i64
        };
        let log = Logarithm {
            pieces: starts.iter().map(piece).collect(),
            shift,
            bend: Steps::enumerate(Range::new(0, end), bend),
        };
        Self {
            exps: (0..256).map(exp).collect(),
            factor,
            unit,
            log,
        }
    }

    /// The results of all logarithms that occur.
    fn results(&self, extent: usize, f: impl Fn(f64) -> i64) -> Steps {
        let lowest = -255 * self.factor - (math::ln(extent as f64) / self.unit) as i64 - 64;
        Steps::bisect(Range::new(lowest, 64), |z| f(z as f64 * self.unit))
    }
}
