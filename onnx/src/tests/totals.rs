//! Sums of reals that are not quantized one by one.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::Model;
use crate::tests::groups::{accepted, problem};
use crate::{Exactness, Imported, NodeError, Status};
use zkonnx_circuits::program::Tensor;

/// Runs the program on integers for each input.
pub(crate) fn run_all(imported: &Imported, data: &[&[i64]]) -> Vec<i64> {
    let program = &imported.program;
    let inputs: Vec<Tensor> = program
        .inputs()
        .iter()
        .zip(data)
        .map(|(port, data)| {
            let fact = program.fact(port.tensor);
            Tensor::new(fact.dtype, fact.shape.clone(), data.to_vec())
        })
        .collect();
    program.execute(&inputs).unwrap().outputs()[0].data.clone()
}

/// What is said of a node.
pub(crate) fn said(imported: &Imported, node: &str) -> Exactness {
    let mut rows = imported.report.iter().filter(|row| row.node == node);
    match rows.next().map(|row| row.status) {
        Some(Status::Closed(exactness)) => exactness,
        other => panic!("{other:?}"),
    }
}

/// Three uint8 inputs, dequantized by decimal scales under which a quarter of all sums are ties.
fn three() -> Model {
    let mut model = Model::new(17);
    for (name, scale, zero) in [("a", 0.02, 120), ("b", 0.03, 4), ("c", 0.01, 0)] {
        model = model
            .input(name, DataType::Uint8, &[1, 64])
            .scale(name, scale, zero)
            .dequantize(name, name, &format!("{name}f"));
    }
    model.scale("y", 0.04, 30)
}

fn integers(seed: u64) -> Vec<i64> {
    let next = |s: &mut u64| {
        *s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Some((*s >> 56) as i64)
    };
    std::iter::repeat_with({
        let mut state = seed;
        move || next(&mut state).unwrap_or(0)
    })
    .take(64)
    .collect()
}

/// The float steps on three integers, the first two added first.
fn steps([a, b, c]: [i64; 3], signs: [f32; 3]) -> i64 {
    let a = signs[0] * ((a - 120) as f32 * 0.02);
    let b = signs[1] * ((b - 4) as f32 * 0.03);
    let c = signs[2] * (c as f32 * 0.01);
    let sum = (a + b) + c;
    ((sum / 0.04).round_ties_even() as i64 + 30).clamp(0, 255)
}

#[test]
fn accepts_a_sum_of_three_as_its_float_steps() {
    let variadic = three()
        .node("Sum", &["af", "bf", "cf"], "s")
        .quantize("s", "y", "yq")
        .output("yq");
    let chain = three()
        .node("Add", &["af", "bf"], "t")
        .node("Add", &["cf", "t"], "s")
        .quantize("s", "y", "yq")
        .output("yq");
    let minus = three()
        .node("Sub", &["af", "bf"], "t")
        .node("Sub", &["cf", "t"], "s")
        .quantize("s", "y", "yq")
        .output("yq");
    for (model, signs) in [
        (variadic, [1.0, 1.0, 1.0]),
        (chain, [1.0, 1.0, 1.0]),
        (minus, [-1.0, 1.0, 1.0]),
    ] {
        let imported = accepted(&model);
        assert_eq!(said(&imported, "node_yq"), Exactness::Steps);
        for seed in 0..20 {
            let data = [3 * seed, 3 * seed + 1, 3 * seed + 2].map(integers);
            let got = run_all(&imported, &[&data[0], &data[1], &data[2]]);
            for (i, y) in got.into_iter().enumerate() {
                let at = [data[0][i], data[1][i], data[2][i]];
                assert_eq!(y, steps(at, signs), "{at:?}");
            }
        }
    }
}

#[test]
fn accepts_the_sum_of_a_function_and_a_tensor() {
    let model = three()
        .node("Relu", &["af"], "r")
        .node("Add", &["bf", "r"], "s")
        .quantize("s", "y", "yq")
        .output("yq");
    let imported = accepted(&model);
    assert_eq!(said(&imported, "node_yq"), Exactness::Steps);
    let (a, b) = (integers(1), integers(2));
    // The third input is not read.
    let got = run_all(&imported, &[&a, &b, &b]);
    for i in 0..64 {
        let r = ((a[i] - 120) as f32 * 0.02).max(0.0);
        let sum = (b[i] - 4) as f32 * 0.03 + r;
        let want = ((sum / 0.04).round_ties_even() as i64 + 30).clamp(0, 255);
        assert_eq!(got[i], want);
    }
}

