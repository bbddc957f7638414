//! Tests of all operators alike: no lie about any of them survives, and those of one or two bytes are tried on all
//! values.

use std::collections::BTreeSet;
use std::sync::Arc;

use zkonnx_verifier::InputVisibility;

use super::*;
use crate::compile::compile;
use crate::plan::PlanOptions;
use crate::program::{Builder, Port, Tensor};
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

/// Runs an operator of byte inputs in the executor and in its circuit, on all of these values at once.
fn exhaust(op: impl crate::program::Operator, facts: Vec<Fact>, data: Vec<Vec<i64>>) -> Vec<i64> {
    let mut builder = Builder::new();
    let ids: Vec<_> = facts
        .iter()
        .map(|fact| builder.input("x", fact.clone(), None))
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
