//! Tests of all operators alike: no lie about any of them survives, and those of one or two bytes are tried on all
//! values.

use std::collections::BTreeSet;
use std::sync::Arc;

use zkonnx_verifier::InputVisibility;

use super::*;
use crate::compile::compile;
use crate::plan::PlanOptions;
use crate::program::{Builder, Encoder, Port, Program, Quantization, Tensor};
use crate::testing;

/// A small range, where ties and repeated values abound.
fn few(shape: &[usize]) -> Fact {
    Fact {
        dtype: DataType::I8,
        shape: shape.to_vec(),
        range: Range::new(-3, 4),
    }
}

fn bytes(shape: &[usize]) -> Fact {
    Fact::any(DataType::U8, shape.to_vec())
}

fn padded(kernel: &[usize]) -> Window {
    Window {
        pads_begin: vec![1; kernel.len()],
        ..Window::dense(kernel.to_vec())
    }
}

fn halves() -> Rule {
    Rule::Steps(Steps::bisect(Range::new(-40, 40), |x| {
        (x >> 1).clamp(-9, 9)
    }))
}

fn scaled() -> Rule {
    Rule::Scale(ScaleRule::new(12_000_000, -25, 3, 0, 255).unwrap())
}

type Case = (Arc<dyn crate::program::Operator>, Vec<Fact>);

fn arithmetic() -> Vec<Case> {
    let weights = vec![3, -7, 2, 0, 5, 1, -1, 4];
    let steps = |rule| Requantize::new(DataType::I16, vec![rule], Lanes::Tensor).unwrap();
    let table = |f: fn(i64) -> i64| (0..256).map(f).collect::<Vec<i64>>();
    let tables = vec![table(|x| x * x / 256), table(|x| 255 - x)];
    let along = Lanes::Axis {
        axis: 1,
        rule_of: vec![0, 1],
    };
    vec![
        (
            Arc::new(Conv::new(weights.clone(), vec![5, -6], 1, 2, padded(&[2, 2])).unwrap()),
            vec![few(&[1, 1, 3, 3])],
        ),
        (
            Arc::new(MatMul::new(weights, vec![1, 2], -1).unwrap()),
            vec![few(&[2, 4])],
        ),
        (
            Arc::new(Product::new(1, -2).unwrap()),
            vec![few(&[2, 2]), few(&[2, 2])],
        ),
        (
            Arc::new(WeightedSum::new(vec![3, -5], 7).unwrap()),
            vec![few(&[2, 3]), few(&[3])],
        ),
        (
            Arc::new(WindowSum::new(padded(&[2]), 1).unwrap()),
            vec![few(&[1, 2, 3])],
        ),
        (
            Arc::new(CumSum::new(1, false, true, -1).unwrap()),
            vec![few(&[1, 4])],
        ),
        (
            Arc::new(Offset::new(vec![3], vec![9, -9, 0]).unwrap()),
            vec![few(&[3])],
        ),
        (Arc::new(steps(halves())), vec![few(&[4])]),
        (Arc::new(steps(scaled())), vec![bytes(&[4])]),
        (
            Arc::new(Table::new(DataType::U8, DataType::U8, tables, along).unwrap()),
            vec![bytes(&[1, 2, 2])],
        ),
    ]
}

fn trees() -> TreeEnsemble {
    let branch = |feature, above| TreeNode::Branch {
        feature,
        above,
        last: (feature == 0).then_some(2),
    };
    let leaf = |values: &[(usize, i64)]| TreeNode::Leaf(values.to_vec());
    let inner = [branch(0, 0), leaf(&[(0, 5)]), leaf(&[(0, -5), (1, 70_000)])];
    let tree = [&[branch(1, 1), leaf(&[(1, 1)])], inner.as_slice()].concat();
    TreeEnsemble::new(2, vec![3, -4], vec![tree, vec![leaf(&[])]]).unwrap()
}

fn choices() -> Vec<Case> {
    let truths = Fact::any(DataType::Bool, vec![3]);
    vec![
        (
            Arc::new(MaxPool::new(padded(&[2, 2])).unwrap()),
            vec![few(&[1, 1, 3, 3])],
        ),
        (Arc::new(Maximum), vec![few(&[2, 3]), few(&[3])]),
        (Arc::new(Select), vec![truths, few(&[3]), few(&[3])]),
        (Arc::new(ArgMax::new(1, false)), vec![few(&[2, 4])]),
        (Arc::new(TopK::new(1, 2)), vec![few(&[1, 4])]),
        (Arc::new(OneHot::new(1, 3).unwrap()), vec![few(&[2])]),
        (Arc::new(trees()), vec![few(&[1, 2])]),
    ]
}

