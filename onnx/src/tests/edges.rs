//! Signs of zeros, infinities, jumps: where floats that are nearly equal have results that are not. Expected values are
//! ONNX Runtime's.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, int, ints};
use crate::tests::groups::{accepted, problem};
use crate::tests::kernels::{exactness, run};
use crate::{Exactness, NodeError};

/// `x` of four elements with scale 0.5 and zero point 100, some nodes from `xf` to `r`, and `y` with scale 0.25 and zero
/// point 100.
fn chain(nodes: impl FnOnce(Model) -> Model) -> Model {
    let model = Model::new(17)
        .input("x", DataType::Uint8, &[4])
        .scale("x", 0.5, 100)
        .scale("y", 0.25, 100)
        .floats("zero", &[], &[0.0])
        .floats("minus", &[4], &[-0.0, -0.0, -0.0, 2.0])
        .dequantize("x", "x", "xf");
    nodes(model).quantize("r", "y", "y").output("y")
}

const X: &[&[i64]] = &[&[96, 100, 101, 110]];

#[test]
fn accepts_the_sign_that_where_gives_a_zero() {
    // The first argument loses the sign of a zero, the second keeps it.
    for (condition, expected) in [(1, [0, 0, 255, 110]), (0, [255, 0, 0, 110])] {
        let model = chain(|m| {
            m.ints("c", DataType::Bool, &[4], &[condition; 4])
                .node("Where", &["c", "minus", "minus"], "w")
                .node("Div", &["xf", "w"], "r")
        });
        // −2 / +0 is −∞, 0 / 0 is no number.
        assert_eq!(run(&accepted(&model), X), expected);
    }
}

#[test]
fn rejects_quotients_by_a_zero_of_min_or_max() {
    let model = |op: &'static str, limit: f32| {
        chain(move |m| {
            m.floats("limit", &[], &[limit])
                .node("Neg", &["xf"], "n")
                .node(op, &["n", "limit"], "m")
                .node("Reciprocal", &["m"], "r")
        })
    };
    for op in ["Min", "Max"] {
        for limit in [0.0, -0.0] {
            let NodeError::Island { reason } = problem(&model(op, limit)) else {
                panic!("{op} {limit}");
            };
            assert!(reason.contains("zeros of two signs"), "{reason}");
        }
    }
    // 1 / max(−x, 0.5)
    assert_eq!(run(&accepted(&model("Max", 0.5)), X), [102, 108, 108, 108]);
    // What is not divided by may be any zero.
    let sum = chain(|m| m.node("Neg", &["xf"], "n").node("Max", &["n", "zero"], "r"));
    assert_eq!(run(&accepted(&sum), X), [108, 100, 100, 100]);
    // An even power has no sign.
    let power = |exponent: f32| {
        chain(move |m| {
            m.floats("e", &[], &[exponent])
                .node("Neg", &["xf"], "n")
                .node("Max", &["n", "zero"], "m")
                .node("Pow", &["m", "e"], "r")
        })
    };
    assert_eq!(run(&accepted(&power(-2.0)), X), [101, 255, 255, 255]);
    assert!(matches!(problem(&power(-3.0)), NodeError::Island { .. }));
}

#[test]
fn rejects_constants_whose_zero_has_no_sign() {
    let sum = |axes: &[i64]| {
        let attributes = vec![ints("axes", axes), int("keepdims", 0)];
        chain(|m| {
            m.floats("zeros", &[2, 4], &[-0.0; 8])
                .node_with("ReduceMean", &["zeros"], "s", attributes)
                .node("Div", &["xf", "s"], "r")
        })
    };
    let least = chain(|m| {
        m.node("Min", &["minus", "zero"], "s")
            .node("Div", &["xf", "s"], "r")
    });
    for model in [sum(&[0]), sum(&[0, 1]), least] {
        let error = problem(&model);
        assert!(matches!(error, NodeError::Undefined { .. }), "{error}");
    }
}

#[test]
fn accepts_a_limit_that_is_left_out_as_the_last_number() {
    // 1 / 0 is infinite, and clipped it is not: the remainder of infinity is no number, and that of 2^128 − 2^104 is 0.
    let model = |inputs: &'static [&'static str]| {
        chain(move |m| {
            m.floats("two", &[], &[2.0])
                .node("Reciprocal", &["xf"], "i")
                .node("Clip", inputs, "c")
                .node_with("Mod", &["c", "two"], "r", vec![int("fmod", 1)])
        })
    };
    let x: &[&[i64]] = &[&[100, 101, 102, 104]];
    assert_eq!(
        run(&accepted(&model(&["i", "zero"])), x),
        [100, 100, 104, 102]
    );
}

#[test]
fn accepts_odd_functions_that_keep_the_sign_of_zero() {
    for op in [
        "Sin", "Tan", "Asin", "Atan", "Sinh", "Asinh", "Atanh", "Erf", "Tanh",
    ] {
        let model = chain(|m| {
            m.node(op, &["minus"], "s")
                .floats("three", &[4], &[0.0, 0.0, 0.0, 3.0])
                .node("Where", &["c", "three", "s"], "w")
                .ints("c", DataType::Bool, &[4], &[0, 0, 0, 1])
                .node("Div", &["xf", "w"], "r")
        });
        assert_eq!(run(&accepted(&model), X)[..3], [255, 0, 0], "{op}");
    }
}

