//! The ONNX operators that are imported, by domain and name.

use crate::error::NodeError;
use crate::facts;
use crate::facts::Facts;
use crate::graph::NodeView;
use crate::graph::{LEARNING, MICROSOFT, STANDARD};
use crate::group::importer::{Done, Importer};
use crate::ops::{
    accumulators, activation, border, einsum, elementwise, fold, limits, linear, logic, matrices,
    movement, pool, quantization, ranking, reduction, resize, selection, softmax, transposed,
    trees,
};

/// From a node to values.
pub(crate) type Import = fn(&mut Importer<'_>, &NodeView<'_>) -> Result<Done, NodeError>;

/// An operator that is imported.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    /// First and last supported opset of the domain.
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// Whether it is proved even if no QuantizeLinear follows: its result is integers with a scale.
    pub(crate) closes: bool,
    /// Whether, after the last quantization, it may also stay outside the proof.
    pub(crate) optional: bool,
    pub(crate) import: Import,
    /// What is said of it in the list of operators.
    pub(crate) facts: &'static Facts,
}

impl Entry {
    /// Whether the node's opset is one in which the operator is supported.
    pub(crate) fn has(&self, node: &NodeView<'_>) -> bool {
        self.domain != STANDARD || (self.min..=self.max).contains(&node.opset)
    }
}

/// All operators.
pub(crate) fn list() -> impl Iterator<Item = &'static Entry> {
    ENTRIES.iter()
}

/// The operator of this identity.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static Entry> {
    ENTRIES
        .iter()
        .find(|entry| entry.domain == domain && entry.name == name)
}

const fn onnx(name: &'static str, import: Import, facts: &'static Facts) -> Entry {
    Entry {
        domain: STANDARD,
        name,
        min: 10,
        max: 26,
        closes: false,
        optional: false,
        import,
        facts,
    }
}

const fn since(min: i64, entry: Entry) -> Entry {
    Entry { min, ..entry }
}

const fn closing(entry: Entry) -> Entry {
    Entry {
        closes: true,
        ..entry
    }
}

const fn deciding(entry: Entry) -> Entry {
    Entry {
        closes: true,
        optional: true,
        ..entry
    }
}

const fn microsoft(name: &'static str, import: Import, facts: &'static Facts) -> Entry {
    Entry {
        domain: MICROSOFT,
        name,
        min: 1,
        max: 1,
        closes: true,
        optional: false,
        import,
        facts,
    }
}

const fn learning(name: &'static str, import: Import, facts: &'static Facts) -> Entry {
    Entry {
        domain: LEARNING,
        name,
        min: 1,
        max: 5,
        closes: true,
        optional: false,
        import,
        facts,
    }
}

const fn pending(entry: Entry) -> Entry {
    Entry {
        closes: false,
        ..entry
    }
}

