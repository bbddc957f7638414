//! Tree ensembles: which leaf, and what of its attributes is refused.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, OperatorSetIdProto, TensorProto, attribute_proto::AttributeType,
};

use crate::quantize::{Feed, Options, quantize};
use crate::tests::build::{Model, float, int, ints};
use crate::{FloatHead, HeadError, ImportError, Imported, NodeError, import};

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: r#type as i32,
        ..Default::default()
    }
}

fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto {
        floats: values.to_vec(),
        ..attribute(name, AttributeType::Floats)
    }
}

fn texts(name: &str, values: &[&str]) -> AttributeProto {
    AttributeProto {
        strings: values.iter().map(|v| v.as_bytes().to_vec()).collect(),
        ..attribute(name, AttributeType::Strings)
    }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: value.as_bytes().to_vec(),
        ..attribute(name, AttributeType::String)
    }
}

fn tensor(name: &str, tensor: TensorProto) -> AttributeProto {
    AttributeProto {
        t: Some(tensor),
        ..attribute(name, AttributeType::Tensor)
    }
}

fn empty() -> Model {
    let mut model = Model::new(17).input("x", DataType::Float, &[1, 2]);
    model.proto.opset_import.push(OperatorSetIdProto {
        domain: "ai.onnx.ml".into(),
        version: 5,
    });
    model
}

/// One branch on feature 1, whose answer is worth 3 where it is yes and 5 where it is no.
fn stump(mode: &str, threshold: f32, missing: i64) -> Vec<AttributeProto> {
    vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[1, 0, 0]),
        texts("nodes_modes", &[mode, "LEAF", "LEAF"]),
        floats("nodes_values", &[threshold, 0.0, 0.0]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        ints("nodes_missing_value_tracks_true", &[missing, 0, 0]),
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        floats("target_weights", &[3.0, 5.0]),
        int("n_targets", 1),
    ]
}

fn regressor(attributes: Vec<AttributeProto>) -> Model {
    let op = "ai.onnx.ml::TreeEnsembleRegressor";
    empty().node_with(op, &["x"], "y", attributes).output("y")
}

fn imported(model: &Model) -> Imported {
    import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"))
}

/// The outputs of a program for a row, in units.
fn outputs(imported: &Imported, row: &[f32]) -> Vec<Vec<i64>> {
    let program = &imported.program;
    let head = FloatHead::of(program).unwrap();
    let made = head.evaluate(program, &[row]).unwrap();
    let inputs: Vec<_> = made.into_iter().map(|made| made.tensor).collect();
    let trace = program.execute(&inputs).unwrap();
    trace.outputs().iter().map(|t| t.data.clone()).collect()
}

#[test]
fn accepts_every_mode_at_its_threshold_and_beside_it() {
    let above = f32::from_bits(1.0f32.to_bits() + 1);
    let below = f32::from_bits(1.0f32.to_bits() - 1);
    let rows = [below, 1.0, above, f32::NAN];
    for (mode, missing, yes) in [
        ("BRANCH_LEQ", 0, [true, true, false, false]),
        ("BRANCH_LT", 0, [true, false, false, false]),
        ("BRANCH_GTE", 0, [false, true, true, false]),
        ("BRANCH_GT", 0, [false, false, true, false]),
        ("BRANCH_EQ", 0, [false, true, false, false]),
        ("BRANCH_NEQ", 0, [true, false, true, true]),
        ("BRANCH_LEQ", 1, [true, true, false, true]),
        ("BRANCH_LT", 1, [true, false, false, true]),
        ("BRANCH_GTE", 1, [false, true, true, true]),
        ("BRANCH_GT", 1, [false, false, true, true]),
        ("BRANCH_NEQ", 1, [true, false, true, true]),
    ] {
        let imported = imported(&regressor(stump(mode, 1.0, missing)));
        for (x, yes) in rows.into_iter().zip(yes) {
            let expected = if yes { 3 } else { 5 };
            assert_eq!(
                outputs(&imported, &[9.0, x]),
                [[expected]],
                "{mode} {missing} {x}"
            );
        }
    }
    // Zero is one threshold, whatever its sign, and the smallest numbers are others.
    let imported = imported(&regressor(stump("BRANCH_LT", -0.0, 0)));
    for (x, expected) in [(0.0, 5), (-0.0, 5), (-1e-45, 3), (1e-45, 5)] {
        assert_eq!(outputs(&imported, &[0.0, x]), [[expected]], "{x}");
    }
}

