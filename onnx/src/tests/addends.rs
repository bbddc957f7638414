//! Sums: biases, pairs, places.

use crate::tests::build::{Model, int};
use crate::tests::groups::{accepted, names, problem, run};
use crate::{Exactness, NodeError, Status};
use tract_onnx::pb::tensor_proto::DataType;

#[test]
fn accepts_matmul_and_add_as_one_operator_with_bias() {
    let model = Model::quantized_input(17, &[1, 2])
        .weights(&[2, 2], &[1, 2, 3, 4], 0.5)
        .floats("bias", &[2], &[0.1, -0.25])
        .scale("y", 0.1, 128)
        .node("MatMul", &["xf", "wf"], "m")
        .node("Add", &["m", "bias"], "a")
        .quantize("a", "y", "yq")
        .output("yq");
    let imported = accepted(&model);
    assert_eq!(names(&imported.program), ["matmul", "requantize"]);
    // 0.1 / (0.02 · 0.5) = 10 and −0.25 / 0.01 = −25.
    assert_eq!(run(&imported, &[3, 3]), [129, 126]);
}

#[test]
fn accepts_add_by_ratios_or_by_tables_and_exactly() {
    let model = |other: f32| {
        Model::quantized_input(13, &[1, 2])
            .input("z", DataType::Float, &[1, 2])
            .scale("z", other, 7)
            .scale("y", 0.05, 90)
            .quantize("z", "z", "zq")
            .dequantize("zq", "z", "zf")
            .node("Add", &["xf", "zf"], "a")
            .quantize("a", "y", "yq")
            .output("yq")
    };
    let ratios = accepted(&model(0.02));
    assert_eq!(names(&ratios.program), ["weighted_sum", "requantize"]);
    // No ratios keep the classes apart, because the kernel rounds in between.
    let tables = accepted(&model(0.013));
    let expected = ["table", "table", "weighted_sum", "requantize"];
    assert_eq!(names(&tables.program), expected);
    for other in [0.013, 0.02, 0.031, 0.05, 0.4] {
        let imported = accepted(&model(other));
        let report = imported
            .report
            .iter()
            .find(|r| r.node == "node_yq")
            .unwrap();
        assert!(
            matches!(report.status, Status::Closed(Exactness::Kernel)),
            "{report:?}"
        );
    }
}

#[test]
fn accepts_a_matrix_as_the_bias_of_a_product() {
    // Four rows and four columns: a column of four is no bias of the channels.
    let product = |dims: &[i64], c: &[i64]| {
        Model::quantized_input(17, &[4, 1])
            .weights(&[1, 4], &[1, 2, 3, 4], 0.5)
            .ints("c", DataType::Int32, dims, c)
            .floats("c_s", &[], &[0.01])
            .ints("c_z", DataType::Int32, &[], &[0])
            .dequantize("c", "c", "cf")
            .node("Gemm", &["xf", "wf", "cf"], "g")
            .scale("y", 0.01, 0)
            .quantize("g", "y", "y")
            .output("y")
    };
    let x = [4, 5, 6, 7];
    let sums = |c: &dyn Fn(i64, i64) -> i64| -> Vec<i64> {
        (0..16)
            .map(|i| (x[i as usize / 4] - 3) * (i % 4 + 1) + c(i / 4, i % 4))
            .collect()
    };
    let column = accepted(&product(&[4, 1], &[10, 20, 30, 40]));
    assert_eq!(names(&column.program), ["matmul", "offset", "requantize"]);
    assert_eq!(run(&column, &x), sums(&|row, _| 10 * (row + 1)));
    let matrix: Vec<i64> = (0..16).collect();
    let matrix = accepted(&product(&[4, 4], &matrix));
    assert_eq!(run(&matrix, &x), sums(&|row, channel| 4 * row + channel));
    let row = accepted(&product(&[1, 4], &[10, 20, 30, 40]));
    assert_eq!(names(&row.program), ["matmul", "requantize"]);
    assert_eq!(run(&row, &x), sums(&|_, channel| 10 * (channel + 1)));
    assert!(matches!(
        problem(&product(&[3, 4], &[0; 12])),
        NodeError::Input { input: 2, .. }
    ));
}

#[test]
fn accepts_sums_of_places_and_rejects_those_that_wrap() {
    let places = |op: &str, constant: &[i64]| {
        Model::quantized_input(17, &[1, 4])
            .node_with("ArgMax", &["xf"], "a", vec![int("axis", 1)])
            .ints("c", DataType::Int64, &[constant.len() as i64], constant)
            .node(op, &["a", "c"], "y")
            .output("y")
    };
    assert_eq!(run(&accepted(&places("Add", &[5])), &[1, 9, 9, 0]), [6]);
    assert_eq!(run(&accepted(&places("Sub", &[5])), &[1, 9, 9, 0]), [-4]);
    assert!(matches!(
        problem(&places("Add", &[1, 2])),
        NodeError::Input { input: 1, .. }
    ));
    assert!(matches!(
        problem(&places("Mul", &[2])),
        NodeError::Input { .. }
    ));
    let two = Model::quantized_input(17, &[1, 4])
        .node_with("ArgMax", &["xf"], "a", vec![int("axis", 1)])
        .node_with("ArgMin", &["xf"], "b", vec![int("axis", 1)])
        .node("Sub", &["a", "b"], "y")
        .output("y");
    assert_eq!(run(&accepted(&two), &[1, 9, 9, 0]), [-2]);
    let narrow = Model::new(17)
        .input("q", DataType::Uint8, &[1, 2])
        .ints("c", DataType::Uint8, &[1], &[1])
        .node("Add", &["q", "c"], "y")
        .output("y");
    assert!(
        matches!(problem(&narrow), NodeError::Op(_)),
        "{:?}",
        problem(&narrow)
    );
}
