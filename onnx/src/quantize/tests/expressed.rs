//! Operators that are expressed by others.

use crate::quantize::tests::*;

#[test]
fn accepts_operators_that_are_expressed_by_others() {
    let axes = || ints_attribute("axes", &[1]);
    let reduced = |op| vec![with(node(op, &["x"], "y"), axes())];
    let image: &[i64] = &[1, 4, 3, 3];
    let scale_and_shift = || vec![floats("g", &[4]), floats("h", &[4])];
    let hidden = |op| {
        vec![with(
            node(op, &["x", "w", "r"], "y"),
            int_attribute("hidden_size", 2),
        )]
    };
    let weights = |gates: i64| {
        vec![
            floats("w", &[1, 2 * gates, 3]),
            floats("r", &[1, 2 * gates, 2]),
        ]
    };
    let resized = |mode: &str| {
        let attribute = AttributeProto {
            name: "mode".into(),
            r#type: AttributeType::String as i32,
            s: mode.as_bytes().to_vec(),
            ..Default::default()
        };
        vec![with(node("Resize", &["x", "", "s"], "y"), attribute)]
    };
    let scales = || {
        let scales = TensorProto {
            float_data: vec![1.0, 1.0, 2.0, 1.5],
            ..floats("s", &[4])
        };
        vec![scales]
    };
    let cases: Vec<(&[i64], Vec<NodeProto>, Vec<TensorProto>)> = vec![
        (
            image,
            vec![node("MeanVarianceNormalization", &["x"], "y")],
            vec![],
        ),
        (&[1, 5], reduced("ReduceL1"), vec![]),
        (&[1, 5], reduced("ReduceL2"), vec![]),
        (&[1, 5], reduced("ReduceSumSquare"), vec![]),
        (&[1, 5], reduced("ReduceLogSumExp"), vec![]),
        (&[1, 5], reduced("ReduceProd"), vec![]),
        (&[1, 5], vec![node("LogSoftmax", &["x"], "y")], vec![]),
        (&[1, 5], vec![node("Sum", &["x", "x", "x"], "y")], vec![]),
        (image, vec![node("GlobalLpPool", &["x"], "y")], vec![]),
        (&[1, 5], vec![node("LpNormalization", &["x"], "y")], vec![]),
        (
            image,
            vec![with(node("LRN", &["x"], "y"), int_attribute("size", 3))],
            vec![],
        ),
        (
            image,
            vec![node("InstanceNormalization", &["x", "g", "h"], "y")],
            scale_and_shift(),
        ),
        (
            &[2, 5],
            vec![node("LayerNormalization", &["x", "g", "h"], "y")],
            vec![floats("g", &[5]), floats("h", &[5])],
        ),
        (&[1, 3, 3], vec![node("Trilu", &["x"], "y")], vec![]),
        (
            &[1, 5],
            vec![node("GatherElements", &["x", "i"], "y")],
            vec![ints("i", &[1, 2], &[0, 0])],
        ),
        (
            &[3, 2],
            vec![node("GatherND", &["x", "i"], "y")],
            vec![ints("i", &[2, 1], &[2, -3])],
        ),
        (
            &[2, 2],
            vec![node("ScatterElements", &["x", "i", "u"], "y")],
            vec![ints("i", &[1, 2], &[1, 0]), floats("u", &[1, 2])],
        ),
        (
            &[1, 5],
            vec![
                node("Neg", &["x"], "low"),
                node("Clip", &["x", "low", "high"], "y"),
            ],
            vec![floats("high", &[])],
        ),
        (image, resized("linear"), scales()),
        (image, resized("cubic"), scales()),
        (&[4, 1, 3], hidden("RNN"), weights(1)),
        (&[4, 1, 3], hidden("GRU"), weights(3)),
        (&[4, 1, 3], hidden("LSTM"), weights(4)),
    ];
    for (shape, nodes, constants) in cases {
        let op = nodes[0].op_type.clone();
        let quantized = done(&model(shape, nodes, constants), &Options::default());
        assert!(quantized.imported.tail.is_empty(), "{op}");
        let error = &quantized.outputs[0].error;
        assert!(error.relative_rms < 0.03, "{op}: {error:?}");
    }
}

