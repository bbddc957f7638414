//! One evaluator of ONNX operators on known tensors, with ONNX Runtime's results.
//!
//! Constants are folded with it, `quantize` runs samples through it, and the float tail is computed by it: so a
//! constant has one value, whoever asks. It knows nodes and tensors and nothing of the importer.
//!
//! Results are those of the CPU provider of the ONNX Runtime that `models/requirements.txt` pins, on one thread: the
//! types, the wrap-around of integers, what becomes of values that are not numbers. What C++ leaves undefined there
//! (a float outside the integer that it is cast to, a division by zero) is refused: no machine has to agree with
//! another. Sums of floats, whose order no text fixes, are added up in binary64 and rounded once, which is the exact sum
//! unless that lies within the rounding errors of binary64 of a tie; SEMANTICS.md gives the distances.
//!
//! An operator is a line in [`RULES`]: its name, the first opset that has it, the element types of its first input that
//! ONNX Runtime has a kernel for, and a function.

mod arithmetic;
mod cast;
mod conv;
mod index;
pub(crate) mod inputs;
mod logic;
mod movement;
mod norm;
mod order;
mod places;
mod pool;
mod product;
mod quantization;
mod reduce;
mod resize;
mod scalar;
mod shape;
#[cfg(test)]
mod tests;
mod trees;
mod types;

pub(crate) use arithmetic::function;
pub(crate) use norm::factors;
pub(crate) use quantization::{quantize, saturate};
pub(crate) use resize::lines as resize_lines;
pub(crate) use scalar::{Binary, Unary};
pub(crate) use shape::of_shape;
pub(crate) use types::{Operand, Operands, types, zeros};

use types::TypeRule;

use inputs::*;
pub(crate) use inputs::{Inputs, Results};

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::{LEARNING, MICROSOFT, STANDARD, Type};

/// An operator.
struct Rule {
    domain: &'static str,
    name: &'static str,
    /// The first opset that has it.
    since: i64,
    types: Types,
    /// How the types of the results follow.
    results: TypeRule,
    run: fn(&NodeView<'_>, &Inputs<'_>) -> Results,
}

const fn onnx(
    name: &'static str,
    types: Types,
    run: fn(&NodeView<'_>, &Inputs<'_>) -> Results,
) -> Rule {
    Rule {
        domain: STANDARD,
        name,
        since: 1,
        types,
        results: TypeRule::Zeros(1),
        run,
    }
}

/// An operator of classical learning, whose results have types of their own.
const fn learning(
    name: &'static str,
    run: fn(&NodeView<'_>, &Inputs<'_>) -> Results,
    types: fn(&NodeView<'_>, &Operands<'_>) -> Option<Vec<Type>>,
) -> Rule {
    Rule {
        domain: LEARNING,
        results: TypeRule::Several(types),
        ..onnx(name, F | WORDS, run)
    }
}

/// An operator whose result has the type of its first operand.
const fn like(rule: Rule) -> Rule {
    let results = TypeRule::First;
    Rule { results, ..rule }
}

/// An operator whose operands broadcast against each other.
const fn spread(rule: Rule) -> Rule {
    let results = TypeRule::Broadcast;
    Rule { results, ..rule }
}

/// The same, to booleans.
const fn truth(rule: Rule) -> Rule {
    let results = TypeRule::Truth;
    Rule { results, ..rule }
}

/// An operator the types of whose results follow from the types of so many operands and the values of the others.
const fn open(operands: usize, rule: Rule) -> Rule {
    let results = TypeRule::Zeros(operands);
    Rule { results, ..rule }
}

const fn own(results: fn(&NodeView<'_>, &Operands<'_>) -> Option<Type>, rule: Rule) -> Rule {
    let results = TypeRule::Own(results);
    Rule { results, ..rule }
}

const fn since(since: i64, rule: Rule) -> Rule {
    Rule { since, ..rule }
}

const fn microsoft(rule: Rule) -> Rule {
    Rule {
        domain: MICROSOFT,
        ..rule
    }
}

