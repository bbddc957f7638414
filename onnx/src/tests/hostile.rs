//! Files that mean harm: an error for each, never a panic.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{ModelProto, TensorProto, tensor_proto};

use super::super::{ImportError, InputProblem, TensorProblem, import};
use super::build::{Model, int, ints, value_info};
use zkonnx_circuits::testing::Rng;

fn good() -> Model {
    Model::quantized_input(17, &[1, 1, 4, 4])
        .weights(
            &[2, 1, 3, 3],
            &(0..18).map(|i| i % 7 - 3).collect::<Vec<_>>(),
            0.05,
        )
        .scale("y", 0.03, 10)
        .node_with(
            "Conv",
            &["xf", "wf"],
            "c",
            vec![
                ints("pads", &[1, 1, 1, 1]),
                ints("strides", &[1, 1]),
                int("group", 1),
            ],
        )
        .node_with("MaxPool", &["c"], "p", vec![ints("kernel_shape", &[2, 2])])
        .node_with("Flatten", &["p"], "f", vec![int("axis", 1)])
        .quantize("f", "y", "yq")
        .dequantize("yq", "y", "y")
        .output("y")
}

fn refused(change: impl FnOnce(&mut ModelProto)) -> ImportError {
    let mut model = good();
    change(&mut model.proto);
    import(&model.bytes()).expect_err("a hostile model is accepted")
}

fn tensor<'m>(model: &'m mut ModelProto, name: &str) -> &'m mut TensorProto {
    let tensors = &mut model.graph.as_mut().unwrap().initializer;
    tensors.iter_mut().find(|t| t.name == name).unwrap()
}

#[test]
fn rejects_what_is_no_model() {
    import(&good().bytes()).unwrap();
    assert_eq!(import(&[]).unwrap_err(), ImportError::Empty);
    assert!(matches!(
        import(b"\xff\xff\xff\xffgarbage"),
        Err(ImportError::NotOnnx(_))
    ));
    assert_eq!(
        import(&ModelProto::default().encode_to_vec()).unwrap_err(),
        ImportError::Empty
    );
    assert_eq!(refused(|m| m.graph = None), ImportError::NoGraph);
    assert_eq!(refused(|m| m.ir_version = 99), ImportError::IrVersion(99));
    assert_eq!(refused(|m| m.opset_import.clear()), ImportError::NoOpset);
    assert_eq!(
        refused(|m| m.graph.as_mut().unwrap().output.clear()),
        ImportError::NoOutput
    );
}

#[test]
fn rejects_broken_graphs() {
    let node = |m: &mut ModelProto, op: &str| {
        let nodes = &m.graph.as_ref().unwrap().node;
        nodes.iter().position(|n| n.op_type == op).unwrap()
    };
    let error = refused(|m| {
        let i = node(m, "Conv");
        m.graph.as_mut().unwrap().node[i].input[0] = "y".into();
    });
    assert!(matches!(error, ImportError::Cycle(_)), "{error}");
    let error = refused(|m| {
        let i = node(m, "Conv");
        m.graph.as_mut().unwrap().node[i].input[0] = "nowhere".into();
    });
    assert!(matches!(error, ImportError::Missing { .. }), "{error}");
    let error = refused(|m| {
        let i = node(m, "Conv");
        m.graph.as_mut().unwrap().node[i].output[0] = "xq".into();
    });
    assert!(matches!(error, ImportError::Duplicate(_)), "{error}");
    let error = refused(|m| m.graph.as_mut().unwrap().output[0].name = "nowhere".into());
    assert_eq!(error, ImportError::MissingOutput("nowhere".into()));
    let error = refused(|m| {
        let twice = m.graph.as_ref().unwrap().initializer[0].clone();
        m.graph.as_mut().unwrap().initializer.push(twice);
    });
    assert!(matches!(error, ImportError::Duplicate(_)), "{error}");
}

#[test]
fn rejects_tensors_that_lie_about_their_size() {
    let problem = |change: fn(&mut TensorProto)| match refused(|m| change(tensor(m, "w"))) {
        ImportError::Tensor { source, .. } => source,
        other => panic!("{other}"),
    };
    assert_eq!(problem(|t| t.dims[0] = -1), TensorProblem::Negative);
    assert!(matches!(
        problem(|t| t.dims = vec![1 << 40, 1 << 40]),
        TensorProblem::TooLarge(_)
    ));
    assert!(matches!(
        problem(|t| t.dims[0] = 3),
        TensorProblem::Length { .. }
    ));
    assert!(matches!(
        problem(|t| t.raw_data = vec![0; 17]),
        TensorProblem::Length { .. }
    ));
    assert_eq!(problem(|t| t.int32_data[0] = 300), TensorProblem::Value);
    assert_eq!(problem(|t| t.data_type = 99), TensorProblem::Type(99));
    let external = tensor_proto::DataLocation::External as i32;
    assert_eq!(external, 1);
    assert_eq!(
        problem(|t| t.data_location = Some(1)),
        TensorProblem::External
    );
    assert_eq!(
        problem(|t| t.data_type = 8),
        TensorProblem::Strings("node_wf".into())
    );
}

