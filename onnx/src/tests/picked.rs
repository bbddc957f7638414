//! Movement by constant places: what a program makes of the numbers 0, 1, 2, …

use tract_onnx::pb::tensor_proto::DataType;

use crate::import;
use crate::tests::build::{Model, int};
use zkonnx_circuits::program::{self, Tensor};

/// The result of one node on `[2, 3]` integers from 0 on, and its shape.
fn moved(model: Model) -> Result<(Vec<usize>, Vec<i64>), String> {
    let imported = import(&model.output("y").bytes()).map_err(|e| e.to_string())?;
    let x = Tensor::new(program::DataType::U8, vec![2, 3], (0..6).collect());
    let trace = imported.program.execute(&[x]).unwrap();
    let y = trace.outputs()[0].clone();
    Ok((y.shape, y.data))
}

fn model(opset: i64) -> Model {
    Model::new(opset).input("x", DataType::Uint8, &[2, 3])
}

#[test]
fn accepts_triangles() {
    let triangle = |upper, k| {
        let model = model(17).ints("k", DataType::Int64, &[], &[k]);
        moved(model.node_with("Trilu", &["x", "k"], "y", vec![int("upper", upper)]))
    };
    assert_eq!(triangle(1, 0), Ok((vec![2, 3], vec![0, 1, 2, 0, 4, 5])));
    assert_eq!(triangle(0, 0), Ok((vec![2, 3], vec![0, 0, 0, 3, 4, 0])));
    assert_eq!(triangle(1, 1), Ok((vec![2, 3], vec![0, 1, 2, 0, 0, 5])));
}

#[test]
fn accepts_elements_at_constant_places() {
    let at = |indices: &[i64]| {
        let model = model(17).ints("i", DataType::Int64, &[1, 3], indices);
        moved(model.node("GatherElements", &["x", "i"], "y"))
    };
    assert_eq!(at(&[1, 0, -1]), Ok((vec![1, 3], vec![3, 1, 5])));
    assert!(at(&[2, 0, 0]).is_err(), "a place that does not exist");
    let rows = model(17).ints("i", DataType::Int64, &[2, 1], &[-1, 0]);
    let rows = moved(rows.node("GatherND", &["x", "i"], "y"));
    assert_eq!(rows, Ok((vec![2, 3], vec![3, 4, 5, 0, 1, 2])));
    let scattered = model(18).ints("i", DataType::Int64, &[1, 2], &[1, 0]).ints(
        "u",
        DataType::Uint8,
        &[1, 2],
        &[8, 9],
    );
    let scattered = moved(scattered.node("ScatterElements", &["x", "i", "u"], "y"));
    assert_eq!(scattered, Ok((vec![2, 3], vec![0, 9, 2, 8, 4, 5])));
    let lengths = model(17).ints("n", DataType::Int64, &[3], &[1, 2, 0]);
    let attributes = vec![int("time_axis", 0), int("batch_axis", 1)];
    let reversed = moved(lengths.node_with("ReverseSequence", &["x", "n"], "y", attributes));
    assert_eq!(reversed, Ok((vec![2, 3], vec![0, 4, 2, 3, 1, 5])));
}

#[test]
fn accepts_padding_by_negative_numbers() {
    let padded = |pads: &[i64]| {
        let model = model(17).ints("p", DataType::Int64, &[4], pads);
        moved(model.node("Pad", &["x", "p"], "y"))
    };
    assert_eq!(padded(&[0, -1, 0, 0]), Ok((vec![2, 2], vec![1, 2, 4, 5])));
    assert_eq!(padded(&[-1, 1, 0, -2]), Ok((vec![1, 2], vec![0, 3])));
    assert!(padded(&[-2, 0, 0, 0]).is_err(), "nothing is left");
}
