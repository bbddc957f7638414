//! Interfaces: one form each, an id that depends on every field, and claims shown by name and in reals.

use zkonnx_verifier::interface::{
    Attribute, AttributeValue, ElementType, FloatConstant, FloatNode, Head, InputIntegers,
    InterfaceInput, InterfaceOutput, InterfaceParts, ModelOutput, OpenError, Opened, Rounding,
    Source, body_hash, program_id,
};
use zkonnx_verifier::{
    Claim, ClaimInput, DataType, DecodeError, Interface, InterfaceError, PortSpec, Quantization,
    TensorData,
};

fn spec(dtype: DataType, shape: &[u32]) -> PortSpec {
    PortSpec::new(dtype, shape.to_vec()).unwrap()
}

fn scales(scales: &[f32], zeros: &[i64], axis: Option<usize>) -> Quantization {
    Quantization {
        scale_bits: scales.iter().map(|scale| scale.to_bits()).collect(),
        zero_point: zeros.to_vec(),
        axis,
    }
}

fn text(name: &str) -> String {
    name.to_owned()
}

/// A float image, an integer and a float that is never quantized; integers of a float node; proved integers with and
/// without scales; a tail.
fn parts() -> InterfaceParts {
    let integers = |dtype: DataType, range, head| InputIntegers {
        dtype,
        range,
        head,
        source: None,
    };
    let input = |name: &str, shape: &[u32], integers| InterfaceInput {
        name: text(name),
        shape: shape.to_vec(),
        integers,
    };
    let head = Head {
        quantization: scales(&[0.5], &[3], None),
        rounding: Rounding::HalfToEven,
    };
    let constant = |element, shape: &[u32], data: &[u8]| FloatConstant {
        element,
        shape: shape.to_vec(),
        data: data.to_vec(),
    };
    let attribute = |name: &str, value| Attribute {
        name: text(name),
        value,
    };
    let small = constant(ElementType::Binary32, &[], &1.5f32.to_bits().to_le_bytes());
    let node = FloatNode {
        domain: text("ai.onnx"),
        op: text("Some"),
        opset: 17,
        attributes: vec![
            attribute("a", AttributeValue::Float(7)),
            attribute("b", AttributeValue::Int(-7)),
            attribute("c", AttributeValue::Bytes(vec![1, 2])),
            attribute("d", AttributeValue::Tensor(small.clone())),
            attribute("e", AttributeValue::Floats(vec![1, 2])),
            attribute("f", AttributeValue::Ints(vec![1, -2])),
            attribute("g", AttributeValue::Strings(vec![vec![1], vec![]])),
            attribute("h", AttributeValue::Encoded(vec![9, 9])),
        ],
        inputs: vec![Some(Source::Output(1)), None, Some(Source::Constant(0))],
        captures: vec![(text("w"), Source::Input(2))],
        outputs: 2,
    };
    let last = FloatNode {
        attributes: vec![],
        inputs: vec![Some(Source::Node(0, 1))],
        captures: vec![],
        outputs: 1,
        ..node.clone()
    };
    let first = FloatNode {
        attributes: vec![],
        inputs: vec![Some(Source::Input(2)), Some(Source::Constant(0))],
        captures: vec![],
        ..node.clone()
    };
    let derived = InputIntegers {
        source: Some(Source::Node(2, 1)),
        ..integers(DataType::U16, (0, 9), None)
    };
    let output = |name: &str, source| ModelOutput {
        name: text(name),
        source,
    };
    InterfaceParts {
        inputs: vec![
            input(
                "x",
                &[1, 2],
                Some(integers(DataType::U8, (0, 255), Some(head))),
            ),
            input("n", &[], Some(integers(DataType::I8, (-128, 127), None))),
            input("w", &[3], None),
            input("w of a node", &[2], Some(derived)),
        ],
        outputs: vec![
            InterfaceOutput {
                spec: spec(DataType::U8, &[2]),
                quantization: None,
            },
            InterfaceOutput {
                spec: spec(DataType::I32, &[1, 2, 2]),
                quantization: Some(scales(&[0.25, 2.0], &[0, -1], Some(1))),
            },
        ],
        model_outputs: vec![
            output("y", Source::Output(0)),
            output("r", Source::Output(1)),
            output("t", Source::Node(1, 0)),
            output("w", Source::Input(2)),
            output("k", Source::Constant(1)),
        ],
        constants: vec![
            small,
            constant(ElementType::Integer(DataType::I64), &[0], &[]),
            constant(ElementType::Binary64, &[1], &[0; 8]),
            constant(ElementType::Binary16, &[2], &[0; 4]),
        ],
        nodes: vec![node, last, first],
    }
}

