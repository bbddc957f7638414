//! Quantization of whole models and of nets of a few nodes.

mod expressed;
mod refused;
mod tabular;

use std::path::Path;

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::*;
use crate::Status;
use crate::quantize::affine::Affine;

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
