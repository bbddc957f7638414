//! Labels that are strings: their places, and what may not be done with them.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use crate::error::{ImportError, TensorProblem};
use crate::quantize::{Feed, Options, QuantizeError, Quantized, quantize};
use crate::tests::build::{Model, int, value_info};

const NAMES: [&str; 3] = ["red", "green", "blue"];

fn strings(name: &str) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![3],
        data_type: DataType::String as i32,
        string_data: NAMES.map(|text| text.as_bytes().to_vec()).to_vec(),
        ..Default::default()
    }
}

/// The place of the largest of three scores, as `place`, and the names of the classes.
fn classifier() -> Model {
    let mut model = Model::new(17)
        .input("x", DataType::Float, &[2, 3])
        .floats("w", &[3, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
        .node("MatMul", &["x", "w"], "s")
        .node_with(
            "ArgMax",
            &["s"],
            "place",
            vec![int("axis", 1), int("keepdims", 0)],
        );
    model.graph().initializer.push(strings("names"));
    model
}

fn done(model: &Model) -> Result<Quantized, QuantizeError> {
    let value = |i: usize| ((i * 37 % 41) as f32 - 20.0) / 10.0;
    let sample = |i: usize| vec![Feed::Floats((6 * i..6 * i + 6).map(value).collect())];
    let samples: Vec<Vec<Feed>> = (0..16).map(sample).collect();
    quantize(&model.bytes(), &samples, &Options::default())
}

#[test]
fn accepts_labels_that_are_picked_as_their_places() {
    let model = classifier()
        .node("Gather", &["names", "place"], "y")
        .output("y");
    let quantized = done(&model).unwrap_or_else(|e| panic!("{e}"));
    let [classes] = quantized.classes.as_slice() else {
        panic!("{:?}", quantized.classes);
    };
    assert_eq!(classes.output, "y");
    assert_eq!(*classes.names, NAMES.map(str::to_owned));
    assert_eq!(quantized.outputs[0].differing, Some((32, 0)));
}

#[test]
fn rejects_whatever_computes_with_strings() {
    let refused = |model: Model| match done(&model) {
        Err(QuantizeError::Model(ImportError::Tensor { name, source })) => (name, source),
        other => panic!("{:?}", other.map(|_| ())),
    };
    let of = |node: &str| ("names".to_owned(), TensorProblem::Strings(node.to_owned()));
    // Equal places of two lists are no equal strings.
    let mut equal = classifier()
        .node("Equal", &["names", "others"], "y")
        .output("y");
    equal.graph().initializer.push(strings("others"));
    let (_, source) = refused(equal);
    assert_eq!(source, TensorProblem::Strings("node_y".into()));
    // Nor are those that an inner graph compares.
    let branch = |name: &str| AttributeProto {
        name: name.into(),
        r#type: AttributeType::Graph as i32,
        g: Some(GraphProto {
            node: vec![NodeProto {
                op_type: "Identity".into(),
                input: vec!["names".into()],
                output: vec!["inner".into()],
                ..Default::default()
            }],
            output: vec![value_info("inner", DataType::String, &[3])],
            ..Default::default()
        }),
        ..Default::default()
    };
    let branches = vec![branch("then_branch"), branch("else_branch")];
    let inner = classifier()
        .ints("c", DataType::Bool, &[], &[1])
        .node_with("If", &["c"], "y", branches)
        .output("y");
    assert_eq!(refused(inner), of("node_y"));
    // A function of the model may have the name of an operator that moves.
    let own = classifier()
        .node("my.domain::Gather", &["names", "place"], "y")
        .output("y");
    assert_eq!(refused(own), of("node_y"));
    // A number cannot be picked by a string.
    let index = classifier()
        .node("Gather", &["w", "names"], "y")
        .output("y");
    assert_eq!(refused(index), of("node_y"));
}
