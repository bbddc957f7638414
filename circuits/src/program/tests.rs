//! Programs as a whole: order, bytes, identity, execution.

use std::sync::Arc;

use zkonnx_verifier::InterfaceError;
use zkonnx_verifier::interface::program_id;

use super::*;
use crate::ops::{self, Lanes, MatMul, Move, Requantize, Reshape, Rule, ScaleRule};

fn rule() -> Requantize {
    let rule = ScaleRule::new(1 << 23, -26, 5, 0, 255).unwrap();
    Requantize::new(DataType::U8, vec![Rule::Scale(rule)], Lanes::Tensor).unwrap()
}

fn port(name: &str, tensor: TensorId) -> Port {
    let quantization = Quantization {
        scale_bits: vec![0x3f80_0000],
        zero_point: vec![5],
        axis: None,
    };
    Port {
        name: name.to_owned(),
        tensor,
        quantization: Some(quantization),
    }
}

/// Two layers, with a node that no output needs and one that is there twice.
fn program() -> Program {
    let mut builder = Builder::new();
    let x = builder.input("x", Fact::any(DataType::U8, vec![1, 2]), None);
    let weights = || Arc::new(MatMul::new(vec![1, 2, 3, 4], vec![10, -10], 1).unwrap());
    let a = builder.push1("first", weights(), &[x]).unwrap();
    let unused = builder
        .push1("unused", Arc::new(Move(Reshape { shape: vec![2] })), &[x])
        .unwrap();
    let again = builder.push1("twice", weights(), &[x]).unwrap();
    assert_eq!(a, again);
    let b = builder
        .push1("requantize", Arc::new(rule()), &[again])
        .unwrap();
    let (program, places) = builder.finish(vec![port("y", b)]).unwrap();
    assert_eq!(places.place(unused), None);
    program
}

#[test]
fn accepts_a_program_and_runs_it() {
    let program = program();
    assert_eq!(program.nodes().len(), 2);
    let x = Tensor::new(DataType::U8, vec![1, 2], vec![255, 0]);
    let trace = program.execute(&[x]).unwrap();
    assert_eq!(trace.tensors()[1].data, [254 - 3 + 10, 508 - 4 - 10]);
    // 261 / 8 = 32.6 and 494 / 8 = 61.75, plus the zero point.
    assert_eq!(trace.outputs()[0].data, [38, 67]);
}

#[test]
fn rejects_inputs_that_do_not_fit() {
    let program = program();
    let run = |dtype, shape: Vec<usize>, data| program.execute(&[Tensor { dtype, shape, data }]);
    assert!(matches!(
        program.execute(&[]),
        Err(ExecuteError::InputCount { .. })
    ));
    assert!(matches!(
        run(DataType::I8, vec![1, 2], vec![0, 0]),
        Err(ExecuteError::InputShape { .. })
    ));
    assert!(matches!(
        run(DataType::U8, vec![2, 1], vec![0, 0]),
        Err(ExecuteError::InputShape { .. })
    ));
    assert!(matches!(
        run(DataType::U8, vec![1, 2], vec![0]),
        Err(ExecuteError::InputShape { .. })
    ));
    assert!(matches!(
        run(DataType::U8, vec![1, 2], vec![0, 256]),
        Err(ExecuteError::InputValue {
            index: 1,
            value: 256,
            ..
        })
    ));
}

#[test]
fn accepts_its_own_bytes_and_names() {
    let (program, registry) = (program(), ops::registry());
    let file = program.to_file();
    let again = Program::from_file(&file, &registry).unwrap();
    assert_eq!(again.to_file(), file);
    assert_eq!(again.id(), program.id());
    assert_eq!(again.inputs()[0].name, "x");
    assert_eq!(again.nodes()[0].name, "first");
    let bare = Program::decode(&program.encode(), &registry).unwrap();
    assert_eq!(bare.id(), program.id());
    // The names of inputs and outputs are part of the interface, those of nodes are not.
    assert_eq!(
        (
            bare.inputs()[0].name.as_str(),
            bare.outputs()[0].name.as_str()
        ),
        ("x", "y")
    );
    assert_eq!(bare.nodes()[0].name, "");
}

#[test]
fn accepts_a_listing_with_every_tensor() {
    let text = program().to_string();
    for part in [
        "input  %0",
        "%1 : i32[1,2]",
        "matmul(%0)",
        "requantize(%1)",
        "output %2",
        "scale 1·2^0",
    ] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }
}

#[test]
fn rejects_every_prefix_and_every_changed_byte() {
    let (program, registry) = (program(), ops::registry());
    let bytes = program.encode();
    for len in 0..bytes.len() {
        assert!(Program::decode(&bytes[..len], &registry).is_err());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(
        Program::decode(&longer, &registry).unwrap_err(),
        DecodeError::Trailing(1)
    );
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut mutant = bytes.clone();
            mutant[place] ^= 1 << bit;
            // What is accepted is another program, and writes the very bytes it was read from.
            if let Ok(other) = Program::decode(&mutant, &registry) {
                assert_eq!(other.encode(), mutant);
                assert_ne!(other.id(), program.id());
            }
        }
    }
}

#[test]
fn rejects_operators_that_are_not_registered() {
    let error = Program::decode(&program().encode(), &Registry::empty()).unwrap_err();
    assert!(matches!(error, DecodeError::UnknownOperator { .. }));
}

