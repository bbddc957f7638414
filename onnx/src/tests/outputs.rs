//! Where the outputs of a model stand in a claim.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::Model;
use crate::{Imported, TailError, import};
use zkonnx_circuits::program::Tensor;

/// `x` as uint8, its reals `r` and `y`, the quantized Relu of them; constants `c` and `k`.
fn model() -> Model {
    Model::new(17)
        .input("x", DataType::Uint8, &[1, 4])
        .input("f", DataType::Float, &[2])
        .scale("x", 0.5, 2)
        .dequantize("x", "x", "r")
        .node("Relu", &["r"], "a")
        .quantize("a", "x", "y")
        .ints("c", DataType::Uint8, &[3], &[7, 0, 255])
        .floats("k", &[2], &[1.5, f32::NAN])
}

fn imported(model: &Model) -> Imported {
    import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"))
}

/// Names, values and whether there is a scale of the outputs of the program, for the input 1 2 3 4.
fn claimed(imported: &Imported) -> Vec<(&str, Vec<i64>, bool)> {
    let program = &imported.program;
    let fact = program.fact(program.inputs()[0].tensor);
    let x = Tensor::new(fact.dtype, fact.shape.clone(), vec![1, 2, 3, 4]);
    let trace = program.execute(&[x]).unwrap();
    let ports = program.outputs().iter().zip(trace.outputs());
    ports
        .map(|(port, t)| {
            (
                port.name.as_str(),
                t.data.clone(),
                port.quantization.is_some(),
            )
        })
        .collect()
}

#[test]
fn accepts_outputs_of_every_kind_in_the_model_s_order() {
    let model = model()
        .node("Identity", &["c"], "constant")
        .node("Identity", &["x"], "input")
        .node("Identity", &["y"], "again")
        .dequantize("c", "x", "weights")
        .node("Identity", &["r"], "reals")
        .node("Shape", &["x"], "shape")
        .output("constant")
        .output("y")
        .output("input")
        .output("again")
        .output("weights")
        .output("y")
        .output("reals")
        .output("shape")
        .output("x");
    let imported = imported(&model);
    let y = vec![2, 2, 3, 4];
    let x = vec![1, 2, 3, 4];
    assert_eq!(
        claimed(&imported),
        [
            ("constant", vec![7, 0, 255], false),
            ("y", y.clone(), false),
            ("input", x.clone(), false),
            ("again", y.clone(), false),
            ("weights", vec![7, 0, 255], true),
            ("y", y, false),
            ("reals", x.clone(), true),
            ("shape", vec![1, 4], false),
            ("x", x, false),
        ]
    );
    assert!(imported.float_tail.is_none());
    assert!(imported.tail.is_empty());
}

#[test]
fn accepts_outputs_that_are_computed_outside_by_their_names() {
    let model = model()
        .node("Identity", &["f"], "passed")
        .node("Tanh", &["f"], "raw")
        .node("Softmax", &["r"], "soft")
        .ints("none", DataType::Int64, &[0], &[])
        .output("k")
        .output("passed")
        .output("soft")
        .output("none")
        .output("y")
        .output("raw");
    let imported = imported(&model);
    // The reals that Softmax starts from have a place where it stands; nothing else of the outside has one.
    let x = vec![1, 2, 3, 4];
    assert_eq!(
        claimed(&imported),
        [("r", x.clone(), true), ("y", vec![2, 2, 3, 4], false)]
    );
    let tail = imported.float_tail.as_ref().unwrap();
    assert_eq!(tail.outputs(), ["k", "passed", "soft", "none", "raw"]);
    let program = &imported.program;
    let fact = program.fact(program.inputs()[0].tensor);
    let trace = program
        .execute(&[Tensor::new(fact.dtype, fact.shape.clone(), x)])
        .unwrap();
    let values = tail.evaluate(program, &trace.outputs());
    let raw = TailError::RawInput { input: "f".into() };
    assert_eq!(values[0].as_ref().unwrap().shape, [2]);
    assert_eq!(values[1], Err(raw.clone()));
    assert_eq!(values[2].as_ref().unwrap().shape, [1, 4]);
    assert_eq!(values[3].as_ref().unwrap().shape, [0]);
    assert_eq!(values[4], Err(raw));
}

#[test]
fn accepts_a_tail_that_starts_from_another_output() {
    let model = model()
        .node("Softmax", &["r"], "soft")
        .node("Identity", &["r"], "reals")
        .output("soft")
        .output("y")
        .output("reals");
    let imported = imported(&model);
    let names: Vec<&str> = claimed(&imported).into_iter().map(|o| o.0).collect();
    assert_eq!(names, ["y", "reals"]);
    let tail = imported.float_tail.as_ref().unwrap();
    assert_eq!(tail.outputs(), ["soft"]);
}