#[test]
fn rejects_jumps_that_the_distance_of_a_function_reaches() {
    // exp(0) is one, or a unit in the last place less.
    let jump = |op: &'static str| {
        chain(move |m| {
            let m = m.floats("one", &[], &[1.0]).node("Exp", &["xf"], "e");
            match op {
                "Mod" => m.node_with("Mod", &["one", "e"], "r", vec![int("fmod", 1)]),
                _ => m.node(op, &["e"], "r"),
            }
        })
    };
    for op in ["Mod", "Floor", "Ceil"] {
        let NodeError::Island { reason } = problem(&jump(op)) else {
            panic!("{op}");
        };
        assert!(reason.contains("jumps"), "{reason}");
    }
    // It is nowhere near one half but where its argument is not.
    accepted(&jump("Round"));
}

/// What is known of a function is 4e-7, which is four steps of this scale; the label says so.
#[test]
fn accepts_a_tiny_scale_with_the_distance_in_the_label() {
    let model = |scale: f32| {
        Model::new(17)
            .input("x", DataType::Uint8, &[4])
            .scale("x", 0.1, 255)
            .scale("y", scale, 0)
            .dequantize("x", "x", "xf")
            .node("Sigmoid", &["xf"], "s")
            .quantize("s", "y", "y")
            .output("y")
    };
    let tiny = exactness(&accepted(&model(1e-7)));
    let Exactness::Functions { apart, .. } = tiny else {
        panic!("{tiny:?}");
    };
    assert_eq!(tiny.distance(), Some(apart));
    assert!((8..=9).contains(&apart), "{apart}");
    assert!(tiny.to_string().contains(&format!("up to {apart} apart")));
    let usual = exactness(&accepted(&model(1.0 / 256.0)));
    assert!(usual.distance() <= Some(1), "{usual:?}");
}

/// Sums are exact here and floats in ONNX Runtime, which are on either side of a whole number.
#[test]
fn rejects_jumps_of_float_sums() {
    let model = |sum: &'static str, jump: &'static str, scale: f32| {
        let m = Model::new(17)
            .input("x", DataType::Uint8, &[1, 1, 1, 6])
            .scale("x", 0.1, 0)
            .ints("y_z", DataType::Int8, &[], &[-100])
            .floats("y_s", &[], &[scale])
            .floats("two", &[], &[2.0])
            .scale("w", 0.01, 0)
            .ints("w", DataType::Uint8, &[1, 1, 1, 4], &[10, 20, 30, 7])
            .dequantize("x", "x", "xf")
            .dequantize("w", "w", "wf");
        let kernel = ints("kernel_shape", &[1, 5]);
        let m = match sum {
            "AveragePool" => m.node_with(sum, &["xf"], "s", vec![kernel]),
            "ReduceMean" => m.node_with(sum, &["xf"], "s", vec![ints("axes", &[3])]),
            _ => m.node(sum, &["xf", "wf"], "s"),
        };
        let m = match jump {
            "Mod" => m.node_with(jump, &["s", "two"], "r", vec![int("fmod", 1)]),
            _ => m.node(jump, &["s"], "r"),
        };
        m.quantize("r", "y", "y").output("y")
    };
    for sum in ["AveragePool", "ReduceMean", "ConvTranspose"] {
        for jump in ["Floor", "Ceil", "Mod"] {
            let NodeError::Island { reason } = problem(&model(sum, jump, 0.1)) else {
                panic!("{sum} {jump}");
            };
            assert!(reason.contains("jumps"), "{sum} {jump}: {reason}");
        }
        // One step is what is said of sums, and what has no jump is as before.
        for (smooth, scale) in [("Floor", 1.0), ("Sqrt", 0.1)] {
            let label = exactness(&accepted(&model(sum, smooth, scale)));
            assert_eq!(label, Exactness::Sum { apart: 1 }, "{sum} {smooth}");
        }
    }
}

/// What floats may be off in any order is counted in the steps of the output.
#[test]
fn counts_how_far_float_sums_may_be_apart() {
    let model = |sum: &'static str, scale: f32| {
        let m = Model::new(17)
            .input("x", DataType::Uint8, &[1, 1, 1, 6])
            .scale("x", 0.1, 0)
            .scale("y", scale, 0)
            .scale("w", 0.01, 0)
            .ints("w", DataType::Uint8, &[1, 1, 1, 4], &[10, 20, 30, 7])
            .dequantize("x", "x", "xf")
            .dequantize("w", "w", "wf");
        let m = match sum {
            "ReduceMean" => m.node_with(sum, &["xf"], "s", vec![ints("axes", &[3])]),
            _ => m.node(sum, &["xf", "wf"], "s"),
        };
        m.quantize("s", "y", "y").output("y")
    };
    let apart = |sum, scale| {
        let label = exactness(&accepted(&model(sum, scale)));
        let Exactness::Sum { apart } = label else {
            panic!("{label:?}");
        };
        assert_eq!(label.distance(), Some(apart));
        let words = match apart {
            1 => " is one apart".to_owned(),
            n => format!(" is up to {n} apart"),
        };
        assert!(label.to_string().contains(&words), "{label}");
        apart
    };
    // (6 + 4) · 2^-24 · 0.1 / 6 of twice 6 · 255: 3.04e-5.
    assert_eq!(apart("ReduceMean", 0.1), 1);
    assert_eq!(apart("ReduceMean", 1e-6), 30);
    // (4 + 4) · 2^-24 · 0.001 of twice 67 · 255: 1.63e-5, from any place in a step.
    assert_eq!(apart("ConvTranspose", 0.1), 1);
    assert_eq!(apart("ConvTranspose", 1e-6), 17);
}