#[test]
fn rejects_quantizations_that_do_not_fit() {
    for (scale, zero) in [
        (0u32, 5i64),
        (0x7f80_0000, 5),
        (0xbf80_0000, 5),
        (1, 5),
        (0x3f80_0000, 999),
    ] {
        let mut builder = Builder::new();
        let q = Quantization {
            scale_bits: vec![scale],
            zero_point: vec![zero],
            axis: None,
        };
        let x = builder.input("x", Fact::any(DataType::U8, vec![1]), Some(q));
        let error = builder.finish(vec![port("y", x)]).unwrap_err();
        let (what, index) = ("input", 0);
        let expected = InterfaceError::Quantization { what, index };
        assert_eq!(error, ProgramError::Interface(expected));
    }
    let builder = Builder::new();
    let expected = InterfaceError::None { what: "output" };
    assert_eq!(
        builder.finish(vec![]).unwrap_err(),
        ProgramError::Interface(expected)
    );
}

/// Everything of a body is in its bytes: a change of any of it is another id.
#[test]
fn rejects_one_id_for_bodies_that_differ_in_a_field() {
    type Change = fn(&mut Builder, TensorId) -> (TensorId, Vec<i64>);
    let made = |dtype, shape: &[usize], change: Change| {
        let mut builder = Builder::new();
        let x = builder.input("x", Fact::any(dtype, shape.to_vec()), None);
        let second = builder.input("z", Fact::any(dtype, shape.to_vec()), None);
        let _ = second;
        let (y, bias) = change(&mut builder, x);
        let weights = MatMul::new(vec![1, 2, 3, 4], bias, 1).unwrap();
        let y = builder.push1("m", Arc::new(weights), &[y]).unwrap();
        let plain = Port {
            quantization: None,
            ..port("y", y)
        };
        builder.finish(vec![plain]).unwrap().0
    };
    let plain: Change = |_, x| (x, vec![10, -10]);
    let programs = [
        ("nothing", made(DataType::U8, &[1, 2], plain)),
        ("input type", made(DataType::I8, &[1, 2], plain)),
        ("input shape", made(DataType::U8, &[3, 2], plain)),
        (
            "parameter",
            made(DataType::U8, &[1, 2], |_, x| (x, vec![10, -11])),
        ),
        (
            "input of a node",
            made(DataType::U8, &[1, 2], |_, x| {
                (TensorId(x.0 + 1), vec![10, -10])
            }),
        ),
        (
            "another node",
            made(DataType::U8, &[1, 2], |builder, x| {
                let turn = Move(ops::Transpose { perm: vec![0, 1] });
                (
                    builder.push1("t", Arc::new(turn), &[x]).unwrap(),
                    vec![10, -10],
                )
            }),
        ),
    ];
    for (i, (field, a)) in programs.iter().enumerate() {
        for (other, b) in &programs[..i] {
            assert_ne!(a.body_hash(), b.body_hash(), "{field}, {other}");
            assert_ne!(a.id(), b.id(), "{field}, {other}");
        }
    }
    // The output of a body is one of its tensors, whatever the interface says of it.
    let output = |tensor: u32| {
        let mut builder = Builder::new();
        for name in ["a", "b"] {
            builder.input(name, Fact::any(DataType::U8, vec![2]), None);
        }
        let plain = Port {
            quantization: None,
            ..port("y", TensorId(tensor))
        };
        builder.finish(vec![plain]).unwrap().0
    };
    let (a, b) = (output(0), output(1));
    assert_eq!(a.interface(), b.interface());
    assert_ne!(a.body_hash(), b.body_hash());
    assert_ne!(a.id(), b.id());
    assert_eq!(a.id(), program_id(&a.interface().hash(), &a.body_hash()));
}

/// An interface that says something else than the body is no program.
#[test]
fn rejects_an_interface_of_another_body() {
    let (program, registry) = (program(), ops::registry());
    let body = program.encode_body();
    let with = |change: &dyn Fn(&mut zkonnx_verifier::interface::InterfaceParts)| {
        let mut parts = program.interface().parts().clone();
        change(&mut parts);
        let interface = Interface::new(parts).unwrap();
        Program::from_parts(interface, &body, &registry).map(|program| program.id())
    };
    assert_eq!(with(&|_| {}), Ok(program.id()));
    let wrong = |error: ProgramError| Err(DecodeError::Program(error));
    // A narrower range is another program.
    let narrow = with(&|parts| parts.inputs[0].integers.as_mut().unwrap().range = (0, 200));
    assert_ne!(narrow.unwrap(), program.id());
    let mut builder = Builder::new();
    let fact = Fact {
        range: Range::new(i64::MIN, 0),
        ..Fact::any(DataType::I64, vec![2])
    };
    let wide = builder.input("x", fact, None);
    let plain = Port {
        quantization: None,
        ..port("y", wide)
    };
    assert_eq!(
        builder.finish(vec![plain]).unwrap_err(),
        ProgramError::InputRange { input: 0 }
    );
    assert_eq!(
        with(&|parts| parts.inputs[0].shape = vec![2, 1]),
        wrong(ProgramError::InputTypes)
    );
    assert_eq!(
        with(&|parts| {
            let shape = vec![2, 1];
            parts.outputs[0].spec = zkonnx_verifier::PortSpec::new(DataType::U8, shape).unwrap();
        }),
        wrong(ProgramError::OutputType { output: 0 })
    );
    assert_eq!(
        with(&|parts| parts.outputs.push(parts.outputs[0].clone())),
        wrong(ProgramError::OutputCount { stated: 2, got: 1 })
    );
}
