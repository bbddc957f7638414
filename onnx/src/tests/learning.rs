//! Operators of classical learning: values that ONNX Runtime gives, and what is refused.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, OperatorSetIdProto, attribute_proto::AttributeType};

use crate::quantize::{Feed, Options, quantize};
use crate::tests::build::{Model, float, int, ints};
use crate::{FloatHead, ImportError, NodeError, import};

fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Floats as i32,
        floats: values.to_vec(),
        ..Default::default()
    }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: value.as_bytes().to_vec(),
        ..Default::default()
    }
}

fn texts(name: &str, values: &[&str]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Strings as i32,
        strings: values.iter().map(|v| v.as_bytes().to_vec()).collect(),
        ..Default::default()
    }
}

fn empty(shape: &[i64]) -> Model {
    let mut model = Model::new(17).input("x", DataType::Float, shape);
    model.proto.opset_import.push(OperatorSetIdProto {
        domain: "ai.onnx.ml".into(),
        version: 3,
    });
    model
}

fn quantized(op: &str, shape: &[i64], attributes: Vec<AttributeProto>) -> Model {
    let op = format!("ai.onnx.ml::{op}");
    let model = empty(shape).node_with(&op, &["x"], "v", attributes);
    model
        .scale("q", 0.5, 10)
        .quantize("v", "q", "y")
        .output("y")
}

/// What a head gives before it is quantized.
fn values(op: &str, shape: &[i64], attributes: Vec<AttributeProto>, x: &[f32]) -> Vec<f32> {
    let model = quantized(op, shape, attributes);
    let imported = import(&model.bytes()).unwrap_or_else(|e| panic!("{op}: {e}"));
    let head = FloatHead::of(&imported.program).unwrap();
    let made = head.evaluate(&imported.program, &[x]).unwrap();
    made[0].floats.clone()
}

