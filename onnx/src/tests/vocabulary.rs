//! The operators beyond the first networks: what they become.

use tract_onnx::pb::OperatorSetIdProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, float, int};
use crate::{Imported, Status, import, supported};
use zkonnx_circuits::program::Tensor;

fn accepted(model: &Model) -> Imported {
    import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"))
}

fn names(imported: &Imported) -> Vec<&'static str> {
    imported
        .program
        .nodes()
        .iter()
        .map(|n| n.op.id().name)
        .collect()
}

/// The output for one input of small integers, 0, 1, 2, …
fn counted(imported: &Imported) -> Vec<i64> {
    let fact = imported.program.fact(imported.program.inputs()[0].tensor);
    let data = (0..fact.len() as i64).collect();
    let x = Tensor::new(fact.dtype, fact.shape.clone(), data);
    imported.program.execute(&[x]).unwrap().outputs()[0]
        .data
        .clone()
}

/// A model that applies one operator to a quantized `[2, 3]` and quantizes with the same parameters.
fn one(op: &str, extra: &[&str], attributes: Vec<tract_onnx::pb::AttributeProto>) -> Model {
    let inputs = [&["xf"], extra].concat();
    Model::quantized_input(18, &[2, 3])
        .node_with(op, &inputs, "o", attributes)
        .quantize("o", "x", "yq")
        .output("yq")
}

#[test]
fn accepts_data_movement_without_arithmetic() {
    let numbers = |model: Model, name: &str, values: &[i64]| {
        model.ints(name, DataType::Int64, &[values.len() as i64], values)
    };
    let gather = numbers(one("Gather", &["i"], vec![int("axis", 1)]), "i", &[2, -3]);
    assert_eq!(counted(&accepted(&gather)), [2, 0, 5, 3]);

    let mut slice = one("Slice", &["a", "b", "c", "d"], vec![]);
    for (name, value) in [("a", 2), ("b", -4), ("c", 1), ("d", -2)] {
        slice = numbers(slice, name, &[value]);
    }
    assert_eq!(counted(&accepted(&slice)), [2, 0, 5, 3]);

    let pad = numbers(one("Pad", &["p"], vec![]), "p", &[0, 1, 0, 0]);
    // The border is a real zero, which is the zero point.
    assert_eq!(counted(&accepted(&pad)), [3, 0, 1, 2, 3, 3, 4, 5]);

    // One that the scale of 0.02 does not hold is quantized like the result, also beyond the range, and NaN.
    for (border, scale, expected) in [
        (0.25f32, 0.1, 4),
        (0.25, 0.02, 14),
        (99.0, 0.5, 200),
        (f32::NAN, 0.5, 0),
        (f32::NEG_INFINITY, 0.5, 0),
    ] {
        let pad = Model::quantized_input(18, &[2, 3])
            .ints("p", DataType::Int64, &[4], &[0, 1, 1, 0])
            .floats("v", &[], &[border])
            .scale("y", scale, 2)
            .node("Pad", &["xf", "p", "v"], "o")
            .quantize("o", "y", "yq")
            .output("yq");
        let padded = counted(&accepted(&pad));
        let inner = |x: i64| ((x - 3) as f32 * 0.02 / scale).round_ties_even() as i64 + 2;
        let inner = |x: i64| inner(x).max(0);
        let row = |r: i64| [expected, inner(3 * r), inner(3 * r + 1), inner(3 * r + 2)];
        assert_eq!(padded, [row(0), row(1), [expected; 4]].concat(), "{border}");
    }

    let tile = numbers(one("Tile", &["r"], vec![]), "r", &[1, 2]);
    assert_eq!(
        counted(&accepted(&tile)),
        [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]
    );

    let expand = numbers(one("Expand", &["s"], vec![]), "s", &[2, 1, 1]);
    let imported = accepted(&expand);
    assert_eq!(names(&imported), ["expand"]);
    assert!(
        imported
            .report
            .iter()
            .all(|r| !matches!(r.status, Status::Closed(e) if !e.is_exact()))
    );
}

