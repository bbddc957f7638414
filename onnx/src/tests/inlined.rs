//! Functions, branches and loops: models that say the same with and without them.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto,
    attribute_proto::AttributeType,
};

use crate::tests::build::{Model, float, int, value_info};
use crate::{ImportError, NodeError, import};
use zkonnx_circuits::program::Tensor;

type ProgramId = [u8; 32];

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let (domain, op) = op.split_once("::").unwrap_or(("", op));
    NodeProto {
        domain: domain.into(),
        op_type: op.into(),
        input: inputs.iter().map(|&s| s.into()).collect(),
        output: outputs.iter().map(|&s| s.into()).collect(),
        ..Default::default()
    }
}

fn with(mut node: NodeProto, attribute: AttributeProto) -> NodeProto {
    node.attribute.push(attribute);
    node
}

/// An attribute that takes the value of one of the call.
fn reference(name: &str, of: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ref_attr_name: of.into(),
        r#type: AttributeType::Float as i32,
        ..Default::default()
    }
}

fn function(name: &str, inputs: &[&str], outputs: &[&str], node: Vec<NodeProto>) -> FunctionProto {
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: domain.into(),
        version,
    };
    FunctionProto {
        name: Some(name.into()),
        domain: Some("own".into()),
        input: inputs.iter().map(|&s| s.into()).collect(),
        output: outputs.iter().map(|&s| s.into()).collect(),
        opset_import: vec![set("", 17), set("own", 1)],
        node,
        ..Default::default()
    }
}

fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Graph as i32,
        g: Some(graph),
        ..Default::default()
    }
}

fn graph(inputs: &[&str], outputs: &[&str], node: Vec<NodeProto>) -> GraphProto {
    let infos = |names: &[&str]| {
        let info = |name: &&str| value_info(name, DataType::Float, &[]);
        names.iter().map(info).collect()
    };
    GraphProto {
        input: infos(inputs),
        output: infos(outputs),
        node,
        ..Default::default()
    }
}

fn id(model: Model) -> ProgramId {
    let imported = import(&model.quantize("y", "x", "yq").output("yq").bytes());
    imported.unwrap_or_else(|e| panic!("{e}")).program.id()
}

/// A model that calls functions.
fn calling(functions: Vec<FunctionProto>) -> Model {
    let mut model = Model::quantized_input(17, &[1, 2]);
    model.proto.opset_import.push(OperatorSetIdProto {
        domain: "own".into(),
        version: 1,
    });
    model.proto.functions = functions;
    model
}

fn leaky(alpha: f32) -> ProgramId {
    let model = Model::quantized_input(17, &[1, 2]);
    id(model.node_with("LeakyRelu", &["xf"], "y", vec![float("alpha", alpha)]))
}

#[test]
fn accepts_functions_as_what_they_stand_for() {
    let act = || {
        let slope = reference("alpha", "slope");
        let body = with(node("LeakyRelu", &["a"], &["b"]), slope);
        function("act", &["a"], &["b"], vec![body])
    };
    let call = vec![float("slope", 0.25)];
    let direct = calling(vec![act()]).node_with("own::act", &["xf"], "y", call.clone());
    assert_eq!(id(direct), leaky(0.25));
    // An attribute that the call leaves out is left out, and has the operator's default.
    assert_eq!(
        id(calling(vec![act()]).node("own::act", &["xf"], "y")),
        leaky(0.01)
    );
    // A function that calls another one, handing its attribute on, with nodes in no order.
    let inner = with(
        node("own::act", &["a"], &["t"]),
        reference("slope", "steep"),
    );
    let outer = function(
        "outer",
        &["a"],
        &["b"],
        vec![node("Identity", &["t"], &["b"]), inner],
    );
    let nested = calling(vec![outer, act()]);
    let call = vec![float("steep", 0.25)];
    assert_eq!(
        id(nested.node_with("own::outer", &["xf"], "y", call)),
        leaky(0.25)
    );
    // One that gives its input back.
    let same = function("same", &["a"], &["a"], vec![]);
    let plain = id(Model::quantized_input(17, &[1, 2]).node("Relu", &["xf"], "y"));
    let model = calling(vec![same]).node("own::same", &["xf"], "t");
    assert_eq!(id(model.node("Relu", &["t"], "y")), plain);
}