#[test]
fn accepts_an_interface_in_exactly_one_form() {
    let interface = Interface::new(parts()).unwrap();
    let bytes = interface.encode();
    assert_eq!(Interface::decode(&bytes), Ok(interface.clone()));
    for len in 0..bytes.len() {
        assert!(Interface::decode(&bytes[..len]).is_err(), "{len} bytes");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    let trailing = DecodeError::TrailingBytes { count: 1 };
    assert_eq!(Interface::decode(&longer), Err(trailing.into()));
    let mut others = 0;
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut mutant = bytes.clone();
            mutant[place] ^= 1 << bit;
            if let Ok(other) = Interface::decode(&mutant) {
                assert_eq!(other.encode(), mutant);
                assert_ne!(other.hash(), interface.hash());
                others += 1;
            }
        }
    }
    assert!(others > 500);
}

/// A name of what is changed, and the change.
type Change = (&'static str, fn(&mut InterfaceParts));

/// A change of every field of an interface, each valid.
fn changes() -> Vec<Change> {
    fn integers(parts: &mut InterfaceParts) -> &mut InputIntegers {
        parts.inputs[0].integers.as_mut().unwrap()
    }
    fn head(parts: &mut InterfaceParts) -> &mut Quantization {
        &mut integers(parts).head.as_mut().unwrap().quantization
    }
    fn reals(parts: &mut InterfaceParts) -> &mut Quantization {
        parts.outputs[1].quantization.as_mut().unwrap()
    }
    fn attribute(parts: &mut InterfaceParts, index: usize, value: AttributeValue) {
        parts.nodes[0].attributes[index].value = value;
    }
    vec![
        ("name of an input", |p| p.inputs[0].name = text("X")),
        ("shape of an input", |p| p.inputs[0].shape = vec![2, 1]),
        ("order of inputs", |p| p.inputs.swap(0, 1)),
        ("number of inputs", |p| {
            p.inputs.push(InterfaceInput {
                name: text("more"),
                ..p.inputs[3].clone()
            });
        }),
        ("an input outside", |p| p.inputs[1].integers = None),
        ("where an input comes from", |p| {
            p.inputs[3].integers.as_mut().unwrap().source = Some(Source::Node(2, 0));
        }),
        ("type of an input", |p| {
            *integers(p) = InputIntegers {
                dtype: DataType::U16,
                ..integers(p).clone()
            }
        }),
        ("least value of an input", |p| integers(p).range.0 = 1),
        ("greatest value of an input", |p| integers(p).range.1 = 254),
        ("an input that is not quantized", |p| {
            integers(p).head = None;
        }),
        ("scale of an input", |p| head(p).scale_bits[0] += 1),
        ("zero point of an input", |p| head(p).zero_point[0] = 4),
        ("axis of an input", |p| head(p).axis = Some(0)),
        ("type of an output", |p| {
            p.outputs[0].spec = spec(DataType::I8, &[2]);
        }),
        ("shape of an output", |p| {
            p.outputs[0].spec = spec(DataType::U8, &[1, 2]);
        }),
        ("number of outputs", |p| {
            p.outputs.push(p.outputs[0].clone());
        }),
        ("scale of an output", |p| reals(p).scale_bits[1] -= 1),
        ("zero point of an output", |p| reals(p).zero_point[0] = 1),
        ("axis of an output", |p| reals(p).axis = Some(2)),
        ("an output without scale", |p| {
            p.outputs[1].quantization = None
        }),
        ("name of a named output", |p| {
            p.model_outputs[0].name = text("Y")
        }),
        ("order of named outputs", |p| p.model_outputs.swap(0, 1)),
        ("source of a named output", |p| {
            p.model_outputs[2].source = Source::Node(0, 0);
        }),
        ("output of a node", |p| {
            p.model_outputs[2].source = Source::Node(0, 1);
        }),
        ("number of named outputs", |p| {
            p.model_outputs.pop();
        }),
        ("element of a constant", |p| p.constants[0].data[0] ^= 1),
        ("type of a constant", |p| {
            p.constants[0].element = ElementType::Integer(DataType::I32);
        }),
        ("shape of a constant", |p| p.constants[0].shape = vec![1]),
        ("number of constants", |p| {
            p.constants.pop();
        }),
        ("domain of a node", |p| p.nodes[0].domain = text("x")),
        ("operator of a node", |p| p.nodes[0].op = text("Other")),
        ("opset of a node", |p| p.nodes[0].opset = 18),
        ("name of an attribute", |p| {
            p.nodes[0].attributes[0].name = text("A");
        }),
        ("number of attributes", |p| {
            p.nodes[0].attributes.pop();
        }),
        ("float attribute", |p| {
            attribute(p, 0, AttributeValue::Float(8))
        }),
        ("integer attribute", |p| {
            attribute(p, 1, AttributeValue::Int(7))
        }),
        ("kind of attribute", |p| {
            attribute(p, 2, AttributeValue::Encoded(vec![1, 2]));
        }),
        ("string attribute", |p| {
            attribute(p, 2, AttributeValue::Bytes(vec![1, 3]));
        }),
        ("tensor attribute", |p| {
            let constant = p.constants[1].clone();
            attribute(p, 3, AttributeValue::Tensor(constant));
        }),
        ("floats attribute", |p| {
            attribute(p, 4, AttributeValue::Floats(vec![1, 3]));
        }),
        ("integers attribute", |p| {
            attribute(p, 5, AttributeValue::Ints(vec![1, 2]));
        }),
        ("strings attribute", |p| {
            attribute(p, 6, AttributeValue::Strings(vec![vec![], vec![1]]));
        }),
        ("other attribute", |p| {
            attribute(p, 7, AttributeValue::Encoded(vec![9]));
        }),
        ("input of a node", |p| {
            p.nodes[0].inputs[0] = Some(Source::Output(0));
        }),
        ("input that is left out", |p| {
            p.nodes[0].inputs[1] = Some(Source::Input(0))
        }),
        ("name of a capture", |p| {
            p.nodes[0].captures[0].0 = text("v")
        }),
        ("source of a capture", |p| {
            p.nodes[0].captures[0].1 = Source::Input(0);
        }),
        ("number of outputs of a node", |p| p.nodes[0].outputs = 3),
        ("number of nodes", |p| p.nodes.push(p.nodes[1].clone())),
    ]
}

#[test]
fn rejects_one_id_for_interfaces_that_differ_in_a_field() {
    let body = body_hash(b"a body");
    let mut seen = std::collections::BTreeMap::new();
    let mut enter = |field: &'static str, parts: InterfaceParts| {
        let interface = Interface::new(parts).unwrap_or_else(|e| panic!("{field}: {e}"));
        assert_eq!(
            Interface::decode(&interface.encode()),
            Ok(interface.clone())
        );
        let other = seen.insert(interface.program_id(&body), field);
        assert_eq!(other, None, "{field}");
    };
    enter("nothing", parts());
    for (field, change) in changes() {
        let mut changed = parts();
        change(&mut changed);
        enter(field, changed);
    }
    let interface = Interface::new(parts()).unwrap();
    assert_ne!(
        interface.program_id(&body),
        interface.program_id(&body_hash(b"another body"))
    );
    let (hash, body) = (interface.hash(), body_hash(b"a body"));
    assert_ne!(program_id(&hash, &body), program_id(&body, &hash));
}

