//! Gather of constants by indices that the model computes.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, int};
use crate::{ImportError, Imported, NodeError, import};
use zkonnx_circuits::program::Tensor;

fn accepted(model: &Model) -> Imported {
    import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"))
}

fn run(model: &Model, data: &[i64]) -> Vec<i64> {
    let program = accepted(model).program;
    let fact = program.fact(program.inputs()[0].tensor);
    let x = Tensor::new(fact.dtype, fact.shape.clone(), data.to_vec());
    program.execute(&[x]).unwrap().outputs()[0].data.clone()
}

fn reason(model: &Model) -> &'static str {
    match import(&model.bytes()) {
        Err(ImportError::Unsupported(problems)) => match problems[0].reason {
            NodeError::Input { reason, .. } => reason,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The places of the largest of three, for each of two lines: `a` of shape `[2]`.
fn places() -> Model {
    Model::quantized_input(17, &[2, 3]).node_with(
        "ArgMax",
        &["xf"],
        "a",
        vec![int("axis", 1), int("keepdims", 0)],
    )
}

#[test]
fn accepts_integers_at_computed_places() {
    let data = [10, 20, 30, -1, -2, -3];
    let rows = |axis, dims: &[i64]| {
        places()
            .ints("d", DataType::Int64, dims, &data)
            .node_with("Gather", &["d", "a"], "y", vec![int("axis", axis)])
            .output("y")
    };
    // The second of the first line, the first of the second.
    let x = [1, 9, 9, 7, 0, 0];
    assert_eq!(run(&rows(0, &[6]), &x), [20, 10]);
    assert_eq!(run(&rows(0, &[3, 2]), &x), [30, -1, 10, 20]);
    assert_eq!(run(&rows(1, &[2, 3]), &x), [20, 10, -2, -1]);
    // Places below zero count from the end.
    let back = places()
        .ints("d", DataType::Int64, &[6], &data)
        .ints("three", DataType::Int64, &[], &[3])
        .node("Sub", &["a", "three"], "b")
        .node("Gather", &["d", "b"], "y")
        .output("y");
    assert_eq!(run(&back, &x), [-2, -1]);
}

#[test]
fn accepts_floats_at_computed_places_once_they_are_quantized() {
    let model = |dims: &[i64], axis| {
        places()
            .floats("d", dims, &[0.2, 0.4, 0.6, 1.0, 1.2, 1.4])
            .node_with("Gather", &["d", "a"], "g", vec![int("axis", axis)])
            .node("Neg", &["g"], "n")
            .scale("y", 0.1, 20)
            .quantize("n", "y", "y")
            .output("y")
    };
    let x = [1, 9, 9, 7, 0, 0];
    assert_eq!(run(&model(&[6], 0), &x), [16, 18]);
    assert_eq!(run(&model(&[3, 2], 0), &x), [14, 10, 18, 16]);
    assert_eq!(run(&model(&[2, 3], 1), &x), [16, 18, 8, 10]);
    // At the end of a model nothing quantizes them.
    let tail = places()
        .floats("d", &[3], &[0.2, 0.4, 0.6])
        .node("Gather", &["d", "a"], "y")
        .output("y");
    let imported = accepted(&tail);
    assert_eq!(imported.tail.len(), 1);
    let program = &imported.program;
    let fact = program.fact(program.inputs()[0].tensor);
    let x = Tensor::new(fact.dtype, fact.shape.clone(), x.to_vec());
    let trace = program.execute(&[x]).unwrap();
    let values = imported
        .float_tail
        .unwrap()
        .evaluate(program, &trace.outputs());
    let expected = crate::TailData::Floats(vec![0.4, 0.2]);
    assert_eq!(values[0].as_ref().unwrap().data, expected);
}

#[test]
fn accepts_quantized_constants_at_computed_places() {
    let model = places()
        .ints("d", DataType::Uint8, &[3], &[3, 100, 255])
        .dequantize("d", "x", "df")
        .node("Gather", &["df", "a"], "g")
        .quantize("g", "x", "y")
        .output("y");
    assert_eq!(run(&model, &[1, 9, 9, 7, 0, 0]), [100, 3]);
}

#[test]
fn rejects_places_that_may_not_exist() {
    let short = places()
        .ints("d", DataType::Int64, &[2], &[1, 2])
        .node("Gather", &["d", "a"], "y")
        .output("y");
    assert_eq!(
        reason(&short),
        "one that the model may compute does not exist"
    );
    let wide = places()
        .floats("d", &[3, 2, 2], &[0.5; 12])
        .node("Gather", &["d", "a"], "g")
        .quantize("g", "x", "y")
        .output("y");
    assert_eq!(reason(&wide), "they are floats and have more than two axes");
}