#[test]
fn accepts_reductions_as_pools() {
    let along = |op: &str, axis: i64, keep: i64| {
        one(op, &["along"], vec![int("keepdims", keep)]).ints(
            "along",
            DataType::Int64,
            &[1],
            &[axis],
        )
    };
    let max = along("ReduceMax", 1, 0);
    assert_eq!(counted(&accepted(&max)), [2, 5]);
    let min = along("ReduceMin", 0, 1);
    assert_eq!(counted(&accepted(&min)), [0, 1, 2]);
    let mean = along("ReduceMean", 1, 1);
    assert_eq!(counted(&accepted(&mean)), [1, 4]);
}

#[test]
fn accepts_an_island_of_one_variable_as_one_table() {
    let model = Model::quantized_input(18, &[2, 3])
        .floats("half", &[], &[0.5])
        .node("Sigmoid", &["xf"], "s")
        .node("Mul", &["xf", "s"], "m")
        .node("Add", &["m", "half"], "a")
        .node_with("LeakyRelu", &["a"], "l", vec![float("alpha", 0.1)])
        .quantize("l", "x", "yq")
        .output("yq");
    assert_eq!(names(&accepted(&model)), ["table"]);
}

#[test]
fn accepts_extremes_products_and_choices_of_two_tensors() {
    let two = |op: &str| {
        let model = Model::quantized_input(18, &[2, 3])
            .input("z", DataType::Float, &[2, 3])
            .scale("z", 0.03, 9)
            .quantize("z", "z", "zq")
            .dequantize("zq", "z", "zf");
        match op {
            "Where" => {
                model
                    .node("Less", &["xf", "zf"], "c")
                    .node("Where", &["c", "xf", "zf"], "o")
            }
            _ => model.node(op, &["xf", "zf"], "o"),
        }
        .quantize("o", "x", "yq")
        .output("yq")
    };
    assert_eq!(names(&accepted(&two("Max"))), ["table", "maximum"]);
    assert_eq!(
        names(&accepted(&two("Min"))),
        ["table", "table", "table", "maximum", "table"]
    );
    assert!(names(&accepted(&two("Mul"))).contains(&"product"));
    assert_eq!(
        names(&accepted(&two("Where"))),
        ["weighted_sum", "requantize", "table", "select"]
    );
}

#[test]
fn accepts_shapes_computed_in_the_graph() {
    let model = Model::quantized_input(18, &[-1, 6])
        .ints("zero", DataType::Int64, &[1], &[0])
        .ints("rest", DataType::Int64, &[2], &[3, -1])
        .node("Shape", &["xf"], "s")
        .node("Gather", &["s", "zero"], "n")
        .node_with("Concat", &["n", "rest"], "t", vec![int("axis", 0)])
        .node("Reshape", &["xf", "t"], "o")
        .quantize("o", "x", "yq")
        .output("yq");
    let imported = accepted(&model);
    assert_eq!(
        imported
            .program
            .fact(imported.program.outputs()[0].tensor)
            .shape,
        [1, 3, 2]
    );
}

#[test]
fn accepts_comparisons_as_outputs_and_leaves_others_outside() {
    let model = Model::quantized_input(18, &[1, 2])
        .floats("c", &[], &[0.1])
        .node("Greater", &["xf", "c"], "g")
        .output("g");
    let imported = accepted(&model);
    assert_eq!(names(&imported), ["table"]);
    let model = Model::quantized_input(18, &[1, 2])
        .floats("c", &[], &[0.1])
        .node("Softmax", &["xf"], "s")
        .node("Greater", &["s", "c"], "g")
        .output("g");
    assert_eq!(accepted(&model).tail.len(), 2);
}

