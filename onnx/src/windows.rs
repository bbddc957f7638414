//! Which attributes and inputs an operator has in which opsets, where that changed between the opsets that are read.
//!
//! An attribute outside its window is refused, as ONNX Runtime refuses it: what it would mean is in no text. The table is
//! what the schemas of the `onnx` package say (`onnx.defs.get_schema(operator, opset)`).

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::{Node, OPSETS, STANDARD};

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
    ("ReduceL1", "axes", 10, 17),
    ("ReduceL1", "noop_with_empty_axes", 18, LAST),
    ("ReduceL2", "axes", 10, 17),
    ("ReduceL2", "noop_with_empty_axes", 18, LAST),
    ("ReduceMax", "axes", 10, 17),
    ("ReduceMax", "noop_with_empty_axes", 18, LAST),
    ("ReduceMean", "axes", 10, 17),
    ("ReduceMean", "noop_with_empty_axes", 18, LAST),
    ("ReduceMin", "axes", 10, 17),
    ("ReduceMin", "noop_with_empty_axes", 18, LAST),
    ("ReduceSum", "axes", 10, 12),
    ("ReduceSum", "noop_with_empty_axes", 13, LAST),
    ("ReduceSumSquare", "axes", 10, 17),
    ("ReduceSumSquare", "noop_with_empty_axes", 18, LAST),
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
    ("ReduceL1", 18, 1),
    ("ReduceL2", 18, 1),
    ("ReduceMax", 18, 1),
    ("ReduceMean", 18, 1),
    ("ReduceMin", 18, 1),
    ("ReduceSumSquare", 18, 1),
    ("ReduceSum", 13, 1),
    ("Resize", 11, 2),
    ("Split", 13, 1),
    ("Squeeze", 13, 1),
    ("Unsqueeze", 13, 1),
];

/// Operator and the first opset that has it, of those that came after the first opset that is read.
const FIRST: &[(&str, i64)] = &[
    ("Acos", 7),
    ("Acosh", 9),
    ("AffineGrid", 20),
    ("Asin", 7),
    ("Asinh", 9),
    ("Atan", 7),
    ("Atanh", 9),
    ("Attention", 23),
    ("Bernoulli", 15),
    ("BitCast", 26),
    ("BitShift", 11),
    ("BitwiseAnd", 18),
    ("BitwiseNot", 18),
    ("BitwiseOr", 18),
    ("BitwiseXor", 18),
    ("BlackmanWindow", 17),
    ("CastLike", 15),
    ("Celu", 12),
    ("CenterCropPad", 18),
    ("Col2Im", 18),
    ("Compress", 9),
    ("ConcatFromSequence", 11),
    ("ConstantOfShape", 9),
    ("ConvInteger", 10),
    ("Cos", 7),
    ("Cosh", 9),
    ("CumProd", 26),
    ("CumSum", 11),
    ("DFT", 17),
    ("DeformConv", 19),
    ("DequantizeLinear", 10),
    ("Det", 11),
    ("DynamicQuantizeLinear", 11),
    ("Einsum", 12),
    ("Erf", 9),
    ("Expand", 8),
    ("EyeLike", 9),
    ("GatherElements", 11),
    ("GatherND", 11),
    ("Gelu", 20),
    ("GreaterOrEqual", 12),
    ("GridSample", 16),
    ("GroupNormalization", 18),
    ("HammingWindow", 17),
    ("HannWindow", 17),
    ("HardSwish", 14),
    ("ImageDecoder", 20),
    ("IsInf", 10),
    ("IsNaN", 9),
    ("LayerNormalization", 17),
    ("LessOrEqual", 12),
    ("MatMulInteger", 10),
    ("MaxUnpool", 9),
    ("MeanVarianceNormalization", 9),
    ("MelWeightMatrix", 17),
    ("Mish", 18),
    ("Mod", 10),
    ("Multinomial", 7),
    ("NegativeLogLikelihoodLoss", 12),
    ("NonMaxSuppression", 10),
    ("NonZero", 9),
    ("OneHot", 9),
    ("Optional", 15),
    ("OptionalGetElement", 15),
    ("OptionalHasElement", 15),
    ("QLinearConv", 10),
    ("QLinearMatMul", 10),
    ("QuantizeLinear", 10),
    ("RMSNormalization", 23),
    ("Range", 11),
    ("RegexFullMatch", 20),
    ("Resize", 10),
    ("ReverseSequence", 10),
    ("RoiAlign", 10),
    ("RotaryEmbedding", 23),
    ("Round", 11),
    ("STFT", 17),
    ("Scan", 8),
    ("Scatter", 9),
    ("ScatterElements", 11),
    ("ScatterND", 11),
    ("SequenceAt", 11),
    ("SequenceConstruct", 11),
    ("SequenceEmpty", 11),
    ("SequenceErase", 11),
    ("SequenceInsert", 11),
    ("SequenceLength", 11),
    ("SequenceMap", 17),
    ("Shrink", 9),
    ("Sign", 9),
    ("Sin", 7),
    ("Sinh", 9),
    ("SoftmaxCrossEntropyLoss", 12),
    ("SplitToSequence", 11),
    ("StringConcat", 20),
    ("StringNormalizer", 10),
    ("StringSplit", 20),
    ("Swish", 24),
    ("Tan", 7),
    ("TensorScatter", 24),
    ("TfIdfVectorizer", 9),
    ("ThresholdedRelu", 10),
    ("Trilu", 14),
    ("Unique", 11),
    ("Where", 9),
];

/// Refuses a standard operator that the node's opset does not have yet.
pub(crate) fn exists(node: &Node) -> Result<(), NodeError> {
    let first = FIRST.iter().find(|(op, _)| node.is(op));
    match first {
        Some(&(_, min)) if node.opset < min => {
            let max = OPSETS.1;
            Err(NodeError::Opset { min, max })
        }
        _ => Ok(()),
    }
}

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
