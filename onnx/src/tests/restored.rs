//! Models that were quantized dynamically, or in their weights alone, and the float models that they stand for.

use tract_onnx::pb::tensor_proto::DataType;

use crate::error::{NodeError, TensorProblem};
use crate::quantize::{Feed, Options, QuantizeError, Quantized, quantize};
use crate::tests::build::{Model, float, int};

const WEIGHTS: [i64; 6] = [5, -3, 2, 7, -8, 1];

fn samples() -> Vec<Vec<Feed>> {
    let value = |i: usize| ((i * 37 % 41) as f32 - 20.0) / 10.0;
    let row = |i: usize| vec![Feed::Floats(vec![value(2 * i), value(2 * i + 1)])];
    (0..16).map(row).collect()
}

fn quantized(model: &Model) -> Quantized {
    let bytes = model.bytes();
    quantize(&bytes, &samples(), &Options::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn empty() -> Model {
    Model::new(17).input("x", DataType::Float, &[1, 2])
}

/// The float model of weights `[2, 3]` with a scale.
fn float_model(zero: i64, scale: f32) -> Model {
    let weights: Vec<f32> = WEIGHTS.iter().map(|w| (w - zero) as f32 * scale).collect();
    let model = empty().floats("w", &[2, 3], &weights);
    model.node("MatMul", &["x", "w"], "y").output("y")
}

#[test]
fn accepts_weights_that_are_stored_as_integers() {
    let expected = quantized(&float_model(1, 0.25)).imported.program.id();
    let model = empty()
        .ints("w", DataType::Int8, &[2, 3], &WEIGHTS)
        .floats("s", &[], &[0.25])
        .ints("z", DataType::Int8, &[], &[1])
        .node("DequantizeLinear", &["w", "s", "z"], "wf")
        .node("MatMul", &["x", "wf"], "y")
        .output("y");
    let got = quantized(&model);
    assert_eq!(got.imported.program.id(), expected);
    assert!(got.restored.is_empty());
}

#[test]
fn accepts_weights_of_four_bits() {
    // Columns of the product are rows here; two to a byte, the lower bits first, zero at 8.
    let rows = [
        [WEIGHTS[0], WEIGHTS[3]],
        [WEIGHTS[1], WEIGHTS[4]],
        [WEIGHTS[2], WEIGHTS[5]],
    ];
    let byte = |[a, b]: [i64; 2]| (a + 8) | (b + 8) << 4;
    let packed: Vec<i64> = rows.into_iter().flat_map(|row| [byte(row), 0]).collect();
    let attributes = vec![
        int("K", 2),
        int("N", 3),
        int("bits", 4),
        int("block_size", 4),
    ];
    let model = empty()
        .ints("w", DataType::Uint8, &[3, 1, 2], &packed)
        .floats("s", &[3], &[0.25, 0.25, 0.25])
        .node_with(
            "com.microsoft::MatMulNBits",
            &["x", "w", "s"],
            "y",
            attributes,
        )
        .output("y");
    let got = quantized(&model);
    let expected = quantized(&float_model(0, 0.25));
    assert_eq!(got.imported.program.id(), expected.imported.program.id());
    assert_eq!(got.restored, ["MatMulNBits"]);
}

/// What ONNX Runtime's dynamic quantizer makes of a product.
fn dynamic(model: Model, op: &str) -> Model {
    let model = model
        .ints("w", DataType::Int8, &[2, 3], &WEIGHTS)
        .floats("s", &[], &[0.25])
        .ints("z", DataType::Int8, &[], &[1]);
    let mut model = match op {
        "DynamicQuantizeMatMul" => {
            let inputs = ["x", "w", "s", "z"];
            model.node("com.microsoft::DynamicQuantizeMatMul", &inputs, "y")
        }
        "MatMulIntegerToFloat" => {
            let inputs = ["xq", "w", "xs", "s", "xz", "z"];
            let model = model.node("DynamicQuantizeLinear", &["x"], "xq");
            model.node("com.microsoft::MatMulIntegerToFloat", &inputs, "y")
        }
        _ => model
            .node("DynamicQuantizeLinear", &["x"], "xq")
            .node("MatMulInteger", &["xq", "w", "xz", "z"], "sum")
            .node_with("Cast", &["sum"], "real", vec![int("to", 1)])
            .node("Mul", &["xs", "s"], "scales")
            .node("Mul", &["real", "scales"], "y"),
    };
    for node in &mut model.graph().node {
        if node.op_type == "DynamicQuantizeLinear" {
            node.output.extend(["xs".to_owned(), "xz".to_owned()]);
        }
    }
    model.output("y")
}

#[test]
fn accepts_dynamic_quantization_as_the_float_model_behind_it() {
    let float = quantized(&float_model(1, 0.25));
    let reference = &float.outputs[0].error;
    for op in [
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
        "MatMulInteger",
    ] {
        let got = quantized(&dynamic(empty(), op));
        assert!(
            got.restored.iter().any(|gone| gone == op),
            "{op}: {:?}",
            got.restored
        );
        assert!(got.imported.tail.is_empty(), "{op}");
        let error = &got.outputs[0].error;
        assert!(
            error.relative_rms < 2.0 * reference.relative_rms + 0.01,
            "{op}: {error:?}"
        );
    }
}

/// Integers that are moved before they are multiplied stand for reals that are moved; what is real already may be cast.
#[test]
fn accepts_moved_integers_and_casts_of_reals() {
    let mut model = empty()
        .node("DynamicQuantizeLinear", &["x"], "xq")
        .ints("shape", DataType::Int64, &[2], &[1, 2])
        .ints("w", DataType::Int8, &[2, 3], &WEIGHTS)
        .floats("s", &[], &[0.25])
        .ints("z", DataType::Int8, &[], &[1])
        .node("Transpose", &["xq"], "turned")
        .node("Reshape", &["turned", "shape"], "moved")
        .node("MatMulInteger", &["moved", "w", "xz", "z"], "sum")
        .node_with("Cast", &["sum"], "real", vec![int("to", 1)])
        .node("Mul", &["xs", "s"], "scales")
        .node("Mul", &["real", "scales"], "scaled")
        .node_with("Cast", &["scaled"], "wide", vec![int("to", 11)])
        .node_with("Cast", &["wide"], "y", vec![int("to", 1)]);
    model.graph().node[0]
        .output
        .extend(["xs".to_owned(), "xz".to_owned()]);
    let got = quantized(&model.output("y"));
    assert!(got.imported.tail.is_empty());
    let reference = &quantized(&float_model(1, 0.25)).outputs[0].error;
    let error = &got.outputs[0].error;
    assert!(
        error.relative_rms < 2.0 * reference.relative_rms + 0.01,
        "{error:?}"
    );
}

/// Integers that are computed with as such mean nothing to the float model.
#[test]
fn rejects_other_uses_of_integers_whose_scale_depends_on_the_data() {
    let model = |op: &str, output: &str| {
        let mut model = empty().node("DynamicQuantizeLinear", &["x"], "xq");
        model.graph().node[0]
            .output
            .extend(["xs".to_owned(), "xz".to_owned()]);
        let model = model.ints("seven", DataType::Uint8, &[], &[7]);
        model.node(op, &["xq", "seven"], "y").output(output)
    };
    for (op, output) in [("Equal", "y"), ("Add", "y"), ("Equal", "xq")] {
        let samples = vec![vec![Feed::Floats(vec![0.5, 1.0])]];
        let bytes = model(op, output).bytes();
        let refused = quantize(&bytes, &samples, &Options::default()).err();
        let Some(QuantizeError::Evaluate { source, .. }) = refused else {
            panic!("{op}: {refused:?}")
        };
        assert_eq!(*source, NodeError::IntegersNeeded, "{op}");
    }
}

/// A constant of float64 that is cast before it is used is none of the model's types.
#[test]
fn accepts_constants_of_other_sizes_that_are_folded_away() {
    let weights: Vec<f64> = WEIGHTS.iter().map(|w| *w as f64 * 0.25).collect();
    let model = empty()
        .doubles("wide", &[2, 3], &weights)
        .node_with("Cast", &["wide"], "w", vec![int("to", 1)])
        .node("MatMul", &["x", "w"], "y")
        .output("y");
    let got = quantized(&model);
    assert!(got.restored.is_empty(), "{:?}", got.restored);
    let expected = quantized(&float_model(0, 0.25)).imported.program.id();
    assert_eq!(got.imported.program.id(), expected);
}

/// `y = x · w` in a float type of another size, with a constant that is computed in it.
#[test]
fn accepts_floats_of_other_sizes_as_float32() {
    let expected = quantized(&float_model(0, 0.25)).imported.program.id();
    let halves: Vec<i64> = WEIGHTS.iter().map(|w| *w * 2).collect();
    for (dtype, name) in [
        (DataType::Double, "float64"),
        (DataType::Float16, "float16"),
    ] {
        let mut model = Model::new(17)
            .input("x", dtype, &[1, 2])
            .ints("w2", DataType::Int8, &[2, 3], &halves)
            .floats("eighth", &[], &[0.125])
            .node_with("Cast", &["w2"], "w2f", vec![int("to", 1)])
            .node("Mul", &["w2f", "eighth"], "wf")
            .node_with("Cast", &["wf"], "w", vec![int("to", dtype as i64)])
            .node("MatMul", &["x", "w"], "y")
            .output("y");
        let info = crate::tests::build::value_info("y", dtype, &[1, 3]);
        model.graph().output[0] = info;
        let got = quantized(&model);
        assert_eq!(got.restored, [name]);
        assert_eq!(got.imported.program.id(), expected, "{name}");
        // Under a quantization of its own it is none of ours.
        let fixed = Model::new(21)
            .input("x", dtype, &[1, 2])
            .scale("x", 0.02, 3);
        let fixed = fixed.quantize("x", "x", "y").output("y");
        assert!(crate::import(&fixed.bytes()).is_err());
    }
}

#[test]
fn rejects_static_quantization_and_what_cannot_be_restored() {
    let fixed = Model::quantized_input(17, &[1, 2])
        .node("Relu", &["xf"], "y")
        .output("y");
    let refused = |model: &Model| {
        let samples = vec![vec![Feed::Floats(vec![0.5, 1.0])]];
        quantize(&model.bytes(), &samples, &Options::default()).err()
    };
    assert!(matches!(
        refused(&fixed),
        Some(QuantizeError::AlreadyQuantized(_))
    ));
    let attributes = vec![
        int("K", 2),
        int("N", 3),
        int("bits", 3),
        int("block_size", 4),
    ];
    let model = empty()
        .ints("w", DataType::Uint8, &[3, 1, 2], &[0; 6])
        .floats("s", &[3], &[0.25; 3])
        .node_with(
            "com.microsoft::MatMulNBits",
            &["x", "w", "s"],
            "y",
            attributes,
        )
        .output("y");
    assert!(matches!(
        refused(&model),
        Some(QuantizeError::Evaluate { .. })
    ));
    let unknown = vec![
        int("K", 2),
        int("N", 3),
        int("block_size", 4),
        float("scale", 1.0),
    ];
    let model = empty()
        .ints("w", DataType::Uint8, &[3, 1, 2], &[0; 6])
        .floats("s", &[3], &[0.25; 3])
        .node_with("com.microsoft::MatMulNBits", &["x", "w", "s"], "y", unknown)
        .output("y");
    assert!(matches!(
        refused(&model),
        Some(QuantizeError::Evaluate { .. })
    ));
}

const TABLE: [i64; 8] = [3, 250, 9, 120, 0, 77, 200, 31];

/// Rows of a table of integers that an input chooses.
fn looked_up() -> Model {
    Model::new(17)
        .input("x", DataType::Int64, &[1])
        .ints("t", DataType::Uint8, &[4, 2], &TABLE)
        .floats("ts", &[], &[0.5])
        .ints("tz", DataType::Uint8, &[], &[100])
        .node("Gather", &["t", "x"], "row")
}

fn places() -> Vec<Vec<Feed>> {
    (0..16).map(|i| vec![Feed::Integers(vec![i % 4])]).collect()
}

#[test]
fn accepts_rows_of_a_table_that_is_stored_as_integers() {
    let weights: Vec<f32> = WEIGHTS.iter().map(|w| *w as f32 * 0.25).collect();
    let made = |model: Model| {
        let model = model.floats("w", &[2, 3], &weights);
        let model = model.node("MatMul", &["e", "w"], "y").output("y");
        quantize(&model.bytes(), &places(), &Options::default()).unwrap_or_else(|e| panic!("{e}"))
    };
    let stored = made(looked_up().node("DequantizeLinear", &["row", "ts", "tz"], "e"));
    let reals: Vec<f32> = TABLE.iter().map(|v| (v - 100) as f32 * 0.5).collect();
    let float = Model::new(17)
        .input("x", DataType::Int64, &[1])
        .floats("t", &[4, 2], &reals)
        .node("Gather", &["t", "x"], "e");
    assert_eq!(
        stored.imported.program.id(),
        made(float).imported.program.id()
    );
}

#[test]
fn accepts_products_of_integers_that_no_dynamic_quantization_made() {
    let model = |zero: &str| {
        looked_up()
            .ints("w", DataType::Int8, &[2, 3], &WEIGHTS)
            .node("MatMulInteger", &["row", "w", zero], "sum")
            .node_with("Cast", &["sum"], "whole", vec![int("to", 1)])
            .node("Mul", &["whole", "ts"], "y")
            .output("y")
    };
    let got = quantize(&model("tz").bytes(), &places(), &Options::default());
    let got = got.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(got.restored, ["MatMulInteger"]);
    assert!(got.outputs[0].error.relative_rms < 0.02);
    let refused = quantize(&model("row").bytes(), &places(), &Options::default());
    let computed = |source: &NodeError| matches!(source, NodeError::NotConstant { input: 2, .. });
    assert!(
        matches!(&refused, Err(QuantizeError::Evaluate { source, .. }) if computed(source)),
        "{refused:?}"
    );
}

#[test]
fn rejects_a_table_that_many_nodes_dequantize() {
    let zeros = vec![0; 1 << 16];
    let mut model = Model::new(17)
        .input("x", DataType::Int64, &[1])
        .ints("t", DataType::Uint8, &[1 << 8, 1 << 8], &zeros)
        .floats("s", &[], &[0.5])
        .ints("z", DataType::Uint8, &[], &[0])
        .node("Gather", &["t", "x"], "row");
    for i in 0..100 {
        model = model.node("DequantizeLinear", &["row", "s", "z"], &format!("y{i}"));
    }
    let model = model.output("y0");
    let samples = vec![vec![Feed::Integers(vec![0])]];
    let refused = quantize(&model.bytes(), &samples, &Options::default());
    let too_large =
        |source: &NodeError| matches!(source, NodeError::Tensor(TensorProblem::TooLarge(_)));
    assert!(
        matches!(&refused, Err(QuantizeError::Evaluate { source, .. }) if too_large(source)),
        "{refused:?}"
    );
}