fn movements() -> Vec<Case> {
    vec![
        (
            Arc::new(Move(Concat { axis: 0 })),
            vec![few(&[1, 2]), few(&[2, 2])],
        ),
        (
            Arc::new(Move(Dilate {
                steps: vec![2],
                value: 1,
            })),
            vec![few(&[3])],
        ),
        (
            Arc::new(Move(Expand { shape: vec![2, 3] })),
            vec![few(&[1, 3])],
        ),
        (
            Arc::new(Move(Gather {
                axis: 0,
                indices: vec![2, 0, 2],
            })),
            vec![few(&[3])],
        ),
        (
            Arc::new(Move(Pad {
                before: vec![1],
                after: vec![2],
                value: -1,
            })),
            vec![few(&[2])],
        ),
        (
            Arc::new(Move(Reshape { shape: vec![3, 1] })),
            vec![few(&[1, 3])],
        ),
        (
            Arc::new(Move(Slice {
                starts: vec![3],
                steps: vec![-2],
                extents: vec![2],
            })),
            vec![few(&[4])],
        ),
        (
            Arc::new(Move(Transpose { perm: vec![1, 0] })),
            vec![few(&[2, 2])],
        ),
    ]
}

#[test]
fn rejects_every_lie_about_every_operator() {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    // A constant has no cell, and softmax has tests of its own beside it.
    seen.extend(["constant", "softmax"]);
    for (op, facts) in [arithmetic(), choices(), movements()].concat() {
        let name = op.id().name;
        seen.insert(name);
        for seed in [3, 4] {
            let score = testing::mutate_operator(op.clone(), &facts, seed);
            assert!(
                score.survivors.is_empty(),
                "{name}: {:?}",
                score.survivors.first()
            );
            assert!(score.mutants > 10, "{name}: {}", score.mutants);
        }
    }
    let registry = registry();
    let all: BTreeSet<&str> = registry.ids().map(|(_, name, _)| name).collect();
    assert_eq!(seen, all, "an operator is left out");
}

/// Where the vectors of the formats are.
fn vector(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../verifier/vectors")
        .join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A program of one operator, with a scale for its first output.
fn single(op: Arc<dyn crate::program::Operator>, facts: &[Fact]) -> Program {
    let mut builder = Builder::new();
    let names = ["a", "b", "c"].into_iter();
    let ids: Vec<_> = facts
        .iter()
        .zip(names)
        .map(|(fact, name)| builder.input(name, fact.clone(), None))
        .collect();
    let tensors = builder.push("node", op, &ids).unwrap();
    let port = |(place, &tensor): (usize, &crate::program::TensorId)| Port {
        name: format!("y{place}"),
        tensor,
        quantization: (place == 0).then(|| Quantization {
            scale_bits: vec![0x3e80_0000],
            zero_point: vec![1],
            axis: None,
        }),
    };
    let ports = tensors.iter().enumerate().map(port).collect();
    builder.finish(ports).unwrap().0
}

/// A program for each operator, by the operator's name.
fn singles() -> Vec<(&'static str, Program)> {
    let mut cases = [arithmetic(), choices(), movements()].concat();
    let constant = Constant::new(DataType::I16, vec![2], vec![-1, 300]).unwrap();
    cases.push((Arc::new(constant), vec![]));
    let softmax = softmax::tests::softmax(1, 0.5, 4, (8, 3), 16);
    cases.push((Arc::new(softmax), vec![bytes(&[2, 4])]));
    cases.sort_by_key(|(op, _)| op.id().name);
    cases.dedup_by_key(|(op, _)| op.id().name);
    let single = |(op, facts): &Case| (op.id().name, single(op.clone(), facts));
    cases.iter().map(single).collect()
}

/// The index of the vectors of programs: `program file interface-hash body-hash id`, `malformed file reason`.
const PROGRAMS: &str = "PROGRAMS";

#[test]
fn accepts_and_rejects_every_program_as_the_vectors_say() {
    let index = std::fs::read_to_string(vector(PROGRAMS)).unwrap();
    let registry = registry();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut malformed = 0;
    for line in index.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.splitn(3, ' ').collect();
        let bytes = std::fs::read(vector(fields[1])).unwrap();
        let read = Program::decode(&bytes, &registry);
        match fields[0] {
            "program" => {
                let program = read.unwrap_or_else(|e| panic!("{line}: {e}"));
                assert_eq!(program.encode(), bytes, "{line}");
                assert_eq!(fields[2], hashes(&program), "{line}");
                seen.extend(program.nodes().iter().map(|n| n.op.id().name.to_owned()));
            }
            "malformed" => {
                assert_eq!(format!("{:?}", read.unwrap_err()), fields[2], "{line}");
                malformed += 1;
            }
            kind => panic!("{kind} is not a kind of vector"),
        }
    }
    let all: BTreeSet<String> = registry.ids().map(|(_, name, _)| name.to_owned()).collect();
    assert_eq!(seen, all, "an operator has no vector");
    assert!(malformed > 5);
}

