//! Linear models, and pipelines in fewer steps.

use crate::quantize::tests::*;

/// The names of the operators of a program.
fn operators(quantized: &Quantized) -> Vec<&'static str> {
    let nodes = quantized.imported.program.nodes();
    nodes.iter().map(|n| n.op.id().name).collect()
}

#[test]
fn accepts_a_linear_model_in_16_bits() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "m"),
        node("Add", &["m", "b"], "y"),
    ];
    let constants = || vec![floats("w", &[4, 3]), floats("b", &[3])];
    let linear = done(
        &model(&[1, 4], nodes.clone(), constants()),
        &Options::default(),
    );
    let error = linear.outputs[0].error.relative_rms;
    assert!(error < 1.0 / 32768.0, "{error}");
    // The same sums in front of an activation are quantized with 8 bits.
    let relu = [nodes, vec![node("Relu", &["y"], "z")]].concat();
    let mut bytes = ModelProto::decode(model(&[1, 4], relu, constants()).as_slice()).unwrap();
    bytes.graph.as_mut().unwrap().output[0].name = "z".into();
    let other = done(&bytes.encode_to_vec(), &Options::default());
    assert!(other.outputs[0].error.relative_rms > 1.0 / 4096.0);
}

#[test]
fn accepts_two_products_as_one() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "m"),
        node("Add", &["m", "b"], "n"),
        node("MatMul", &["n", "v"], "o"),
        node("Relu", &["o"], "y"),
    ];
    let constants = vec![
        floats("w", &[4, 3]),
        floats("b", &[3]),
        floats("v", &[3, 2]),
    ];
    let quantized = done(&model(&[1, 4], nodes, constants), &Options::default());
    let products = operators(&quantized)
        .into_iter()
        .filter(|name| *name == "matmul");
    assert_eq!(products.count(), 1);
    assert!(quantized.outputs[0].error.relative_rms < 0.02);
}

#[test]
fn accepts_the_place_of_the_largest_probability_as_that_of_its_score() {
    let labels = |function: &str, last: &str| {
        let place = with(node("ArgMax", &[last], "y"), int_attribute("axis", 1));
        let nodes = vec![
            node("MatMul", &["x", "w"], "l"),
            node(function, &["l"], "p"),
            place,
        ];
        let bytes = model(&[5, 4], nodes, vec![floats("w", &[4, 3])]);
        let quantized = done(&bytes, &Options::default());
        assert_eq!(quantized.outputs[0].differing, Some((40, 0)), "{function}");
        operators(&quantized)
    };
    let direct = labels("Identity", "l");
    assert!(
        direct.contains(&"arg_max") || direct.contains(&"argmax"),
        "{direct:?}"
    );
    assert_eq!(labels("Softmax", "p"), direct);
    assert_eq!(labels("Sigmoid", "p"), direct);
    // The place of the largest of what shrinks with its score is that of another one.
    assert_ne!(labels("Neg", "p"), direct);
}

#[test]
fn accepts_nodes_of_one_name_with_names_of_their_own() {
    let named = |mut node: NodeProto| {
        node.name = "n".into();
        node
    };
    let nodes = vec![
        named(node("MatMul", &["x", "w"], "m")),
        named(node("Relu", &["m"], "r")),
        named(node("MatMul", &["r", "v"], "o")),
        named(node("Relu", &["o"], "y")),
    ];
    let constants = vec![floats("w", &[4, 3]), floats("v", &[3, 2])];
    let quantized = done(&model(&[1, 4], nodes, constants), &Options::default());
    let written = ModelProto::decode(quantized.model.as_slice()).unwrap();
    let mut names: Vec<String> = written
        .graph
        .unwrap()
        .node
        .into_iter()
        .map(|node| node.name)
        .filter(|name| !name.is_empty())
        .collect();
    let count = names.len();
    assert!(names.contains(&"n".to_owned()) && names.contains(&"n_2".to_owned()));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn rejects_scores_that_broadcasting_repeats() {
    let nodes = vec![
        node("MatMul", &["v", "w"], "one"),
        node("ReduceSum", &["x", "axes"], "shift"),
        node("Add", &["one", "shift"], "all"),
        with(node("ArgMax", &["all"], "y"), int_attribute("axis", 1)),
    ];
    let constants = vec![
        floats("w", &[4, 3]),
        floats("u", &[4, 4]),
        ints("axes", &[1], &[1]),
    ];
    // One row of scores, made of the first row of the input, and a shift for each of five rows.
    let first = vec![
        with(node("ReduceMax", &["x"], "m"), ints_attribute("axes", &[0])),
        node("MatMul", &["m", "u"], "v"),
    ];
    let bytes = model(&[5, 4], [first, nodes].concat(), constants);
    let quantized = done(&bytes, &Options::default());
    let program = &quantized.imported.program;
    let shape = &program.fact(program.outputs()[0].tensor).shape;
    assert_eq!(shape, &[5, 1]);
}

/// A sign is not looked for along all ways to a value that has many.
#[test]
fn accepts_a_score_that_is_added_to_itself_many_times() {
    let mut nodes = vec![
        node("MatMul", &["x", "w"], "s0"),
        node("Exp", &["s0"], "e0"),
    ];
    for i in 0..60 {
        let (from, to) = (format!("e{i}"), format!("e{}", i + 1));
        nodes.push(node("Add", &[&from, &from], &to));
    }
    nodes.push(node("Reciprocal", &["e60"], "r"));
    nodes.push(with(node("ArgMax", &["r"], "y"), int_attribute("axis", 1)));
    let bytes = model(&[1, 4], nodes, vec![floats("w", &[4, 3])]);
    assert!(crate::quantize::obstacle(&bytes, &Bindings::default()).is_none());
}

#[test]
fn accepts_casts_to_the_same_type_as_nothing() {
    let id = |first: &str, mut nodes: Vec<NodeProto>| {
        nodes.push(node("MatMul", &[first, "w"], "m"));
        nodes.push(node("Relu", &["m"], "y"));
        let bytes = model(&[1, 4], nodes, vec![floats("w", &[4, 3])]);
        done(&bytes, &Options::default()).imported.program.id()
    };
    let cast = |from, to| with(node("Cast", &[from], to), int_attribute("to", 1));
    let plain = id("x", vec![]);
    assert_eq!(id("b", vec![cast("x", "a"), cast("a", "b")]), plain);
}