#[test]
fn rejects_parts_that_do_not_fit_by_name() {
    let with = |change: fn(&mut InterfaceParts)| {
        let mut changed = parts();
        change(&mut changed);
        Interface::new(changed).unwrap_err()
    };
    let source = |what, index| InterfaceError::Source { what, index };
    let quantized = |what, index| InterfaceError::Quantization { what, index };
    assert_eq!(
        with(|p| p.outputs.clear()),
        InterfaceError::None { what: "output" }
    );
    assert_eq!(
        with(|p| p.model_outputs.clear()),
        InterfaceError::None {
            what: "named output"
        }
    );
    assert_eq!(
        with(|p| p.inputs[1].name = text("x")),
        InterfaceError::SameName { name: text("x") }
    );
    assert!(matches!(
        with(|p| p.inputs[1].name = "x".repeat(4097)),
        InterfaceError::LongName { index: 1, .. }
    ));
    assert!(matches!(
        with(|p| p.inputs[2].shape = vec![0]),
        InterfaceError::Shape { index: 2, .. }
    ));
    assert!(matches!(
        with(|p| p.inputs[1].integers.as_mut().unwrap().range.1 = 128),
        InterfaceError::Range { index: 1, .. }
    ));
    for change in [
        (|p| p.outputs[1].quantization.as_mut().unwrap().scale_bits[0] = 0)
            as fn(&mut InterfaceParts),
        |p| p.outputs[1].quantization.as_mut().unwrap().scale_bits[0] = 1,
        |p| p.outputs[1].quantization.as_mut().unwrap().scale_bits[0] |= 1 << 31,
        |p| p.outputs[1].quantization.as_mut().unwrap().scale_bits[0] = 0x7f80_0000,
        |p| p.outputs[1].quantization.as_mut().unwrap().axis = Some(0),
        |p| p.outputs[1].quantization.as_mut().unwrap().axis = Some(3),
        |p| p.outputs[1].quantization.as_mut().unwrap().axis = None,
        |p| p.outputs[1].quantization.as_mut().unwrap().zero_point[0] = 1 << 31,
        |p| {
            p.outputs[1].quantization.as_mut().unwrap().zero_point.pop();
        },
    ] {
        assert_eq!(with(change), quantized("output", 1));
    }
    assert_eq!(
        with(|p| p.nodes[0].inputs[0] = Some(Source::Node(0, 0))),
        source("node", 0)
    );
    assert_eq!(
        with(|p| p.nodes[1].inputs[0] = Some(Source::Node(0, 2))),
        source("node", 1)
    );
    // Integers of the model are not a float that could be read.
    assert_eq!(
        with(|p| p.model_outputs[3].source = Source::Input(1)),
        source("named output", 3)
    );
    // Integers of a float node read neither what a proof gives nor what is not there, and stand last.
    let derived = |p: &mut InterfaceParts, of| {
        p.inputs[3].integers.as_mut().unwrap().source = Some(of);
    };
    assert_eq!(
        with(|p| p.nodes[2].inputs[0] = Some(Source::Node(1, 0))),
        source("input", 3)
    );
    let more = with(|p| {
        p.inputs.push(InterfaceInput {
            name: text("more"),
            ..p.inputs[2].clone()
        });
    });
    assert_eq!(more, source("input", 4));
    for wrong in [
        Source::Output(0),
        Source::Node(0, 1),
        Source::Node(3, 0),
        Source::Input(1),
        Source::Input(3),
        Source::Constant(4),
    ] {
        let mut changed = parts();
        derived(&mut changed, wrong);
        assert_eq!(Interface::new(changed).unwrap_err(), source("input", 3));
    }
    for missing in [
        (|p| p.model_outputs[0].source = Source::Output(2)) as fn(&mut InterfaceParts),
        |p| p.model_outputs[0].source = Source::Constant(4),
        |p| p.model_outputs[0].source = Source::Input(3),
        |p| p.model_outputs[0].source = Source::Input(4),
        |p| p.model_outputs[0].source = Source::Node(3, 0),
    ] {
        assert_eq!(with(missing), source("named output", 0));
    }
    assert_eq!(
        with(|p| p.constants[2].data.truncate(7)),
        InterfaceError::Constant { index: 2, got: 7 }
    );
    assert_eq!(
        with(|p| p.nodes[0].attributes.swap(0, 1)),
        InterfaceError::AttributeOrder { node: 0 }
    );
    assert_eq!(
        with(|p| p.nodes[0].attributes[1].name = text("a")),
        InterfaceError::AttributeOrder { node: 0 }
    );
}

