//! Constants that are folded, and functions of values that are not numbers, against ONNX Runtime.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::ImportError;
use crate::NodeError;
use crate::import;
use crate::quantize::{Feed, Options, QuantizeError, quantize};
use crate::tests::build::{Model, float, int};
use zkonnx_circuits::program::Tensor;

/// `d` is a float of four whole numbers; `y` has the scale one and the zero point 128.
fn model() -> Model {
    Model::new(17)
        .input("x", DataType::Float, &[1, 4])
        .scale("q", 1.0, 0)
        .scale("r", 1.0, 128)
        .quantize("x", "q", "xq")
        .dequantize("xq", "q", "d")
}

fn doubles(mut model: Model, name: &str, data: &[f64]) -> Model {
    model.graph().initializer.push(TensorProto {
        name: name.into(),
        dims: vec![data.len() as i64],
        data_type: DataType::Double as i32,
        double_data: data.to_vec(),
        ..Default::default()
    });
    model
}

/// The integers of `y`, which is quantized from `w`, for these of the input.
fn run(model: Model, x: &[i64]) -> Vec<i64> {
    let bytes = model.quantize("w", "r", "y").output("y").bytes();
    let imported = import(&bytes).unwrap_or_else(|e| panic!("{e}"));
    let fact = imported.program.fact(imported.program.inputs()[0].tensor);
    let x = Tensor::new(fact.dtype, fact.shape.clone(), x.to_vec());
    let trace = imported.program.execute(&[x]).unwrap();
    trace.outputs()[0].data.clone()
}

