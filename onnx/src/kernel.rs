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

use std::collections::{HashMap, HashSet};

use crate::close::at;
use crate::eval::quantize;
use crate::expr::Expr;
use crate::graph::{Graph, Node, NodeView, ValueId, is_known_domain};
use crate::importer::Importer;
use crate::real::Params;
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

/// Where a pending result stands in the graph, and what its operands allow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The float result; `None` if the operator is an integer kernel as it stands.
    result: Option<ValueId>,
    /// The type of result that an integer kernel for these operands has; `None` if there is no such kernel.
    kernel: Option<DataType>,
    /// Whether the kernel may give its sums as floats.
    sums: bool,
    /// Whether it does so whatever follows.
    always_sums: bool,
}

impl Origin {
    /// The result of an operator that is an integer kernel as it stands.
    pub(crate) fn kernel() -> Self {
        Self::default()
    }

    /// The result of an operator that is an integer kernel and gives its sums as floats.
    pub(crate) fn sums() -> Self {
        Self {
            always_sums: true,
            ..Self::default()
        }
    }

    /// The same group with its result elsewhere, as where ONNX Runtime fuses a node with the next one.
    pub(crate) fn moved_to(&self, node: &NodeView<'_>) -> Self {
        Self {
            result: self.result.and_then(|_| node.node().output(0)),
            ..self.clone()
        }
    }

    /// Whether a kernel may run, as far as the operands say.
    pub(crate) fn has_kernel(&self) -> bool {
        self.result.is_none() || self.kernel.is_some()
    }

    /// The same group where something else rules a kernel out.
    pub(crate) fn in_float(self) -> Self {
        Self {
            kernel: None,
            ..self
        }
    }
}

/// The type of result of a kernel of activations and weights of these types.
pub(crate) fn weighted(x: DataType, w: DataType) -> Option<DataType> {
    let byte = |t| matches!(t, DataType::U8 | DataType::I8);
    (byte(x) && byte(w) && (x == DataType::U8 || w == DataType::I8)).then_some(x)
}

/// The type of result of a kernel whose operands are all of its type.
pub(crate) fn alike(types: &[DataType]) -> Option<DataType> {
    let &[first, ref rest @ ..] = types else {
        return None;
    };
    (matches!(first, DataType::U8 | DataType::I8) && rest.iter().all(|t| *t == first))
        .then_some(first)
}

/// Whether an operator computes with quantized integers.
pub(crate) fn is_kernel(node: &Node) -> bool {
    node.op.starts_with('Q') || node.op.ends_with("Integer")
}

/// Who makes and who reads each value of a graph.
#[derive(Debug, Default)]
pub(crate) struct Routes<'a> {
    makers: HashMap<ValueId, &'a Node>,
    readers: HashMap<ValueId, Vec<&'a Node>>,
    outputs: HashSet<ValueId>,
    opset: i64,
}

/// Where a float result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// To one QuantizeLinear, over clamps and movement alone.
    Quantized,
    /// To one reader that is something else.
    Other,
    /// To several readers or an output of the graph; whether a QuantizeLinear is among them.
    Fork { quantized: bool },
}

/// The way of a float result.
#[derive(Clone, Copy, Debug)]
struct Route {
    goal: Goal,
    /// How many clamps stand at its beginning.
    clamps: usize,
}

impl<'a> Routes<'a> {
    pub(crate) fn new(graph: &'a Graph) -> Self {
        let mut routes = Self {
            outputs: graph.outputs.iter().copied().collect(),
            opset: graph.opset,
            ..Self::default()
        };
        let folded = graph.folded.iter().map(|folded| &folded.node);
        for node in graph.nodes.iter().chain(folded) {
            routes.makers.extend(node.made().map(|value| (value, node)));
            let read: HashSet<ValueId> = node.inputs.iter().flatten().copied().collect();
            for value in read {
                routes.readers.entry(value).or_default().push(node);
            }
        }
        routes
    }

    /// The node that makes a value.
    pub(crate) fn maker(&self, value: ValueId) -> Option<&'a Node> {
        self.makers.get(&value).copied()
    }

    /// The nodes that read a value.
    pub(crate) fn readers(&self, value: ValueId) -> impl Iterator<Item = &'a Node> + '_ {
        self.readers.get(&value).into_iter().flatten().copied()
    }

    /// Whether some node reads a value, or it is an output.
    pub(crate) fn is_used(&self, value: ValueId) -> bool {
        self.readers.contains_key(&value) || self.outputs.contains(&value)
    }

    /// Whether quantization is moved over the node: movement of single elements, and the largest of several.
    fn moves(&self, node: &Node) -> bool {
        match node.op.as_str() {
            "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze" | "Slice" => true,
            "MaxPool" => self.opset >= 12,
            _ => false,
        }
    }

    /// The reader of a tensor, if there is one and the tensor is no output.
    pub(crate) fn only_reader(&self, value: ValueId) -> Option<&'a Node> {
        match self.readers.get(&value).map(Vec::as_slice) {
            Some(&[reader]) if !self.outputs.contains(&value) => Some(reader),
            _ => None,
        }
    }

    fn follow(&self, result: ValueId) -> Route {
        let (mut value, mut clamps, mut moved) = (result, 0, false);
        // A graph has no cycles, so this ends.
        loop {
            let Some(node) = self.only_reader(value) else {
                let mut readers = self.readers.get(&value).into_iter().flatten();
                let quantized = readers.any(|n| n.op == "QuantizeLinear");
                let goal = Goal::Fork { quantized };
                return Route { goal, clamps };
            };
            match node.op.as_str() {
                "QuantizeLinear" => {
                    let goal = Goal::Quantized;
                    return Route { goal, clamps };
                }
                "Identity" | "Dropout" | "Cast" => {}
                "Relu" | "Clip" if !moved => clamps += 1,
                _ if self.moves(node) => moved = true,
                _ => {
                    let goal = Goal::Other;
                    return Route { goal, clamps };
                }
            }
            match node.output(0) {
                Some(next) => value = next,
                None => {
                    let goal = Goal::Other;
                    return Route { goal, clamps };
                }
            }
        }
    }

    /// Whether a value comes from DequantizeLinear over nothing but such movement.
    fn is_dequantized(&self, value: ValueId) -> bool {
        let mut value = Some(value);
        while let Some(node) = value.and_then(|value| self.maker(value)) {
            match node.op.as_str() {
                "DequantizeLinear" => return true,
                // Of operators of other crates ONNX Runtime knows nothing.
                _ if !is_known_domain(&node.domain) => return true,
                "Identity" | "Dropout" | "Cast" => {}
                _ if self.moves(node) => {}
                _ => return false,
            }
            value = node.input(0);
        }
        false
    }
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
            matches!(reader.op.as_str(), "Relu" | "Clip")
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