#[test]
fn accepts_comparisons_with_a_constant_for_each_index_or_element() {
    // The integers 0, 1, … stand for multiples of 0.02 from −0.06 on.
    let less = |shape: &[i64], dims: &[i64], data: &[f32]| {
        let model = Model::quantized_input(18, shape)
            .floats("c", dims, data)
            .node("Less", &["xf", "c"], "g")
            .output("g");
        counted(&accepted(&model))
    };
    assert_eq!(less(&[2, 3], &[3], &[-1.0, 1.0, 0.0]), [0, 1, 1, 0, 1, 0]);
    assert_eq!(less(&[2, 3], &[2, 1], &[-1.0, 1.0]), [0, 0, 0, 1, 1, 1]);
    let each = [-0.05, -1.0, 1.0, 1.0, 0.01, 0.03];
    assert_eq!(less(&[2, 3], &[2, 3], &each), [1, 0, 1, 1, 0, 0]);
    // A constant with more elements than the activation.
    assert_eq!(less(&[3, 1], &[2], &[-0.03, -0.05]), [1, 1, 1, 0, 0, 0]);
}

/// Integers of any width against a constant for each element, on either side.
#[test]
fn accepts_comparisons_of_integers_with_several_constants() {
    let compared = |op: &str, inputs: [&str; 2]| {
        let model = Model::new(18)
            .input("n", DataType::Int32, &[3, 1])
            .ints("c", DataType::Int32, &[2], &[7, -100_000])
            .node(op, &inputs, "g")
            .output("g");
        let imported = accepted(&model);
        let n = Tensor::new(
            zkonnx_circuits::program::DataType::I32,
            vec![3, 1],
            vec![7, -100_000, i64::from(i32::MAX)],
        );
        let trace = imported.program.execute(&[n]).unwrap();
        trace.outputs()[0].data.clone()
    };
    assert_eq!(compared("Equal", ["n", "c"]), [1, 0, 0, 1, 0, 0]);
    assert_eq!(compared("Less", ["n", "c"]), [0, 0, 1, 0, 0, 0]);
    assert_eq!(compared("Less", ["c", "n"]), [0, 1, 0, 0, 1, 1]);
}

#[test]
fn accepts_places_of_extremes_as_outputs() {
    for (op, expected) in [
        ("ArgMax", vec!["arg_max"]),
        ("ArgMin", vec!["table", "arg_max"]),
    ] {
        let model = Model::quantized_input(13, &[1, 5])
            .node_with(
                op,
                &["xf"],
                "y",
                vec![int("axis", -1), int("select_last_index", 1)],
            )
            .output("y");
        let imported = accepted(&model);
        assert_eq!(names(&imported), expected);
        assert!(imported.tail.is_empty());
    }
    let mut model = Model::quantized_input(13, &[1, 5])
        .ints("k", DataType::Int64, &[1], &[2])
        .node("TopK", &["xf", "k"], "v")
        .output("v")
        .output("i");
    if let Some(node) = model.graph().node.last_mut() {
        node.output.push("i".into());
    }
    assert_eq!(names(&accepted(&model)), ["top_k"]);
    // What no QuantizeLinear has made narrow stays outside.
    let model = Model::quantized_input(13, &[1, 2])
        .node("Softmax", &["xf"], "s")
        .node("ArgMax", &["s"], "y")
        .output("y");
    assert_eq!(accepted(&model).tail.len(), 2);
}

#[test]
fn accepts_running_sums_and_rows_of_truths() {
    let sums = |attributes| {
        let model = one("CumSum", &["a"], attributes).ints("a", DataType::Int64, &[], &[-1]);
        counted(&accepted(&model))
    };
    // Integers stand for themselves less 3.
    assert_eq!(sums(vec![]), [0, 0, 0, 3, 4, 6]);
    assert_eq!(
        sums(vec![int("exclusive", 1), int("reverse", 1)]),
        [0, 2, 3, 6, 5, 3]
    );

    let hardmax = Model::quantized_input(17, &[2, 3])
        .node("Hardmax", &["xf"], "y")
        .output("y");
    let imported = accepted(&hardmax);
    assert!(imported.tail.is_empty());
    assert_eq!(counted(&imported), [0, 0, 1, 0, 0, 1]);

    let one_hot = |values: &[i64]| {
        let model = Model::quantized_input(17, &[2, 3])
            .node_with(
                "ArgMax",
                &["xf"],
                "i",
                vec![int("axis", 0), int("keepdims", 0)],
            )
            .ints("d", DataType::Int64, &[1], &[2])
            .ints("v", DataType::Int64, &[values.len() as i64], values)
            .node_with("OneHot", &["i", "d", "v"], "y", vec![int("axis", 0)])
            .output("y");
        import(&model.bytes())
    };
    assert_eq!(counted(&one_hot(&[-1, 7]).unwrap()), [-1, -1, -1, 7, 7, 7]);
    assert!(one_hot(&[1]).is_err());
}