fn refused(model: Model) -> NodeError {
    match import(&model.quantize("w", "r", "y").output("y").bytes()) {
        Err(ImportError::Unsupported(problems)) => problems[0].reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn accepts_what_is_not_a_number_as_the_lowest_value() {
    let root = || {
        let model = model().floats("a", &[], &[50.0]).floats("k", &[], &[5.0]);
        model
            .node("Sub", &["d", "a"], "p")
            .node("Sqrt", &["p"], "s")
    };
    let x = [0, 49, 50, 75];
    for (op, inputs, expected) in [
        ("Relu", &["s"][..], [0, 0, 128, 133]),
        ("Sign", &["s"], [0, 0, 128, 129]),
        ("Clip", &["s", "k"], [0, 0, 133, 133]),
        ("Max", &["s", "k"], [0, 0, 133, 133]),
        ("Max", &["k", "s"], [0, 0, 133, 133]),
        ("Min", &["s", "k"], [0, 0, 128, 133]),
        ("LeakyRelu", &["s"], [0, 0, 128, 133]),
        // These make a number of it.
        ("ThresholdedRelu", &["s"], [128, 128, 128, 133]),
        ("Shrink", &["s"], [128, 128, 128, 133]),
    ] {
        assert_eq!(
            run(root().node(op, inputs, "w"), &x),
            expected,
            "{op} {inputs:?}"
        );
    }
}

#[test]
fn accepts_constants_that_are_not_numbers() {
    for op in ["Add", "Mul", "Max", "Min", "Div"] {
        let model = model().floats("c", &[], &[f32::NAN]);
        assert_eq!(
            run(model.node(op, &["d", "c"], "w"), &[0, 1, 2, 255]),
            [0; 4],
            "{op}"
        );
    }
    // Folded: the larger of a number and what is none.
    let model = model()
        .floats("c", &[], &[f32::NAN])
        .floats("k", &[1, 4], &[9.0; 4]);
    let model = model
        .node("Max", &["c", "k"], "g")
        .node("Add", &["g", "d"], "w");
    assert_eq!(run(model, &[0, 1, 2, 3]), [0; 4]);
    // A limit that is none does nothing.
    let model = self::model()
        .floats("lo", &[], &[f32::NAN])
        .floats("hi", &[], &[2.0]);
    let model = model.node("Clip", &["d", "lo", "hi"], "w");
    assert_eq!(run(model, &[0, 1, 2, 3]), [128, 129, 130, 130]);
}

#[test]
fn accepts_arithmetic_of_each_type() {
    // Binary64 holds the difference, which binary32 does not.
    let model = doubles(doubles(model(), "a", &[16_777_217.0]), "b", &[16_777_216.0]);
    let model =
        model
            .node("Sub", &["a", "b"], "ab")
            .node_with("Cast", &["ab"], "c", vec![int("to", 1)]);
    assert_eq!(
        run(model.node("Add", &["d", "c"], "w"), &[0, 1, 2, 3]),
        [129, 130, 131, 132]
    );
    // A half is true.
    let model = self::model()
        .floats("c", &[4], &[0.5, 0.0, -0.0, f32::NAN])
        .floats("k", &[], &[9.0]);
    let model = model.node_with("Cast", &["c"], "b", vec![int("to", 9)]);
    assert_eq!(
        run(model.node("Where", &["b", "d", "k"], "w"), &[1, 2, 3, 4]),
        [129, 137, 137, 132]
    );
    // Three to the thirty-ninth is rounded to binary64 on its way.
    let power = |exponent| {
        let model = self::model().ints("a", DataType::Int64, &[1], &[3]).ints(
            "b",
            DataType::Int64,
            &[1],
            &[exponent],
        );
        model.node("Pow", &["a", "b"], "p")
    };
    let model = power(39).ints("n", DataType::Int64, &[1], &[4_052_555_153_018_976_256]);
    let model =
        model
            .node("Sub", &["p", "n"], "z")
            .node_with("Cast", &["z"], "c", vec![int("to", 1)]);
    assert_eq!(
        run(model.node("Add", &["d", "c"], "w"), &[0, 1, 2, 3]),
        [128, 129, 130, 131]
    );
    let model = power(41)
        .node_with("Cast", &["p"], "c", vec![int("to", 1)])
        .node("Add", &["d", "c"], "w");
    assert!(matches!(refused(model), NodeError::Undefined { .. }));
}

#[test]
fn accepts_weights_that_are_computed() {
    // A quantized constant times a constant is a real constant.
    let model = model()
        .ints("v", DataType::Int8, &[4], &[1, 2, 3, -4])
        .floats("v_s", &[], &[0.5]);
    let model = model
        .node("DequantizeLinear", &["v", "v_s"], "vf")
        .floats("k", &[], &[2.0]);
    let model = model
        .node("Mul", &["vf", "k"], "c")
        .node("Add", &["d", "c"], "w");
    assert_eq!(run(model, &[10, 10, 10, 10]), [139, 140, 141, 134]);
    // A product of matrices, added up.
    let model = self::model()
        .floats("a", &[1, 2], &[1.0, 2.0])
        .floats("b", &[2, 4], &[1.0; 8]);
    let model = model
        .node("MatMul", &["a", "b"], "c")
        .node("Add", &["d", "c"], "w");
    assert_eq!(run(model, &[0, 1, 2, 3]), [131, 132, 133, 134]);
}

#[test]
fn rejects_values_that_differ_by_machine() {
    let cast = model()
        .floats("a", &[], &[-1.0])
        .node_with("Cast", &["a"], "b", vec![int("to", 2)]);
    let cast = cast
        .node_with("Cast", &["b"], "c", vec![int("to", 1)])
        .node("Add", &["d", "c"], "w");
    assert!(matches!(refused(cast), NodeError::Undefined { .. }));
    let quotient = model()
        .ints("a", DataType::Int64, &[1], &[1])
        .ints("b", DataType::Int64, &[1], &[0])
        .node("Div", &["a", "b"], "q0");
    let quotient = quotient
        .node_with("Cast", &["q0"], "c", vec![int("to", 1)])
        .node("Add", &["d", "c"], "w");
    assert!(matches!(refused(quotient), NodeError::Undefined { .. }));
}

#[test]
fn rejects_operators_before_their_opset_wherever_they_are_evaluated() {
    // Folded.
    let folded = model()
        .floats("a", &[], &[1.0])
        .node("Mish", &["a"], "c")
        .node("Add", &["d", "c"], "w");
    assert!(matches!(refused(folded), NodeError::Opset { min: 18, .. }));
    // Run on samples.
    let net = Model::new(17)
        .input("x", DataType::Float, &[1, 4])
        .node("Mish", &["x"], "y")
        .output("y");
    let samples = [vec![Feed::Floats(vec![1.0; 4])]];
    let error = quantize(&net.bytes(), &samples, &Options::default()).unwrap_err();
    let QuantizeError::Evaluate { source, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(*source, NodeError::Opset { min: 18, .. }));
    // An attribute that nobody knows may change the meaning.
    let unknown =
        model()
            .floats("a", &[], &[1.0])
            .node_with("Relu", &["a"], "c", vec![float("alpha", 0.5)]);
    let unknown = unknown.node("Add", &["d", "c"], "w");
    assert!(matches!(
        refused(unknown),
        NodeError::UnknownAttribute { .. }
    ));
}