const ENTRIES: &[Entry] = &[
    deciding(onnx("Equal", logic::compare, &facts::COMPARISON)),
    deciding(onnx("Greater", logic::compare, &facts::COMPARISON)),
    deciding(onnx("Less", logic::compare, &facts::COMPARISON)),
    deciding(since(
        12,
        onnx("GreaterOrEqual", logic::compare, &facts::COMPARISON),
    )),
    deciding(since(
        12,
        onnx("LessOrEqual", logic::compare, &facts::COMPARISON),
    )),
    onnx("And", logic::boolean, &facts::BOOLEAN),
    onnx("Not", logic::boolean, &facts::BOOLEAN),
    onnx("OneHot", ranking::one_hot, &facts::ROWS),
    onnx("Or", logic::boolean, &facts::BOOLEAN),
    onnx("Xor", logic::boolean, &facts::BOOLEAN),
    onnx("Where", logic::choose, &facts::CHOICE),
    microsoft("QLinearWhere", logic::qlinear_where, &facts::CHOICE),
    onnx("Abs", activation::activation, &facts::FUNCTION),
    onnx("Acos", activation::activation, &facts::FUNCTION),
    onnx("Acosh", activation::activation, &facts::FUNCTION),
    onnx("Asin", activation::activation, &facts::FUNCTION),
    onnx("Asinh", activation::activation, &facts::FUNCTION),
    onnx("Atan", activation::activation, &facts::FUNCTION),
    onnx("Atanh", activation::activation, &facts::FUNCTION),
    onnx("Add", elementwise::arithmetic, &facts::TERMS),
    deciding(onnx("ArgMax", ranking::arg_extreme, &facts::RANKING)),
    deciding(onnx("ArgMin", ranking::arg_extreme, &facts::RANKING)),
    deciding(onnx("TopK", ranking::top_k, &facts::RANKING)),
    onnx("AveragePool", pool::average_pool, &facts::AVERAGE),
    onnx(
        "BatchNormalization",
        elementwise::batch_normalization,
        &facts::NORMALIZATION,
    ),
    onnx("Cast", fold::cast, &facts::CONVERSION),
    onnx("Ceil", activation::activation, &facts::FUNCTION),
    since(12, onnx("Celu", activation::activation, &facts::FUNCTION)),
    onnx("Clip", limits::clip, &facts::CLAMP),
    onnx("Concat", selection::concat, &facts::JOINED),
    onnx("Constant", fold::constants_only, &facts::SHAPES),
    onnx("ConstantOfShape", fold::constants_only, &facts::SHAPES),
    closing(onnx("Conv", linear::conv, &facts::WEIGHTED)),
    closing(onnx(
        "ConvTranspose",
        transposed::conv_transpose,
        &facts::TRANSPOSED,
    )),
    closing(onnx(
        "ConvInteger",
        accumulators::conv_integer,
        &facts::ACCUMULATED,
    )),
    onnx("Cos", activation::activation, &facts::FUNCTION),
    onnx("Cosh", activation::activation, &facts::FUNCTION),
    since(11, onnx("CumSum", reduction::cum_sum, &facts::RUNNING_SUM)),
    onnx("DepthToSpace", selection::depth_space, &facts::MOVEMENT),
    closing(onnx(
        "DequantizeLinear",
        quantization::dequantize_linear,
        &facts::QUANTIZATION,
    )),
    onnx("Div", elementwise::arithmetic, &facts::WITH_CONSTANT),
    onnx("Dropout", movement::dropout, &facts::MOVEMENT),
    onnx(
        "DynamicQuantizeLinear",
        quantization::dynamic,
        &facts::REFUSED,
    ),
    onnx("Elu", activation::activation, &facts::FUNCTION),
    onnx("Erf", activation::activation, &facts::FUNCTION),
    onnx("Exp", activation::activation, &facts::FUNCTION),
    onnx("Expand", selection::expand, &facts::MOVEMENT),
    onnx("Flatten", movement::flatten, &facts::MOVEMENT),
    onnx("Floor", activation::activation, &facts::FUNCTION),
    onnx("Gather", selection::gather, &facts::PICKED),
    since(12, onnx("Einsum", einsum::einsum, &facts::EINSUM)),
    since(20, onnx("Gelu", activation::activation, &facts::FUNCTION)),
    closing(onnx("Gemm", matrices::gemm, &facts::GEMM)),
    onnx(
        "GlobalAveragePool",
        pool::global_average_pool,
        &facts::GLOBAL_AVERAGE,
    ),
    onnx("GlobalMaxPool", pool::global_max_pool, &facts::MAXIMUM),
    deciding(onnx("Hardmax", ranking::hardmax, &facts::RANKING)),
    onnx("HardSigmoid", activation::activation, &facts::FUNCTION),
    since(
        14,
        onnx("HardSwish", activation::activation, &facts::FUNCTION),
    ),
    onnx("Identity", movement::identity, &facts::MOVEMENT),
    onnx("LeakyRelu", activation::activation, &facts::FUNCTION),
    onnx("Log", activation::activation, &facts::FUNCTION),
    onnx("LogSoftmax", softmax::softmax, &facts::SOFTMAX),
    closing(onnx(
        "MatMul",
        matrices::matmul,
        &facts::PRODUCT_OF_MATRICES,
    )),
    closing(onnx(
        "MatMulInteger",
        accumulators::matmul_integer,
        &facts::ACCUMULATED,
    )),
    onnx("Max", limits::extreme, &facts::EXTREME),
    onnx("MaxPool", pool::max_pool, &facts::MAXIMUM),
    onnx("Min", limits::extreme, &facts::EXTREME),
    onnx("Mod", elementwise::arithmetic, &facts::WITH_CONSTANT),
    since(18, onnx("Mish", activation::activation, &facts::FUNCTION)),
    onnx("Mul", elementwise::arithmetic, &facts::PRODUCT),
    onnx("Neg", activation::activation, &facts::FUNCTION),
    onnx("PRelu", elementwise::arithmetic, &facts::WITH_CONSTANT),
    onnx("Pad", border::pad, &facts::PADDING),
    onnx("Pow", elementwise::arithmetic, &facts::WITH_CONSTANT),
    closing(onnx(
        "QLinearConv",
        linear::qlinear_conv,
        &facts::WEIGHTED_KERNEL,
    )),
    closing(onnx(
        "QLinearMatMul",
        matrices::qlinear_matmul,
        &facts::PRODUCT_KERNEL,
    )),
    closing(onnx(
        "QuantizeLinear",
        quantization::quantize_linear,
        &facts::QUANTIZATION,
    )),
    since(11, onnx("Range", fold::constants_only, &facts::SHAPES)),
    onnx("Reciprocal", activation::activation, &facts::FUNCTION),
    onnx("ReduceL1", reduction::reduce_norm, &facts::SUM),
    onnx("ReduceL2", reduction::reduce_norm, &facts::SUM),
    onnx(
        "ReduceMax",
        reduction::reduce_extreme,
        &facts::EXTREME_ALONG,
    ),
    onnx("ReduceMean", reduction::reduce_sum, &facts::SUM),
    onnx(
        "ReduceMin",
        reduction::reduce_extreme,
        &facts::EXTREME_ALONG,
    ),
    onnx("ReduceSum", reduction::reduce_sum, &facts::SUM),
    onnx("ReduceSumSquare", reduction::reduce_norm, &facts::SUM),
    onnx("Relu", activation::activation, &facts::CLAMP),
    onnx("Reshape", movement::reshape, &facts::MOVEMENT),
    onnx("Resize", resize::resize, &facts::NEAREST),
    since(11, onnx("Round", activation::activation, &facts::FUNCTION)),
    onnx("Selu", activation::activation, &facts::FUNCTION),
    onnx("Shape", fold::shape, &facts::SHAPES),
    onnx("Shrink", activation::activation, &facts::FUNCTION),
    onnx("Sigmoid", activation::activation, &facts::FUNCTION),
    onnx("Sign", activation::activation, &facts::FUNCTION),
    onnx("Sin", activation::activation, &facts::FUNCTION),
    onnx("Sinh", activation::activation, &facts::FUNCTION),
    onnx("Size", fold::shape, &facts::SHAPES),
    onnx("Slice", selection::slice, &facts::MOVEMENT),
    onnx("Softmax", softmax::softmax, &facts::SOFTMAX),
    onnx("Softplus", activation::activation, &facts::FUNCTION),
    onnx("Softsign", activation::activation, &facts::FUNCTION),
    onnx("SpaceToDepth", selection::depth_space, &facts::MOVEMENT),
    onnx("Split", selection::split, &facts::MOVEMENT),
    onnx("Sqrt", activation::activation, &facts::FUNCTION),
    onnx("Squeeze", movement::squeeze, &facts::MOVEMENT),
    onnx("Sub", elementwise::arithmetic, &facts::TERMS),
    onnx("Sum", elementwise::sum, &facts::SEVERAL),
    since(24, onnx("Swish", activation::activation, &facts::FUNCTION)),
    onnx("Tan", activation::activation, &facts::FUNCTION),
    onnx("Tanh", activation::activation, &facts::FUNCTION),
    onnx("ThresholdedRelu", activation::activation, &facts::FUNCTION),
    onnx("Tile", selection::tile, &facts::MOVEMENT),
    onnx("Transpose", movement::transpose, &facts::MOVEMENT),
    onnx("Unsqueeze", movement::unsqueeze, &facts::MOVEMENT),
    microsoft(
        "DequantizeLinear",
        quantization::dequantize_linear,
        &facts::QUANTIZATION,
    ),
    microsoft(
        "MatMulIntegerToFloat",
        accumulators::matmul_integer_to_float,
        &facts::ACCUMULATED_FLOATS,
    ),
    pending(microsoft("Gelu", activation::activation, &facts::FUNCTION)),
    microsoft("QGemm", matrices::qgemm, &facts::WEIGHTED_KERNEL),
    microsoft("QLinearAdd", elementwise::qlinear, &facts::PAIR),
    microsoft(
        "QLinearAveragePool",
        pool::qlinear_average_pool,
        &facts::AVERAGE,
    ),
    microsoft("QLinearConcat", selection::qlinear_concat, &facts::JOINED),
    microsoft(
        "QLinearGlobalAveragePool",
        pool::qlinear_global_average_pool,
        &facts::MEAN_KERNEL,
    ),
    microsoft("QLinearLeakyRelu", activation::qlinear, &facts::FUNCTION),
    microsoft("QLinearMul", elementwise::qlinear, &facts::PRODUCT),
    microsoft("QLinearSigmoid", activation::qlinear, &facts::FUNCTION),
    microsoft("QLinearSoftmax", softmax::qlinear_softmax, &facts::SOFTMAX),
    microsoft(
        "QuantizeLinear",
        quantization::quantize_linear,
        &facts::QUANTIZATION,
    ),
    pending(microsoft(
        "QuickGelu",
        activation::activation,
        &facts::FUNCTION,
    )),
    learning("TreeEnsemble", trees::sums, &facts::TREES),
    learning("TreeEnsembleClassifier", trees::sums, &facts::TREES),
    learning("TreeEnsembleRegressor", trees::sums, &facts::TREES),
];