#[test]
fn accepts_the_values_of_onnx_runtime() {
    let (pair, row) = (&[2, 2][..], &[1.0, 2.0, -1.0, 0.5][..]);
    let scaler =
        |offset: &[f32], scale: &[f32]| vec![floats("offset", offset), floats("scale", scale)];
    let y = values("Scaler", pair, scaler(&[1.0, 2.0], &[2.0, 0.5]), row);
    assert_eq!(y, [0.0, 0.0, -4.0, -0.75]);
    let y = values("Scaler", pair, scaler(&[1.0], &[2.0]), row);
    assert_eq!(y, [0.0, 2.0, -4.0, -1.0]);
    let y = values("Binarizer", pair, vec![float("threshold", 0.5)], row);
    assert_eq!(y, [1.0, 1.0, 0.0, 0.0]);
    let imputer = |replaced: f32| {
        vec![
            floats("imputed_value_floats", &[5.0, 6.0]),
            float("replaced_value_float", replaced),
        ]
    };
    let y = values(
        "Imputer",
        pair,
        imputer(f32::NAN),
        &[f32::NAN, 2.0, 3.0, 0.0],
    );
    assert_eq!(y, [5.0, 2.0, 3.0, 0.0]);
    let y = values("Imputer", pair, imputer(2.0), &[1.0, 2.0, 3.0, 0.0]);
    assert_eq!(y, [1.0, 6.0, 3.0, 0.0]);
    let (wide, rows) = (
        &[3, 3][..],
        &[1.0, -2.0, 0.5, 0.0, 0.0, 0.0, -1.0, -2.0, -3.0][..],
    );
    let norm = |norm: &str| values("Normalizer", wide, vec![text("norm", norm)], rows);
    assert_eq!(norm("MAX"), [1.0, -2.0, 0.5, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
    let l1 = [
        0.285_714_3,
        -0.571_428_6,
        0.142_857_15,
        0.0,
        0.0,
        0.0,
        -0.166_666_67,
        -0.333_333_34,
        -0.5,
    ];
    assert_eq!(norm("L1"), l1);
    let y = values(
        "OneHotEncoder",
        pair,
        vec![ints("cats_int64s", &[1, 2, 5])],
        &[1.7, 5.0, 2.0, -7.0],
    );
    assert_eq!(
        y,
        [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    );
    let labels = vec![
        floats("keys_floats", &[1.0, 0.5]),
        floats("values_floats", &[0.25, 7.0]),
        float("default_float", 9.0),
    ];
    assert_eq!(
        values("LabelEncoder", pair, labels, row),
        [0.25, 9.0, 9.0, 7.0]
    );
    let y = values(
        "FeatureVectorizer",
        pair,
        vec![ints("inputdimensions", &[3])],
        row,
    );
    assert_eq!(y, [1.0, 2.0, 0.0, -1.0, 0.5, 0.0]);
    let linear = vec![
        floats("coefficients", &[1.0, -1.0, 2.0, 2.0]),
        floats("intercepts", &[0.25, 0.0]),
        int("targets", 2),
    ];
    assert_eq!(
        values("LinearRegressor", pair, linear, row),
        [-0.75, 6.0, -1.25, -1.0]
    );
    let kernel = |kind: &str, params: &[f32]| {
        let attributes = vec![
            text("kernel_type", kind),
            floats("kernel_params", params),
            int("n_supports", 2),
            floats("support_vectors", &[1.0, 0.0, 0.0, 1.0]),
            floats("coefficients", &[1.0, -2.0]),
            floats("rho", &[0.25]),
        ];
        values("SVMRegressor", pair, attributes, row)
    };
    assert_eq!(kernel("LINEAR", &[]), [-2.75, -1.75]);
    assert_eq!(kernel("POLY", &[0.5, 1.0, 3.0]), [-12.375, -3.53125]);
    for (kind, params, expected) in [
        ("RBF", [0.5, 0.0, 3.0], [-0.350_423_63, -0.701_089_9]),
        ("SIGMOID", [0.5, 1.0, 3.0], [-0.772_907, -0.984_450_1]),
    ] {
        for (got, expected) in kernel(kind, &params).into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6f32, "{kind}: {got}");
        }
    }
}

/// A classifier through `quantize`: labels of either form, and the scores behind them.
#[test]
fn accepts_linear_classifiers_by_their_labels() {
    let samples: Vec<Vec<Feed>> = (0..40)
        .map(|i| {
            vec![Feed::Floats(vec![
                (i % 7) as f32 - 3.0,
                (i % 5) as f32 - 2.0,
            ])]
        })
        .collect();
    for (coefficients, labels) in [
        (&[1.0, -1.0][..], ints("classlabels_ints", &[7, 9])),
        (&[-1.0, 1.0, 1.0, -1.0], ints("classlabels_ints", &[7, 9])),
        (
            &[-1.0, 1.0, 1.0, -1.0],
            texts("classlabels_strings", &["no", "yes"]),
        ),
    ] {
        let attributes = vec![
            floats("coefficients", coefficients),
            floats("intercepts", &vec![0.25; coefficients.len() / 2]),
            labels,
            text("post_transform", "LOGISTIC"),
        ];
        let op = "ai.onnx.ml::LinearClassifier";
        let mut model = empty(&[1, 2]).node_with(op, &["x"], "label", attributes);
        model.graph().node[0].output.push("scores".into());
        let model = model.output("label").output("scores");
        let quantized = quantize(&model.bytes(), &samples, &Options::default());
        let quantized = quantized.unwrap_or_else(|e| panic!("{e}"));
        let label = &quantized.outputs[0];
        assert_eq!(label.differing.map(|(of, _)| of), Some(40));
        assert!(label.share() < 0.1, "{label:?}");
        assert!(
            quantized.outputs[1].share() < 0.02,
            "{:?}",
            quantized.outputs[1]
        );
    }
}

/// Support vectors vote for one of each two classes, whichever kernel they have.
#[test]
fn accepts_support_vectors_by_their_votes() {
    let samples: Vec<Vec<Feed>> = (0..60)
        .map(|i| {
            vec![Feed::Floats(vec![
                (i % 7) as f32 - 3.0,
                (i % 5) as f32 - 2.0,
            ])]
        })
        .collect();
    let vectors = [3.0, 0.0, -3.0, 0.0, 0.0, 2.0];
    for (kind, classes) in [("LINEAR", 2), ("RBF", 2), ("LINEAR", 3), ("RBF", 3)] {
        let pairs = classes * (classes - 1) / 2;
        let coefficients: Vec<f32> = (0..(classes - 1) * classes)
            .map(|i| if i % classes == 0 { 1.0 } else { -1.0 })
            .collect();
        let attributes = vec![
            text("kernel_type", kind),
            floats("kernel_params", &[0.1, 0.0, 3.0]),
            ints("vectors_per_class", &vec![1; classes]),
            floats("support_vectors", &vectors[..2 * classes]),
            floats("coefficients", &coefficients),
            floats("rho", &vec![0.125; pairs]),
            ints("classlabels_ints", &[7, 9, 11][..classes]),
        ];
        let op = "ai.onnx.ml::SVMClassifier";
        let mut model = empty(&[1, 2]).node_with(op, &["x"], "label", attributes);
        model.graph().node[0].output.push("scores".into());
        let model = model.output("label").output("scores");
        let quantized = quantize(&model.bytes(), &samples, &Options::default());
        let quantized = quantized.unwrap_or_else(|e| panic!("{kind} {classes}: {e}"));
        let [label, scores] = quantized.outputs.as_slice() else {
            panic!("{kind} {classes}")
        };
        assert!(label.share() < 0.1, "{kind} {classes}: {label:?}");
        assert!(scores.share() < 0.05, "{kind} {classes}: {scores:?}");
        assert!(label.error.max_abs <= 4.0 && label.differing.is_some());
    }
}

#[test]
fn rejects_attributes_that_do_not_fit() {
    let refused = |op: &str, attributes: Vec<AttributeProto>| match import(
        &quantized(op, &[1, 2], attributes).bytes(),
    ) {
        Err(ImportError::Unsupported(problems)) => problems[0].reason.clone(),
        other => panic!("{op}: {other:?}"),
    };
    for (op, attributes, name) in [
        ("Scaler", vec![floats("offset", &[1.0; 3])], "offset"),
        (
            "Imputer",
            vec![floats("imputed_value_floats", &[1.0; 3])],
            "imputed_value_floats",
        ),
        ("Normalizer", vec![text("norm", "L3")], "norm"),
        (
            "OneHotEncoder",
            vec![texts("cats_strings", &["a"])],
            "cats_int64s",
        ),
        (
            "OneHotEncoder",
            vec![ints("cats_int64s", &[1 << 30])],
            "cats_int64s",
        ),
        (
            "LabelEncoder",
            vec![texts("keys_strings", &["a"])],
            "keys_strings",
        ),
        (
            "LabelEncoder",
            vec![ints("keys_int64s", &[1])],
            "values_int64s",
        ),
        (
            "FeatureVectorizer",
            vec![ints("inputdimensions", &[1])],
            "inputdimensions",
        ),
        (
            "FeatureVectorizer",
            vec![ints("inputdimensions", &[1 << 40])],
            "inputdimensions",
        ),
        (
            "LinearRegressor",
            vec![floats("coefficients", &[1.0; 3])],
            "coefficients",
        ),
        ("LinearRegressor", vec![], "coefficients"),
        ("SVMRegressor", vec![], "rho"),
        (
            "SVMRegressor",
            vec![floats("rho", &[0.0]), int("n_supports", i64::MAX)],
            "coefficients",
        ),
        ("SVMClassifier", vec![], "vectors_per_class"),
        ("SVMClassifier", vec![floats("prob_a", &[1.0])], "prob_a"),
        (
            "SVMClassifier",
            vec![ints("vectors_per_class", &[1 << 62, 1 << 62])],
            "vectors_per_class",
        ),
    ] {
        let reason = refused(op, attributes);
        assert!(
            matches!(reason, NodeError::Attribute { name: n, .. } if n == name),
            "{op}: {reason:?}"
        );
    }
    let unknown = refused("Scaler", vec![float("other", 1.0)]);
    assert!(
        matches!(unknown, NodeError::UnknownAttribute { .. }),
        "{unknown:?}"
    );
}
