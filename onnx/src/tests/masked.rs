//! Softmax of scores that are scaled and masked before anything quantizes them.

use tract_onnx::pb::tensor_proto::DataType;

use crate::Exactness;
use crate::tests::build::Model;
use crate::tests::groups::{accepted, problem};
use crate::tests::totals::{run_all, said};

/// `[2, 3]` scores under the scale 0.05, a Softmax of `a`, quantized in steps of 1/256.
fn scores() -> Model {
    Model::new(17)
        .input("x", DataType::Uint8, &[2, 3])
        .scale("x", 0.05, 120)
        .dequantize("x", "x", "xf")
        .floats("k", &[], &[0.5])
        .scale("y", 1.0 / 256.0, 0)
        .node("Softmax", &["a"], "p")
        .quantize("p", "y", "yq")
        .output("yq")
}

const X: [i64; 6] = [100, 140, 255, 0, 20, 200];

/// The softmax of the scores that are not masked.
fn softmax(factor: f64, masked: [bool; 6]) -> Vec<i64> {
    let mut y = Vec::new();
    for line in 0..2 {
        let at = |i: usize| 3 * line + i;
        let exp = |i: usize| match masked[at(i)] {
            true => 0.0,
            false => (factor * f64::from(0.05f32) * (X[at(i)] - 120) as f64).exp(),
        };
        let sum: f64 = (0..3).map(exp).sum();
        let level = |i| ((256.0 * exp(i) / sum).round_ties_even() as i64).min(255);
        y.extend((0..3).map(level));
    }
    y
}

#[test]
fn accepts_scaled_scores() {
    let imported = accepted(&scores().node("Mul", &["xf", "k"], "a"));
    assert_eq!(said(&imported, "node_yq"), Exactness::Softmax);
    assert_eq!(run_all(&imported, &[&X]), softmax(0.5, [false; 6]));
}

#[test]
fn accepts_masked_scores_however_the_mask_is_written() {
    let masked = [false, false, true, true, false, false];
    for mask in [f32::NEG_INFINITY, f32::MIN, -1e4, -60.0] {
        let values = masked.map(|m| if m { mask } else { 0.0 });
        let added = scores()
            .node("Mul", &["xf", "k"], "m")
            .floats("mask", &[2, 3], &values)
            .node("Add", &["mask", "m"], "a");
        let truths = masked.map(i64::from);
        let chosen = scores()
            .node("Mul", &["xf", "k"], "m")
            .ints("c", DataType::Bool, &[2, 3], &truths)
            .floats("b", &[], &[mask])
            .node("Where", &["c", "b", "m"], "a");
        for model in [added, chosen] {
            let got = run_all(&accepted(&model), &[&X]);
            assert_eq!(got, softmax(0.5, masked), "{mask}");
        }
    }
}

#[test]
fn rejects_masks_that_are_none() {
    // Of less than what takes an exponential to nothing, and of whole lines.
    for values in [
        [0.0, 0.0, -5.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, -1e4, -1e4, -1e4],
    ] {
        let model = scores()
            .floats("mask", &[2, 3], &values)
            .node("Add", &["xf", "mask"], "a");
        problem(&model);
    }
}
