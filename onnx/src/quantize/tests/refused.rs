//! What is refused, and samples that do not fit.

use crate::quantize::tests::*;

#[test]
fn rejects_what_is_quantized_already() {
    let first = done(&perceptron(), &Options::default()).model;
    let error = quantize(&first, &samples(&first, 1), &Options::default()).unwrap_err();
    assert!(
        matches!(error, QuantizeError::AlreadyQuantized(_)),
        "{error}"
    );
}

#[test]
fn rejects_samples_that_do_not_fit() {
    let bytes = perceptron();
    let options = Options::default();
    assert_eq!(
        quantize(&bytes, &[], &options).unwrap_err(),
        QuantizeError::NoSample
    );
    for sample in [
        vec![],
        vec![Feed::Floats(vec![0.0; 3])],
        vec![Feed::Integers(vec![0; 4])],
    ] {
        let error = quantize(&bytes, &[sample], &options).unwrap_err();
        assert!(matches!(error, QuantizeError::Sample { .. }), "{error}");
    }
}

#[test]
fn rejects_a_percentile_that_is_none() {
    for p in [0.0, 50.0, 101.0, f64::NAN] {
        let options = Options {
            method: Method::Percentile(p),
            ..Options::default()
        };
        let error = quantize(&perceptron(), &[], &options).unwrap_err();
        assert!(matches!(error, QuantizeError::Percentile(_)), "{error}");
    }
}

#[test]
fn rejects_an_unknown_operator_before_a_product() {
    let nodes = vec![node("Det", &["x"], "d"), node("MatMul", &["d", "w"], "y")];
    let bytes = model(&[4, 4], nodes, vec![floats("w", &[4, 3])]);
    let error = quantize(&bytes, &samples(&bytes, 1), &Options::default()).unwrap_err();
    assert!(matches!(error, QuantizeError::Island { .. }), "{error}");
}

#[test]
fn rejects_extents_that_no_model_has_without_a_panic() {
    let image: &[i64] = &[1, 4, 3, 3];
    for huge in [i64::MIN, -1, 0, 1 << 40, i64::MAX] {
        let cell = with(
            node("LSTM", &["x", "w", "r"], "y"),
            int_attribute("hidden_size", huge),
        );
        let weights = vec![floats("w", &[1, 4, 3]), floats("r", &[1, 4, 1])];
        let response = with(node("LRN", &["x"], "y"), int_attribute("size", huge));
        let pool = with(
            node("LpPool", &["x"], "y"),
            ints_attribute("kernel_shape", &[huge, huge]),
        );
        let groups = with(
            node("GroupNormalization", &["x", "g", "g"], "y"),
            int_attribute("num_groups", huge),
        );
        for (shape, node, constants) in [
            (&[4i64, 1, 3][..], cell, weights),
            (image, response, vec![]),
            (image, pool, vec![]),
            (image, groups, vec![floats("g", &[4])]),
        ] {
            let op = node.op_type.clone();
            let bytes = model(shape, vec![node], constants);
            let result = quantize(&bytes, &samples(&bytes, 1), &Options::default());
            assert!(result.is_err(), "{op} with {huge}");
        }
    }
}

#[test]
fn rejects_damaged_files_without_a_panic() {
    let bytes = perceptron();
    let sample = samples(&bytes, 1);
    for end in 0..bytes.len() {
        let _ = quantize(&bytes[..end], &sample, &Options::default());
    }
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x15;
        let _ = quantize(&damaged, &sample, &Options::default());
    }
}
