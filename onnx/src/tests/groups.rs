//! QDQ groups and their QOperator twins.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, float, int, ints};
use crate::{ImportError, Imported, NodeError, Status, import, quantize_input};
use zkonnx_circuits::program::{Program, Tensor};

pub(crate) fn accepted(model: &Model) -> Imported {
    import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn names(program: &Program) -> Vec<&'static str> {
    program.nodes().iter().map(|n| n.op.id().name).collect()
}

/// Runs the program on integers.
pub(crate) fn run(imported: &Imported, data: &[i64]) -> Vec<i64> {
    let program = &imported.program;
    let fact = program.fact(program.inputs()[0].tensor);
    let x = Tensor::new(fact.dtype, fact.shape.clone(), data.to_vec());
    program.execute(&[x]).unwrap().outputs()[0].data.clone()
}

pub(crate) fn problem(model: &Model) -> NodeError {
    match import(&model.bytes()) {
        Err(ImportError::Unsupported(problems)) => problems[0].reason.clone(),
        other => panic!("{other:?}"),
    }
}

fn qdq_gemm() -> Model {
    Model::quantized_input(17, &[-1, 3])
        .weights(&[3, 2], &[1, -2, 3, 4, -5, 6], 0.01)
        .ints("b", DataType::Int32, &[2], &[50, -7])
        .floats("b_s", &[], &[0.02 * 0.01])
        .ints("b_z", DataType::Int32, &[], &[0])
        .dequantize("b", "b", "bf")
        .scale("y", 0.004, 100)
        .node("Gemm", &["xf", "wf", "bf"], "g")
        .node("Relu", &["g"], "r")
        .quantize("r", "y", "yq")
        .dequantize("yq", "y", "y")
        .output("y")
}

#[test]
fn accepts_a_gemm_group_and_computes_its_formula() {
    let imported = accepted(&qdq_gemm());
    assert_eq!(names(&imported.program), ["matmul", "requantize"]);
    let y = run(&imported, &[10, 200, 3]);
    let weights = [[1i64, -2], [3, 4], [-5, 6]];
    for (n, bias) in [50i64, -7].into_iter().enumerate() {
        let acc: i64 = bias
            + (0..3)
                .map(|k| ([10, 200, 3][k] - 3) * weights[k][n])
                .sum::<i64>();
        let scaled = (acc as f32 * (0.02f32 * 0.01 / 0.004)).round_ties_even() as i64;
        assert_eq!(y[n], (scaled + 100).clamp(100, 255));
    }
    assert!(imported.tail.is_empty());
    let tensors: Vec<&str> = imported
        .tensors
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(tensors, ["xq", "yq"]);
}

#[test]
fn accepts_the_qoperator_twin_as_the_same_program() {
    let twin = Model::new(17)
        .input("image", DataType::Float, &[1, 3])
        .scale("x", 0.02, 3)
        .scale("y", 0.004, 100)
        .ints("w", DataType::Int8, &[2, 3], &[1, 3, -5, -2, 4, 6])
        .floats("w_s", &[], &[0.01])
        .ints("w_z", DataType::Int8, &[], &[0])
        .ints("b", DataType::Int32, &[2], &[50, -7])
        .quantize("image", "x", "xq")
        .node_with(
            "com.microsoft::QGemm",
            &["xq", "x_s", "x_z", "w", "w_s", "w_z", "b", "y_s", "y_z"],
            "yq",
            vec![int("transB", 1), float("alpha", 1.0)],
        )
        .dequantize("yq", "y", "y")
        .output("y");
    let without_relu = {
        let mut model = qdq_gemm();
        model.graph().node.retain(|n| n.op_type != "Relu");
        let quantize = model
            .graph()
            .node
            .iter_mut()
            .find(|n| n.output[0] == "yq")
            .unwrap();
        quantize.input[0] = "g".into();
        model
    };
    let (a, b) = (accepted(&twin).program, accepted(&without_relu).program);
    // They differ in the name of the input only.
    assert_eq!(a.encode_body(), b.encode_body());
    assert_ne!(a.id(), b.id());
    let renamed = |program: &Program| {
        let mut parts = program.interface().parts().clone();
        parts.inputs[0].name = "x".to_owned();
        zkonnx_verifier::Interface::new(parts).unwrap()
    };
    assert_eq!(renamed(&a), renamed(&b));
    assert_ne!(
        a.id(),
        accepted(&qdq_gemm()).program.id(),
        "the clamp is part of the program"
    );
}

