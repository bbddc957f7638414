//! Which attributes and inputs an operator has in which opsets, where that changed between the opsets that are read.
//!
//! An attribute outside its window is refused, as ONNX Runtime refuses it: what it would mean is in no text. The table is
//! what the schemas of the `onnx` package say (`onnx.defs.get_schema(operator, opset)`).

use crate::error::NodeError;
use crate::graph::{NodeView, STANDARD};

/// Operator, attribute, first and last opset that have it.
const ATTRIBUTES: &[(&str, &str, i64, i64)] = &[
    ("ArgMax", "select_last_index", 12, LAST),
    ("ArgMin", "select_last_index", 12, LAST),
    ("AveragePool", "dilations", 19, LAST),
    ("BatchNormalization", "training_mode", 14, LAST),
    ("Cast", "round_mode", 24, LAST),
    ("Cast", "saturate", 19, LAST),
    ("Clip", "max", 10, 10),
    ("Clip", "min", 10, 10),
    ("Constant", "sparse_value", 11, LAST),
    ("Constant", "value_float", 12, LAST),
    ("Constant", "value_floats", 12, LAST),
    ("Constant", "value_int", 12, LAST),
    ("Constant", "value_ints", 12, LAST),
    ("DepthToSpace", "mode", 11, LAST),
    ("DequantizeLinear", "axis", 13, LAST),
    ("DequantizeLinear", "block_size", 21, LAST),
    ("DequantizeLinear", "output_dtype", 23, LAST),
    ("Dropout", "ratio", 10, 11),
    ("Dropout", "seed", 12, LAST),
    ("Pad", "pads", 10, 10),
    ("Pad", "value", 10, 10),
    ("QuantizeLinear", "axis", 13, LAST),
    ("QuantizeLinear", "block_size", 21, LAST),
    ("QuantizeLinear", "output_dtype", 21, LAST),
    ("QuantizeLinear", "precision", 23, LAST),
    ("QuantizeLinear", "saturate", 19, LAST),
    ("ReduceMax", "axes", 10, 17),
    ("ReduceMax", "noop_with_empty_axes", 18, LAST),
    ("ReduceMean", "axes", 10, 17),
    ("ReduceMean", "noop_with_empty_axes", 18, LAST),
    ("ReduceMin", "axes", 10, 17),
    ("ReduceMin", "noop_with_empty_axes", 18, LAST),
    ("ReduceSum", "axes", 10, 12),
    ("ReduceSum", "noop_with_empty_axes", 13, LAST),
    ("Reshape", "allowzero", 14, LAST),
    ("Resize", "antialias", 18, LAST),
    ("Resize", "axes", 18, LAST),
    ("Resize", "coordinate_transformation_mode", 11, LAST),
    ("Resize", "cubic_coeff_a", 11, LAST),
    ("Resize", "exclude_outside", 11, LAST),
    ("Resize", "extrapolation_value", 11, LAST),
    ("Resize", "keep_aspect_ratio_policy", 18, LAST),
    ("Resize", "nearest_mode", 11, LAST),
    ("Shape", "end", 15, LAST),
    ("Shape", "start", 15, LAST),
    ("Split", "num_outputs", 18, LAST),
    ("Split", "split", 10, 12),
    ("Squeeze", "axes", 10, 12),
    ("TopK", "largest", 11, LAST),
    ("TopK", "sorted", 11, LAST),
    ("Unsqueeze", "axes", 10, 12),
];

/// Operator, first opset from which on it has more than so many inputs.
const INPUTS: &[(&str, i64, usize)] = &[
    ("Clip", 11, 1),
    ("Dropout", 12, 1),
    ("Pad", 11, 1),
    ("Pad", 18, 3),
    ("ReduceMax", 18, 1),
    ("ReduceMean", 18, 1),
    ("ReduceMin", 18, 1),
    ("ReduceSum", 13, 1),
    ("Resize", 11, 2),
    ("Split", 13, 1),
    ("Squeeze", 13, 1),
    ("Unsqueeze", 13, 1),
];

/// Beyond the last opset that is read.
const LAST: i64 = i64::MAX;

/// Refuses attributes and inputs of a standard operator that the node's opset does not have.
pub(crate) fn check(node: &NodeView<'_>) -> Result<(), NodeError> {
    if node.domain() != STANDARD {
        return Ok(());
    }
    for &(op, name, min, max) in ATTRIBUTES {
        if op == node.op() && !(min..=max).contains(&node.opset) && node.has_attribute(name) {
            return Err(NodeError::Attribute {
                name,
                reason: "the operator does not have it in this opset",
            });
        }
    }
    for &(op, first, most) in INPUTS {
        if op == node.op() && node.opset < first && node.inputs() > most {
            return Err(NodeError::Arity {
                what: "inputs",
                expected: if most == 1 {
                    "1 in this opset"
                } else {
                    "fewer in this opset"
                },
                got: node.inputs(),
            });
        }
    }
    Ok(())
}