fn hashes(program: &Program) -> String {
    let hashes = [
        program.interface().hash(),
        program.body_hash(),
        program.id(),
    ];
    hashes.map(|hash| hex(&hash)).join(" ")
}

/// The table of FORMATS.md has the operators there are, and no others.
#[test]
fn accepts_only_operators_whose_parameters_are_listed() {
    let text = std::fs::read_to_string(vector("../FORMATS.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, version, parameters, _] = cells.as_slice() else {
            return None;
        };
        let name = name.strip_prefix("`op ")?.strip_suffix('`')?;
        assert!(!parameters.is_empty(), "{name}");
        Some((name.to_owned(), version.parse::<u32>().unwrap()))
    });
    let listed: BTreeSet<(String, u32)> = rows.collect();
    let registry = registry();
    let all = registry
        .ids()
        .map(|(_, name, version)| (name.to_owned(), version));
    assert_eq!(listed, all.collect());
}

/// `cargo test -p zkonnx-circuits --lib ops::every -- --ignored` writes the vectors anew after a change of a format.
#[test]
#[ignore = "writes the vectors"]
fn write_vectors() {
    let mut index = String::from(
        "# program file interface-hash body-hash id | malformed file reason; files are those of FORMATS.md, Program file, \
         without names\n",
    );
    let mut write = |kind: &str, name: &str, bytes: &[u8], rest: &str| {
        let name = format!("program-{name}.bin");
        std::fs::write(vector(&name), bytes).unwrap();
        index.push_str(&format!("{kind} {name} {rest}\n"));
    };
    for (name, program) in singles() {
        write("program", name, &program.encode(), &hashes(&program));
    }
    let program = single(
        Arc::new(MatMul::new(vec![1, -2], vec![3], 4).unwrap()),
        &[bytes(&[1, 2])],
    );
    let (whole, interface, body) = (
        program.encode(),
        program.interface().encode(),
        program.encode_body(),
    );
    let joined = |interface: &[u8], body: &[u8]| {
        let mut out = Encoder::new();
        out.raw(&whole[..6]);
        for part in [interface, body] {
            out.count(part.len());
            out.raw(part);
        }
        out.into_bytes()
    };
    let with = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let other = single(Arc::new(Maximum), &[bytes(&[2]), bytes(&[2])]);
    let (last, end) = (interface.len(), body.len());
    for (name, bytes) in [
        ("magic", with(&whole, 0, b'Z')),
        ("version", with(&whole, 4, 1)),
        ("truncated", whole[..whole.len() - 1].to_vec()),
        ("trailing", [whole.as_slice(), &[0]].concat()),
        ("interface-magic", joined(&with(&interface, 3, b'i'), &body)),
        ("interface-version", joined(&with(&interface, 4, 9), &body)),
        (
            "interface-source",
            joined(&with(&interface, last - 13, 7), &body),
        ),
        ("interface-truncated", joined(&interface[..last - 1], &body)),
        (
            "other-interface",
            joined(&other.interface().encode(), &body),
        ),
        ("body-magic", joined(&interface, &with(&body, 3, b'b'))),
        ("body-version", joined(&interface, &with(&body, 4, 9))),
        ("body-type", joined(&interface, &with(&body, 10, 2))),
        (
            "body-trailing",
            joined(&interface, &[body.as_slice(), &[0]].concat()),
        ),
        (
            "unknown-operator",
            joined(&interface, &with(&body, 41, b'M')),
        ),
        (
            "undefined-output",
            joined(&interface, &with(&body, end - 4, 9)),
        ),
        // A width of two bytes for integers that one byte holds.
        ("wide-integers", {
            let at = body
                .windows(6)
                .position(|w| w == [1, 0, 0, 0, 1, 3])
                .unwrap();
            let mut wide = body.clone();
            wide[at + 4] = 2;
            wide.insert(at + 6, 0);
            // The parameters are one byte longer.
            let length = at - 12;
            wide[length] += 1;
            joined(&interface, &wide)
        }),
    ] {
        let reason = format!("{:?}", Program::decode(&bytes, &registry()).unwrap_err());
        write("malformed", name, &bytes, &reason);
    }
    std::fs::write(vector(PROGRAMS), index).unwrap();
}