#[test]
fn accepts_any_order_of_nodes_as_the_same_program() {
    let model = qdq_gemm();
    let mut reversed = model.clone();
    reversed.graph().node.reverse();
    assert_eq!(
        accepted(&model).program.id(),
        accepted(&reversed).program.id()
    );
    let mut rescaled = model.clone();
    let scale = rescaled
        .graph()
        .initializer
        .iter_mut()
        .find(|t| t.name == "x_s")
        .unwrap();
    scale.float_data[0] *= 2.0;
    assert_ne!(
        accepted(&model).program.id(),
        accepted(&rescaled).program.id()
    );
}

#[test]
fn accepts_a_float_tail_outside_the_proof() {
    let mut model = qdq_gemm()
        .node("Softmax", &["y"], "p")
        .node("ArgMax", &["p"], "label");
    model.graph().output[0].name = "label".into();
    let imported = accepted(&model);
    let tail: Vec<&str> = imported.tail.iter().map(|t| t.op.as_str()).collect();
    assert_eq!(tail, ["Softmax", "ArgMax"]);
    assert_eq!(imported.program.outputs()[0].name, "y");
    let outside = imported
        .report
        .iter()
        .filter(|r| r.status == Status::Outside)
        .count();
    assert_eq!(outside, 2);
}

#[test]
fn accepts_batch_normalization_as_a_table_for_each_channel() {
    let model = Model::quantized_input(15, &[1, 2, 2, 2])
        .floats("g", &[2], &[1.5, -0.5])
        .floats("b", &[2], &[0.1, 0.2])
        .floats("m", &[2], &[0.3, 0.0])
        .floats("v", &[2], &[2.0, 0.25])
        .scale("y", 0.05, 128)
        .node("BatchNormalization", &["xf", "g", "b", "m", "v"], "n")
        .quantize("n", "y", "yq")
        .output("yq");
    let imported = accepted(&model);
    assert_eq!(names(&imported.program), ["table"]);
    let y = run(&imported, &[0, 1, 2, 255, 0, 1, 2, 255]);
    assert!(y[3] > y[0] && y[7] < y[4]);
}

#[test]
fn accepts_pairs_of_equal_quantization_as_the_identity() {
    let model = Model::quantized_input(13, &[1, 4])
        .quantize("xf", "x", "again")
        .dequantize("again", "x", "af")
        .node("Identity", &["af"], "i")
        .quantize("i", "x", "yq")
        .output("yq");
    let imported = accepted(&model);
    assert!(names(&imported.program).is_empty());
    assert_eq!(run(&imported, &[0, 1, 2, 255]), [0, 1, 2, 255]);
}

#[test]
fn accepts_convolution_pooling_and_movement_before_one_quantization() {
    let model = Model::quantized_input(17, &[1, 1, 4, 4])
        .weights(
            &[2, 1, 3, 3],
            &(0..18).map(|i| i % 7 - 3).collect::<Vec<_>>(),
            0.05,
        )
        .scale("y", 0.03, 10)
        .node_with(
            "Conv",
            &["xf", "wf"],
            "c",
            vec![ints("pads", &[1, 1, 1, 1])],
        )
        .node("Relu", &["c"], "r")
        .node_with(
            "MaxPool",
            &["r"],
            "p",
            vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
        )
        .node("Flatten", &["p"], "f")
        .quantize("f", "y", "yq")
        .output("yq");
    let imported = accepted(&model);
    assert_eq!(
        names(&imported.program),
        ["conv", "requantize", "max_pool", "reshape"]
    );
    assert_eq!(
        imported
            .program
            .fact(imported.program.outputs()[0].tensor)
            .shape,
        [1, 8]
    );
}

