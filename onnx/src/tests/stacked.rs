//! Products with constants of any rank on either side; casts, parts and borders of integers.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, float, int};
use crate::tests::groups::{accepted, problem};
use crate::tests::totals::{run_all, said};
use crate::{Exactness, NodeError};

const SCALES: (f32, f32, f32) = (0.02, 0.01, 0.1);

/// The kernel's rule.
fn rule(acc: i64) -> i64 {
    let m = (SCALES.0 * SCALES.1) / SCALES.2;
    ((acc as f32 * m).round_ties_even() as i64 + 9).clamp(-128, 127)
}

fn product(x: &[i64], w: &[i64], left: bool) -> Model {
    let weights = || (0..w.iter().product()).map(|i| i * 37 % 101 - 50);
    Model::new(17)
        .input("x", DataType::Int8, x)
        .floats("x_s", &[], &[SCALES.0])
        .ints("x_z", DataType::Int8, &[], &[-3])
        .dequantize("x", "x", "xf")
        .weights(w, &weights().collect::<Vec<i64>>(), SCALES.1)
        .node(
            "MatMul",
            if left { &["wf", "xf"] } else { &["xf", "wf"] },
            "m",
        )
        .floats("y_s", &[], &[SCALES.2])
        .ints("y_z", DataType::Int8, &[], &[9])
        .quantize("m", "y", "yq")
        .output("yq")
}

/// `[s, m, k] · [t, k, n]` with `s` and `t` broadcast, as numpy does.
fn naive(a: (&[i64], [usize; 3]), b: (&[i64], [usize; 3])) -> Vec<i64> {
    let ([s, m, k], [t, _, n]) = (a.1, b.1);
    let mut y = Vec::new();
    for l in 0..s.max(t) {
        for i in 0..m {
            for j in 0..n {
                let (of_a, of_b) = (l.min(s - 1) * m * k, l.min(t - 1) * k * n);
                let terms = (0..k).map(|c| a.0[of_a + i * k + c] * b.0[of_b + c * n + j]);
                y.push(terms.sum());
            }
        }
    }
    y
}

#[test]
fn accepts_products_with_constants_of_any_rank_on_either_side() {
    for (x, w, left, a, b) in [
        (&[4, 5][..], &[1, 5, 3][..], false, [1, 4, 5], [1, 5, 3]),
        (&[4, 5], &[2, 5, 3], false, [1, 4, 5], [2, 5, 3]),
        (&[2, 4, 5], &[2, 5, 3], false, [2, 4, 5], [2, 5, 3]),
        (&[4, 5], &[5], false, [1, 4, 5], [1, 5, 1]),
        (&[5], &[5, 3], false, [1, 1, 5], [1, 5, 3]),
        (&[5], &[2, 5, 3], false, [1, 1, 5], [2, 5, 3]),
        (&[5], &[5], false, [1, 1, 5], [1, 5, 1]),
        (&[5, 4], &[3, 5], true, [1, 3, 5], [1, 5, 4]),
        (&[2, 5, 4], &[3, 5], true, [1, 3, 5], [2, 5, 4]),
        (&[5, 4], &[2, 3, 5], true, [2, 3, 5], [1, 5, 4]),
        (&[5, 4], &[5], true, [1, 1, 5], [1, 5, 4]),
        (&[5], &[2, 3, 5], true, [2, 3, 5], [1, 5, 1]),
    ] {
        let imported = accepted(&product(x, w, left));
        assert_eq!(said(&imported, "node_yq"), Exactness::Kernel, "{x:?} {w:?}");
        let count = |of: &[i64]| of.iter().product::<i64>();
        let data: Vec<i64> = (0..count(x)).map(|i| i * 53 % 256 - 128).collect();
        let centered: Vec<i64> = data.iter().map(|v| v + 3).collect();
        let weights: Vec<i64> = (0..count(w)).map(|i| i * 37 % 101 - 50).collect();
        let want = match left {
            false => naive((&centered, a), (&weights, b)),
            true => naive((&weights, a), (&centered, b)),
        };
        let want: Vec<i64> = want.into_iter().map(rule).collect();
        assert_eq!(run_all(&imported, &[&data]), want, "{x:?} {w:?}");
    }
}

#[test]
fn rejects_scales_for_each_channel_that_no_kernel_takes() {
    let mut model = product(&[4, 5], &[2, 5, 3], false);
    for tensor in &mut model.graph().initializer {
        match tensor.name.as_str() {
            "w_s" => (tensor.dims, tensor.float_data) = (vec![3], vec![0.01, 0.02, 0.03]),
            "w_z" => (tensor.dims, tensor.int32_data) = (vec![3], vec![0; 3]),
            _ => {}
        }
    }
    for node in &mut model.graph().node {
        if node.output[0] == "wf" {
            node.attribute.push(int("axis", 2));
        }
    }
    let reason = problem(&model).to_string();
    assert!(
        reason.contains("ONNX Runtime's kernel does not run"),
        "{reason}"
    );
}

