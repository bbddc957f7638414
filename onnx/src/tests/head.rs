//! The float head: what becomes integers of inputs that a model computes with before it quantizes them.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, int, ints};
use crate::{
    Exactness, FloatHead, HeadError, ImportError, Imported, InputError, NodeError, Status, import,
};
use zkonnx_circuits::program::Program;

fn imported(model: &Model) -> Imported {
    import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"))
}

/// `x` of two elements, `node`, and the quantization of its result by 0.5 and 10.
fn prepared(model: Model, value: &str) -> Model {
    model
        .scale("q", 0.5, 10)
        .quantize(value, "q", "y")
        .output("y")
}

fn floats() -> Model {
    Model::new(17).input("x", DataType::Float, &[1, 2])
}

fn head(imported: &Imported, row: &[f32]) -> Result<Vec<Vec<i64>>, HeadError> {
    let program = &imported.program;
    let head = FloatHead::of(program).unwrap();
    let made = head.evaluate(program, &[row])?;
    Ok(made.into_iter().map(|made| made.tensor.data).collect())
}

fn status(imported: &Imported, op: &str) -> Status {
    let found = imported.report.iter().find(|node| node.op == op);
    found.unwrap().status
}

#[test]
fn accepts_arithmetic_on_inputs_as_an_input_of_the_program() {
    let model = floats()
        .floats("mean", &[2], &[4.0, -1.0])
        .node("Sub", &["x", "mean"], "d");
    let imported = imported(&prepared(model, "d"));
    // (5 − 4) / 0.5 + 10, (0.3 + 1) / 0.5 + 10 rounded.
    assert_eq!(head(&imported, &[5.0, 0.3]).unwrap(), [[12, 13]]);
    // Beyond the type: its ends.
    assert_eq!(head(&imported, &[1e9, -1e9]).unwrap(), [[255, 0]]);
    let inputs: Vec<&str> = imported
        .program
        .inputs()
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(inputs, ["x prepared"]);
    assert_eq!(status(&imported, "Sub"), Status::Head);
    assert_eq!(
        status(&imported, "QuantizeLinear"),
        Status::Closed(Exactness::Steps)
    );
    assert!(imported.tail.iter().all(|node| node.before));
    let refused = head(&imported, &[f32::NAN, 0.0]).unwrap_err();
    assert!(matches!(
        refused,
        HeadError::Input(InputError::NotANumber { index: 0, .. })
    ));
}

/// A function whose last bits no text fixes is not called exact.
#[test]
fn says_of_functions_that_their_integers_may_differ() {
    let model = floats().node("Exp", &["x"], "e");
    let imported = imported(&prepared(model, "e"));
    assert_eq!(
        status(&imported, "QuantizeLinear"),
        Status::Closed(Exactness::Head)
    );
    assert_eq!(head(&imported, &[0.0, 1.0]).unwrap(), [[12, 15]]);
}

#[test]
fn accepts_an_input_that_is_quantized_twice() {
    let model = floats()
        .scale("q", 0.5, 10)
        .scale("r", 0.25, 0)
        .quantize("x", "q", "y")
        .quantize("x", "r", "z")
        .output("y")
        .output("z");
    let imported = imported(&model);
    assert_eq!(imported.program.inputs().len(), 2);
    assert_eq!(head(&imported, &[1.0, 2.0]).unwrap(), [[4, 8]]);
}

/// Integers of 64 bits that are cast to floats at once are read as floats, like those.
#[test]
fn accepts_wide_integers_that_are_cast() {
    let model = Model::new(17)
        .input("x", DataType::Int64, &[1, 2])
        .floats("half", &[], &[0.5])
        .node_with("Cast", &["x"], "f", vec![int("to", 1)])
        .node("Mul", &["f", "half"], "h");
    let imported = imported(&prepared(model, "h"));
    assert_eq!(head(&imported, &[3.0, -4.0]).unwrap(), [[13, 6]]);
}

/// The same head under other names and in another order is the same program.
#[test]
fn accepts_detours_of_a_head_as_the_same_program() {
    let model = |first: &str, second: &str| {
        let model = floats().floats("c", &[2], &[4.0, -1.0]);
        let model = model.node("Sub", &["x", "c"], first);
        let model = model.node("Identity", &[first], second);
        imported(&prepared(model.node("Mul", &[second, second], "m"), "m"))
    };
    assert_eq!(model("a", "b").program.id(), model("u", "v").program.id());
    let plain = floats()
        .floats("c", &[2], &[4.0, -1.0])
        .node("Sub", &["x", "c"], "a");
    let plain = imported(&prepared(plain.node("Mul", &["a", "a"], "m"), "m"));
    assert_eq!(model("a", "b").program.id(), plain.program.id());
    // Another constant is another program, though the integers and their body are the same.
    let other = floats()
        .floats("c", &[2], &[4.0, -2.0])
        .node("Sub", &["x", "c"], "a");
    let other = imported(&prepared(other.node("Mul", &["a", "a"], "m"), "m"));
    assert_eq!(other.program.body_hash(), plain.program.body_hash());
    assert_ne!(other.program.id(), plain.program.id());
}

#[test]
fn rejects_heads_that_meet_integers_and_those_that_cannot_be_computed() {
    let reason = |model: &Model| match import(&model.bytes()) {
        Err(ImportError::Unsupported(problems)) => problems[0].reason.clone(),
        other => panic!("{other:?}"),
    };
    let mixed = Model::quantized_input(17, &[1, 2])
        .input("r", DataType::Float, &[1, 2])
        .node("Exp", &["r"], "e")
        .node("Erf", &["e"], "f")
        .node("Sum", &["f", "f"], "g")
        .node("Mul", &["g", "xf"], "m");
    assert!(matches!(
        reason(&prepared(mixed, "m")),
        NodeError::Island { .. }
    ));
    let unknown = floats().node("com.example::Own", &["x"], "o");
    assert_eq!(reason(&prepared(unknown, "o")), NodeError::Unknown);
    let wrong = floats().node_with("Exp", &["x"], "e", vec![int("base", 2)]);
    assert!(matches!(
        reason(&prepared(wrong, "e")),
        NodeError::UnknownAttribute { .. }
    ));
}

/// Bytes of a program, changed in every place: the head that its interface states answers, whatever it says.
#[test]
fn survives_every_byte_of_a_program() {
    let model = floats()
        .floats("mean", &[2], &[4.0, -1.0])
        .node("Sub", &["x", "mean"], "d")
        .node("IsNaN", &["d"], "n")
        .node("Where", &["n", "mean", "d"], "w")
        .node_with("Transpose", &["w"], "t", vec![ints("perm", &[1, 0])]);
    let bytes = imported(&prepared(model, "t")).program.encode();
    let registry = zkonnx_circuits::ops::registry();
    let mut read = 0;
    for place in 0..bytes.len() {
        for change in [0x01, 0x04, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[place] ^= change;
            let Ok(program) = Program::decode(&changed, &registry) else {
                continue;
            };
            let Some(head) = FloatHead::of(&program) else {
                continue;
            };
            read += 1;
            let row = [1.0, f32::NAN];
            let _ = head.evaluate(&program, &[&row]);
            let _ = head.evaluate(&program, &[&row[..1]]);
            let _ = head.evaluate(&program, &[]);
        }
    }
    assert!(read > 100, "{read}");
}
