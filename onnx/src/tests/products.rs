//! Einsum, norms and kernels that give their sums as floats.

use tract_onnx::pb::AttributeProto;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, ints};
use crate::tests::groups::{accepted, problem};
use crate::tests::totals::{run_all, said};
use crate::{Exactness, NodeError};

fn equation(text: &str) -> Vec<AttributeProto> {
    vec![AttributeProto {
        name: "equation".into(),
        r#type: AttributeType::String as i32,
        s: text.into(),
        ..Default::default()
    }]
}

fn two(text: &str) -> Model {
    Model::quantized_input(17, &[2, 3])
        .weights(&[4, 3], &[1, -2, 3, 4, -5, 6, 7, 8, -9, 0, 2, 1], 0.01)
        .node_with("Einsum", &["xf", "wf"], "e", equation(text))
        .scale("y", 0.01, 100)
        .quantize("e", "y", "yq")
        .output("yq")
}

#[test]
fn accepts_einsum_as_a_transposition_or_a_product() {
    let turned = Model::quantized_input(17, &[2, 3])
        .node_with("Einsum", &["xf"], "e", equation("ij->ji"))
        .quantize("e", "x", "y")
        .output("y");
    let x = [1, 2, 3, 4, 5, 6];
    assert_eq!(run_all(&accepted(&turned), &[&x]), [1, 4, 2, 5, 3, 6]);
    let imported = accepted(&two("ij,kj->ki"));
    // ONNX Runtime multiplies floats.
    assert_eq!(said(&imported, "node_yq"), Exactness::Sum { apart: 1 });
    let x = [13i64, 53, 103, 3, 203, 23];
    let w = [1i64, -2, 3, 4, -5, 6, 7, 8, -9, 0, 2, 1];
    let mut want = Vec::new();
    for k in 0..4 {
        for i in 0..2 {
            let acc: i64 = (0..3).map(|j| (x[3 * i + j] - 3) * w[3 * k + j]).sum();
            let real = (acc as f64 * f64::from(0.02f32) * f64::from(0.01f32)) as f32;
            want.push(((real / 0.01).round_ties_even() as i64 + 100).clamp(0, 255));
        }
    }
    assert_eq!(run_all(&imported, &[&x]), want);
    for other in ["ij,kj->k", "ii,kj->ik", "i...,k...->ik"] {
        assert!(
            matches!(
                problem(&two(other)),
                NodeError::Attribute {
                    name: "equation",
                    ..
                }
            ),
            "{other}"
        );
    }
}

#[test]
fn accepts_norms_as_sums_of_tables() {
    let x = [3i64, 13, 43, 0, 3, 3];
    for (op, want) in [
        ("ReduceL1", [5.0, 0.3]),
        ("ReduceL2", [(1.0f64 + 16.0).sqrt(), 0.3]),
        ("ReduceSumSquare", [17.0, 0.09]),
    ] {
        let model = Model::new(13)
            .input("x", DataType::Uint8, &[2, 3])
            .scale("x", 0.1, 3)
            .dequantize("x", "x", "xf")
            .node_with(op, &["xf"], "r", vec![ints("axes", &[1])])
            .scale("y", 0.07, 0)
            .quantize("r", "y", "yq")
            .output("yq");
        let imported = accepted(&model);
        assert_eq!(
            said(&imported, "node_yq"),
            Exactness::Sum { apart: 1 },
            "{op}"
        );
        let want = want.map(|v| (v / 0.07f64).round() as i64);
        assert_eq!(run_all(&imported, &[&x]), want, "{op}");
    }
}

#[test]
fn accepts_a_kernel_that_gives_its_sums_as_floats() {
    let model = Model::new(17)
        .input("x", DataType::Uint8, &[1, 3])
        .scale("x", 0.02, 120)
        .ints("w", DataType::Int8, &[3, 2], &[1, -2, 3, 4, -5, 6])
        .floats("w_s", &[2], &[0.01, 0.03])
        .ints("w_z", DataType::Int8, &[2], &[1, -1])
        .floats("b", &[2], &[0.3, -0.7])
        .node(
            "com.microsoft::MatMulIntegerToFloat",
            &["x", "w", "x_s", "w_s", "x_z", "w_z", "b"],
            "m",
        )
        .scale("y", 0.01, 100)
        .quantize("m", "y", "yq")
        .output("yq");
    let imported = accepted(&model);
    // Its float steps are known, as the sum is an integer.
    assert_eq!(said(&imported, "node_yq"), Exactness::Steps);
    let x = [200i64, 7, 140];
    let w = [[1i64, 3, -5], [-2, 4, 6]];
    let want = (0..2).map(|n| {
        let zero = [1, -1][n];
        let acc: i64 = (0..3).map(|k| (x[k] - 120) * (w[n][k] - zero)).sum();
        let real = acc as f32 * (0.02f32 * [0.01, 0.03][n]) + [0.3, -0.7][n];
        ((real / 0.01).round_ties_even() as i64 + 100).clamp(0, 255)
    });
    assert_eq!(run_all(&imported, &[&x]), want.collect::<Vec<_>>());
}
