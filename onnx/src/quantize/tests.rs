//! Quantization of whole models and of nets of a few nodes.

use std::path::Path;

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::emit::Affine;
use super::*;
use crate::Status;

fn info(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension {
        value: Some(dimension::Value::DimValue(d)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(TensorShapeProto {
            dim: shape.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..Default::default()
    }
}

fn ints_attribute(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count: i64 = dims.iter().product();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: (0..count)
            .map(|i| 0.3 + ((i * 7 % 11) as f32 - 5.0) / 9.0)
            .collect(),
        ..Default::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|&s| s.into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

/// A model from `x` of the shape to `y`.
fn model(shape: &[i64], nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> Vec<u8> {
    let graph = GraphProto {
        node: nodes,
        initializer: constants,
        input: vec![info("x", shape)],
        output: vec![info("y", &[])],
        ..Default::default()
    };
    let opset = OperatorSetIdProto {
        version: 17,
        ..Default::default()
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![opset],
        graph: Some(graph),
        ..Default::default()
    }
    .encode_to_vec()
}

/// Samples of uniform numbers between −1 and 1.
fn samples(bytes: &[u8], count: usize) -> Vec<Vec<Feed>> {
    let mut state = 1u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let inputs = model_inputs(bytes, &Bindings::default()).unwrap();
    (0..count)
        .map(|_| {
            let feed =
                |i: &ModelInput| Feed::Floats((0..elements(&i.shape)).map(|_| next()).collect());
            inputs.iter().map(feed).collect()
        })
        .collect()
}

fn done(bytes: &[u8], options: &Options) -> Quantized {
    quantize(bytes, &samples(bytes, 8), options).unwrap()
}

fn perceptron() -> Vec<u8> {
    let nodes = vec![
        node("MatMul", &["x", "w"], "m"),
        node("Add", &["m", "b"], "s"),
        node("Relu", &["s"], "y"),
    ];
    model(
        &[1, 4],
        nodes,
        vec![floats("w", &[4, 3]), floats("b", &[3])],
    )
}

#[test]
fn accepts_the_float_models() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    for name in [
        "cancer_mlp",
        "digits_mlp",
        "digits_cnn",
        "digits_res",
        "two_io",
    ] {
        let bytes = std::fs::read(folder.join(name).join("float.onnx")).unwrap();
        let quantized = done(&bytes, &Options::default());
        assert!(quantized.imported.tail.is_empty(), "{name}");
        for output in &quantized.outputs {
            assert!(output.error.relative_rms < 0.1, "{name}: {output:?}");
        }
    }
}

#[test]
fn accepts_all_types() {
    for weights in [Byte::U8, Byte::I8] {
        for activations in [Byte::U8, Byte::I8] {
            for per_channel in [false, true] {
                let options = Options {
                    per_channel,
                    weights,
                    activations,
                    method: Method::Percentile(99.9),
                };
                let quantized = done(&perceptron(), &options);
                assert!(
                    quantized.outputs[0].error.relative_rms < 0.03,
                    "{options:?}"
                );
            }
        }
    }
}

#[test]
fn accepts_a_bias_and_an_activation_as_part_of_the_product() {
    let quantized = done(&perceptron(), &Options::default());
    let names: Vec<&str> = quantized.layers.iter().map(|l| l.tensor.as_str()).collect();
    assert_eq!(names, ["x", "y"]);
}

#[test]
fn accepts_a_normalization_as_part_of_the_convolution() {
    let nodes = vec![
        node("Conv", &["x", "w"], "c"),
        node("BatchNormalization", &["c", "g", "h", "m", "v"], "y"),
    ];
    let mut constants: Vec<TensorProto> = ["g", "h", "m"].map(|n| floats(n, &[3])).to_vec();
    let mut variance = floats("v", &[3]);
    variance.float_data = vec![0.5, 1.0, 2.0];
    constants.extend([variance, floats("w", &[3, 2, 3, 3])]);
    let bytes = model(&[1, 2, 5, 5], nodes, constants);
    let quantized = done(&bytes, &Options::default());
    let ops: Vec<&str> = quantized.layers.iter().map(|l| l.op.as_str()).collect();
    assert_eq!(ops, ["input", "Conv"]);
    assert!(quantized.outputs[0].error.relative_rms < 0.02);
}

#[test]
fn accepts_a_tail_that_stays_float() {
    let nodes = vec![node("Gemm", &["x", "w"], "l"), node("Softmax", &["l"], "y")];
    let bytes = model(&[1, 4], nodes, vec![floats("w", &[4, 3])]);
    let quantized = done(&bytes, &Options::default());
    let tail: Vec<&str> = quantized
        .imported
        .tail
        .iter()
        .map(|n| n.op.as_str())
        .collect();
    assert_eq!(tail, ["Softmax"]);
    assert_eq!(quantized.outputs[0].same_argmax, Some(8));
}

#[test]
fn accepts_a_softmax_between_products() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "l"),
        node("Softmax", &["l"], "p"),
        node("MatMul", &["p", "v"], "y"),
    ];
    let bytes = model(
        &[3, 4],
        nodes,
        vec![floats("w", &[4, 3]), floats("v", &[3, 2])],
    );
    let quantized = done(&bytes, &Options::default());
    assert!(quantized.imported.tail.is_empty());
    let mut names = quantized
        .imported
        .program
        .nodes()
        .iter()
        .map(|n| n.op.id().name);
    assert!(names.any(|name| name == "softmax"));
    assert!(quantized.outputs[0].error.relative_rms < 0.02);
}

#[test]
fn accepts_nothing_outside_but_the_input() {
    let nodes = vec![
        node("Sigmoid", &["x"], "s"),
        node("Mul", &["x", "s"], "p"),
        node("Div", &["p", "s"], "d"),
        node("Tanh", &["d"], "y"),
    ];
    let quantized = done(&model(&[1, 6], nodes, vec![]), &Options::default());
    let outside = |n: &&crate::NodeReport| n.status == Status::Outside;
    assert_eq!(quantized.imported.report.iter().filter(outside).count(), 0);
}

fn with(mut node: NodeProto, attribute: AttributeProto) -> NodeProto {
    node.attribute.push(attribute);
    node
}

fn ints(name: &str, dims: &[i64], data: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 7,
        int64_data: data.to_vec(),
        ..Default::default()
    }
}

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