#[test]
fn accepts_the_later_form_as_the_same_program() {
    let values = |data_type: DataType, floats: &[f32], bytes: &[i32]| TensorProto {
        dims: vec![floats.len().max(bytes.len()) as i64],
        data_type: data_type as i32,
        float_data: floats.to_vec(),
        int32_data: bytes.to_vec(),
        ..Default::default()
    };
    let attributes = vec![
        ints("tree_roots", &[0]),
        ints("nodes_featureids", &[1]),
        tensor("nodes_modes", values(DataType::Uint8, &[], &[0])),
        tensor("nodes_splits", values(DataType::Float, &[1.0], &[])),
        ints("nodes_truenodeids", &[0]),
        ints("nodes_trueleafs", &[1]),
        ints("nodes_falsenodeids", &[1]),
        ints("nodes_falseleafs", &[1]),
        ints("leaf_targetids", &[0, 0]),
        tensor("leaf_weights", values(DataType::Float, &[3.0, 5.0], &[])),
        int("n_targets", 1),
    ];
    let op = "ai.onnx.ml::TreeEnsemble";
    let later = empty().node_with(op, &["x"], "y", attributes).output("y");
    let first = regressor(stump("BRANCH_LEQ", 1.0, 0));
    assert_eq!(imported(&later).program.id(), imported(&first).program.id());
}

#[test]
fn accepts_leaves_as_whole_units_where_they_have_few_bits() {
    let mut attributes = stump("BRANCH_LEQ", 1.0, 0);
    attributes[11] = floats("target_weights", &[0.375, -5.0]);
    attributes.push(floats("base_values", &[0.25]));
    let imported = imported(&regressor(attributes));
    let port = &imported.program.outputs()[0];
    let scale = port.quantization.as_ref().unwrap().scale_bits[0];
    assert_eq!(f32::from_bits(scale), 0.125);
    assert_eq!(outputs(&imported, &[0.0, 0.0]), [[5]]);
    assert_eq!(outputs(&imported, &[0.0, 2.0]), [[-38]]);
}

/// Labels, and what they stand for, of classifiers of two classes and of three.
#[test]
fn accepts_labels_of_classifiers() {
    let classifier = |classes: &[i64], weights: &[f32], labels: AttributeProto| {
        let mut attributes = stump("BRANCH_LEQ", 1.0, 0);
        attributes.truncate(8);
        attributes.extend([
            ints("class_treeids", &[0, 0]),
            ints("class_nodeids", &[1, 2]),
            ints("class_ids", classes),
            floats("class_weights", weights),
            labels,
        ]);
        let op = "ai.onnx.ml::TreeEnsembleClassifier";
        let mut model = empty().node_with(op, &["x"], "label", attributes);
        model.graph().node[0].output.push("scores".into());
        imported(&model.output("label"))
    };
    let integers = |labels: &[i64]| ints("classlabels_int64s", labels);
    let labels = |imported: &Imported| [0.0, 2.0].map(|x| outputs(imported, &[0.0, x])[0][0]);
    // A score above a half, where none is negative; above zero where one is.
    let two = classifier(&[0, 0], &[0.5, 0.75], integers(&[7, 9]));
    assert_eq!(labels(&two), [7, 9]);
    let two = classifier(&[0, 0], &[-0.25, 0.25], integers(&[0, 1]));
    assert_eq!(labels(&two), [0, 1]);
    let three = classifier(&[2, 1], &[0.5, 0.75], integers(&[7, 9, -4]));
    assert_eq!(labels(&three), [-4, 9]);
    let named = classifier(
        &[2, 1],
        &[0.5, 0.75],
        texts("classlabels_strings", &["a", "b", "c"]),
    );
    assert_eq!(labels(&named), [2, 1]);
}

