//! Softmax between quantized parts.

use crate::tests::build::{Model, int};
use crate::tests::groups::{accepted, names, problem, run};
use crate::{Exactness, NodeError, Status};
use tract_onnx::pb::tensor_proto::DataType;

/// Softmax with the scale 0.1 on both sides of it, in QDQ form.
fn qdq_softmax(opset: i64, shape: &[i64], axis: i64, op: &str) -> Model {
    Model::new(opset)
        .input("q", DataType::Uint8, shape)
        .scale("x", 0.1, 128)
        .scale("y", 1.0 / 256.0, 0)
        .dequantize("q", "x", "f")
        .node_with(op, &["f"], "p", vec![int("axis", axis)])
        .quantize("p", "y", "y")
        .output("y")
}

fn qlinear_softmax(shape: &[i64], axis: i64, opset: i64) -> Model {
    let inputs = ["q", "x_s", "x_z", "y_s", "y_z"];
    let attributes = vec![int("axis", axis), int("opset", opset)];
    Model::new(17)
        .input("q", DataType::Uint8, shape)
        .scale("x", 0.1, 128)
        .scale("y", 1.0 / 256.0, 0)
        .node_with("com.microsoft::QLinearSoftmax", &inputs, "y", attributes)
        .output("y")
}

#[test]
fn accepts_softmax_with_the_values_of_onnx_runtime() {
    let imported = accepted(&qdq_softmax(13, &[2, 4], 1, "Softmax"));
    assert_eq!(names(&imported.program), ["softmax"]);
    let y = run(&imported, &[250, 240, 100, 255, 7, 7, 7, 7]);
    assert_eq!(y, [85, 31, 0, 140, 64, 64, 64, 64]);
    let statuses: Vec<_> = imported.report.iter().map(|r| r.status).collect();
    assert!(matches!(statuses[2], Status::Closed(Exactness::Softmax)));
}

#[test]
fn accepts_softmax_in_both_forms_as_one_program() {
    for (opset, shape, axis) in [
        (13, vec![2, 3, 4], 1),
        (13, vec![2, 5], -1),
        (11, vec![2, 3, 4], 1),
    ] {
        let qdq = accepted(&qdq_softmax(opset, &shape, axis, "Softmax"));
        let twin = accepted(&qlinear_softmax(&shape, axis, opset));
        assert_eq!(
            qdq.program.id(),
            twin.program.id(),
            "{opset} {shape:?} {axis}"
        );
    }
    // Up to opset 12, all axes from the given one on are one line.
    let flat = accepted(&qdq_softmax(12, &[1, 2, 2], 1, "Softmax"));
    assert_eq!(names(&flat.program), ["reshape", "softmax", "reshape"]);
    assert_eq!(run(&flat, &[9; 4]), [64; 4]);
    let one = accepted(&qdq_softmax(13, &[1, 2, 2], 1, "Softmax"));
    assert_eq!(run(&one, &[9; 4]), [128; 4]);
}

#[test]
fn accepts_log_softmax_between_quantized_parts() {
    let mut model = qdq_softmax(13, &[1, 3], 1, "LogSoftmax");
    model
        .graph()
        .initializer
        .retain(|t| t.name != "y_s" && t.name != "y_z");
    let model = model.scale("y", 0.05, 255);
    // −ln 3 / 0.05 = −21.97
    assert_eq!(run(&accepted(&model), &[9; 3]), [233; 3]);
}

#[test]
fn rejects_softmax_beyond_its_limits() {
    let reason = |model: &Model| match problem(model) {
        NodeError::Input { reason, .. } | NodeError::Island { reason } => reason,
        NodeError::Attribute { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let with = |name: &str, data: f32| {
        let mut model = qdq_softmax(13, &[1, 3], 1, "Softmax");
        model.graph().initializer.retain(|t| t.name != name);
        model.floats(name, &[], &[data])
    };
    assert_eq!(
        reason(&with("x_s", 65537.0)),
        "it lies outside 2^-21 to 2^16"
    );
    let long = qdq_softmax(13, &[1, 4097], 1, "Softmax");
    assert_eq!(reason(&long), "more than 4096 elements share a sum");
    let flat = qdq_softmax(12, &[1, 50, 100], 1, "Softmax");
    assert_eq!(reason(&flat), "more than 4096 elements share a sum");
    let function = Model::quantized_input(13, &[1, 3])
        .node("Softmax", &["xf"], "p")
        .node("Sigmoid", &["p"], "r")
        .quantize("r", "x", "y")
        .output("y");
    assert!(reason(&function).contains("a function follows Softmax"));
    let wide = Model::quantized_input(13, &[1, 3])
        .ints("w_z", DataType::Uint16, &[], &[0])
        .node("Softmax", &["xf"], "p")
        .node("QuantizeLinear", &["p", "x_s", "w_z"], "y")
        .output("y");
    assert_eq!(reason(&wide), "only 8-bit integers are supported");
    let mut bare = qlinear_softmax(&[1, 3], 1, 13);
    bare.graph().node[0].attribute.truncate(1);
    assert_eq!(reason(&bare), "it is missing");
}