#[test]
fn rejects_inputs_without_a_fixed_shape() {
    let problem = |dtype, shape: &[i64]| {
        let info = value_info("x", dtype, shape);
        match refused(|m| m.graph.as_mut().unwrap().input[0] = info) {
            ImportError::Input { source, .. } => source,
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        problem(DataType::Float, &[1, -1, 4, 4]),
        InputProblem::Open {
            axis: 1,
            dim: "batch".into()
        }
    );
    assert_eq!(
        problem(DataType::Float, &[1, 0, 4, 4]),
        InputProblem::Extent(1)
    );
    assert_eq!(
        problem(DataType::Float, &[1, 1 << 50, 4, 4]),
        InputProblem::Extent(1)
    );
    assert_eq!(
        problem(DataType::Float, &[1, 1 << 20, 1 << 20]),
        InputProblem::Extent(2)
    );
    assert!(matches!(
        problem(DataType::String, &[1]),
        InputProblem::Type(_)
    ));
}

#[test]
fn rejects_attributes_that_make_no_sense() {
    let with = |op: &str, attribute: tract_onnx::pb::AttributeProto| {
        refused(|m| {
            let nodes = &mut m.graph.as_mut().unwrap().node;
            let node = nodes.iter_mut().find(|n| n.op_type == op).unwrap();
            node.attribute.retain(|a| a.name != attribute.name);
            node.attribute.push(attribute);
        })
    };
    for attribute in [
        ints("pads", &[1, 1, 1]),
        ints("pads", &[-1, 0, 0, 0]),
        ints("pads", &[1 << 40, 0, 0, 0]),
        ints("strides", &[0, 1]),
        ints("dilations", &[0, 1]),
        ints("kernel_shape", &[2, 2]),
        int("group", 0),
        int("group", 3),
        int("group", -1),
        int("pads", 1),
    ] {
        let error = with("Conv", attribute);
        assert!(matches!(error, ImportError::Unsupported(_)), "{error}");
    }
    for attribute in [
        ints("kernel_shape", &[99, 99]),
        ints("kernel_shape", &[0, 1]),
    ] {
        with("MaxPool", attribute);
    }
    with("Flatten", int("axis", 99));
    with("Flatten", int("axis", i64::MIN));
}

#[test]
fn rejects_every_truncation_and_survives_every_byte() {
    let bytes = good().bytes();
    for len in 0..bytes.len() {
        // A cut may fall between two fields and leave a smaller, valid model; it must only not panic.
        let _ = import(&bytes[..len]);
    }
    let mut rng = Rng(11);
    for _ in 0..4000 {
        let mut mutant = bytes.clone();
        for _ in 0..1 + rng.next() % 3 {
            let place = (rng.next() % bytes.len() as u64) as usize;
            mutant[place] = rng.next() as u8;
        }
        let _ = import(&mutant);
    }
}

#[test]
fn rejects_deep_graphs_without_exhausting_the_stack() {
    let mut model = Model::quantized_input(17, &[1, 2]);
    let mut last = "xf".to_owned();
    for i in 0..20_000 {
        let next = format!("t{i}");
        model = model.node("Relu", &[&last], &next);
        last = next;
    }
    let model = model.quantize(&last, "x", "yq").output("yq");
    assert!(matches!(
        import(&model.bytes()),
        Err(ImportError::Unsupported(_))
    ));
}

#[test]
fn rejects_expressions_that_double_at_every_step() {
    for op in ["Mul", "Max"] {
        let mut model = Model::quantized_input(17, &[1, 2]).node("Relu", &["xf"], "t0");
        for i in 0..64 {
            let (last, next) = (format!("t{i}"), format!("t{}", i + 1));
            model = model.node(op, &[&last, &last], &next);
        }
        let model = model.quantize("t64", "x", "yq").output("yq");
        assert!(
            matches!(import(&model.bytes()), Err(ImportError::Unsupported(_))),
            "{op}"
        );
    }
}

#[test]
fn rejects_constants_that_grow_without_bound() {
    let side = 1 << 10;
    let mut model =
        Model::quantized_input(17, &[1, 2]).ints("s", DataType::Int64, &[2], &[side, side]);
    for i in 0..6 {
        model = model.node("ConstantOfShape", &["s"], &format!("c{i}"));
    }
    let model = model.quantize("xf", "x", "yq").output("yq");
    let Err(ImportError::Unsupported(problems)) = import(&model.bytes()) else {
        panic!()
    };
    assert!(problems.iter().all(|p| p.op == "ConstantOfShape") && problems.len() < 3);
}