#[test]
fn accepts_a_claim_by_name_and_in_reals() {
    let interface = Interface::new(parts()).unwrap();
    let body = body_hash(b"a body");
    let tensor = |dtype, shape: &[u32], values: &[i64]| {
        TensorData::new(dtype, shape.to_vec(), values.to_vec()).unwrap()
    };
    let outputs = vec![
        tensor(DataType::U8, &[2], &[7, 255]),
        tensor(DataType::I32, &[1, 2, 2], &[4, -8, -1, 2_147_483_647]),
    ];
    let inputs = vec![
        ClaimInput::Public(tensor(DataType::U8, &[1, 2], &[3, 0])),
        ClaimInput::Private,
        ClaimInput::Public(tensor(DataType::U16, &[2], &[9, 0])),
    ];
    let claim = |id, inputs: &[ClaimInput], outputs: &[TensorData]| {
        Claim::new(id, inputs.to_vec(), outputs.to_vec(), [0; 32]).unwrap()
    };
    let id = interface.program_id(&body);
    let right = claim(id, &inputs, &outputs);
    let opened = Opened::new(&interface, &body, &right).unwrap();
    let shown = opened.output("r").unwrap();
    assert_eq!(shown.tensor, &outputs[1]);
    // (v − zero) · scale: 4·¼, −8·¼, (−1+1)·2, f32(2³¹)·2.
    assert_eq!(shown.floats().unwrap(), [1.0, -2.0, 0.0, 4_294_967_296.0]);
    let shown = opened.output("y").unwrap();
    assert_eq!((shown.tensor, shown.reals()), (&outputs[0], None));
    assert_eq!(opened.input("x").unwrap().floats().unwrap(), [0.0, -1.5]);
    let name = text;
    assert_eq!(
        opened.input("n").unwrap_err(),
        OpenError::Private { name: name("n") }
    );
    for (what, name, error) in [
        ("input", "w", opened.input("w")),
        ("output", "t", opened.output("t")),
        ("output", "w", opened.output("w")),
        ("output", "k", opened.output("k")),
    ] {
        let name = text(name);
        assert_eq!(error.unwrap_err(), OpenError::Outside { what, name });
    }
    for (what, error) in [("input", opened.input("q")), ("output", opened.output("q"))] {
        let name = text("q");
        assert_eq!(error.unwrap_err(), OpenError::Unknown { what, name });
    }
    let refused =
        |claim: &Claim, body: &[u8; 32]| Opened::new(&interface, body, claim).unwrap_err();
    assert_eq!(
        refused(&right, &body_hash(b"another body")),
        OpenError::OtherProgram
    );
    let other = claim([0; 32], &inputs, &outputs);
    assert_eq!(refused(&other, &body), OpenError::OtherProgram);
    let fewer = claim(id, &inputs, &outputs[..1]);
    assert_eq!(
        refused(&fewer, &body),
        OpenError::Tensors { what: "outputs" }
    );
    for wrong in [
        vec![ClaimInput::Private],
        vec![
            ClaimInput::Public(tensor(DataType::U8, &[2, 1], &[3, 0])),
            ClaimInput::Private,
        ],
        vec![
            ClaimInput::Public(tensor(DataType::I8, &[1, 2], &[3, 0])),
            ClaimInput::Private,
        ],
    ] {
        let rest = inputs[2..].iter().filter(|_| wrong.len() > 1);
        let wrong = claim(
            id,
            &[wrong.as_slice(), &rest.cloned().collect::<Vec<_>>()].concat(),
            &outputs,
        );
        assert_eq!(
            refused(&wrong, &body),
            OpenError::Tensors { what: "inputs" }
        );
    }
}