/// The values that attributes have where a call leaves them out are a field that the decoder's message lacks.
#[test]
fn accepts_defaults_of_a_function_s_attributes() {
    let slope = reference("alpha", "slope");
    let act = with(node("LeakyRelu", &["a"], &["b"]), slope);
    let act = function("act", &["a"], &["b"], vec![act]);
    let model = |call: Vec<AttributeProto>| {
        let mut encoded = act.encode_to_vec();
        let default = float("slope", 0.5).encode_to_vec();
        // Field 11, a message.
        encoded.extend([11 << 3 | 2, default.len() as u8]);
        encoded.extend(default);
        let model = calling(vec![]).node_with("own::act", &["xf"], "y", call);
        let mut bytes = model.quantize("y", "x", "yq").output("yq").bytes();
        // Field 25 of the model, a message.
        bytes.extend([(25u16 << 3 | 2) as u8 | 0x80, (25u16 << 3 >> 7) as u8]);
        bytes.push(u8::try_from(encoded.len()).unwrap());
        bytes.extend(encoded);
        import(&bytes)
            .unwrap_or_else(|e| panic!("{e}"))
            .program
            .id()
    };
    assert_eq!(model(vec![]), leaky(0.5));
    assert_eq!(model(vec![float("slope", 0.25)]), leaky(0.25));
}