/// Runs an operator of byte inputs in the executor and in its circuit, on all of these values at once.
fn exhaust(op: impl crate::program::Operator, facts: Vec<Fact>, data: Vec<Vec<i64>>) -> Vec<i64> {
    let mut builder = Builder::new();
    let ids: Vec<_> = facts
        .iter()
        .enumerate()
        .map(|(i, fact)| builder.input(&format!("x{i}"), fact.clone(), None))
        .collect();
    let tensor = builder.push1("y", Arc::new(op), &ids).unwrap();
    let port = Port {
        name: "y".to_owned(),
        tensor,
        quantization: None,
    };
    let (program, _) = builder.finish(vec![port]).unwrap();
    let compiled = compile(
        Arc::new(program),
        InputVisibility::Private,
        &PlanOptions::default(),
    )
    .unwrap();
    let inputs: Vec<Tensor> = facts
        .iter()
        .zip(data)
        .map(|(fact, data)| Tensor::new(fact.dtype, fact.shape.clone(), data))
        .collect();
    // Fails unless executor and circuit agree.
    let inference = compiled.infer(&inputs, [0; 32]).unwrap();
    inference.trace.outputs()[0].data.clone()
}

#[test]
fn accepts_all_values_of_a_byte() {
    let all: Vec<i64> = (0..256).collect();
    let facts = || vec![bytes(&[256])];
    let table = all.iter().map(|x| (x * 7 + 3) % 256).collect::<Vec<_>>();
    let op = Table::new(
        DataType::U8,
        DataType::U8,
        vec![table.clone()],
        Lanes::Tensor,
    );
    assert_eq!(exhaust(op.unwrap(), facts(), vec![all.clone()]), table);

    let rule = scaled();
    let expected: Vec<i64> = all.iter().map(|&x| rule.eval(x)).collect();
    let op = Requantize::new(DataType::U8, vec![rule], Lanes::Tensor).unwrap();
    assert_eq!(exhaust(op, facts(), vec![all.clone()]), expected);

    let lines = exhaust(
        ArgMax::new(1, false),
        vec![bytes(&[256, 2])],
        vec![all.iter().flat_map(|&x| [x, 255 - x]).collect()],
    );
    let first = all.iter().map(|&x| i64::from(x < 255 - x));
    assert!(lines.into_iter().eq(first));
}

#[test]
fn accepts_all_pairs_of_small_values() {
    let pairs = || (0..16i64).flat_map(|a| (0..16i64).map(move |b| (a, b)));
    let fact = Fact {
        dtype: DataType::U8,
        shape: vec![256, 1, 1],
        range: Range::new(0, 15),
    };
    let facts = || vec![fact.clone(), fact.clone()];
    let data = || {
        vec![
            pairs().map(|p| p.0).collect(),
            pairs().map(|p| p.1).collect(),
        ]
    };
    let check = |got: Vec<i64>, f: fn(i64, i64) -> i64| {
        assert!(got.into_iter().eq(pairs().map(|(a, b)| f(a, b))));
    };
    check(exhaust(Maximum, facts(), data()), i64::max);
    check(
        exhaust(Product::new(3, 5).unwrap(), facts(), data()),
        |a, b| (a - 3) * (b - 5),
    );
    check(
        exhaust(WeightedSum::new(vec![2, -3], 1).unwrap(), facts(), data()),
        |a, b| 2 * a - 3 * b + 1,
    );
    let truths = Fact::any(DataType::Bool, vec![256, 1, 1]);
    let mut with = data();
    with.insert(0, pairs().map(|(a, b)| (a ^ b) & 1).collect());
    let got = exhaust(Select, [vec![truths], facts()].concat(), with);
    check(got, |a, b| if (a ^ b) & 1 == 1 { a } else { b });
}
