//! Constants of 4 bits, with one scale, scales along an axis, and scales of blocks; places in tables.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, int};
use crate::tests::groups::{accepted, problem};
use crate::tests::totals::{run_all, said};
use crate::{Exactness, ImportError, import};

const UINT4: i32 = 21;
const INT4: i32 = 22;

/// Two values in each byte, the first in the lower half.
fn short(mut model: Model, name: &str, code: i32, dims: &[i64], data: &[i64]) -> Model {
    let half = |v: Option<&i64>| v.map_or(0, |v| (*v as u8) & 15);
    let bytes = data
        .chunks(2)
        .map(|two| half(two.first()) | half(two.get(1)) << 4);
    model.graph().initializer.push(TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: code,
        raw_data: bytes.collect(),
        ..Default::default()
    });
    model
}

const WEIGHTS: [i64; 10] = [1, -3, 7, -8, 0, 2, -1, 5, -6, 4];

/// `x · w` of `[1, 5]` and `[5, 2]`, the weights dequantized under these scales.
fn product(scales: (&[i64], &[f32]), zeros: &[i64], attributes: &[(&str, i64)]) -> Model {
    let mut model = Model::quantized_input(21, &[1, 5]).scale("y", 0.04, 100);
    model = short(model, "w", INT4, &[5, 2], &WEIGHTS);
    model = short(model, "w_z", INT4, scales.0, zeros).floats("w_s", scales.0, scales.1);
    let attributes = attributes.iter().map(|(name, v)| int(name, *v)).collect();
    model
        .node_with("DequantizeLinear", &["w", "w_s", "w_z"], "wf", attributes)
        .node("MatMul", &["xf", "wf"], "m")
        .quantize("m", "y", "yq")
        .output("yq")
}

#[test]
fn accepts_weights_of_four_bits_as_floats() {
    let x = [10i64, 200, 3, 77, 130];
    for (dims, scales, zeros, attributes, block) in [
        (&[][..], &[0.1f32][..], &[1][..], &[][..], 5),
        (&[2], &[0.1, 0.17], &[1, -2], &[("axis", 1)], 5),
        (
            &[3, 2],
            &[0.1, 0.17, 0.03, 0.2, 0.11, 0.07],
            &[1, -2, 0, 3, 5, -8],
            &[("axis", 0), ("block_size", 2)],
            2,
        ),
    ] {
        let imported = accepted(&product((dims, scales), zeros, attributes));
        // No kernel takes them.
        assert_eq!(said(&imported, "node_yq"), Exactness::Sum { apart: 1 });
        let y = run_all(&imported, &[&x]);
        for n in 0..2 {
            let term = |k: usize| {
                let lane = (k / block * 2 + n) % scales.len();
                let w = (WEIGHTS[2 * k + n] - zeros[lane]) as f64 * f64::from(scales[lane]);
                (x[k] - 3) as f64 * f64::from(0.02f32) * w
            };
            let sum = (0..5).map(term).sum::<f64>() as f32;
            let want = ((sum / 0.04).round_ties_even() as i64 + 100).clamp(0, 255);
            assert_eq!(y[n], want, "{scales:?}");
        }
    }
}

#[test]
fn rejects_what_has_no_four_bits() {
    // A zero point of another type.
    let mut model = product((&[], &[0.1]), &[1], &[]);
    for tensor in &mut model.graph().initializer {
        if tensor.name == "w_z" {
            tensor.data_type = UINT4;
        }
    }
    let reason = problem(&model).to_string();
    assert!(reason.contains("another type than x"), "{reason}");
    // An activation.
    let model = Model::quantized_input(21, &[1, 5]).floats("s", &[], &[0.1]);
    let model = short(model, "z", INT4, &[], &[0])
        .node("QuantizeLinear", &["xf", "s", "z"], "y")
        .output("y");
    let reason = problem(&model).to_string();
    assert!(reason.contains("not an integer"), "{reason}");
    // Too few bytes, and too many.
    for dims in [[5, 3], [5, 1]] {
        let mut model = product((&[], &[0.1]), &[1], &[]);
        for tensor in &mut model.graph().initializer {
            if tensor.name == "w" {
                tensor.dims = dims.to_vec();
            }
        }
        assert!(matches!(
            import(&model.bytes()),
            Err(ImportError::Tensor { .. })
        ));
    }
    // One scale too few for the blocks.
    let model = product(
        (&[2, 2], &[0.1; 4]),
        &[0; 4],
        &[("axis", 0), ("block_size", 2)],
    );
    let reason = problem(&model).to_string();
    assert!(reason.contains("one value for each block"), "{reason}");
}

/// A table of four rows at the places that an input holds.
fn embedding(dtype: DataType) -> Model {
    Model::new(17)
        .input("x", dtype, &[1, 3])
        .ints(
            "e",
            DataType::Uint8,
            &[4, 2],
            &[10, 20, 30, 40, 50, 60, 70, 80],
        )
        .scale("e", 0.1, 0)
        .dequantize("e", "e", "ef")
        .node("Gather", &["ef", "x"], "g")
        .quantize("g", "e", "y")
        .output("y")
}

#[test]
fn accepts_places_of_a_table_as_an_input_and_bounds_it_by_them() {
    for dtype in [DataType::Int32, DataType::Int64] {
        let imported = accepted(&embedding(dtype));
        assert_eq!(run_all(&imported, &[&[0, 3, -2]]), [10, 20, 70, 80, 50, 60]);
        let program = &imported.program;
        let range = program.fact(program.inputs()[0].tensor).range;
        assert_eq!((range.lo, range.hi), (-4, 3));
        let fact = program.fact(program.inputs()[0].tensor);
        let x = zkonnx_circuits::program::Tensor::new(fact.dtype, vec![1, 3], vec![0, 4, 1]);
        let error = program.execute(&[x]).unwrap_err().to_string();
        assert!(error.contains("has 4 at position 1"), "{error}");
    }
}

#[test]
fn accepts_an_input_that_is_limited_before_it_is_looked_up() {
    let mut model = embedding(DataType::Int64)
        .ints("lo", DataType::Int64, &[], &[0])
        .ints("hi", DataType::Int64, &[], &[2])
        .node("Clip", &["x", "lo", "hi"], "c");
    for node in &mut model.graph().node {
        if node.op_type == "Gather" {
            node.input[1] = "c".into();
        }
    }
    let imported = accepted(&model);
    assert_eq!(run_all(&imported, &[&[0, 2, 1]]), [10, 20, 50, 60, 30, 40]);
}