/// ONNX Runtime takes its own operator where a model has a function of that name.
#[test]
fn accepts_operators_whatever_functions_a_model_brings() {
    let plain = |op: &str| id(Model::quantized_input(17, &[1, 2]).node(op, &["xf"], "y"));
    let model = |op: &str| {
        let (domain, name) = op.split_once("::").unwrap_or(("", op));
        let mut own = function(name, &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
        own.domain = Some(domain.into());
        calling(vec![own]).node(op, &["xf"], "y")
    };
    for op in ["Relu", "com.microsoft::QuickGelu"] {
        assert_eq!(id(model(op)), plain(op), "{op}");
        assert_ne!(plain(op), plain("Neg"), "{op}");
    }
    assert_eq!(id(model("own::Relu")), plain("Neg"));
    for op in ["Other", "com.microsoft::Other", "ai.onnx.training::Other"] {
        let bytes = model(op).quantize("y", "x", "yq").output("yq").bytes();
        let Err(ImportError::Unsupported(problems)) = import(&bytes) else {
            panic!("{op}")
        };
        assert_eq!(problems[0].reason, NodeError::Unknown, "{op}");
    }
}

/// Names of what is made from a node begin with that node's, of which a long one is cut.
#[test]
fn accepts_long_names_of_nodes_that_stand_for_many() {
    let long = "n".repeat(1 << 20);
    let names = |mut model: Model, outputs: &[&str]| {
        if let Some(last) = model.graph().node.last_mut() {
            last.name.clone_from(&long);
        }
        let model = outputs.iter().fold(model, |m, output| m.output(output));
        let graph = crate::passes::prepare(&model.bytes(), &Default::default());
        let graph = graph.unwrap_or_else(|e| panic!("{e}"));
        let names = graph.values().map(|v| graph.name(v).len());
        names.sum::<usize>()
    };
    let inner = graph(
        &["i", "before", "v"],
        &["before", "w", "w"],
        vec![node("Add", &["v", "xf"], &["w"])],
    );
    let turn = with(
        node("Loop", &["limit", "on", "xf"], &["last", "all"]),
        body("body", inner),
    );
    let mut model = Model::quantized_input(17, &[1, 2])
        .ints("limit", DataType::Int64, &[], &[1000])
        .ints("on", DataType::Bool, &[], &[1]);
    model.graph().node.push(turn);
    assert!(names(model, &["last", "all"]) < 1 << 21);
    let steps = |i: usize| node("Neg", &[&format!("t{i}")], &[&format!("t{}", i + 1)]);
    let deep = function("deep", &["t0"], &["t1000"], (0..1000).map(steps).collect());
    let model = calling(vec![deep]).node("own::deep", &["xf"], "y");
    assert!(names(model, &["y"]) < 1 << 21);
    let scores = with(node("Hardmax", &["xf"], &["y"]), int("axis", 1));
    let mut model = Model::quantized_input(17, &[1, 2]);
    model.graph().node.push(scores);
    assert!(names(model, &["y"]) < 1 << 21);
}

#[test]
fn rejects_functions_without_an_end() {
    let own = function(
        "act",
        &["a"],
        &["b"],
        vec![node("own::act", &["a"], &["b"])],
    );
    let model = calling(vec![own]).node("own::act", &["xf"], "y");
    let bytes = model.quantize("y", "x", "yq").output("yq").bytes();
    let Err(ImportError::Unsupported(problems)) = import(&bytes) else {
        panic!()
    };
    assert_eq!(problems[0].reason, NodeError::Unknown);
    // Each calls the next one twice.
    let chain = |i: usize| {
        let next = format!("own::f{}", i + 1);
        let calls = vec![node(&next, &["a"], &["t"]), node(&next, &["t"], &["b"])];
        function(&format!("f{i}"), &["a"], &["b"], calls)
    };
    let mut functions: Vec<FunctionProto> = (0..24).map(chain).collect();
    functions.push(function(
        "f24",
        &["a"],
        &["b"],
        vec![node("Relu", &["a"], &["b"])],
    ));
    let model = calling(functions).node("own::f0", &["xf"], "y");
    let bytes = model.quantize("y", "x", "yq").output("yq").bytes();
    assert!(matches!(import(&bytes), Err(ImportError::TooMany { .. })));
}

fn branching(condition: i64) -> Model {
    let then = graph(&[], &["a"], vec![node("Relu", &["xf"], &["a"])]);
    let other = graph(&[], &["b"], vec![node("Sigmoid", &["xf"], &["b"])]);
    let branches = vec![body("then_branch", then), body("else_branch", other)];
    Model::quantized_input(17, &[1, 2])
        .ints("c", DataType::Bool, &[], &[condition])
        .node_with("If", &["c"], "y", branches)
}

#[test]
fn accepts_the_branch_that_a_constant_chooses() {
    let plain = |op: &str| id(Model::quantized_input(17, &[1, 2]).node(op, &["xf"], "y"));
    assert_eq!(id(branching(1)), plain("Relu"));
    assert_eq!(id(branching(0)), plain("Sigmoid"));
}

/// `v = 2 · v` and its passes, `limit` times at most, as long as `v` is below a bound.
fn doubling(limit: i64, bound: i64) -> Model {
    let inner = vec![
        node("Add", &["v", "v"], &["w"]),
        node("Less", &["w", "bound"], &["on"]),
        node("Identity", &["i"], &["j"]),
    ];
    let inner = graph(&["i", "before", "v"], &["on", "w", "j"], inner);
    let mut model = Model::new(17)
        .input("x", DataType::Uint8, &[2])
        .ints("limit", DataType::Int64, &[], &[limit])
        .ints("on", DataType::Bool, &[], &[1])
        .ints("bound", DataType::Int64, &[], &[bound])
        .ints("one", DataType::Int64, &[1], &[3]);
    let mut turn = with(
        node("Loop", &["limit", "on", "one"], &["v", "passes"]),
        body("body", inner),
    );
    turn.name = "turn".into();
    model.graph().node.push(turn);
    model.node("Identity", &["x"], "y")
}

#[test]
fn accepts_loops_that_constants_count() {
    let run = |limit, bound| {
        let model = doubling(limit, bound)
            .output("v")
            .output("passes")
            .output("y");
        let imported = import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"));
        let x = Tensor::new(zkonnx_circuits::program::DataType::U8, vec![2], vec![1, 2]);
        let trace = imported.program.execute(&[x]).unwrap();
        let outputs = trace.outputs().into_iter().take(2);
        outputs
            .map(|t| (t.shape.clone(), t.data.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(3, 100), [(vec![1], vec![24]), (vec![3], vec![0, 1, 2])]);
    // The pass after which the condition is false is the last one.
    assert_eq!(run(9, 20), [(vec![1], vec![24]), (vec![3], vec![0, 1, 2])]);
}

#[test]
fn rejects_loops_without_an_end_and_those_that_the_data_ends() {
    let bytes = doubling(i64::MAX, i64::MAX).output("y").output("v").bytes();
    assert!(matches!(
        import(&bytes),
        Err(ImportError::TooMany { .. } | ImportError::Unsupported(_))
    ));
    let inner = vec![
        node("ReduceMax", &["v"], &["most"]),
        node("Cast", &["most"], &["on"]),
        node("Relu", &["v"], &["w"]),
    ];
    let mut inner = graph(&["i", "before", "v"], &["on", "w"], inner);
    inner.node[0].attribute.push(int("keepdims", 0));
    inner.node[1].attribute.push(int("to", 9));
    let model = Model::quantized_input(17, &[1, 2])
        .ints("limit", DataType::Int64, &[], &[3])
        .node_with("Loop", &["limit", "", "xf"], "y", vec![body("body", inner)]);
    let bytes = model.quantize("y", "x", "yq").output("yq").bytes();
    let Err(ImportError::Unsupported(problems)) = import(&bytes) else {
        panic!()
    };
    let named = problems.iter().find(|problem| problem.op == "Loop");
    let data = NodeError::Input {
        input: 1,
        what: "the condition",
        reason: "it depends on the data",
    };
    assert_eq!(named.map(|problem| &problem.reason), Some(&data));
}

/// A short file must not become a large graph: each pass of the loop would copy a megabyte.
#[test]
fn rejects_copies_of_large_nodes() {
    let large = AttributeProto {
        name: "note".into(),
        r#type: AttributeType::String as i32,
        s: vec![b'a'; 1 << 20],
        ..Default::default()
    };
    let noted = |input| with(node("Relu", &[input], &["c"]), large.clone());
    let mut model = doubling(100, i64::MAX);
    let turn = model
        .graph()
        .node
        .iter_mut()
        .find(|node| node.op_type == "Loop");
    let inner = turn.unwrap().attribute[0].g.as_mut().unwrap();
    inner.node = vec![
        node("Identity", &["before"], &["on"]),
        node("Identity", &["v"], &["w"]),
        node("Identity", &["i"], &["j"]),
        noted("v"),
    ];
    let bytes = model.output("y").output("v").bytes();
    let error = import(&bytes).err();
    assert!(
        matches!(error, Some(ImportError::TooMany { .. })),
        "{error:?}"
    );
    let act = vec![noted("a"), node("Relu", &["a"], &["b"])];
    let mut model = calling(vec![function("act", &["a"], &["b"], act)]);
    for i in 0..64 {
        let (from, to) = (format!("t{i}"), format!("t{}", i + 1));
        let from = if i == 0 { "xf" } else { &from };
        model = model.node("own::act", &[from], &to);
    }
    let bytes = model.quantize("t64", "x", "yq").output("yq").bytes();
    assert!(matches!(import(&bytes), Err(ImportError::TooMany { .. })));
}

#[test]
fn accepts_a_scan_over_rows() {
    let inner = graph(
        &["s", "r"],
        &["t", "u"],
        vec![
            node("Add", &["s", "r"], &["t"]),
            node("Identity", &["t"], &["u"]),
        ],
    );
    let mut scan = with(
        node("Scan", &["zero", "rows"], &["sum", "sums"]),
        body("body", inner),
    );
    scan.attribute.push(int("num_scan_inputs", 1));
    let mut model = Model::new(17)
        .input("x", DataType::Uint8, &[2])
        .ints("zero", DataType::Int64, &[2], &[0, 0])
        .ints("rows", DataType::Int64, &[3, 2], &[1, 2, 3, 4, 5, 6]);
    model.graph().node.push(scan);
    let model = model
        .node("Identity", &["x"], "y")
        .output("sum")
        .output("sums")
        .output("y");
    let imported = import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"));
    let x = Tensor::new(zkonnx_circuits::program::DataType::U8, vec![2], vec![1, 2]);
    let trace = imported.program.execute(&[x]).unwrap();
    let outputs = trace.outputs();
    assert_eq!(outputs[0].data, [9, 12]);
    assert_eq!(
        (&outputs[1].shape, &outputs[1].data),
        (&vec![3, 2], &vec![1, 2, 4, 6, 9, 12])
    );
}

/// Every byte of models that hold graphs and functions, changed in several ways: an answer, and no panic of the verifier
/// between passes.
#[test]
fn survives_every_byte() {
    let act = with(
        node("LeakyRelu", &["a"], &["b"]),
        reference("alpha", "slope"),
    );
    let functions = vec![function("act", &["a"], &["b"], vec![act])];
    let called = calling(functions).node_with("own::act", &["xf"], "y", vec![float("slope", 0.25)]);
    let inner = graph(&["s", "r"], &["t"], vec![node("Add", &["s", "r"], &["t"])]);
    let mut scan = with(
        node("Scan", &["zero", "rows"], &["sum"]),
        body("body", inner),
    );
    scan.attribute.push(int("num_scan_inputs", 1));
    let mut scanned = Model::new(17)
        .input("x", DataType::Float, &[1, 2])
        .floats("zero", &[2], &[0.0, 0.0])
        .node("Concat", &["x", "x"], "rows");
    scanned.graph().node[0].attribute.push(int("axis", 0));
    scanned.graph().node.push(scan);
    let models = [
        doubling(3, 100)
            .output("v")
            .output("passes")
            .output("y")
            .bytes(),
        branching(1).quantize("y", "x", "yq").output("yq").bytes(),
        called.quantize("y", "x", "yq").output("yq").bytes(),
        scanned.output("sum").bytes(),
    ];
    for bytes in models {
        for i in 0..bytes.len() {
            for change in [0x01, 0x08, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[i] ^= change;
                let _ = import(&changed);
                let _ = crate::quantize::obstacle(&changed, &Default::default());
            }
        }
    }
}