const RULES: &[Rule] = &[
    like(onnx("Abs", NUMBERS, arithmetic::unary)),
    like(onnx("Acos", F, arithmetic::unary)),
    like(onnx("Acosh", F, arithmetic::unary)),
    like(onnx("Asin", F, arithmetic::unary)),
    like(onnx("Asinh", F, arithmetic::unary)),
    like(onnx("Atan", F, arithmetic::unary)),
    like(onnx("Atanh", F, arithmetic::unary)),
    like(onnx("Ceil", F | D, arithmetic::unary)),
    since(12, like(onnx("Celu", F, arithmetic::unary))),
    like(onnx("Cos", F | D, arithmetic::unary)),
    like(onnx("Cosh", F, arithmetic::unary)),
    like(onnx("Elu", F, arithmetic::unary)),
    like(onnx("Erf", F, arithmetic::unary)),
    like(onnx("Exp", F | D, arithmetic::unary)),
    like(onnx("Floor", F | D, arithmetic::unary)),
    since(20, like(onnx("Gelu", F, arithmetic::unary))),
    like(onnx("HardSigmoid", F, arithmetic::unary)),
    since(14, like(onnx("HardSwish", F, arithmetic::unary))),
    like(onnx("LeakyRelu", F, arithmetic::unary)),
    like(onnx("Log", F | D, arithmetic::unary)),
    since(18, like(onnx("Mish", F, arithmetic::unary))),
    like(onnx("Neg", F | D | SIGNED, arithmetic::unary)),
    like(onnx("Reciprocal", F | D, arithmetic::unary)),
    like(onnx("Relu", F | D | I8 | I32, arithmetic::unary)),
    since(11, like(onnx("Round", F | D, arithmetic::unary))),
    like(onnx("Selu", F, arithmetic::unary)),
    like(onnx("Shrink", NUMBERS, arithmetic::unary)),
    like(onnx("Sigmoid", F | D, arithmetic::unary)),
    like(onnx("Sign", NUMBERS, arithmetic::unary)),
    like(onnx("Sin", F | D, arithmetic::unary)),
    like(onnx("Sinh", F, arithmetic::unary)),
    like(onnx("Softplus", F, arithmetic::unary)),
    like(onnx("Softsign", F, arithmetic::unary)),
    like(onnx("Sqrt", F | D, arithmetic::unary)),
    since(24, like(onnx("Swish", F | D, arithmetic::unary))),
    like(onnx("Tan", F, arithmetic::unary)),
    like(onnx("Tanh", F | D, arithmetic::unary)),
    like(onnx("ThresholdedRelu", F, arithmetic::unary)),
    microsoft(like(onnx("Gelu", F, arithmetic::unary))),
    microsoft(like(onnx("QuickGelu", F, arithmetic::unary))),
    like(onnx("Clip", NUMBERS, arithmetic::clip)),
    spread(onnx("Add", NUMBERS, arithmetic::binary)),
    spread(onnx("Sub", NUMBERS, arithmetic::binary)),
    spread(onnx("Mul", NUMBERS, arithmetic::binary)),
    spread(onnx("Div", NUMBERS, arithmetic::binary)),
    spread(onnx("Mod", NUMBERS, arithmetic::binary)),
    spread(onnx("Pow", F | D | WORDS, arithmetic::power)),
    spread(onnx("PRelu", F, arithmetic::binary)),
    spread(onnx("Max", NUMBERS & !(I16 | U16), arithmetic::several)),
    spread(onnx("Min", NUMBERS & !(I16 | U16), arithmetic::several)),
    spread(onnx("Sum", F | D, arithmetic::several)),
    spread(onnx("Mean", F, arithmetic::several)),
    truth(onnx("Less", NUMBERS, logic::compare)),
    truth(onnx("Greater", NUMBERS, logic::compare)),
    since(12, truth(onnx("LessOrEqual", NUMBERS, logic::compare))),
    since(12, truth(onnx("GreaterOrEqual", NUMBERS, logic::compare))),
    truth(onnx("Equal", NUMBERS | BOOL, logic::compare)),
    spread(onnx("And", BOOL, logic::boolean)),
    spread(onnx("Or", BOOL, logic::boolean)),
    spread(onnx("Xor", BOOL, logic::boolean)),
    onnx("Not", BOOL, logic::boolean),
    since(18, spread(onnx("BitwiseAnd", INTS, logic::bitwise))),
    since(18, spread(onnx("BitwiseOr", INTS, logic::bitwise))),
    since(18, spread(onnx("BitwiseXor", INTS, logic::bitwise))),
    since(18, onnx("BitwiseNot", INTS, logic::bitwise)),
    onnx("IsNaN", F | D, logic::is_special),
    onnx("IsInf", F | D, logic::is_special),
    spread(onnx("Where", BOOL, logic::choose)),
    onnx("Cast", ALL, cast::cast),
    since(15, onnx("CastLike", ALL, cast::cast_like)),
    like(onnx("Identity", ALL, movement::identity)),
    open(3, onnx("Dropout", F | D | H, movement::dropout)),
    onnx("Reshape", ALL, movement::reshape),
    onnx("Flatten", ALL, movement::flatten),
    onnx("Squeeze", ALL, movement::squeeze),
    onnx("Unsqueeze", ALL, movement::unsqueeze),
    onnx("Transpose", ALL, movement::transpose),
    open(usize::MAX, onnx("Concat", ALL, movement::concat)),
    onnx("Split", ALL, movement::split),
    onnx("Slice", ALL, movement::slice),
    onnx("Expand", ALL, movement::expand),
    onnx("Tile", ALL, movement::tile),
    onnx("Pad", ALL, movement::pad),
    onnx("DepthToSpace", ALL, movement::depth_to_space),
    onnx("SpaceToDepth", ALL, movement::space_to_depth),
    open(2, onnx("Gather", ALL, index::gather)),
    since(
        11,
        open(2, onnx("GatherElements", ALL, index::gather_elements)),
    ),
    since(11, open(2, onnx("GatherND", ALL, index::gather_nd))),
    since(
        11,
        open(3, onnx("ScatterElements", ALL, index::scatter_elements)),
    ),
    since(11, open(3, onnx("ScatterND", ALL, index::scatter_nd))),
    since(14, onnx("Trilu", F | D | WORDS | BOOL, index::trilu)),
    onnx("OneHot", NUMBERS, index::one_hot),
    onnx("Constant", ALL, shape::constant),
    open(0, onnx("ConstantOfShape", I64, shape::constant_of_shape)),
    since(
        11,
        open(0, onnx("Range", F | D | I16 | WORDS, shape::range)),
    ),
    onnx("Shape", ALL, shape::shape),
    onnx("Size", ALL, shape::shape),
    onnx("ReduceSum", F | D | WORDS, reduce::reduce),
    onnx("ReduceMean", F | D | WORDS, reduce::reduce),
    onnx("ReduceMax", F | D | WORDS | I8 | U8 | BOOL, reduce::reduce),
    onnx("ReduceMin", F | D | WORDS | I8 | U8 | BOOL, reduce::reduce),
    onnx("ReduceProd", F | D | WORDS, reduce::reduce),
    onnx("ReduceL1", F | D | WORDS, reduce::reduce),
    onnx("ReduceL2", F | D | WORDS, reduce::reduce),
    onnx("ReduceLogSum", F | D | WORDS, reduce::reduce),
    onnx("ReduceLogSumExp", F | D | WORDS, reduce::reduce),
    onnx("ReduceSumSquare", F | D | WORDS, reduce::reduce),
    like(onnx("Softmax", F | D, order::softmax)),
    like(onnx("LogSoftmax", F | D, order::softmax)),
    like(onnx("Hardmax", F, order::hardmax)),
    onnx("ArgMax", F | D | WORDS | I8 | U8, order::arg_extreme),
    onnx("ArgMin", F | D | WORDS | I8 | U8, order::arg_extreme),
    onnx("TopK", NUMBERS, order::top_k),
    since(11, onnx("CumSum", F | D | WORDS, order::cum_sum)),
    own(
        types::matmul,
        onnx("MatMul", F | D | WORDS | U32 | U64, product::matmul),
    ),
    own(types::gemm, onnx("Gemm", F | D, product::gemm)),
    own(types::conv, onnx("Conv", F, conv::conv)),
    own(
        types::conv_transpose,
        onnx("ConvTranspose", F, conv::conv_transpose),
    ),
    onnx("MaxPool", F | D | I8 | U8, pool::pool),
    own(types::pool, onnx("AveragePool", F, pool::pool)),
    own(types::pool, onnx("GlobalMaxPool", F, pool::pool)),
    own(types::pool, onnx("GlobalAveragePool", F, pool::pool)),
    like(onnx("BatchNormalization", F, norm::batch_normalization)),
    like(onnx(
        "InstanceNormalization",
        F,
        norm::instance_normalization,
    )),
    like(onnx("LayerNormalization", F, norm::layer_normalization)),
    onnx("Resize", F | I8 | U8 | I32, resize::resize),
    own(
        types::quantized,
        onnx("QuantizeLinear", F, quantization::quantize_linear),
    ),
    own(
        types::dequantized,
        onnx(
            "DequantizeLinear",
            I8 | U8 | I16 | U16 | I32 | SHORT,
            quantization::dequantize_linear,
        ),
    ),
    microsoft(own(
        types::quantized,
        onnx("QuantizeLinear", F, quantization::quantize_linear),
    )),
    microsoft(own(
        types::dequantized,
        onnx(
            "DequantizeLinear",
            I8 | U8 | I16 | U16 | I32 | SHORT,
            quantization::dequantize_linear,
        ),
    )),
    learning("TreeEnsemble", trees::regressor, trees::types),
    learning("TreeEnsembleClassifier", trees::classifier, trees::types),
    learning("TreeEnsembleRegressor", trees::regressor, trees::types),
];

/// Whether there is a rule for an operator.
pub(crate) fn is_known(domain: &str, name: &str) -> bool {
    find(domain, name).is_some()
}

fn find(domain: &str, name: &str) -> Option<&'static Rule> {
    let mut rules = RULES.iter();
    rules.find(|rule| rule.name == name && rule.domain == domain)
}

/// The results of a node. Every attribute has been looked at, and no result has more elements than the cap.
pub(crate) fn evaluate(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let rule = find(node.domain(), node.op()).ok_or(NodeError::Unknown)?;
    if node.opset < rule.since {
        return Err(NodeError::Opset {
            min: rule.since,
            max: crate::graph::OPSETS.1,
        });
    }
    if let Some(first) = inputs.maybe(0)
        && rule.types & bit(first.element()) == 0
    {
        let got = type_name(first.element());
        return Err(NodeError::ElementType { input: 0, got });
    }
    let results = (rule.run)(node, inputs)?;
    node.check_attributes()?;
    Ok(results)
}
