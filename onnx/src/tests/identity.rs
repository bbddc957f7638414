//! What makes two models one program, and what does not.

use std::collections::BTreeMap;

use tract_onnx::pb::tensor_proto::DataType;

use crate::import;
use crate::tests::build::{Model, float, int};
use zkonnx_circuits::program::Program;

fn program(model: &Model) -> Program {
    let imported = import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"));
    imported.program
}

/// Everything that a model of this shape may say.
struct Words {
    input: &'static str,
    output: &'static str,
    x: (f32, i64),
    y: (f32, i64),
    weights: [i64; 4],
    tail: &'static str,
    alpha: f32,
    constant: f32,
    axis: i64,
    opset: i64,
    input_shape: [i64; 2],
}

const WORDS: Words = Words {
    input: "x",
    output: "p",
    x: (0.02, 3),
    y: (0.5, 7),
    weights: [1, -2, 3, 4],
    tail: "LeakyRelu",
    alpha: 0.25,
    constant: 1.5,
    axis: 1,
    opset: 17,
    input_shape: [1, 2],
};

/// A layer with a float input, an output of integers `q`, and a float tail of three nodes.
fn model(words: &Words) -> Model {
    Model::new(words.opset)
        .input(words.input, DataType::Float, &words.input_shape)
        .scale("x", words.x.0, words.x.1)
        .quantize(words.input, "x", "xq")
        .dequantize("xq", "x", "xf")
        .weights(&[2, 2], &words.weights, 0.25)
        .node("MatMul", &["xf", "wf"], "m")
        .scale("y", words.y.0, words.y.1)
        .quantize("m", "y", "q")
        .dequantize("q", "y", "r")
        .floats("c", &[], &[words.constant])
        .node("Mul", &["r", "c"], "scaled")
        .node_with(
            words.tail,
            &["scaled"],
            "bent",
            vec![float("alpha", words.alpha)],
        )
        .node_with(
            "Softmax",
            &["bent"],
            words.output,
            vec![int("axis", words.axis)],
        )
        .output("q")
        .output(words.output)
}

/// One case for each part of a model that the id has to depend on, output scale and zero point among them.
#[test]
fn rejects_one_id_for_models_that_differ_in_a_word() {
    let models = [
        ("nothing", model(&WORDS)),
        (
            "input name",
            model(&Words {
                input: "z",
                ..WORDS
            }),
        ),
        (
            "output name",
            model(&Words {
                output: "z",
                ..WORDS
            }),
        ),
        (
            "input scale",
            model(&Words {
                x: (0.03, 3),
                ..WORDS
            }),
        ),
        (
            "input zero point",
            model(&Words {
                x: (0.02, 4),
                ..WORDS
            }),
        ),
        (
            "output scale",
            model(&Words {
                y: (0.25, 7),
                ..WORDS
            }),
        ),
        (
            "output zero point",
            model(&Words {
                y: (0.5, 8),
                ..WORDS
            }),
        ),
        (
            "weights",
            model(&Words {
                weights: [1, -2, 3, 5],
                ..WORDS
            }),
        ),
        (
            "operator of the tail",
            model(&Words {
                tail: "Elu",
                ..WORDS
            }),
        ),
        (
            "attribute of the tail",
            model(&Words {
                alpha: 0.5,
                ..WORDS
            }),
        ),
        (
            "constant of the tail",
            model(&Words {
                constant: 2.5,
                ..WORDS
            }),
        ),
        ("axis of the tail", model(&Words { axis: 0, ..WORDS })),
        ("opset of the tail", model(&Words { opset: 16, ..WORDS })),
        (
            "shape",
            model(&Words {
                input_shape: [2, 2],
                ..WORDS
            }),
        ),
        ("an output more", model(&WORDS).output("q")),
        (
            "an input more",
            model(&WORDS).input("more", DataType::Float, &[1]),
        ),
        (
            "an integer input more",
            model(&WORDS).input("more", DataType::Uint8, &[1]),
        ),
    ];
    let mut seen = BTreeMap::new();
    for (word, model) in &models {
        let other = seen.insert(program(model).id(), word);
        assert_eq!(other, None, "{word}");
    }
}

/// Scale and zero point of an output alone: nothing of the integers follows them.
#[test]
fn rejects_one_id_for_outputs_of_another_scale_or_zero_point() {
    let made = |scale: f32, zero: i64| {
        let model = Model::new(17)
            .input("x", DataType::Uint8, &[2])
            .scale("x", scale, zero)
            .dequantize("x", "x", "r")
            .output("r");
        program(&model)
    };
    let (a, b, c) = (made(0.5, 1), made(0.25, 1), made(0.5, 2));
    assert_eq!(a.body_hash(), b.body_hash());
    assert_eq!(a.body_hash(), c.body_hash());
    assert_ne!(a.id(), b.id());
    assert_ne!(a.id(), c.id());
}