#[test]
fn accepts_a_shape_that_only_an_integer_kernel_needs() {
    let model = Model::quantized_input(13, &[1, 6])
        .node("Shape", &["xf"], "s")
        .node("Reshape", &["xq", "s"], "r")
        .ints("w", DataType::Uint8, &[6, 2], &[1; 12])
        .node(
            "QLinearMatMul",
            &["r", "x_s", "x_z", "w", "x_s", "x_z", "x_s", "x_z"],
            "y",
        )
        .output("y");
    let imported = accepted(&model);
    assert!(imported.tail.is_empty());
    assert_eq!(names(&imported), ["matmul", "requantize"]);
}

#[test]
fn rejects_an_integer_kernel_behind_a_float_tail() {
    let model = Model::quantized_input(13, &[1, 6])
        .node("Softmax", &["xf"], "p")
        .node("ArgMax", &["p"], "i")
        .node("MatMulInteger", &["i", "i"], "y")
        .output("y");
    assert!(import(&model.bytes()).is_err());
}

#[test]
fn accepts_an_unknown_domain_in_the_tail_by_name() {
    let mut model = Model::quantized_input(13, &[1, 6])
        .node("Decode", &["xf"], "y")
        .output("y");
    if let Some(node) = model.graph().node.last_mut() {
        node.domain = "org.example".into();
    }
    model.proto.opset_import.push(OperatorSetIdProto {
        domain: "org.example".into(),
        version: 1,
    });
    let imported = accepted(&model);
    assert_eq!(imported.tail.len(), 1);
    assert!(!imported.tail[0].is_known());
    let last = imported.report.last().unwrap();
    assert_eq!((last.status, last.is_known()), (Status::Outside, false));
}

#[test]
fn accepts_at_least_ninety_operators_each_listed_once() {
    let all = supported();
    let mut unique: Vec<_> = all.iter().map(|s| (s.domain, s.name)).collect();
    unique.dedup();
    assert_eq!(unique.len(), all.len());
    assert!(all.len() >= 90, "{}", all.len());
}

#[test]
fn accepts_a_bias_of_fast_gelu_as_part_of_its_table() {
    let model = |extra: &[&str]| {
        let inputs = [&["xf"], extra].concat();
        Model::quantized_input(18, &[2, 3])
            .floats("bias", &[3], &[0.5, -0.25, 0.0])
            .node("com.microsoft::FastGelu", &inputs, "o")
            .quantize("o", "x", "yq")
            .output("yq")
    };
    let gelu = |v: f64| 0.5 * v * (1.0 + (0.797_884_560_8 * (v + 0.044_715 * v.powi(3))).tanh());
    let table = |x: i64, bias: f64| {
        let y = gelu((x - 3) as f64 * f64::from(0.02f32) + bias) / f64::from(0.02f32);
        y.round_ties_even() as i64 + 3
    };
    let plain: Vec<i64> = (0..6).map(|x| table(x, 0.0).max(0)).collect();
    assert_eq!(counted(&accepted(&model(&[]))), plain);
    let biases = [0.5, -0.25, 0.0];
    let shifted: Vec<i64> = (0..6)
        .map(|x| table(x, biases[x as usize % 3]).max(0))
        .collect();
    assert_eq!(counted(&accepted(&model(&["bias"]))), shifted);
    // ONNX Runtime takes a vector that fits, and nothing that only broadcasts.
    for extra in ["x_s", "row", "xf"] {
        let model = model(&[extra]).floats("row", &[1, 3], &[0.5, -0.25, 0.0]);
        assert!(import(&model.bytes()).is_err(), "{extra}");
    }
}