#[test]
fn accepts_a_product_that_is_subtracted() {
    let model = |alpha: f32| {
        Model::quantized_input(17, &[1, 3])
            .weights(&[3, 2], &[1, -2, 3, 4, -5, 6], 0.01)
            .scale("y", 0.004, 100)
            .node_with("Gemm", &["xf", "wf"], "g", vec![float("alpha", alpha)])
            .quantize("g", "y", "yq")
            .output("yq")
    };
    for alpha in [-1.0, -0.7] {
        let imported = accepted(&model(alpha));
        assert_eq!(said(&imported, "node_yq"), Exactness::Kernel);
        let x = [10, 200, 3];
        for (n, w) in [[1, 3, -5], [-2, 4, 6]].iter().enumerate() {
            let acc: i64 = (0..3).map(|k| (x[k] - 3) * w[k]).sum();
            let m = ((alpha * 0.02) * 0.01) / 0.004f32;
            let want = ((acc as f32 * m).round_ties_even() as i64 + 100).clamp(0, 255);
            assert_eq!(run_all(&imported, &[&x])[n], want);
        }
    }
    assert!(matches!(
        problem(&model(0.0)),
        NodeError::Attribute { name: "alpha", .. }
    ));
}

#[test]
fn accepts_casts_of_integers() {
    let cast = |from, to: DataType| {
        Model::new(17)
            .input("x", from, &[1, 4])
            .node_with("Cast", &["x"], "y", vec![int("to", to as i64)])
            .output("y")
    };
    let data = [200, 127, 0, 1];
    for (to, want) in [
        (DataType::Int8, [-56, 127, 0, 1]),
        (DataType::Bool, [1, 1, 0, 1]),
        (DataType::Uint16, data),
        (DataType::Int32, data),
        (DataType::Int64, data),
    ] {
        let imported = accepted(&cast(DataType::Uint8, to));
        assert_eq!(run_all(&imported, &[&data]), want, "{to:?}");
    }
    let imported = accepted(&cast(DataType::Int8, DataType::Uint32));
    let want = [(1 << 32) - 1, 0, 5, (1 << 32) - 128];
    assert_eq!(run_all(&imported, &[&[-1, 0, 5, -128]]), want);
}

#[test]
fn accepts_a_cast_of_places_and_rejects_one_that_may_wrap_around() {
    let model = |extent: i64, to: DataType| {
        Model::quantized_input(17, &[2, extent])
            .node_with("ArgMax", &["xf"], "a", vec![int("axis", 1)])
            .node_with("Cast", &["a"], "y", vec![int("to", to as i64)])
            .output("y")
    };
    let x = [7, 9, 3, 5, 1, 5];
    for to in [DataType::Int32, DataType::Uint8] {
        assert_eq!(run_all(&accepted(&model(3, to)), &[&x]), [1, 0]);
    }
    let mut x = vec![0; 600];
    (x[260], x[300]) = (9, 9);
    assert_eq!(
        run_all(&accepted(&model(300, DataType::Uint8)), &[&x]),
        [4, 0]
    );
    let sums = Model::new(17)
        .input("x", DataType::Uint8, &[1, 3])
        .ints("w", DataType::Int8, &[3, 1], &[100, 100, 100])
        .node("MatMulInteger", &["x", "w"], "m")
        .node_with("Cast", &["m"], "y", vec![int("to", DataType::Uint8 as i64)])
        .output("y");
    assert!(matches!(
        problem(&sums),
        NodeError::Attribute { name: "to", .. }
    ));
}

#[test]
fn accepts_parts_without_elements() {
    let mut model = Model::quantized_input(17, &[1, 5])
        .ints("parts", DataType::Int64, &[3], &[2, 0, 3])
        .node_with("Split", &["xf", "parts"], "a", vec![int("axis", 1)])
        .node_with("Concat", &["c", "b", "a"], "d", vec![int("axis", 1)])
        .quantize("d", "x", "y")
        .output("y");
    for node in &mut model.graph().node {
        if node.op_type == "Split" {
            node.output = ["a", "b", "c"].map(String::from).to_vec();
        }
    }
    assert_eq!(
        run_all(&accepted(&model), &[&[1, 2, 3, 4, 5]]),
        [3, 4, 5, 1, 2]
    );
}

#[test]
fn accepts_a_border_that_is_quantized() {
    let model = Model::quantized_input(17, &[1, 2])
        .ints("pads", DataType::Int64, &[4], &[0, 1, 0, 1])
        .scale("v", 0.5, 1)
        .ints("v", DataType::Uint8, &[], &[3])
        .dequantize("v", "v", "vf")
        .node("Pad", &["xf", "pads", "vf"], "p")
        .scale("y", 0.04, 0)
        .quantize("p", "y", "yq")
        .output("yq");
    // One is 25 steps of 0.04, whatever the scale of the input.
    assert_eq!(run_all(&accepted(&model), &[&[13, 23]]), [25, 5, 10, 25]);
}

#[test]
fn accepts_transposed_groups_with_scales_for_each_channel() {
    let scales = [0.01f32, 0.02];
    let weights = [3i64, -5, 7, 11];
    let model = Model::quantized_input(17, &[1, 2, 1, 1])
        .ints("w", DataType::Int8, &[2, 2, 1, 1], &weights)
        .floats("w_s", &[2], &scales)
        .ints("w_z", DataType::Int8, &[2], &[0, 0])
        .node_with(
            "DequantizeLinear",
            &["w", "w_s", "w_z"],
            "wf",
            vec![int("axis", 1)],
        )
        .node_with("ConvTranspose", &["xf", "wf"], "c", vec![int("group", 2)])
        .scale("y", 0.05, 100)
        .quantize("c", "y", "yq")
        .output("yq");
    let x = [40i64, 90];
    let want = (0..4).map(|o| {
        let real = ((x[o / 2] - 3) * weights[o]) as f64 * f64::from(0.02f32);
        let real = (real * f64::from(scales[o % 2])) as f32;
        ((real / 0.05).round_ties_even() as i64 + 100).clamp(0, 255)
    });
    let want: Vec<i64> = want.collect();
    assert_eq!(run_all(&accepted(&model), &[&x]), want);
}