#[test]
fn accepts_integer_operators_and_inputs() {
    let model = Model::new(10)
        .input("x", DataType::Uint8, &[2, 2])
        .ints("w", DataType::Uint8, &[2, 1], &[7, 9])
        .ints("xz", DataType::Uint8, &[], &[1])
        .ints("wz", DataType::Uint8, &[], &[8])
        .node("MatMulInteger", &["x", "w", "xz", "wz"], "y")
        .output("y");
    let imported = accepted(&model);
    assert_eq!(run(&imported, &[1, 2, 3, 4]), [1, 1]);
    assert_eq!(imported.program.outputs()[0].quantization, None);
}

#[test]
fn rejects_with_the_reason_and_all_nodes_at_once() {
    let model = qdq_gemm()
        .node("Frobnicate", &["xq"], "u")
        .node("evil.domain::Relu", &["xq"], "v")
        .output("u")
        .output("v");
    let Err(ImportError::Unsupported(problems)) = import(&model.bytes()) else {
        panic!()
    };
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().all(|p| p.reason == NodeError::Unknown));
    assert_eq!(problems[1].domain, "evil.domain");
    let text = ImportError::Unsupported(problems).to_string();
    assert!(text.contains("node_u") && text.contains("node_v"), "{text}");
}

#[test]
fn rejects_float_models_dynamic_scales_and_islands() {
    let model = Model::new(17)
        .input("x", DataType::Float, &[1, 2])
        .node("Relu", &["x"], "y")
        .output("y");
    assert_eq!(import(&model.bytes()).unwrap_err(), ImportError::FloatModel);

    let model = Model::quantized_input(17, &[1, 2])
        .node("DynamicQuantizeLinear", &["xf"], "d")
        .output("d");
    assert_eq!(problem(&model), NodeError::Dynamic);

    let model = Model::quantized_input(17, &[1, 2])
        .node("LpNormalization", &["xf"], "s")
        .quantize("s", "x", "yq")
        .output("yq");
    assert_eq!(problem(&model), NodeError::Unknown);

    let model = Model::quantized_input(17, &[1, 2])
        .floats("w", &[2, 2], &[0.5; 4])
        .node("MatMul", &["xf", "w"], "m")
        .quantize("m", "x", "yq")
        .output("yq");
    assert!(matches!(problem(&model), NodeError::Float { input: 1, .. }));
}

#[test]
fn rejects_scales_that_are_not_positive_normal_numbers() {
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        let mut model = qdq_gemm();
        let tensor = model
            .graph()
            .initializer
            .iter_mut()
            .find(|t| t.name == "w_s")
            .unwrap();
        tensor.float_data[0] = scale;
        assert!(matches!(problem(&model), NodeError::Scale(_)), "{scale}");
    }
    let mut model = qdq_gemm();
    for name in ["w_s", "x_s"] {
        let tensor = model
            .graph()
            .initializer
            .iter_mut()
            .find(|t| t.name == name)
            .unwrap();
        tensor.float_data[0] = 1e-30;
    }
    let bias = model
        .graph()
        .node
        .iter_mut()
        .find(|n| n.op_type == "Gemm")
        .unwrap();
    bias.input.pop();
    // Under another zero point the Relu keeps the group in float, which has no multiplier.
    let zero = model
        .graph()
        .initializer
        .iter_mut()
        .find(|t| t.name == "y_z")
        .unwrap();
    zero.int32_data[0] = 0;
    assert!(matches!(problem(&model), NodeError::Multiplier(_)));
}

