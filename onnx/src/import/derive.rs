//! The float head: what a model computes from its inputs before the first integers.
//!
//! It is outside of every proof. The integers that it ends in are inputs of the program that the model does not have: its
//! interface says how they are computed, so whoever has the model's inputs can.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::Inputs;
use crate::graph::{InputType, Node, NodeView, ValueId};
use crate::group::exactness::{Exactness, Status};
use crate::group::importer::Done;
use crate::group::params::{Place, port_quantization, real_constant};
use crate::group::real::{Base, Real, Value};
use crate::import::state::Walk;
use crate::operator::EXACT;
use crate::vocabulary;
use std::sync::Arc;

use zkonnx_circuits::program::{DataType, Fact};

impl Walk<'_> {
    /// Whether a value is computed from the model's inputs alone, before there are integers. Constants are not.
    pub(crate) fn is_before(value: &Value) -> bool {
        match value {
            Value::Head => true,
            Value::Real(real) => of_inputs(real),
            _ => false,
        }
    }

    /// Whether everything that a node reads is known or computed before there are integers, and some of it computed.
    pub(crate) fn reads_before(inputs: &[&Value]) -> bool {
        let known = |value: &&&Value| matches!(value, Value::Const(_) | Value::Weights(_));
        let mut others = inputs.iter().filter(|value| !known(value)).peekable();
        others.peek().is_some() && others.all(|value| Self::is_before(value))
    }

    /// A node of the float head; or why it cannot be evaluated, which is tried on zeros.
    pub(crate) fn head_node(&self, node: &NodeView<'_>) -> Result<Done, NodeError> {
        let mut values = Vec::with_capacity(node.inputs());
        for i in 0..node.inputs() {
            values.push(match (node.input(i), self.cx.maybe(node, i)) {
                (_, Some(Value::Const(constant))) => Some(constant),
                (_, Some(Value::Weights(weights))) => Some(Arc::new(real_constant(&weights))),
                (Some(value), _) => {
                    let ty = self.cx.graph.ty(value).ok_or(NodeError::Input {
                        input: i,
                        what: "the operand",
                        reason: "its shape is not known",
                    })?;
                    Some(Arc::new(eval::zeros(ty)))
                }
                (None, _) => None,
            });
        }
        let inputs = Inputs::new(values.iter().map(Option::as_deref).collect());
        match vocabulary::evaluate(node, &inputs) {
            // Other data than zeros may have a value.
            Ok(_) | Err(NodeError::Undefined { .. }) => {}
            Err(reason) => return Err(reason),
        }
        Ok(Done {
            values: node.node().outputs.iter().map(|_| Value::Head).collect(),
            status: Status::Head,
        })
    }

    /// Whether QuantizeLinear of these reals is that of inputs of the model.
    pub(crate) fn quantizes_inputs(&self, real: &Real) -> bool {
        use crate::group::expr::Expr;
        match &real.base {
            Base::Input(index) => {
                *real.expr == Expr::X && !self.cx.quantized_inputs.contains_key(index)
            }
            Base::Concat(parts, _) => {
                *real.expr == Expr::X && parts.iter().all(|part| self.quantizes_inputs(part))
            }
            _ => false,
        }
    }

    /// QuantizeLinear of a value of the float head: an input of the program.
    pub(crate) fn quantized_head(&mut self, node: &NodeView<'_>) -> Result<Done, NodeError> {
        let value = self.cx.head_value(node, 0)?;
        let shape = node.shape(0).unwrap_or_default();
        if !self.cx.graph.is_float(value) {
            return Err(NodeError::Input {
                input: 0,
                what: "x",
                reason: "it is not float32",
            });
        }
        let place = Place {
            scale: 1,
            zero: 2,
            axis: self.cx.axis_of(node, shape.len())?,
            shape: &shape,
            dtype: DataType::U8,
        };
        let params = self.cx.output_params(node, &place)?;
        node.int("output_dtype", 0)?;
        node.flag("saturate", true)?;
        let fact = Fact::any(params.dtype, shape.clone());
        let quantization = Some(port_quantization(&params));
        let tensor = self.cx.derived_input(value, fact, quantization);
        Ok(Done::closed(tensor, self.exactness_of_head(value)))
    }

    /// What is said of the integers of a value of the float head.
    pub(crate) fn exactness_of_head(&self, value: ValueId) -> Exactness {
        let mut exact = true;
        self.cx.ancestors(value, |_, maker| {
            exact &= maker.is_none_or(|node| vocabulary::has(node, EXACT));
        });
        if exact {
            Exactness::Steps
        } else {
            Exactness::Head
        }
    }

    /// Whether an integer input of the model is read as floats alone: it is cast, and the proof starts behind that.
    pub(crate) fn is_cast_input(&self, value: ValueId, dtype: InputType) -> bool {
        let InputType::Int(dtype) = dtype else {
            return false;
        };
        let reads = |node: &&Node| node.reads().any(|read| read == value);
        let mut readers = self.cx.graph.nodes.iter().filter(reads).peekable();
        let casts = |node: &Node| {
            let view = NodeView::new(self.cx.graph, node);
            node.is("Cast") && view.int("to", 0) == Ok(i64::from(crate::proto::tensor::FLOAT))
        };
        dtype.width() > 8
            && readers.peek().is_some()
            && readers.all(casts)
            && !self.cx.graph.outputs.contains(&value)
    }
}

/// Whether reals are those of inputs of the model, whatever is done with them.
fn of_inputs(real: &Real) -> bool {
    match &real.base {
        Base::Input(_) => true,
        Base::Concat(parts, _) | Base::Extreme(parts, _) => {
            let constant = |part: &&Real| matches!(part.base, Base::Constant(_));
            let mut others = parts.iter().filter(|part| !constant(part)).peekable();
            others.peek().is_some() && others.all(of_inputs)
        }
        _ => false,
    }
}