/// A matrix product and a residual, added as floats.
fn residual(scales: &[f32]) -> Model {
    let zeros = vec![0; scales.len()];
    let dims: &[i64] = if scales.len() == 1 { &[] } else { &[2] };
    Model::quantized_input(17, &[1, 3])
        .ints("w", DataType::Int8, &[3, 2], &[1, -2, 3, 4, -5, 6])
        .floats("w_s", dims, scales)
        .ints("w_z", DataType::Int8, dims, &zeros)
        .dequantize("w", "w", "wf")
        .input("r", DataType::Uint8, &[1, 2])
        .scale("r", 0.03, 100)
        .dequantize("r", "r", "rf")
        .scale("y", 0.005, 10)
        .node("Gemm", &["xf", "wf"], "g")
        .node("Add", &["rf", "g"], "s")
        .node("Relu", &["s"], "t")
        .quantize("t", "y", "yq")
        .output("yq")
}

#[test]
fn accepts_accumulators_and_a_residual_as_their_exact_sum() {
    for scales in [vec![0.01f32], vec![0.01, 0.017]] {
        let imported = accepted(&residual(&scales));
        assert_eq!(said(&imported, "node_yq"), Exactness::Sum { apart: 1 });
        let weights = [[1, -2], [3, 4], [-5, 6]];
        for (x, r) in [([10, 200, 3], [90, 101]), ([0, 255, 80], [120, 80])] {
            let y = run_all(&imported, &[&x, &r]);
            for n in 0..2 {
                let acc: i64 = (0..3).map(|k| (x[k] - 3) * weights[k][n]).sum();
                let w = scales[n.min(scales.len() - 1)];
                let unit = f64::from(0.02f32) * f64::from(w);
                let sum = acc as f64 * unit + (r[n] - 100) as f64 * f64::from(0.03f32);
                let sum = (sum as f32).max(0.0);
                let want = ((sum / 0.005).round_ties_even() as i64 + 10).clamp(0, 255);
                assert_eq!(y[n], want, "{scales:?} {x:?}");
            }
        }
    }
}

#[test]
fn rejects_a_function_that_is_not_monotone_behind_a_sum() {
    let mut model = residual(&[0.01]);
    for node in &mut model.graph().node {
        if node.op_type == "Relu" {
            node.op_type = "Abs".into();
        }
    }
    let reason = problem(&model).to_string();
    assert!(reason.contains("not monotone"), "{reason}");
}

#[test]
fn rejects_a_sum_of_values_that_are_no_terms() {
    let model = three()
        .node("Mul", &["af", "bf"], "t")
        .node("Add", &["t", "cf"], "s")
        .quantize("s", "y", "yq")
        .output("yq");
    assert!(matches!(problem(&model), NodeError::Island { .. }));
}

#[test]
fn accepts_accumulators_that_a_normalization_scales_before_they_are_added() {
    let mut model = residual(&[0.01])
        .floats("k", &[2], &[0.5, -1.5])
        .floats("c", &[2], &[0.02, 0.3])
        .node("Mul", &["g", "k"], "gk")
        .node("Add", &["gk", "c"], "gc");
    for node in &mut model.graph().node {
        if node.output[0] == "s" {
            node.input[1] = "gc".into();
        }
    }
    let imported = accepted(&model);
    assert_eq!(said(&imported, "node_yq"), Exactness::Sum { apart: 1 });
    let (x, r) = ([10i64, 200, 3], [90i64, 101]);
    let weights = [[1, -2], [3, 4], [-5, 6]];
    let y = run_all(&imported, &[&x, &r]);
    for n in 0..2 {
        let acc: i64 = (0..3).map(|k| (x[k] - 3) * weights[k][n]).sum();
        let unit = f64::from(0.02f32) * f64::from(0.01f32);
        let scaled = acc as f64 * unit * [0.5, -1.5][n] + f64::from([0.02f32, 0.3][n]);
        let sum = scaled + (r[n] - 100) as f64 * f64::from(0.03f32);
        let want = (((sum as f32).max(0.0) / 0.005).round_ties_even() as i64 + 10).clamp(0, 255);
        assert_eq!(y[n], want);
    }
}