#[test]
fn accepts_zero_exactly() {
    for byte in [Byte::U8, Byte::I8] {
        for range in [
            (-1.0, 3.0),
            (0.0, 5.0),
            (-2.0, 0.0),
            (0.0, 0.0),
            (-1e-30, 1e-35),
        ] {
            let Affine { scale, zero } = Affine::of(range, byte.dtype());
            assert!(scale.is_normal() && scale > 0.0, "{range:?}");
            assert!(
                zkonnx_circuits::program::Range::of(byte.dtype()).contains(zero),
                "{range:?}"
            );
        }
    }
}

#[test]
fn accepts_a_percentile_that_leaves_an_outlier_out() {
    let bytes = model(&[1, 1000], vec![node("Neg", &["x"], "y")], vec![]);
    let mut sample = samples(&bytes, 1);
    if let Feed::Floats(values) = &mut sample[0][0] {
        values[7] = 1000.0;
    }
    let of = |method| {
        let options = Options {
            method,
            ..Options::default()
        };
        quantize(&bytes, &sample, &options).unwrap().layers[0].clone()
    };
    let (all, most) = (of(Method::MinMax), of(Method::Percentile(99.5)));
    assert!(
        all.max_abs < 3.0 && most.max_abs > 900.0,
        "{all:?} {most:?}"
    );
}

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

#[test]
fn accepts_scores_that_are_masked() {
    // Everything behind the diagonal is masked, in three ways.
    for mask in [f32::NEG_INFINITY, f32::MIN, -1e4] {
        let data = |i: usize| if i % 3 > i / 3 { mask } else { 0.0 };
        let causal = TensorProto {
            name: "mask".into(),
            dims: vec![3, 3],
            data_type: 1,
            float_data: (0..9).map(data).collect(),
            ..Default::default()
        };
        let nodes = vec![
            node("MatMul", &["x", "w"], "s"),
            node("Add", &["s", "mask"], "m"),
            node("Softmax", &["m"], "p"),
            node("MatMul", &["p", "x"], "y"),
        ];
        let bytes = model(&[1, 3, 3], nodes, vec![floats("w", &[3, 3]), causal]);
        let quantized = done(&bytes, &Options::default());
        let error = quantized.outputs[0].error.relative_rms;
        assert!(error < 0.03, "{mask}: {error}");
    }
}
