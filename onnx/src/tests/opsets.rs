//! Operators, attributes and inputs in the opsets that have them.

use crate::NodeError;
use crate::tests::build::{Model, float, int, ints};
use crate::tests::groups::{accepted, problem};
use crate::tests::kernels::run;
use tract_onnx::pb::tensor_proto::DataType;

#[test]
fn rejects_operators_outside_their_opsets() {
    let with = |opset: i64, op: &str| {
        Model::new(opset)
            .input("x", DataType::Uint8, &[4])
            .scale("x", 0.05, 128)
            .dequantize("x", "x", "xf")
            .node(op, &["xf"], "c")
            .quantize("c", "x", "y")
            .output("y")
    };
    for (op, first) in [
        ("Round", 11),
        ("Celu", 12),
        ("HardSwish", 14),
        ("Mish", 18),
        ("Gelu", 20),
        ("Swish", 24),
    ] {
        let max = 26;
        assert_eq!(
            problem(&with(first - 1, op)),
            NodeError::Opset { min: first, max },
            "{op}"
        );
        accepted(&with(first, op));
    }
}

#[test]
fn rejects_attributes_and_inputs_outside_their_opsets() {
    let squeeze = |opset: i64, attribute: bool| {
        let attributes = if attribute {
            vec![ints("axes", &[0])]
        } else {
            vec![]
        };
        let inputs: &[&str] = if attribute { &["xf"] } else { &["xf", "axes"] };
        Model::new(opset)
            .input("x", DataType::Uint8, &[1, 4])
            .scale("x", 0.05, 128)
            .ints("axes", DataType::Int64, &[1], &[0])
            .dequantize("x", "x", "xf")
            .node_with("Squeeze", inputs, "c", attributes)
            .quantize("c", "x", "y")
            .output("y")
    };
    accepted(&squeeze(12, true));
    accepted(&squeeze(13, false));
    assert!(matches!(
        problem(&squeeze(13, true)),
        NodeError::Attribute { name: "axes", .. }
    ));
    assert!(matches!(
        problem(&squeeze(12, false)),
        NodeError::Arity { got: 2, .. }
    ));
    let clip = |opset: i64| {
        Model::new(opset)
            .input("x", DataType::Uint8, &[4])
            .scale("x", 0.05, 128)
            .dequantize("x", "x", "xf")
            .node_with(
                "Clip",
                &["xf"],
                "c",
                vec![float("min", 0.0), float("max", 1.0)],
            )
            .quantize("c", "x", "y")
            .output("y")
    };
    assert_eq!(
        run(&accepted(&clip(10)), &[&[0, 128, 140, 255]]),
        [128, 128, 140, 148]
    );
    assert!(matches!(
        problem(&clip(11)),
        NodeError::Attribute { name: "max", .. }
    ));
}

#[test]
fn accepts_softmax_over_all_axes_from_its_own_on_before_opset_13() {
    let model = |opset: i64| {
        Model::new(opset)
            .input("x", DataType::Uint8, &[1, 2, 2])
            .scale("x", 0.1, 128)
            .scale("y", 1.0 / 256.0, 0)
            .dequantize("x", "x", "xf")
            .node_with("Softmax", &["xf"], "c", vec![int("axis", 1)])
            .quantize("c", "y", "y")
            .output("y")
    };
    let equal: &[&[i64]] = &[&[128; 4]];
    assert_eq!(run(&accepted(&model(12)), equal), [64; 4]);
    assert_eq!(run(&accepted(&model(13)), equal), [128; 4]);
}
