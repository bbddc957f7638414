//! The ONNX operators that are imported, by domain and name.

use super::error::NodeError;
use super::graph::{MICROSOFT, STANDARD};
use super::importer::{Done, Importer};
use super::node::NodeView;
use super::ops::{
    activation, elementwise, fold, linear, logic, movement, pool, quantization, reduction, resize,
    selection, transposed,
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
}

/// All operators: domain, name, first and last supported opset.
pub(crate) fn list() -> impl Iterator<Item = (&'static str, &'static str, i64, i64)> {
    ENTRIES
        .iter()
        .map(|entry| (entry.domain, entry.name, entry.min, entry.max))
}

/// The operator of this identity.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static Entry> {
    ENTRIES
        .iter()
        .find(|entry| entry.domain == domain && entry.name == name)
}

const fn onnx(name: &'static str, import: Import) -> Entry {
    Entry {
        domain: STANDARD,
        name,
        min: 10,
        max: 26,
        closes: false,
        optional: false,
        import,
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

const fn microsoft(name: &'static str, import: Import) -> Entry {
    Entry {
        domain: MICROSOFT,
        name,
        min: 1,
        max: 1,
        closes: true,
        optional: false,
        import,
    }
}

const fn pending(entry: Entry) -> Entry {
    Entry {
        closes: false,
        ..entry
    }
}

const ENTRIES: &[Entry] = &[
    deciding(onnx("Equal", logic::compare)),
    deciding(onnx("Greater", logic::compare)),
    deciding(onnx("Less", logic::compare)),
    deciding(since(12, onnx("GreaterOrEqual", logic::compare))),
    deciding(since(12, onnx("LessOrEqual", logic::compare))),
    onnx("And", logic::boolean),
    onnx("Not", logic::boolean),
    onnx("Or", logic::boolean),
    onnx("Where", logic::choose),
    microsoft("QLinearWhere", logic::qlinear_where),
    onnx("Abs", activation::activation),
    onnx("Add", elementwise::arithmetic),
    onnx("AveragePool", pool::average_pool),
    onnx("BatchNormalization", elementwise::batch_normalization),
    onnx("Cast", fold::cast),
    onnx("Ceil", activation::activation),
    since(12, onnx("Celu", activation::activation)),
    onnx("Clip", elementwise::clip),
    onnx("Concat", selection::concat),
    onnx("Constant", movement::constant),
    onnx("ConstantOfShape", fold::constant_of_shape),
    closing(onnx("Conv", linear::conv)),
    closing(onnx("ConvTranspose", transposed::conv_transpose)),
    closing(onnx("ConvInteger", linear::conv_integer)),
    onnx("Cos", activation::activation),
    onnx("DepthToSpace", selection::depth_space),
    closing(onnx("DequantizeLinear", quantization::dequantize_linear)),
    onnx("Div", elementwise::arithmetic),
    onnx("Dropout", movement::dropout),
    onnx("DynamicQuantizeLinear", quantization::dynamic),
    onnx("Elu", activation::activation),
    onnx("Erf", activation::activation),
    onnx("Exp", activation::activation),
    onnx("Expand", selection::expand),
    onnx("Flatten", movement::flatten),
    onnx("Floor", activation::activation),
    onnx("Gather", selection::gather),
    since(20, onnx("Gelu", activation::activation)),
    closing(onnx("Gemm", linear::gemm)),
    onnx("GlobalAveragePool", pool::global_average_pool),
    onnx("GlobalMaxPool", pool::global_max_pool),
    onnx("HardSigmoid", activation::activation),
    since(14, onnx("HardSwish", activation::activation)),
    onnx("Identity", movement::identity),
    onnx("LeakyRelu", activation::activation),
    onnx("Log", activation::activation),
    closing(onnx("MatMul", linear::matmul)),
    closing(onnx("MatMulInteger", linear::matmul_integer)),
    onnx("Max", elementwise::extreme),
    onnx("MaxPool", pool::max_pool),
    onnx("Min", elementwise::extreme),
    since(18, onnx("Mish", activation::activation)),
    onnx("Mul", elementwise::arithmetic),
    onnx("Neg", activation::activation),
    onnx("PRelu", elementwise::arithmetic),
    onnx("Pad", selection::pad),
    onnx("Pow", elementwise::arithmetic),
    closing(onnx("QLinearConv", linear::qlinear_conv)),
    closing(onnx("QLinearMatMul", linear::qlinear_matmul)),
    closing(onnx("QuantizeLinear", quantization::quantize_linear)),
    since(11, onnx("Range", fold::range)),
    onnx("Reciprocal", activation::activation),
    onnx("ReduceMax", reduction::reduce_extreme),
    onnx("ReduceMean", reduction::reduce_sum),
    onnx("ReduceMin", reduction::reduce_extreme),
    onnx("ReduceSum", reduction::reduce_sum),
    onnx("Relu", activation::activation),
    onnx("Reshape", movement::reshape),
    onnx("Resize", resize::resize),
    since(11, onnx("Round", activation::activation)),
    onnx("Selu", activation::activation),
    onnx("Shape", fold::shape),
    onnx("Shrink", activation::activation),
    onnx("Sigmoid", activation::activation),
    onnx("Sign", activation::activation),
    onnx("Sin", activation::activation),
    onnx("Size", fold::shape),
    onnx("Slice", selection::slice),
    onnx("Softplus", activation::activation),
    onnx("Softsign", activation::activation),
    onnx("SpaceToDepth", selection::depth_space),
    onnx("Split", selection::split),
    onnx("Sqrt", activation::activation),
    onnx("Squeeze", movement::squeeze),
    onnx("Sub", elementwise::arithmetic),
    since(24, onnx("Swish", activation::activation)),
    onnx("Tanh", activation::activation),
    onnx("ThresholdedRelu", activation::activation),
    onnx("Tile", selection::tile),
    onnx("Transpose", movement::transpose),
    onnx("Unsqueeze", movement::unsqueeze),
    microsoft("DequantizeLinear", quantization::dequantize_linear),
    pending(microsoft("Gelu", activation::activation)),
    microsoft("QGemm", linear::qgemm),
    microsoft("QLinearAdd", elementwise::qlinear),
    microsoft("QLinearAveragePool", pool::qlinear_average_pool),
    microsoft("QLinearConcat", selection::qlinear_concat),
    microsoft(
        "QLinearGlobalAveragePool",
        pool::qlinear_global_average_pool,
    ),
    microsoft("QLinearLeakyRelu", activation::qlinear),
    microsoft("QLinearMul", elementwise::qlinear),
    microsoft("QLinearSigmoid", activation::qlinear),
    microsoft("QuantizeLinear", quantization::quantize_linear),
    pending(microsoft("QuickGelu", activation::activation)),
];