/// Windows that count padding and reach beyond it, divided by what they hold: the integer kernel would divide by all.
#[test]
fn accepts_averages_over_the_edge_as_averages_of_padded_images() {
    let average = |pads: &[i64]| {
        let attributes = [
            ints_attribute("kernel_shape", &[3]),
            ints_attribute("strides", &[2]),
            ints_attribute("pads", pads),
            int_attribute("ceil_mode", 1),
            int_attribute("count_include_pad", 1),
        ];
        let node = attributes
            .into_iter()
            .fold(node("AveragePool", &["x"], "y"), with);
        let bytes = model(&[1, 2, 6], vec![node], vec![]);
        done(&bytes, &Options::default())
    };
    let names = |quantized: &Quantized| -> Vec<String> {
        let model = ModelProto::decode(quantized.model.as_slice()).unwrap();
        let nodes = model.graph.unwrap().node;
        nodes.into_iter().map(|n| n.op_type).collect()
    };
    for (pads, padded) in [
        ([0, 0], false),
        ([2, 0], true),
        ([1, 1], true),
        ([0, 2], false),
    ] {
        let quantized = average(&pads);
        let error = &quantized.outputs[0].error;
        assert!(error.relative_rms < 0.03, "{pads:?}: {error:?}");
        assert_eq!(
            names(&quantized).contains(&"Pad".into()),
            padded,
            "{pads:?}"
        );
    }
}

fn kernels(quantized: &Quantized) -> Vec<&'static str> {
    let nodes = quantized.imported.program.nodes();
    nodes.iter().map(|n| n.op.id().name).collect()
}

#[test]
fn accepts_a_chain_of_functions_as_one_table() {
    let gelu = |last: NodeProto| {
        let nodes = vec![
            node("Div", &["x", "r"], "a"),
            node("Erf", &["a"], "e"),
            node("Add", &["e", "one"], "s"),
            node("Mul", &["x", "s"], "p"),
            node("Mul", &["p", "h"], "g"),
            last,
        ];
        let constants = vec![floats("r", &[]), floats("one", &[1]), floats("h", &[4])];
        done(&model(&[1, 4], nodes, constants), &Options::default())
    };
    let alone = gelu(node("Neg", &["g"], "y"));
    assert_eq!(kernels(&alone), ["table"]);
    assert_eq!(alone.layers.len(), 2);
    // What others read is quantized by itself, and the chain goes on from there.
    let shared = gelu(node("Concat", &["g", "x"], "y"));
    let tensors: Vec<&str> = shared.layers.iter().map(|l| l.tensor.as_str()).collect();
    assert!(shared.layers.len() == 3, "{tensors:?}");
}

#[test]
fn accepts_a_square_as_part_of_a_chain() {
    let nodes = vec![
        node("Mul", &["x", "x"], "q"),
        node("Mul", &["q", "x"], "c"),
        node("Add", &["c", "q"], "s"),
        node("Sqrt", &["q"], "r"),
        node("Add", &["s", "r"], "y"),
    ];
    let quantized = done(&model(&[1, 4], nodes, vec![]), &Options::default());
    assert_eq!(kernels(&quantized), ["table"]);
    assert!(quantized.outputs[0].error.relative_rms < 0.02);
}

#[test]
fn accepts_truths_as_whole_numbers() {
    let cast = with(node("Cast", &["m"], "f"), int_attribute("to", 1));
    let nodes = vec![
        node("Less", &["x", "z"], "m"),
        cast,
        node("MatMul", &["f", "w"], "s"),
        node("Equal", &["s", "c"], "y"),
    ];
    let mut weights = floats("w", &[4, 2]);
    weights.float_data = vec![1.0, -1.0, 1.0, 1.0, 0.0, 1.0, -1.0, 1.0];
    let mut count = floats("c", &[2]);
    count.float_data = vec![1.0, 2.0];
    let mut zero = floats("z", &[]);
    zero.float_data = vec![0.0];
    for activations in [Byte::U8, Byte::I8] {
        let options = Options {
            activations,
            ..Options::default()
        };
        let bytes = model(
            &[1, 4],
            nodes.clone(),
            vec![weights.clone(), count.clone(), zero.clone()],
        );
        let error = &done(&bytes, &options).outputs[0].error;
        assert_eq!(error.max_abs, 0.0, "{options:?}");
    }
}

#[test]
fn accepts_places_of_extremes() {
    let nodes = vec![
        node("Gemm", &["x", "w"], "l"),
        with(node("ArgMax", &["l"], "y"), int_attribute("axis", 1)),
    ];
    let quantized = done(
        &model(&[1, 4], nodes, vec![floats("w", &[4, 3])]),
        &Options::default(),
    );
    assert!(quantized.imported.tail.is_empty());
    let mut top = node("TopK", &["x", "k"], "v");
    top.output.push("y".into());
    let quantized = done(
        &model(&[1, 6], vec![top], vec![ints("k", &[1], &[2])]),
        &Options::default(),
    );
    assert!(quantized.imported.tail.is_empty());
    let names: Vec<_> = quantized
        .imported
        .program
        .nodes()
        .iter()
        .map(|n| n.op.id().name)
        .collect();
    assert_eq!(names, ["top_k"]);
}