#[test]
fn rejects_one_id_for_a_difference_and_its_opposite() {
    let made = |first: &str, second: &str| {
        let model = Model::new(17)
            .input(first, DataType::Uint8, &[2])
            .input(second, DataType::Uint8, &[2])
            .scale("x", 0.5, 100)
            .dequantize(first, "x", "f")
            .dequantize(second, "x", "s")
            .node("Sub", &["f", "s"], "d")
            .quantize("d", "x", "y")
            .output("y");
        program(&model)
    };
    let (a, b) = (made("a", "b"), made("b", "a"));
    assert_eq!(a.body_hash(), b.body_hash());
    assert_ne!(a.interface(), b.interface());
    assert_ne!(a.id(), b.id());
    assert_eq!(a.id(), made("a", "b").id());
}

#[test]
fn accepts_detours_that_leave_no_trace() {
    let plain = model(&WORDS);
    let expected = program(&plain);
    // Other names of nodes.
    let mut renamed = plain.clone();
    for (i, node) in renamed.graph().node.iter_mut().enumerate() {
        node.name = format!("other {i}");
        node.doc_string = "a note".to_owned();
    }
    // Other names of inner tensors and constants.
    let mut inner = plain.clone();
    let keep = |name: &str| ["x", "q", "p", ""].contains(&name);
    for node in &mut inner.graph().node {
        for name in node.input.iter_mut().chain(&mut node.output) {
            if !keep(name) {
                name.push_str("_other");
            }
        }
    }
    for constant in &mut inner.graph().initializer {
        constant.name.push_str("_other");
    }
    // Nodes in another order, which the import has to put right.
    let mut turned = plain.clone();
    turned.graph().node.reverse();
    // An Identity in the integers, in the tail and at its end; a node and a constant that nothing needs.
    let mut detour = plain.clone();
    for (from, to, at) in [("xf", "xf2", "MatMul"), ("scaled", "scaled2", "LeakyRelu")] {
        for node in &mut detour.graph().node {
            if node.op_type == at {
                node.input[0] = to.to_owned();
            }
        }
        detour = detour.node("Identity", &[from], to);
    }
    for node in &mut detour.graph().node {
        if node.op_type == "Softmax" {
            node.output[0] = "p2".to_owned();
        }
    }
    let detour = detour
        .node("Identity", &["p2"], "p")
        .node("Tanh", &["bent"], "unused")
        .floats("unused_constant", &[1], &[3.0]);
    // The same node twice.
    let mut twice = plain.clone();
    for node in &mut twice.graph().node {
        if node.op_type == "LeakyRelu" {
            node.input[0] = "scaled_again".to_owned();
        }
    }
    let twice = twice.node("Mul", &["r", "c"], "scaled_again");
    for (detour, model) in [
        ("names of nodes", renamed),
        ("names of tensors", inner),
        ("order", turned),
        ("identities", detour),
        ("a node twice", twice),
    ] {
        let program = program(&model);
        assert_eq!(program.interface(), expected.interface(), "{detour}");
        assert_eq!(program.id(), expected.id(), "{detour}");
    }
}

/// What an inner graph computes, and what it reads of the outer one, is part of the id.
#[test]
fn rejects_one_id_for_tails_with_other_inner_graphs() {
    use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, attribute_proto::AttributeType};
    let made = |op: &str, captured: &str| {
        let inner = GraphProto {
            node: vec![NodeProto {
                op_type: op.to_owned(),
                input: vec![captured.to_owned()],
                output: vec!["inner".to_owned()],
                ..NodeProto::default()
            }],
            output: vec![crate::tests::build::value_info(
                "inner",
                DataType::Float,
                &[1, 2],
            )],
            ..GraphProto::default()
        };
        let branch = |name: &str| AttributeProto {
            name: name.to_owned(),
            r#type: AttributeType::Graph as i32,
            g: Some(inner.clone()),
            ..AttributeProto::default()
        };
        let model = Model::quantized_input(17, &[1, 2])
            .node("ReduceMax", &["xf"], "most")
            .node("Cast", &["most"], "truth")
            .node_with(
                "If",
                &["truth"],
                "z",
                vec![branch("then_branch"), branch("else_branch")],
            )
            .floats("k", &[1], &[2.0])
            .output("z");
        import(&model.bytes()).map(|imported| imported.program.id())
    };
    let ids = [made("Tanh", "xf"), made("Exp", "xf"), made("Tanh", "k")];
    let [Ok(a), Ok(b), Ok(c)] = ids else {
        panic!("{ids:?}")
    };
    assert!(a != b && a != c && b != c);
}
