//! Forms of old opsets: a model becomes the same program as the one in the form of opset 13.

use tract_onnx::pb::AttributeProto;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

use crate::quantize::{Feed, Options, QuantizeError, quantize};
use crate::tests::build::{Model, float, int, ints};

const SHAPE: [i64; 4] = [1, 2, 4, 4];

fn program(model: Model) -> Result<[u8; 32], QuantizeError> {
    let value = |i: usize| ((i * 37 % 41) as f32 - 20.0) / 10.0;
    let sample = |n: usize| vec![Feed::Floats((0..32).map(|i| value(i + 32 * n)).collect())];
    let samples: Vec<_> = (0..4).map(sample).collect();
    let model = model.output("y").bytes();
    Ok(quantize(&model, &samples, &Options::default())?
        .imported
        .program
        .id())
}

/// `xs` is a product, so that there is something to quantize before and after it.
fn model(opset: i64) -> Model {
    let weights: Vec<f32> = (0..4).map(|i| i as f32 / 3.0 - 0.4).collect();
    Model::new(opset)
        .input("x", DataType::Float, &SHAPE)
        .floats("w", &[2, 2, 1, 1], &weights)
        .node("Conv", &["x", "w"], "xs")
}

fn same(old: Model, new: Model) {
    let (old, new) = (program(old), program(new));
    assert_eq!(
        old.unwrap_or_else(|e| panic!("{e}")),
        new.unwrap_or_else(|e| panic!("{e}"))
    );
}

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

#[test]
fn accepts_operands_that_an_axis_aligns() {
    let aligned = vec![int("broadcast", 1), int("axis", 1)];
    same(
        model(6)
            .floats("b", &[2], &[0.5, -1.0])
            .node_with("Add", &["xs", "b"], "y", aligned),
        model(13)
            .floats("b", &[2, 1, 1], &[0.5, -1.0])
            .node("Add", &["xs", "b"], "y"),
    );
    // Without an axis the last ones are meant, as today.
    let plain = vec![int("broadcast", 1)];
    let row = [0.5, -1.0, 0.25, 2.0];
    same(
        model(6)
            .floats("b", &[4], &row)
            .node_with("Mul", &["xs", "b"], "y", plain),
        model(13)
            .floats("b", &[4], &row)
            .node("Mul", &["xs", "b"], "y"),
    );
    let beyond = vec![int("broadcast", 1), int("axis", 3)];
    let beyond =
        model(6)
            .floats("b", &[4, 4], &[0.5; 16])
            .node_with("Add", &["xs", "b"], "y", beyond);
    assert!(program(beyond).is_err());
}

#[test]
fn accepts_parameters_of_channels() {
    same(
        model(6)
            .floats("s", &[2], &[0.5, 0.25])
            .node("PRelu", &["xs", "s"], "y"),
        model(13)
            .floats("s", &[2, 1, 1], &[0.5, 0.25])
            .node("PRelu", &["xs", "s"], "y"),
    );
    let normalized = |opset, attributes: Vec<AttributeProto>| {
        let model = model(opset)
            .floats("g", &[2], &[1.5, 0.5])
            .floats("z", &[2], &[0.0, 0.5]);
        let model = model.floats("v", &[2], &[1.0, 2.0]);
        model.node_with(
            "BatchNormalization",
            &["xs", "g", "z", "z", "v"],
            "y",
            attributes,
        )
    };
    same(
        normalized(6, vec![int("is_test", 1), int("spatial", 1)]),
        normalized(13, vec![]),
    );
    assert!(program(normalized(8, vec![int("spatial", 0)])).is_err());
}