#[test]
fn rejects_attributes_that_are_no_trees() {
    let refused = |change: fn(&mut Vec<AttributeProto>)| {
        let mut attributes = stump("BRANCH_LEQ", 1.0, 0);
        change(&mut attributes);
        match import(&regressor(attributes).bytes()) {
            Err(ImportError::Unsupported(problems)) => match &problems[0].reason {
                NodeError::Attribute { name, .. } => *name,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    for (change, name) in [
        (
            (|a| a[2].ints = vec![1, 0]) as fn(&mut Vec<AttributeProto>),
            "nodes_featureids",
        ),
        (|a| a[2].ints[0] = -1, "nodes_featureids"),
        (|a| a[2].ints[0] = 1 << 40, "nodes_featureids"),
        (|a| a[3].strings[0] = b"BRANCH".to_vec(), "nodes_modes"),
        (|a| a[4].floats[0] = f32::NAN, "nodes_values"),
        (|a| a[5].ints[0] = 7, "nodes_truenodeids"),
        // A node behind itself, and one behind two answers.
        (|a| a[5].ints[0] = 0, "nodes_truenodeids"),
        (|a| a[5].ints[0] = 2, "nodes_treeids"),
        (|a| a[1].ints[1] = 0, "nodes_nodeids"),
        (|a| a[0].ints[2] = 1, "nodes_truenodeids"),
        (|a| a[9].ints[0] = 4, "target_nodeids"),
        (|a| a[10].ints[0] = 1, "target_ids"),
        (|a| a[11].floats[0] = f32::INFINITY, "target_weights"),
        (|a| a[12].i = 0, "n_targets"),
        (
            |a| a.push(text("aggregate_function", "MAX")),
            "aggregate_function",
        ),
        (
            |a| a.push(text("post_transform", "PROBIT")),
            "post_transform",
        ),
        (
            |a| a.push(floats("base_values", &[1.0, 2.0])),
            "base_values",
        ),
    ] {
        assert_eq!(refused(change), name);
    }
    // An attribute that nobody knows, and a row with too few features.
    let mut attributes = stump("BRANCH_LEQ", 1.0, 0);
    attributes.push(float("other", 1.0));
    assert!(import(&regressor(attributes).bytes()).is_err());
    let mut attributes = stump("BRANCH_LEQ", 1.0, 0);
    attributes[2].ints[0] = 2;
    assert!(import(&regressor(attributes).bytes()).is_err());
}

/// Every byte of a model of trees, changed in several ways: an answer.
#[test]
fn survives_every_byte() {
    let bytes = regressor(stump("BRANCH_EQ", 1.0, 0)).proto.encode_to_vec();
    for i in 0..bytes.len() {
        for change in [0x01, 0x08, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[i] ^= change;
            if let Ok(imported) = import(&changed) {
                let head = FloatHead::of(&imported.program);
                let given = head.as_ref().map(|head| head.inputs().to_vec());
                let rows: Vec<Vec<f32>> = given
                    .iter()
                    .flatten()
                    .map(|input| vec![0.5; input.shape.iter().product()])
                    .collect();
                let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
                let _ = head.map(|head| head.evaluate(&imported.program, &rows));
            }
            let _ = crate::quantize::obstacle(&changed, &Default::default());
        }
    }
}

#[test]
fn accepts_trees_unchanged_through_quantize() {
    let model = regressor(stump("BRANCH_LEQ", 1.0, 0));
    let rows = [0.0, 1.0, 2.0].map(|x| vec![Feed::Floats(vec![0.0, x])]);
    let quantized = quantize(&model.bytes(), &rows, &Options::default());
    let quantized = quantized.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        quantized.imported.program.id(),
        imported(&model).program.id()
    );
    assert_eq!(quantized.uncovered().count(), 0);
    assert_eq!(quantized.outputs[0].error.max_abs, 0.0);
}

/// Features of different sizes get one size in front of the product that reads them, without being asked.
#[test]
fn accepts_features_of_different_sizes() {
    let model = empty()
        .floats("w", &[2, 2], &[0.001, -0.002, 3.0, 2.0])
        .floats("b", &[2], &[0.5, -0.25])
        .node("Gemm", &["x", "w", "b"], "y")
        .output("y");
    let row = |i: usize| {
        let large = 5000.0 + 100.0 * (i % 11) as f32;
        vec![Feed::Floats(vec![large, 0.125 + 0.025 * (i % 7) as f32])]
    };
    let rows: Vec<_> = (0..77).map(row).collect();
    let quantized = quantize(&model.bytes(), &rows, &Options::default());
    let quantized = quantized.unwrap_or_else(|e| panic!("{e}"));
    let error = &quantized.outputs[0].error;
    assert!(error.relative_rms < 0.01, "{error:?}");
    let before = quantized.imported.tail.iter().filter(|node| node.before);
    assert_eq!(before.count(), 2);
}

/// A scaler in front of a net stays float, so that features of different sizes keep their digits.
#[test]
fn accepts_preparations_in_front_of_the_integers() {
    let model = empty()
        .floats("mean", &[2], &[1000.0, 0.25])
        .floats("size", &[2], &[500.0, 0.125])
        .floats("w", &[2, 1], &[1.0, 1.0])
        .node("Sub", &["x", "mean"], "centred")
        .node("Div", &["centred", "size"], "scaled")
        .node("MatMul", &["scaled", "w"], "y")
        .output("y");
    let row = |i: usize| {
        let large = 500.0 + 100.0 * (i % 11) as f32;
        vec![Feed::Floats(vec![large, 0.125 + 0.025 * (i % 7) as f32])]
    };
    let rows: Vec<_> = (0..77).map(row).collect();
    let quantized = quantize(&model.bytes(), &rows, &Options::default());
    let quantized = quantized.unwrap_or_else(|e| panic!("{e}"));
    let error = quantized.outputs[0].error.relative_rms;
    assert!(error < 0.01, "{error}");
    let before = quantized.imported.tail.iter().filter(|node| node.before);
    let before: Vec<&str> = before.map(|node| node.op.as_str()).collect();
    assert_eq!(before, ["Sub", "Div"]);
    assert_eq!(quantized.uncovered().count(), 0);
    // What is not a number in the preparation has no integer.
    let program = &quantized.imported.program;
    let head = FloatHead::of(program).unwrap();
    let refused = head.evaluate(program, &[&[1.0, f32::NAN]]);
    assert!(matches!(refused, Err(HeadError::Input(_))), "{refused:?}");
}