#[test]
fn rejects_unknown_attributes_and_opsets() {
    let mut model = qdq_gemm();
    let gemm = model
        .graph()
        .node
        .iter_mut()
        .find(|n| n.op_type == "Gemm")
        .unwrap();
    gemm.attribute.push(int("transC", 1));
    assert!(matches!(
        problem(&model),
        NodeError::UnknownAttribute { .. }
    ));
    for opset in [5, 27] {
        let mut model = qdq_gemm();
        model.proto.opset_import[0].version = opset;
        assert!(matches!(
            import(&model.bytes()),
            Err(ImportError::Opset { .. })
        ));
    }
    // Quantization came with opset 10.
    let mut model = qdq_gemm();
    model.proto.opset_import[0].version = 9;
    assert!(matches!(problem(&model), NodeError::Opset { min: 10, .. }));
    for opset in 10..=26 {
        let mut model = qdq_gemm();
        model.proto.opset_import[0].version = opset;
        accepted(&model);
    }
}

#[test]
fn accepts_float_inputs_by_true_division_half_to_even() {
    let imported = accepted(&qdq_gemm());
    let port = &imported.program.inputs()[0];
    let fact = imported.program.fact(port.tensor);
    let x = quantize_input(port, fact, &[0.05, f32::INFINITY, -9.0]).unwrap();
    assert_eq!(
        x.data,
        [3 + (0.05f32 / 0.02).round_ties_even() as i64, 255, 0]
    );
    assert!(quantize_input(port, fact, &[0.0, f32::NAN, 0.0]).is_err());
    assert!(quantize_input(port, fact, &[0.0]).is_err());
}

#[test]
fn accepts_outputs_that_nobody_reads_and_masks_that_drop_nothing() {
    let mut model = Model::quantized_input(17, &[1, 1, 2, 2])
        .node_with("MaxPool", &["xf"], "m", vec![ints("kernel_shape", &[2, 2])])
        .node("Dropout", &["m"], "d")
        .node("Where", &["mask", "d", "m"], "w")
        .quantize("w", "x", "y")
        .output("y");
    model.graph().node[2].output.push("places".into());
    model.graph().node[3].output.push("mask".into());
    let imported = accepted(&model);
    assert_eq!(run(&imported, &[3, 9, 200, 4]), [200]);
    let read = model.output("places");
    assert!(matches!(
        problem(&read),
        NodeError::Arity {
            what: "outputs",
            ..
        }
    ));
}

#[test]
fn accepts_dilated_averages_that_reach_beyond_the_padding() {
    // Divisors of ONNX Runtime's float kernel for eight elements: 3, 3, 3 and 2.
    let attributes = vec![
        ints("kernel_shape", &[3]),
        ints("strides", &[2]),
        ints("dilations", &[2]),
        ints("pads", &[1, 1]),
        int("ceil_mode", 1),
        int("count_include_pad", 1),
    ];
    let model = Model::quantized_input(19, &[1, 1, 8])
        .node_with("AveragePool", &["xf"], "a", attributes)
        .quantize("a", "x", "y")
        .output("y");
    // Elements of 30 over the zero point: two, three, three and two of them.
    assert_eq!(run(&accepted(&model), &[33; 8]), [23, 33, 33, 33]);
}

#[test]
fn rejects_normalization_of_the_input_with_the_remedy() {
    for op in [
        "LayerNormalization",
        "InstanceNormalization",
        "GroupNormalization",
    ] {
        let model = Model::quantized_input(21, &[1, 2, 3])
            .floats("g", &[2], &[1.0, 2.0])
            .node(op, &["xf", "g", "g"], "n")
            .quantize("n", "x", "y")
            .output("y");
        let NodeError::Input { reason, .. } = problem(&model) else {
            panic!("{op}: {:?}", problem(&model));
        };
        assert!(reason.contains("zkonnx quantize"), "{reason}");
    }
}