#[test]
fn accepts_attributes_that_became_inputs() {
    let numbers = |model: Model, name: &str, values: &[i64]| {
        model.ints(name, DataType::Int64, &[values.len() as i64], values)
    };
    let old = vec![
        ints("starts", &[1, 0]),
        ints("ends", &[3, 9]),
        ints("axes", &[2, 3]),
    ];
    let new = numbers(
        numbers(numbers(model(13), "s", &[1, 0]), "e", &[3, 9]),
        "a",
        &[2, 3],
    );
    same(
        model(9).node_with("Slice", &["xs"], "y", old),
        new.node("Slice", &["xs", "s", "e", "a"], "y"),
    );
    let limits = vec![float("min", -0.5), float("max", 0.75)];
    same(
        model(9).node_with("Clip", &["xs"], "y", limits),
        model(13)
            .floats("l", &[], &[-0.5])
            .floats("h", &[], &[0.75])
            .node("Clip", &["xs", "l", "h"], "y"),
    );
    let pads = [0, 0, 1, 0, 0, 0, 0, 2];
    same(
        model(9).node_with("Pad", &["xs"], "y", vec![ints("pads", &pads)]),
        numbers(model(13), "p", &pads).node("Pad", &["xs", "p"], "y"),
    );
    same(
        model(12).node_with(
            "ReduceSum",
            &["xs"],
            "y",
            vec![ints("axes", &[2]), int("keepdims", 0)],
        ),
        numbers(model(13), "a", &[2]).node_with(
            "ReduceSum",
            &["xs", "a"],
            "y",
            vec![int("keepdims", 0)],
        ),
    );
    same(
        model(12).node_with("Unsqueeze", &["xs"], "y", vec![ints("axes", &[1])]),
        numbers(model(13), "a", &[1]).node("Unsqueeze", &["xs", "a"], "y"),
    );
}

#[test]
fn accepts_a_softmax_of_all_axes_from_one_on() {
    let next = |model: Model| {
        let weights: Vec<f32> = (0..4).map(|i| i as f32 / 2.0 - 0.7).collect();
        model
            .floats("u", &[2, 2, 1, 1], &weights)
            .node("Conv", &["p", "u"], "y")
    };
    let flat = model(13)
        .ints("flat", DataType::Int64, &[2], &[1, 32])
        .ints("whole", DataType::Int64, &[4], &SHAPE)
        .node("Reshape", &["xs", "flat"], "rows")
        .node_with("Softmax", &["rows"], "soft", vec![int("axis", -1)])
        .node("Reshape", &["soft", "whole"], "p");
    same(next(model(9).node("Softmax", &["xs"], "p")), next(flat));
}

/// What opset 13 dropped stays in the opset that has it.
#[test]
fn accepts_a_mode_that_later_opsets_lack() {
    let modes = vec![
        text("mode", "nearest"),
        text("coordinate_transformation_mode", "tf_half_pixel_for_nn"),
        text("nearest_mode", "floor"),
    ];
    let model = model(11)
        .floats("roi", &[0], &[])
        .floats("scales", &[4], &[1.0, 1.0, 1.0, 1.5])
        .node_with("Resize", &["xs", "roi", "scales"], "y", modes);
    assert!(program(model).is_ok());
}

#[test]
fn accepts_images_that_grow_and_shrink() {
    let resized = |opset, scales: &[f32], nearest: &str, x: &str, y: &str, before: Model| {
        let name = format!("{y}_scales");
        let modes = vec![
            text("mode", "nearest"),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", nearest),
        ];
        assert!(opset > 10);
        let model = before.floats(&name, &[4], scales);
        model.node_with("Resize", &[x, "", &name], y, modes)
    };
    let up = [1.0, 1.0, 2.0, 1.5];
    let grown = vec![text("mode", "nearest"), floats("scales", &up)];
    same(
        model(7).node_with("Upsample", &["xs"], "y", grown),
        resized(13, &up, "floor", "xs", "y", model(13)),
    );
    let model10 = model(10).floats("scales", &[4], &[1.0, 1.0, 2.0, 0.5]);
    let first = resized(13, &[1.0, 1.0, 2.0, 1.0], "floor", "xs", "t", model(13));
    same(
        model10.node("Resize", &["xs", "scales"], "y"),
        resized(13, &[1.0, 1.0, 1.0, 0.5], "ceil", "t", "y", first),
    );
}
