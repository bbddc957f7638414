//! The ONNX operators that are imported, by domain and name.

use super::error::NodeError;
use super::graph::{MICROSOFT, STANDARD};
use super::importer::{Done, Importer};
use super::node::NodeView;
use super::ops::{elementwise, linear, movement, pool, quantization};

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
    pub(crate) import: Import,
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

const fn microsoft(name: &'static str, import: Import) -> Entry {
    Entry {
        domain: MICROSOFT,
        name,
        min: 1,
        max: 1,
        closes: true,
        import,
    }
}

const ENTRIES: &[Entry] = &[
    onnx("Add", elementwise::add),
    onnx("AveragePool", pool::average_pool),
    onnx("BatchNormalization", elementwise::batch_normalization),
    onnx("Clip", elementwise::clip),
    onnx("Constant", movement::constant),
    closing(onnx("Conv", linear::conv)),
    closing(onnx("ConvInteger", linear::conv_integer)),
    closing(onnx("DequantizeLinear", quantization::dequantize_linear)),
    onnx("Dropout", movement::dropout),
    onnx("DynamicQuantizeLinear", quantization::dynamic),
    onnx("Flatten", movement::flatten),
    closing(onnx("Gemm", linear::gemm)),
    onnx("GlobalAveragePool", pool::global_average_pool),
    onnx("Identity", movement::identity),
    closing(onnx("MatMul", linear::matmul)),
    closing(onnx("MatMulInteger", linear::matmul_integer)),
    onnx("MaxPool", pool::max_pool),
    closing(onnx("QLinearConv", linear::qlinear_conv)),
    closing(onnx("QLinearMatMul", linear::qlinear_matmul)),
    closing(onnx("QuantizeLinear", quantization::quantize_linear)),
    onnx("Relu", elementwise::relu),
    onnx("Reshape", movement::reshape),
    onnx("Squeeze", movement::squeeze),
    onnx("Transpose", movement::transpose),
    onnx("Unsqueeze", movement::unsqueeze),
    microsoft("DequantizeLinear", quantization::dequantize_linear),
    microsoft("QGemm", linear::qgemm),
    microsoft("QLinearAdd", elementwise::qlinear_add),
    microsoft("QLinearAveragePool", pool::qlinear_average_pool),
    microsoft(
        "QLinearGlobalAveragePool",
        pool::qlinear_global_average_pool,
    ),
    microsoft("QuantizeLinear", quantization::quantize_linear),
];
