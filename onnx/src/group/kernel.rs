//! Which groups ONNX Runtime runs as integer kernels.
//!
//! A group in QDQ form is float arithmetic by ONNX's text. ONNX Runtime rewrites most groups to integer kernels, whose
//! results differ in the last step, and leaves the others in float. What a model means follows what it does, so its
//! conditions stand here, as its optimized graphs show them (`tests/oracle/group_forms.py` reads those):
//!
//! - the operator has a kernel, its operands are 8-bit, and their types fit each other and that of the result: equal
//!   ones, but for weights under u8 activations, which may be of either type;
//! - its float result goes to one QuantizeLinear and nowhere else. In between may stand clamps that the quantization
//!   makes redundant, and after them movement that the quantization is moved over;
//! - its activations come from DequantizeLinear, with nothing but such movement in between;
//! - the bias is one that the kernel takes (`ops/bias.rs`).
//!
//! Matrix products whose result goes elsewhere still run on integers, and give the sum of integers times the scale as a
//! float.

use crate::eval::quantize;
use crate::graph::{NodeView, ValueId};
use crate::group::expr::Expr;
use crate::group::importer::Importer;
use crate::group::params::{Params, at};
use crate::group::routes::{Goal, Origin, Passage};

use zkonnx_circuits::program::{DataType, Range};

/// How ONNX Runtime computes a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// By an integer kernel, to integers.
    Integer,
    /// By an integer kernel that gives its sums as floats, then in float.
    IntegerSums,
    /// In float.
    Float,
}

/// Whether a quantization makes a clamp of its argument redundant.
fn is_redundant((lo, hi): (f32, f32), y: &Params) -> bool {
    let Some((scale, zero)) = y.uniform() else {
        return false;
    };
    is_dropped((lo, hi), scale, zero, y.range())
}

/// Whether ONNX Runtime drops a clamp before a quantization: if its limits are beyond what the type can hold, or short
/// of it by no more than the machine's epsilon, however small the scale is. A limit that is NaN counts as beyond.
fn is_dropped((lo, hi): (f32, f32), scale: f32, zero: i64, range: Range) -> bool {
    let short = |by: f32| by > f32::EPSILON;
    !short(lo - (range.lo - zero) as f32 * scale) && !short((range.hi - zero) as f32 * scale - hi)
}

/// Whether ONNX Runtime may drop a clamp before a quantization, in some lane.
pub(crate) fn drops(limits: (f32, f32), y: &Params) -> bool {
    lanes(y).any(|(scale, zero)| is_dropped(limits, scale, zero, y.range()))
}

/// Whether a clamp before a quantization changes integers although ONNX Runtime may drop it.
pub(crate) fn is_lost(limits: (f32, f32), y: &Params) -> bool {
    let range = y.range();
    lanes(y).any(|(scale, zero)| {
        let bound = |v: f32, unclipped: i64| match v.is_nan() {
            true => unclipped,
            false => quantize(v, scale, zero, range),
        };
        let bounds = (bound(limits.0, range.lo), bound(limits.1, range.hi));
        bounds != (range.lo, range.hi) && is_dropped(limits, scale, zero, range)
    })
}

/// Scale and zero point of each lane.
fn lanes(y: &Params) -> impl Iterator<Item = (f32, i64)> {
    let lanes = 0..y.scale.len().max(y.zero.len());
    lanes.map(|lane| (at(&y.scale, lane), at(&y.zero, lane)))
}

impl Importer<'_> {
    /// The origin of a float node's result. `kernel` is the type of result that the kernel for its operands has, of
    /// which the activations are these inputs of the node.
    pub(crate) fn origin(
        &self,
        node: &NodeView<'_>,
        activations: &[usize],
        kernel: Option<DataType>,
    ) -> Origin {
        let dequantized = |input: &usize| {
            node.input(*input)
                .is_some_and(|value| self.routes.is_dequantized(value))
        };
        Origin {
            result: node.node().output(0),
            kernel: kernel.filter(|_| activations.iter().all(dequantized)),
            sums: matches!(node.op(), "Gemm" | "MatMul"),
            always_sums: false,
        }
    }

    /// Whether the result is quantized before anything but clamps is done with it.
    pub(crate) fn is_quantized_at_once(&self, origin: &Origin) -> bool {
        origin.result.is_some_and(|result| {
            let route = self.routes.follow(result);
            matches!(route.goal, Goal::Quantized | Goal::Fork { quantized: true })
        })
    }

    /// Whether a value is a Relu's, and nothing but one node reads it.
    pub(crate) fn is_lone_relu(&self, value: ValueId) -> bool {
        let maker = self.routes.maker(value);
        maker.is_some_and(|maker| maker.op == "Relu") && self.routes.only_reader(value).is_some()
    }

    /// Whether the result is that of a MatMul and has one reader, so that the addition of a constant is fused with it.
    pub(crate) fn is_matmul(&self, origin: &Origin) -> bool {
        origin.result.is_some_and(|result| {
            let maker = self.routes.maker(result);
            maker.is_some_and(|maker| maker.op == "MatMul")
                && self.routes.only_reader(result).is_some()
        })
    }

    /// How ONNX Runtime computes the group that ends in a quantization `y`, `expr` being what follows its operator.
    pub(crate) fn arithmetic(&self, origin: &Origin, expr: &Expr, y: &Params) -> Arithmetic {
        if origin.always_sums {
            return Arithmetic::IntegerSums;
        }
        let Some(result) = origin.result else {
            return Arithmetic::Integer;
        };
        let Some(kernel) = origin.kernel else {
            return Arithmetic::Float;
        };
        let route = self.routes.follow(result);
        let redundant = expr.as_clamp().is_some_and(|clamp| is_redundant(clamp, y));
        if route.goal == Goal::Quantized && redundant && kernel == y.dtype {
            return Arithmetic::Integer;
        }
        // What is added to a matrix product may be fused with it in more ways than are told apart here.
        let reader = self.routes.only_reader(result);
        if reader.is_some_and(|reader| reader.op == "Add") {
            return Arithmetic::Float;
        }
        // A clamp that is the only reader, and has one itself, is taken for part of the group, which then has no kernel.
        let clamped = reader.is_some_and(|reader| {
            let output = reader.output(0);
            self.routes.passage(reader) == Passage::Clamps
                && output.is_some_and(|output| self.routes.only_reader(output).is_some())
        });
        let quantized = match route.goal {
            Goal::Quantized => true,
            Goal::Fork { quantized } => quantized && route.clamps == 0,
            Goal::Other => false,
        };
        match origin.sums && !clamped && !quantized {
            true => Arithmetic::IntegerSums,
            false => Arithmetic::Float,
        }
    }
}
